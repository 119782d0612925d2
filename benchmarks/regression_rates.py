"""How often a verdict about a time is wrong, on simulated noise: false alarms and misses, and steps found.

    python benchmarks/regression_rates.py [--trials 1000] [--seed 1]

Latencies of 10 ms are drawn in whole microseconds, before and after, as boards count them. The spread of each kind of
noise is 1 %, and then 3 %:

- normal: samples are independent, of a normal distribution;
- heavy-tailed: Student's t with 2 degrees of freedom: some samples are far off, upwards only, as interrupts are;
- drifting: each sample hangs on the last one (0.8 of it remains), as with a board that warms up;
- bimodal: 3 of 10 samples are later by four times the spread;
- by run: all samples of a run are off by the same, beside what each is off: where code came to lie, which board it was.

A *false alarm* is a regression that is told where there is none; a real one of 3, 5 or 10 % is *found*, or missed.
Prints Markdown for docs/measurement.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hil.record import Measurement, Policy
from hil.record.compare import compare
from hil.record.queries import Point
from hil.record.steps import steps

_LEVEL = 10_000.0
_KINDS = ("normal", "heavy-tailed", "drifting", "bimodal", "by run")
_WAYS = {"5": (1, 5), "10": (1, 10), "30": (1, 30), "10, last:5": (5, 10), "10, last:10": (10, 10)}
"""Columns: samples of each run, and how many runs before; in numbers the other way round."""
_EFFECTS = (0.0, 0.03, 0.05, 0.10)

Generator = np.random.Generator
Values = npt.NDArray[np.float64]


def _normal(random: Generator, count: int, spread: float) -> Values:
    return random.normal(0, spread, count)


def _heavy(random: Generator, count: int, spread: float) -> Values:
    return np.abs(random.standard_t(2, count)) * spread


def _drifting(random: Generator, count: int, spread: float) -> Values:
    found, value = [], random.normal(0, spread)
    for kick in random.normal(0, spread * np.sqrt(1 - 0.8**2), count):
        value = 0.8 * value + kick
        found.append(value)
    return np.array(found)


def _bimodal(random: Generator, count: int, spread: float) -> Values:
    return random.normal(0, spread / 4, count) + 4 * spread * (random.random(count) < 0.3)


def _by_run(random: Generator, count: int, spread: float) -> Values:
    return random.normal(0, spread) + random.normal(0, spread / 2, count)


_NOISE: Mapping[str, Callable[[Generator, int, float], Values]] = dict(
    zip(_KINDS, (_normal, _heavy, _drifting, _bimodal, _by_run), strict=True)
)


def _run(random: Generator, kind: str, count: int, spread: float, effect: float = 0.0) -> Measurement:
    samples = np.round(_LEVEL * (1 + effect) * (1 + _NOISE[kind](random, count, spread)))
    return Measurement("latency", float(np.median(samples)), exact=False, samples=tuple(map(float, samples)))


def _worse(random: Generator, kind: str, spread: float, effect: float, way: tuple[int, int]) -> bool:
    runs, count = way
    before = [_run(random, kind, count, spread) for _ in range(runs)]
    return compare("latency", before, _run(random, kind, count, spread, effect), Policy()).kind == "worse"


def rates(trials: int, seed: int, spread: float, effect: float) -> dict[str, list[float]]:
    """For each kind of noise, the share of trials in which a regression is told, a number for each way."""
    found = {}
    for kind in _KINDS:
        # Streams of their own, so that what is asked first changes nothing.
        random = np.random.default_rng([seed, _KINDS.index(kind), round(1e4 * spread), round(1e4 * effect)])
        found[kind] = [
            sum(_worse(random, kind, spread, effect, way) for _ in range(trials)) / trials for way in _WAYS.values()
        ]
    return found


def step_rates(trials: int, seed: int, spread: float, effect: float) -> dict[str, tuple[float, float, float]]:
    """Of series of 60 runs, with a step before the 41st if there is an effect.

    The share in which that run is named as the first, one of its neighbours is, and any other is as well.
    """
    found = {}
    for kind in _KINDS:
        random = np.random.default_rng([seed, 100 + _KINDS.index(kind), round(1e4 * spread), round(1e4 * effect)])
        named = [_named(random, kind, spread, effect) for _ in range(trials)]
        found[kind] = (
            sum(40 in runs for runs in named) / trials,
            sum(not runs.isdisjoint({39, 40, 41}) for runs in named) / trials,
            sum(bool(runs - {39, 40, 41}) for runs in named) / trials,
        )
    return found


def _named(random: Generator, kind: str, spread: float, effect: float) -> set[int]:
    points = [
        Point(str(k), float(k), "", "", _run(random, kind, 10, spread, effect * (k >= 40)), "", passed=True)
        for k in range(60)
    ]
    return {int(step.first.run) for step in steps(points, Policy())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=1000, help="simulated comparisons for each number")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for spread in (0.01, 0.03):
        print(
            f"\nSpread {100 * spread:g} %, in per cent of {args.trials} trials: false alarms / found at 3 / 5 / 10 %\n"
        )
        print(f"| noise | {' | '.join(_WAYS)} |\n| --- |{' ---: |' * len(_WAYS)}")
        every = [rates(args.trials, args.seed, spread, effect) for effect in _EFFECTS]
        for kind in _KINDS:
            cells = [_cell([found[kind][way] for found in every]) for way in range(len(_WAYS))]
            print(f"| {kind} | {' | '.join(cells)} |")
    trials = max(args.trials // 10, 1)
    print(f"\nSteps in {trials} series of 60 runs of 10 samples, spread 1 %, in per cent\n")
    print(
        "| noise | slower by | first bad run named | it or a neighbour | others |\n| --- | ---: | ---: | ---: | ---: |"
    )
    found = {effect: step_rates(trials, args.seed, 0.01, effect) for effect in (0.0, 0.03, 0.05)}
    for kind in _KINDS:
        for effect, by_kind in found.items():
            print(f"| {kind} | {100 * effect:g} % | {' | '.join(f'{100 * r:.0f}' for r in by_kind[kind])} |")


def _cell(found: Sequence[float]) -> str:
    """False alarms to a tenth of a per cent, the rest to one."""
    return " / ".join([f"{100 * found[0]:.1f}", *(f"{100 * share:.0f}" for share in found[1:])])


if __name__ == "__main__":
    main()
