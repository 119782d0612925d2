"""Steps in the history of a measurement: from which run on it was another, and of which revision that was.

Values are divided into stretches about a median each, so that distances plus a price for each stretch are least:
optimal partitioning with an L1 cost, which single outliers do not move. The price follows from neighbours' noise.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
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
        better = MEASURES[self.first.measurement.name].better
        return better != "same" and (self.after > self.before) == (better == "lower")

    def __str__(self) -> str:
        share = "" if self.ratio is None else f", {100 * (self.ratio - 1):+.3g} %"
        revision = f" at {self.first.revision[:12]}" if self.first.revision else ""
        return f"{self.before:.10g} -> {self.after:.10g}{share}, since run {self.first.run}{revision}"


def steps(points: Sequence[Point], policy: Policy) -> tuple[Step, ...]:
    """The steps of a series, oldest first. Counted values step when they differ, times by `policy.least` at least."""
    if not points:
        return ()
    values = [point.measurement.value for point in points]
    exact = all(point.measurement.exact for point in points)
    least = policy.counted if exact else policy.least
    starts = [k for k, _ in enumerate(values) if k == 0 or values[k] != values[k - 1]] if exact else stretches(values)
    return tuple(_steps(points, values, starts, least))


def first_bad(points: Sequence[Point], policy: Policy) -> Step | None:
    """The step to the bad after which the series has not been better again: where today's regression began."""
    found = steps(points, policy)
    if not found or not found[-1].worse:
        return None
    first = found[-1]
    for step in reversed(found[:-1]):  # several steps to the bad in a row: the first of them
        if not step.worse:
            break
        first = step
    return first


def _steps(points: Sequence[Point], values: Sequence[float], starts: Sequence[int], least: float) -> Iterator[Step]:
    ends = [*starts[1:], len(values)]
    level = median(values[: ends[0]])
    for start, end in zip(starts[1:], ends[1:], strict=True):
        after = median(values[start:end])
        smaller = min(abs(level), abs(after))
        if after != level and abs(after - level) >= least * smaller:
            yield Step(points[start], points[start - 1], level, after)
            level = after


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
