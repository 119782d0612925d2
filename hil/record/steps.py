"""Steps in the history of a measurement: from which run on it was another, and of which revision that was.

Values are divided into stretches about a median each, so that distances plus a price for each stretch are least:
optimal partitioning with an L1 cost, which single outliers do not move. The price follows from neighbours' noise.
(ruptures 1.1.10, with the same price, finds the same and takes ten times as long; it has no rule for the price.)
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from statistics import median

from hil.record.measurement import MEASURES
from hil.record.policy import Policy
from hil.record.queries import Point

_PRICE = 3.0
"""Price of a stretch in units of noise, times the logarithm of the number of runs (benchmarks/regression_rates.py)."""
_TAIL = 2.4
"""Of normal noise: where 9 of 10 differences of neighbours end, over where half of them do."""
_GRAIN = 1e-4
"""Noise is taken to be at least this share of the median: clocks have steps."""


@dataclass(frozen=True)
class Step:
    """From `first` on the level was another; `last` is the run before it. Levels are medians of the stretches."""

    first: Point
    last: Point
    before: float
    after: float

    @property
    def ratio(self) -> float | None:
        return self.after / self.before if self.before else None

    @property
    def worse(self) -> bool:
        """Whether it went to the bad."""
        return _worse(self.first.measurement.name, self.before, self.after)

    @property
    def where(self) -> str:
        """The run from which on it was so, and its revision."""
        return f"run {self.first.run}" + (f" at {self.first.revision[:12]}" if self.first.revision else "")

    def __str__(self) -> str:
        share = "" if self.ratio is None else f", {100 * (self.ratio - 1):+.3g} %"
        return f"{self.before:.10g} -> {self.after:.10g}{share}, since {self.where}"


def steps(points: Sequence[Point], policy: Policy) -> tuple[Step, ...]:
    """The steps of a series, oldest first. Counted values step when they differ, times by `policy.least` at least."""
    return tuple(_step(points, *pair) for pair in pairwise(_levels(points, policy)))


def first_bad(points: Sequence[Point], policy: Policy, good: float | None = None) -> Step | None:
    """The step after which the newest levels are all worse than `good`; by default, the last that went to the bad.

    None where the newest level is not worse, or all are: the series does not go back to a good one.
    """
    levels = _levels(points, policy)
    if good is None:
        found = [_step(points, *pair) for pair in pairwise(levels)]
        while len(found) > 1 and found[-1].worse and found[-2].worse:  # several in a row: the first of them
            found.pop()
        return found[-1] if found and found[-1].worse else None
    bad = len(levels)
    while bad and _worse(points[0].measurement.name, good, levels[bad - 1].value, _least(points, policy)):
        bad -= 1
    return None if bad in (0, len(levels)) else _step(points, levels[bad - 1], levels[bad])


@dataclass(frozen=True)
class _Level:
    start: int
    value: float


def _levels(points: Sequence[Point], policy: Policy) -> list[_Level]:
    """Stretches by the index of their first value and their median; such as do not differ enough are one."""
    values = [point.measurement.value for point in points]
    if not values:
        return []
    exact = all(point.measurement.exact for point in points)
    changes = [k for k in range(len(values)) if k == 0 or values[k] != values[k - 1]]
    starts = changes if exact else stretches(values)
    found: list[_Level] = []
    for start, end in pairwise([*starts, len(values)]):
        value = median(values[start:end])
        if not found or _apart(found[-1].value, value, _least(points, policy)):
            found.append(_Level(start, value))
    return found


def _least(points: Sequence[Point], policy: Policy) -> float:
    return policy.counted if all(point.measurement.exact for point in points) else policy.least


def _apart(one: float, other: float, least: float) -> bool:
    return one != other and abs(one - other) >= least * min(abs(one), abs(other))


def _worse(name: str, before: float, after: float, least: float = 0.0) -> bool:
    better = MEASURES[name].better
    return better != "same" and _apart(before, after, least) and (after > before) == (better == "lower")


def _step(points: Sequence[Point], before: _Level, after: _Level) -> Step:
    return Step(points[after.start], points[after.start - 1], before.value, after.value)


def stretches(values: Sequence[float]) -> list[int]:
    """Where each stretch begins; the first is 0. Quadratic in the number of values."""
    price = _PRICE * _noise(values) * log(max(len(values), 2))
    best, begin = [0.0], [0]
    costs = [_costs(values[:end]) for end in range(1, len(values) + 1)]
    for end, cost in enumerate(costs, 1):
        # cost[start]: of the stretch from there to the end. One value alone is an outlier, unless it is the newest.
        alone = end == len(values) or end == 1
        total, start = min((best[start] + cost[start] + price, start) for start in range(end if alone else end - 1))
        best.append(total)
        begin.append(start)
    found = []
    end = len(values)
    while end > 0:
        found.append(begin[end])
        end = begin[end]
    return found[::-1]


def _costs(values: Sequence[float]) -> list[float]:
    """For each start, the sum of distances from the median of the values from there to the end."""
    ordered: list[float] = []
    found = []
    for value in reversed(values):
        insort(ordered, value)
        half = len(ordered) // 2
        found.append(sum(ordered[len(ordered) - half :]) - sum(ordered[:half]))
    return found[::-1]


def _noise(values: Sequence[float]) -> float:
    """The mean distance from the level, from neighbours' differences: steps are few among them."""
    if len(values) < 2:
        return 1.0
    apart = sorted(abs(b - a) for a, b in pairwise(values))
    usual, most = median(apart), apart[9 * len(apart) // 10]
    return max(usual, most / _TAIL, _GRAIN * abs(median(values)), 1e-12)
