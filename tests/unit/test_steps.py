"""Steps in a history: the first bad run is named, noise and lone outliers are not."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from hil.record import Measurement, Policy, first_bad
from hil.record.queries import Point
from hil.record.steps import steps, stretches

POLICY = Policy()


def series(values: Sequence[float], *, exact: bool = False, name: str = "latency") -> list[Point]:
    return [
        Point(f"run{k}", float(k), f"{k:012x}{0:028x}", "main", Measurement(name, float(value), exact), "", passed=True)
        for k, value in enumerate(values)
    ]


def noisy(seed: int, *levels: tuple[float, int], spread: float = 0.005) -> list[Point]:
    noise = random.Random(seed)
    return series([level * noise.gauss(1, spread) for level, count in levels for _ in range(count)])


def test_counted_values_step_wherever_they_differ() -> None:
    found = steps(series([100, 100, 101, 101, 90], exact=True), POLICY)
    assert [(step.first.run, step.before, step.after, step.worse) for step in found] == [
        ("run2", 100, 101, True), ("run4", 101, 90, False),
    ]  # fmt: skip
    assert str(found[0]) == f"100 -> 101, +1 %, since run run2 at {2:012x}"


def test_a_step_of_times_is_named_at_its_first_run() -> None:
    for seed in range(20):
        (step,) = steps(noisy(seed, (10_000, 40), (10_500, 20)), POLICY)
        assert (step.first.run, step.last.run, step.worse) == ("run40", "run39", True)


def test_the_newest_run_alone_may_be_a_step_but_an_outlier_is_none() -> None:
    (step,) = steps(noisy(1, (10_000, 40), (11_000, 1)), POLICY)
    assert step.first.run == "run40"
    assert steps(noisy(1, (10_000, 20), (11_000, 1), (10_000, 20)), POLICY) == ()


def test_noise_and_small_steps_are_none() -> None:
    for seed in range(20):
        assert steps(noisy(seed, (10_000, 60)), POLICY) == ()
        assert steps(noisy(seed, (10_000, 30), (10_150, 30), spread=0.001), POLICY) == ()


def test_the_first_bad_run_begins_what_lasts_until_now() -> None:
    mended = noisy(1, (10_000, 20), (11_000, 20), (10_000, 20))
    assert first_bad(mended, POLICY) is None
    twice = noisy(1, (10_000, 20), (11_000, 20), (12_000, 20))
    step = first_bad(twice, POLICY)
    assert step is not None
    assert step.first.run == "run20"


def test_the_first_bad_run_is_sought_by_what_was_good() -> None:
    """Better than yesterday, and still worse than the baseline."""
    points = series([100, 100, 120, 120, 110, 110], exact=True)
    assert first_bad(points, POLICY) is None
    step = first_bad(points, POLICY, good=100)
    assert step is not None
    assert (step.first.run, step.last.run) == ("run2", "run1")
    assert first_bad(points, POLICY, good=110) is None, "it is as good as it was"
    assert first_bad(points, POLICY, good=50) is None, "the series does not go back to a good run"


def test_lower_throughput_is_the_bad_side() -> None:
    step = first_bad(series([100, 100, 90], exact=True, name="throughput"), POLICY)
    assert step is not None
    assert step.first.run == "run2"


@given(st.lists(st.integers(0, 1000), max_size=60), st.booleans())
def test_any_series_has_an_answer(values: list[int], exact: bool) -> None:
    points = series(values, exact=exact)
    for step in steps(points, POLICY):
        assert points.index(step.first) == points.index(step.last) + 1
        assert step.before != step.after


@given(st.lists(st.integers(1, 1000).map(float), min_size=1, max_size=12))
def test_stretches_cost_the_least(values: list[float]) -> None:
    """Held against all divisions there are, where stretches of one value are the newest alone."""
    from itertools import combinations, pairwise
    from math import log

    from hil.record.steps import _PRICE, _noise

    price = _PRICE * _noise(values) * log(max(len(values), 2))

    def cost(starts: Sequence[int]) -> float:
        total = 0.0
        for start, end in zip(starts, [*starts[1:], len(values)], strict=True):
            part = sorted(values[start:end])
            total += price + sum(abs(value - part[len(part) // 2]) for value in part)
        return total

    count = len(values)
    all_of_them = [[0, *cuts] for n in range(count) for cuts in combinations(range(1, count), n)]
    allowed = [s for s in all_of_them if all(b - a > 1 or b == 1 for a, b in pairwise(s))]
    assert abs(cost(stretches(values)) - min(map(cost, allowed))) < 1e-6
