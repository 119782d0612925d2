"""Measure what each kernel costs on a board, and fit the `[cost]` table of its TOML file.

    python benchmarks/kernel_cost.py [--board rp2040] [MODEL ...]

Runs every step of every model (default: the zoo) alone, reads the device's cycle counter, and fits
`cycles = per_mac * macs + per_output * outputs` for each kind of kernel by least squares of the relative error.
Prints the table, how far the fit is off in the worst step, and each model's predicted and measured total.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hil import api
from hil.model import inputs as input_sets
from hil.paths import ZOO
from hil.plan.program import Barrier
from hil.plan.records import Work

Sample = tuple[str, Work, int]


def measure(path: Path, board: str) -> tuple[list[Sample], int, int]:
    """Cost key, work and cycles of each step; and the whole model's cycles, predicted and measured."""
    deployment = api.prepare(path, api.Request(board))
    program = deployment.plan.program
    samples: list[Sample] = []
    with api.running(deployment) as dut:
        values = input_sets.generate(deployment.graph, 1, 0)[0]
        whole = dut.infer(values).cycles
        dut._load(values)
        for index, step in enumerate(program.steps):
            if isinstance(step, Barrier):
                continue
            record = program.operators[step.operator]
            samples.append((record.COST, record.work(step.box), dut.link.run(index, 1).cycles))
    return samples, deployment.plan.cycles, whole


def fit(samples: list[tuple[Work, int]]) -> tuple[float, float, float]:
    """Cycles per MAC, cycles per output, and the largest relative error; neither is below zero."""
    cycles = np.array([c for _, c in samples], float)
    columns = np.array([[w.macs, w.outputs] for w, _ in samples], float) / cycles[:, None]
    best = (0.0, 0.0, np.inf)
    for used in ([0, 1], [0], [1]):
        solved = np.linalg.lstsq(columns[:, used], np.ones(len(cycles)), rcond=None)[0]
        if (solved < 0).any():
            continue
        full = np.zeros(2)
        full[used] = solved
        worst = float(np.abs(columns @ full - 1).max())
        if worst < best[2] or used == [0, 1]:
            best = (float(full[0]), float(full[1]), worst)
            if used == [0, 1]:
                break
    return best


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--board", default="rp2040")
    ask.add_argument("models", nargs="*", type=Path)
    args = ask.parse_args()
    by_kind: dict[str, list[tuple[Work, int]]] = {}
    totals = []
    for path in args.models or sorted(ZOO.glob("*/*.tflite")):
        samples, predicted, measured = measure(path, args.board)
        totals.append((path.stem, predicted, measured))
        for kind, work, cycles in samples:
            by_kind.setdefault(kind, []).append((work, cycles))
    print("[cost]")
    for kind, found in sorted(by_kind.items()):
        per_mac, per_output, worst = fit(found)
        print(f"{kind} = [{per_mac:.1f}, {per_output:.1f}]  # {len(found)} steps, worst {100 * worst:.0f} % off")
    print(f"\n{'model':28} {'predicted':>12} {'measured':>12} ratio")
    for name, predicted, measured in totals:
        print(f"{name:28} {predicted:12} {measured:12} {predicted / measured:.2f}")


if __name__ == "__main__":
    main()
