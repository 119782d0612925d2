"""The calls behind every door: the pytest plugin, the `hil` command and `from hil import api` make the same ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hil import board as boards
from hil.bench import Bench, Source, VirtualBench
from hil.board import Board
from hil.cache import digest, entry
from hil.deployment import Deployment, Planned, Say, Tensors, build, model_named, plan_for, silent
from hil.dut import Dut, started
from hil.errors import BoardMissing, PlanError, UsageError
from hil.image.build import compile_commands as compile_database
from hil.measure import Counts, compare, measure
from hil.model import inputs as input_sets
from hil.model.graph import Graph
from hil.model.reference import ReferenceResult, reference
from hil.plan import Interpreter
from hil.record import NO_LIMITS, Limits, Profile, judged

REFERENCE_LIMIT = 300.0
INPUTS = 4
"""Input sets where nobody asked for a number: enough for the corners that `hil.model.inputs` puts first."""


@dataclass(frozen=True)
class Request:
    """What to measure. `warmup` and `repeats` of None mean the bench's defaults."""

    board: str
    cores: int = 1
    nodes: int = 1
    inputs: int = INPUTS
    seed: int = 0
    warmup: int | None = None
    repeats: int | None = None
    layers: bool = False
    toolchain: str = "zig"
    limits: Limits = NO_LIMITS


def bench_for(board: Board) -> Bench:
    """Where a board of this kind can be reached now. This version knows the virtual bench."""
    if board.virtual is None:
        raise BoardMissing(f"no {board.name} is reachable, and there is no virtual one", hint="hil boards")
    return VirtualBench()


def plan(path: Path, request: Request, *, say: Say = silent) -> Planned:
    """Load and plan. Raises what refuses: malformed, unsupported, does not fit."""
    graph = model_named(path)
    return plan_for(
        graph, request.board, cores=request.cores, nodes=request.nodes, toolchain=request.toolchain, say=say
    )


def prepare(path: Path, request: Request, *, say: Say = silent) -> Deployment:
    """Load, plan and build. Everything that can be refused is refused here, before a board is touched."""
    planned = plan(path, request, say=say)
    return build(planned, say=say)


def export(deployment: Deployment, folder: Path, *, compile_commands: bool = False) -> tuple[Path, ...]:
    """Copy the image's files out of the cache, named after model and board. Raises `UsageError`."""
    stem = f"{deployment.graph.name}-{deployment.board.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sources = [s for s in (deployment.image.elf, deployment.image.bin, deployment.image.uf2) if s is not None]
        made = [Path(shutil.copyfile(source, folder / f"{stem}{source.suffix}")) for source in sources]
        if compile_commands:
            commands = compile_database(deployment.board, toolchain=deployment.planned.toolchain)
            made.append(folder / "compile_commands.json")
            made[-1].write_text(json.dumps(commands, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    return tuple(made)


def expected(graph: Graph, values: tuple[Tensors, ...], *, layers: bool = False, say: Say = silent) -> ReferenceResult:
    """The host reference for these inputs; cached by content."""
    say(f"reference for {graph.name}, {len(values)} inputs")
    return reference(graph, values, layers=layers, limit=REFERENCE_LIMIT)


def prove(planned: Planned, values: Tensors, result: ReferenceResult, *, say: Say = silent) -> None:
    """Run the program's own bytes in numpy and hold them against the reference, before any board is touched.

    Cached by content: a program is proved once for an input. Raises `PlanError` where they differ.
    """
    graph, program = planned.graph, planned.plan.program
    say(f"proving the program of {graph.name}")

    def make(folder: Path) -> None:
        outputs = Interpreter(program).run(values)
        for data, want, tensor in zip(outputs, result.outputs[0], graph.outputs, strict=True):
            got = compare(_like(data, want), want)
            if got.mismatches:
                raise PlanError(
                    f"{graph.name}: the program computes {got.mismatches} of {got.elements} elements of output "
                    f"{graph.tensors[tensor]} other than the reference; nothing was flashed"
                )
        (folder / "proved").touch()

    entry("proved", digest(program.data, *(v.tobytes() for v in values), result.name), make)


def _like(data: bytes, want: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    return np.frombuffer(data, want.dtype).reshape(want.shape)


@contextmanager
def running(deployment: Deployment, *, say: Say = silent) -> Iterator[Dut]:
    """A board with the deployment on it."""
    with started(deployment, bench_for(deployment.board), say=say) as dut:
        yield dut


def profile(path: Path, request: Request, *, say: Say = silent) -> Profile:
    """Plan, build, run, compare, measure, judge: the whole line for one model."""
    deployment = prepare(path, request, say=say)
    values = input_sets.generate(deployment.graph, request.inputs, request.seed)
    result = expected(deployment.graph, values, layers=request.layers, say=say)
    prove(deployment.planned, values[0], result, say=say)
    with running(deployment, say=say) as dut:
        return profile_on(dut, values, result, request, say=say)


def profile_on(
    dut: Dut, values: tuple[Tensors, ...], result: ReferenceResult, request: Request, *, say: Say = silent
) -> Profile:
    """Measure on a board that already runs, and judge."""
    source = dut.station.source
    default = Counts.default(source, counted=dut.deployment.board.counted)
    counts = Counts(
        default.warmup if request.warmup is None else request.warmup,
        default.repeats if request.repeats is None else request.repeats,
    )
    measured = measure(dut, values, result, counts, layers=request.layers, say=say)
    return judged(dut.deployment, measured, source, request.limits)


def known_boards() -> tuple[Board, ...]:
    """Every board with a description."""
    return tuple(boards.load(name) for name in boards.names())


@dataclass(frozen=True)
class Place:
    """Where a board can be reached now, and who holds it (None: nobody)."""

    bench: Source
    where: str
    held_by: str | None = None


def places(board: Board) -> tuple[Place, ...]:
    """Where a board of this kind can be reached. A virtual one starts on demand, as often as it is asked for."""
    return (Place("virtual", f"{board.virtual.machine}, started on demand"),) if board.virtual else ()
