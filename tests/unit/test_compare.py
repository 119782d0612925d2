"""What counts as a change: counted values exactly, times by a test and a smallest effect, the same both ways."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.record import MEASURES, Change, Measurement, Policy, Reference, change_record, worst_first
from hil.record.compare import compare

DEFAULT = Policy()
VALUES = st.floats(0, 1e9, allow_nan=False).map(lambda value: round(value, 3))
COUNTED = st.sampled_from([name for name, measure in MEASURES.items() if measure.unit != "us"])
SAMPLES = st.lists(st.integers(1, 10**6).map(float), min_size=0, max_size=30).map(tuple)
OTHER_WAY = {"same": "same", "worse": "better", "better": "worse", "changed": "changed"}


def counted(name: str, value: float) -> Measurement:
    return Measurement(name, value, exact=True)


def timed(*samples: float) -> Measurement:
    ordered = sorted(samples)
    return Measurement("latency", ordered[len(ordered) // 2], exact=False, samples=tuple(samples))


def normal(level: float, seed: int, count: int = 10, spread: float = 0.005) -> Measurement:
    noise = random.Random(seed)
    return timed(*(float(round(level * noise.gauss(1, spread))) for _ in range(count)))


@given(COUNTED, VALUES)
def test_what_is_equal_is_the_same(name: str, value: float) -> None:
    assert compare(name, [counted(name, value)], counted(name, value), DEFAULT).kind == "same"


@given(COUNTED, VALUES, VALUES)
def test_any_difference_of_counted_values_is_a_change(name: str, before: float, after: float) -> None:
    change = compare(name, [counted(name, before)], counted(name, after), DEFAULT)
    assert (change.kind == "same") == (before == after)
    assert change.why == "counted"
    if before != after:
        assert change.kind == ("worse" if (after > before) == (MEASURES[name].better == "lower") else "better")
    assert change.ratio == (after / before if before else None)


@given(COUNTED, VALUES, VALUES)
def test_counted_values_change_both_ways(name: str, one: float, other: float) -> None:
    there = compare(name, [counted(name, one)], counted(name, other), DEFAULT)
    back = compare(name, [counted(name, other)], counted(name, one), DEFAULT)
    assert back.kind == OTHER_WAY[there.kind]
    assert back.effect == there.effect


@given(st.integers(1, 10**6), SAMPLES, st.integers(1, 10**6), SAMPLES)
def test_times_change_both_ways(one: int, some: tuple[float, ...], other: int, more: tuple[float, ...]) -> None:
    first = Measurement("latency", float(one), exact=False, samples=some)
    second = Measurement("latency", float(other), exact=False, samples=more)
    there, back = compare("latency", [first], second, DEFAULT), compare("latency", [second], first, DEFAULT)
    assert back.kind == OTHER_WAY[there.kind]


@given(SAMPLES.filter(len))
def test_the_same_samples_are_the_same(samples: tuple[float, ...]) -> None:
    assert compare("latency", [timed(*samples)], timed(*samples), DEFAULT).kind == "same"


@given(st.integers(100, 10**6), st.floats(0, 0.0199), SAMPLES, SAMPLES)
def test_nothing_below_the_smallest_effect_is_told(
    before: int, more: float, some: tuple[float, ...], others: tuple[float, ...]
) -> None:
    first = Measurement("latency", float(before), exact=False, samples=some)
    second = Measurement("latency", before * (1 + more), exact=False, samples=others)
    assert compare("latency", [first], second, DEFAULT).kind == "same"


def test_without_anything_before_it_is_new() -> None:
    change = compare("flash", (), counted("flash", 5), DEFAULT)
    assert (change.kind, change.before, change.ratio, change.effect) == ("new", None, None, 0.0)
    assert str(change) == "flash new: 5 bytes (nothing to compare with)"


def test_a_counted_time_may_differ_by_a_step_of_the_timer() -> None:
    assert compare("latency", [counted("latency", 100)], counted("latency", 101), DEFAULT).kind == "same"
    assert compare("latency", [counted("latency", 100)], counted("latency", 101.5), DEFAULT).kind == "worse"
    assert compare(
        "latency_cycles", [counted("latency_cycles", 100)], counted("latency_cycles", 101), DEFAULT
    ).kind == ("worse")


def test_a_policy_may_allow_counted_values_to_grow() -> None:
    allowing = replace(DEFAULT, counted=0.05)
    assert compare("flash", [counted("flash", 100)], counted("flash", 104), allowing).kind == "same"
    assert compare("flash", [counted("flash", 100)], counted("flash", 105), allowing).kind == "worse"


def test_mismatches_where_there_were_none_are_worse() -> None:
    change = compare("mismatches", [counted("mismatches", 0)], counted("mismatches", 3), DEFAULT)
    assert str(change) == "mismatches worse: 0 elements -> 3 elements (counted)"
    assert change_record(change)["ratio"] is None


def test_more_throughput_is_better() -> None:
    assert compare("throughput", [counted("throughput", 10)], counted("throughput", 11), DEFAULT).kind == "better"


def test_enough_samples_are_asked_by_mann_whitney() -> None:
    change = compare("latency", [normal(10_000, 1)], normal(10_600, 2), DEFAULT)
    assert change.kind == "worse"
    assert change.why.startswith("Mann-Whitney p = 0.00")


def test_few_samples_are_asked_by_intervals() -> None:
    change = compare("latency", [normal(10_000, 1, 5)], normal(10_600, 2, 5), DEFAULT)
    assert change.kind == "worse"
    assert change.why.startswith("intervals ")
    assert change.why.endswith("are apart")
    overlapping = compare("latency", [timed(90, 100, 110, 120)], timed(95, 106, 114, 125), DEFAULT)
    assert overlapping.kind == "same"
    assert overlapping.why.endswith("overlap")


def test_the_same_samples_give_the_same_answer_again() -> None:
    before, after = normal(10_000, 1, 5, 0.05), normal(10_600, 2, 5, 0.05)
    assert compare("latency", [before], after, DEFAULT) == compare("latency", [before], after, DEFAULT)


@pytest.mark.parametrize("samples", [(), (10_600.0,), (10_600.0, 10_601.0)])
def test_too_few_samples_are_a_change_of_which_nobody_knows(samples: tuple[float, ...]) -> None:
    change = compare("latency", [normal(10_000, 1)], Measurement("latency", 10_600, False, samples), DEFAULT)
    assert change.kind == "changed"
    assert "too few to tell from noise" in change.why


def test_values_without_samples_are_held_against_what_runs_span() -> None:
    runs = [Measurement("throughput", value, exact=False) for value in (100.0, 100.5, 99.5, 100.2, 99.9)]
    after = Measurement("throughput", 90.0, exact=False)
    change = compare("throughput", runs, after, DEFAULT)
    assert change.kind == "worse"
    assert change.why.endswith("the span of 5 runs")
    assert compare("throughput", runs[:4], after, DEFAULT).kind == "changed"


def test_what_runs_span_is_no_regression() -> None:
    """Two runs are far apart by their samples, but runs are: code came to lie elsewhere."""
    levels = [10_000, 10_400, 10_050, 10_350, 10_020, 10_410]
    runs = [normal(level, k) for k, level in enumerate(levels)]
    assert compare("latency", runs[:1], normal(10_400, 50), DEFAULT).kind == "worse"
    assert compare("latency", runs, normal(10_600, 50), DEFAULT).kind == "same"
    assert compare("latency", runs, normal(12_000, 50), DEFAULT).kind == "worse"


def test_samples_that_hang_on_each_other_count_for_fewer() -> None:
    """A board that warms up: the same values, once as they drift and once in another order."""
    before = [10_000.0 + 40 * k for k in range(12)]
    after = [10_300.0 + 40 * k for k in range(12)]
    drifting = compare("latency", [timed(*before)], timed(*after), DEFAULT)
    mixed = random.Random(3)
    shuffled = compare("latency", [timed(*mixed.sample(before, 12))], timed(*mixed.sample(after, 12)), DEFAULT)
    assert (drifting.kind, shuffled.kind) == ("same", "worse")


def test_counted_values_are_held_against_the_newest() -> None:
    before = Reference((counted("flash", 100), counted("flash", 90)), "two runs")
    assert compare("flash", before, counted("flash", 95), DEFAULT).kind == "worse"


def test_what_was_counted_and_is_timed_now_is_not_compared_exactly() -> None:
    before = counted("latency", 10_000)
    assert compare("latency", [before], timed(*[10_100.0] * 10), DEFAULT).kind == "same"
    assert compare("latency", [before], timed(*[10_600.0] * 10), DEFAULT).kind == "changed"


def test_regressions_come_first_and_the_largest_of_them() -> None:
    def change(name: str, before: float, after: float) -> Change:
        return compare(name, [counted(name, before)] if before else (), counted(name, after), DEFAULT)

    changes = [change("flash", 10, 10), change("arena", 10, 9), change("stack", 10, 11), change("macs", 0, 1),
               change("ram_peak", 10, 30)]  # fmt: skip
    assert [one.name for one in worst_first(changes)] == ["ram_peak", "stack", "macs", "arena", "flash"]


def test_scipy_is_loaded_only_where_times_are_tested() -> None:
    code = (
        "import sys; from hil.record import Measurement, Policy; from hil.record.compare import compare;"
        "m = lambda v: Measurement('flash', v, True); compare('flash', [m(1.0)], m(2.0), Policy());"
        "assert not [name for name in sys.modules if name.startswith('scipy')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
