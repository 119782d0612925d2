"""Measure what each kernel costs on a board, and fit the `[cost]` table of its TOML file.

    python benchmarks/kernel_cost.py [--board rp2040] [--boxes 8] [--write] [MODEL ...]

Runs steps of every model (default: the zoo, and records of other shapes from `made_up.py`) one at a time and reads the
device's cycle counter: every call as a whole, and `--boxes` random boxes of each, rows and channels cut as tiles and
nodes cut them. `cycles = sum of count * cost` is fitted for each kernel (counts: `hil.plan.records.Work`) by least
squares of the relative error, no cost below zero. Prints the table, how far off it is, and each model's whole
inference as the board's present table predicts it and as the new one does; `--write` puts the new one into the file.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hil import board as boards
from hil.bench import VirtualBench
from hil.board import Board
from hil.image.build import build
from hil.link import Link
from hil.model import tflite
from hil.paths import BOARDS, ZOO
from hil.plan.kernels import Fill
from hil.plan.lower import lower
from hil.plan.memory import allocate
from hil.plan.planner import plan
from hil.plan.program import Step, encode
from hil.plan.records import Arena, Box, Record, Work
from hil.plan.tiles import cycles
from hil.wire import Wire

sys.path.insert(0, str(Path(__file__).parent))
from made_up import ARENA, made_up, of_clusters

# What each kernel's cost is made of; `calls` comes with all of them. Kernels that are not here: outputs and rows.
COUNTS = {
    "conv": (
        "rows",
        "pixels",
        "fast",
        "turns",
        "runs",
        "slow",
        "slow_turns",
        "slow_runs",
        "gathered",
        "pieces",
        "extra",
    ),
    "conv_partial": ("rows", "pixels", "fast", "turns", "runs", "slow", "slow_turns", "slow_runs"),
    "depthwise": ("rows", "pixels", "fast", "turns", "runs", "slow", "slow_turns", "slow_runs", "extra"),
    "pool": ("rows", "pixels", "fast", "turns", "runs", "slow", "slow_turns", "slow_runs"),
    "elementwise": ("rows", "runs", "fast", "slow", "extra", "pieces"),
    "mean": ("rows", "pixels", "outputs", "turns", "runs", "pieces"),
    "copy": ("runs", "extra", "turns", "slow_turns", "gathered", "slow", "slow_runs", "pieces"),
    "fill": ("runs", "turns", "gathered"),
    "lookup": ("runs", "fast", "slow"),
    "softmax_float": ("rows", "fast", "slow"),
    "finish": ("pixels", "outputs"),
}
_OTHER = ("rows", "outputs")
_LONGEST = 8_000_000  # predicted cycles of a box that is run, unless it is a whole call
_MADE_UP = 3  # programs of made-up records


@dataclass(frozen=True)
class Sample:
    """One step: its kernel, what it counts, what it took (without starting and ending a run), whether a whole call."""

    kernel: str
    work: Work
    cycles: int
    whole: bool
    where: str


@contextmanager
def running(board: Board, program: bytes, *, network: str | None = None) -> Iterator[Link]:
    """A virtual board with a program on it; with a network port, firmware for several nodes."""
    if network is None:
        image = build(board, program)
    else:
        image = build(board, program, network=Wire("none", network, 1e6, 10, 0.0, 0.0), nodes=2)
    with VirtualBench().start(board.name, image) as station, Link.open(station.url, board.baud) as link:
        link.hello()
        yield link


def parts(record: Record, draw: np.random.Generator, board: Board, count: int) -> Iterator[Box]:
    """The whole box, then random ones of it: few rows, few channels, or both."""
    extent = record.extent()
    yield extent.whole()
    for number in range(count):
        r0, r1 = cut(draw, extent.rows) if number % 3 != 1 else (0, extent.rows)
        c0, c1 = cut(draw, extent.channels) if number % 3 != 0 else (0, extent.channels)
        if extent.whole_channels:
            c0, c1 = 0, extent.channels
        box = Box(r0, r1, c0, c1)
        if box != extent.whole() and cycles(record, board, box) < _LONGEST:
            yield box


def cut(draw: np.random.Generator, count: int) -> tuple[int, int]:
    """A part of [0, count): of any length, short ones as often as long ones."""
    length = min(count, max(1, round(float(np.exp(draw.uniform(0.0, np.log(count + 0.5)))))))
    first = int(draw.integers(0, count - length + 1))
    return first, first + length


def measure(path: Path, board: Board, boxes: int) -> tuple[list[Sample], int, int]:
    """Samples of a model, and the cycles of one whole inference, predicted and measured."""
    graph = tflite.load(path)
    made = plan(graph, board)
    lowered = lower(graph)
    layout = allocate(graph, lowered)
    records = [job.record.placed(layout.place) for job in lowered.jobs]
    samples, taken = sampled(path.stem, records, board, boxes, made.program.arena_bytes)
    return samples, made.cycles, taken


def sampled(
    name: str, records: Sequence[Record], board: Board, boxes: int, arena_bytes: int, *, network: str | None = None
) -> tuple[list[Sample], int]:
    """Samples of records whose activations are placed, and the cycles of all their whole boxes in one run."""
    draw = np.random.default_rng(7)
    steps = [Step(index, box) for index, record in enumerate(records) for box in parts(record, draw, board, boxes)]
    calls = {k for k, step in enumerate(steps) if step.box == records[step.operator].extent().whole()}
    again = [steps[k] for k in sorted(calls)]
    # A step of a known length, alone and twice: the difference is what starting and ending a run takes.
    tiny = [Step(len(records), Box(0, 1, 0, 1))] * 2
    all_records = [*records, Fill(Arena(arena_bytes), 1, 1, 0)]
    program = encode(all_records, [*steps, *again, *tiny], [], [], arena_bytes=arena_bytes + 1)
    with running(board, program.data, network=network) as link:
        link.write(0, draw.integers(0, 256, arena_bytes, np.uint8).tobytes())
        total = link.run(len(steps), len(again), limit=600).cycles
        single = [link.run(index, 1, limit=600).cycles for index in range(len(steps))]
        last = len(steps) + len(again)
        start = 2 * link.run(last, 1).cycles - link.run(last, 2).cycles
    return [
        Sample(
            records[step.operator].COST,
            program.operators[step.operator].work(step.box),
            taken - start,
            k in calls,
            f"{name} {step}",
        )
        for k, (step, taken) in enumerate(zip(steps, single, strict=True))
    ], total


def fit(columns: npt.NDArray[np.float64], taken: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The cost of each column, none below zero: least squares of the relative error."""
    relative, used = columns / taken[:, None], [k for k in range(columns.shape[1]) if columns[:, k].any()]
    found = np.zeros(columns.shape[1])
    while used:
        part = relative[:, used]
        size = np.linalg.norm(part, axis=0)
        solved = np.linalg.lstsq(part / size, np.ones(len(taken)), rcond=None)[0] / size
        if (solved >= 0).all():
            found[used] = solved
            break
        del used[int((solved * size).argmin())]
    return found


def fitted(samples: Sequence[Sample], step: float) -> tuple[dict[str, float], npt.NDArray[np.float64]]:
    """A kernel's line of the table, and the relative error of each sample."""
    names = ("calls", *COUNTS.get(samples[0].kernel, _OTHER))
    columns = np.array([[getattr(s.work, name) for name in names] for s in samples], float)
    taken = np.array([s.cycles for s in samples], float)
    found = fit(columns, np.maximum(taken - step, 1.0))
    line = {name: float(f"{each:.3g}") for name, each in zip(names, found, strict=True) if each > 0}
    costs = np.array([line.get(name, 0.0) for name in names])
    return line, (columns @ costs + step) / taken - 1


def write(board: Board, lines: Mapping[str, Mapping[str, float]]) -> None:
    """Put lines of the table into the board's file."""
    file = BOARDS / f"{board.name}.toml"
    text = file.read_text("utf-8")
    for kernel, line in lines.items():
        text, found = re.subn(rf"(?m)^{kernel} = .*$", f"{kernel} = {toml(line)}", text)
        if found != 1:
            raise SystemExit(f"{file}: {found} lines of {kernel} in it")
    file.write_text(text, "utf-8")


def toml(line: Mapping[str, float]) -> str:
    return "{ " + ", ".join(f"{name} = {each:g}" for name, each in line.items()) + " }"


def whole(samples: Sequence[Sample], board: Board, lines: Mapping[str, Mapping[str, float]]) -> float:
    """Cycles of all whole calls by the new table."""
    calls, step = [s for s in samples if s.whole], board.step_cost
    return board.run_cost + sum(
        step + sum(getattr(s.work, name) * each for name, each in lines[s.kernel].items()) for s in calls
    )


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--board", default="rp2040")
    ask.add_argument("--boxes", type=int, default=8, help="random boxes of each kernel call")
    ask.add_argument("--write", action="store_true", help="into the board's file")
    ask.add_argument("models", nargs="*", type=Path)
    args = ask.parse_args()
    board = boards.load(args.board)
    models = {path.stem: measure(path, board, args.boxes) for path in args.models or sorted(ZOO.glob("*/*.tflite"))}
    samples = [sample for found, _, _ in models.values() for sample in found]
    for seed in range(_MADE_UP if not args.models else 0):
        samples += sampled(f"made-up-{seed}", made_up(seed, 12), board, args.boxes, ARENA)[0]
        if board.network:
            records, port = of_clusters(seed, 20), min(board.network)
            samples += sampled(f"of-clusters-{seed}", records, board, args.boxes, ARENA, network=port)[0]
    lines = {}
    for kernel in sorted({s.kernel for s in samples}):
        mine = [s for s in samples if s.kernel == kernel]
        lines[kernel], error = fitted(mine, board.step_cost)
        off = np.abs(error)
        print(f"{kernel} = {toml(lines[kernel])}")
        print(
            f"  # {len(mine)} boxes: median {100 * np.median(off):.1f} % off, 19 of 20 within "
            f"{100 * np.quantile(off, 0.95):.1f} %, worst {100 * off.max():.0f} %: {mine[int(off.argmax())].where}"
        )
    print(f"\n{'model':28} {'measured':>12} {'before':>8} {'now':>8}")
    for name, (found, predicted, taken) in models.items():
        print(f"{name:28} {taken:12} {predicted / taken:8.3f} {whole(found, board, lines) / taken:8.3f}")
    if args.write:
        write(board, lines)


if __name__ == "__main__":
    main()
