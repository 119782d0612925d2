"""Measurements: what counts as different, how repeats are summed up, which clocks are believed, what is run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import ClockMismatch, DeviceHang, UsageError
from hil.link import Memory, StackUse
from hil.measure import Comparison, Counts, Latency, compare, compare_layers, measure
from hil.measure.latency import CLOCK_TOLERANCE, clock_ratio, summarise
from hil.measure.profile import PAINTS
from hil.model import inputs as input_sets
from hil.model.reference import ReferenceResult
from tests.support.fakes import FOOTPRINT, FakeDut, FakeStation, deployed

Array = npt.NDArray[np.generic]
bytes8 = st.lists(st.tuples(st.integers(-128, 127), st.integers(-128, 127)), max_size=30)


@given(bytes8)
def test_int8_is_compared_bit_for_bit(pairs: list[tuple[int, int]]) -> None:
    got, want = (np.array([p[k] for p in pairs], np.int8) for k in (0, 1))
    found = compare(got, want)
    gaps = [abs(a - b) for a, b in pairs]
    assert found == Comparison(len(pairs), sum(gap > 0 for gap in gaps), float(max(gaps, default=0)))


def f32(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("got", "want", "mismatches"),
    [
        (1.0, 1.0, 0),
        (1.0, np.nextafter(np.float32(1), np.float32(2)), 0),  # 1.2e-7 relative
        (1.0, 1.0000015, 1),
        (1.0, 1.0000009, 0),
        (-1.0, 1.0, 1),
        (0.0, 1e-30, 1),  # relative, not absolute: near zero nothing is forgiven
        (1e-30, 0.0, 1),
        (0.0, -0.0, 0),
        (-0.0, 0.0, 0),
        (INF, INF, 0),
        (-INF, -INF, 0),
        (INF, -INF, 1),
        (INF, 3e38, 1),
        (3e38, INF, 1),
        (NAN, NAN, 0),
        (NAN, 1.0, 1),
        (1.0, NAN, 1),
        (INF, NAN, 1),
        (NAN, INF, 1),
    ],
    ids=repr,
)
def test_float_corners(got: float, want: float, mismatches: int) -> None:
    found = compare(f32(got), f32(want))
    assert (found.elements, found.mismatches) == (1, mismatches)
    assert math.isfinite(found.max_abs_diff), "a record is JSON, which has neither inf nor nan"


def test_nans_of_other_bits_are_equal() -> None:
    odd = np.array([0x7FC0_0001, 0xFFC0_0000], np.uint32).view(np.float32)
    assert compare(odd, f32(NAN, NAN)).mismatches == 0


@given(st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), max_size=20))
def test_float_comparison_is_the_definition(pairs: list[tuple[float, float]]) -> None:
    def wrong(got: float, want: float) -> bool:
        if math.isnan(got) or math.isnan(want):
            return not (math.isnan(got) and math.isnan(want))
        if math.isinf(got) or math.isinf(want):
            return got != want
        return abs(got - want) > 1e-6 * abs(want)

    found = compare(f32(*(p[0] for p in pairs)), f32(*(p[1] for p in pairs)))
    assert found.mismatches == sum(wrong(*pair) for pair in pairs)
    assert math.isfinite(found.max_abs_diff)


def test_the_largest_difference_is_in_the_tensors_own_unit() -> None:
    assert compare(f32(1.0, 5.0), f32(1.5, 5.0)).max_abs_diff == 0.5
    assert compare(np.array([-128], np.int8), np.array([127], np.int8)).max_abs_diff == 255


@pytest.mark.parametrize(
    ("got", "want"),
    [(np.zeros(2, np.int8), np.zeros(3, np.int8)), (np.zeros(2, np.int8), np.zeros(2, np.float32)),
     (np.zeros((1, 2), np.int8), np.zeros((2, 1), np.int8))],
    ids=["size", "type", "shape"],
)  # fmt: skip
def test_tensors_of_other_form_are_our_mistake(got: Array, want: Array) -> None:
    with pytest.raises(ValueError, match="against"):
        compare(got, want)


def test_comparisons_add_up() -> None:
    total = Comparison(4, 1, 3.0) + Comparison(6, 2, 1.0)
    assert total == Comparison(10, 3, 3.0)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=40))
def test_latency_summary(samples: list[int]) -> None:
    cycles = [125 * s + 1 for s in samples]
    found = summarise(samples, cycles)
    ordered = sorted(samples)
    assert found.samples == tuple(samples), "samples stay in the order of the runs"
    assert (found.min, found.max) == (ordered[0], ordered[-1])
    assert found.median == (ordered[(len(samples) - 1) // 2] + ordered[len(samples) // 2]) / 2
    assert found.p95 in samples
    assert sum(s <= found.p95 for s in samples) >= 0.95 * len(samples)
    assert sum(s < found.p95 for s in samples) < 0.95 * len(samples)
    assert found.min <= found.median <= found.max
    assert min(cycles) <= found.cycles_median <= max(cycles)


def test_latency_of_known_samples() -> None:
    found = summarise([30, 10, 20, 40], [300, 100, 200, 400])
    assert found == Latency((30, 10, 20, 40), 25.0, 40.0, 10, 40, 250)


SECOND = 10**9


@pytest.mark.parametrize("ratio", [1.0, 1 - 0.99 * CLOCK_TOLERANCE, 1 + 0.99 * CLOCK_TOLERANCE])
def test_clocks_that_agree(ratio: float) -> None:
    assert clock_ratio(round(ratio * 1e6), SECOND, jitter=False, where="here") == pytest.approx(ratio, abs=1e-6)


@pytest.mark.parametrize("ratio", [1 - 1.01 * CLOCK_TOLERANCE, 1 + 1.01 * CLOCK_TOLERANCE, 0.0, 2.0])
def test_clocks_that_disagree_in_either_direction(ratio: float) -> None:
    with pytest.raises(ClockMismatch, match=r"^virtual board: the device's clock ran at") as caught:
        clock_ratio(round(ratio * 1e6), SECOND, jitter=False, where="virtual board")
    assert f"{ratio:.4f}" in caught.value.message


@pytest.mark.parametrize("late_s", [-0.019, 0.019])
def test_a_hosts_clock_may_be_read_late(late_s: float) -> None:
    """20 ms of a tenth of a second are 20 %: a short window says little, and is not held against the board."""
    bench = SECOND // 10 + round(late_s * SECOND)
    assert clock_ratio(100_000, bench, jitter=True, where="usb") > 0
    with pytest.raises(ClockMismatch):
        clock_ratio(100_000, bench, jitter=False, where="usb")


@pytest.mark.parametrize("ratio", [0.95, 1.05])
def test_a_long_window_tells_jitter_from_a_wrong_clock(ratio: float) -> None:
    with pytest.raises(ClockMismatch):
        clock_ratio(round(ratio * 10e6), 10 * SECOND, jitter=True, where="usb")


@pytest.mark.parametrize("bench_ns", [0, -5])
def test_a_bench_clock_that_stands_still_is_an_error(bench_ns: int) -> None:
    with pytest.raises(ClockMismatch, match="did not advance"):
        clock_ratio(100, bench_ns, jitter=True, where="here")


def test_default_counts() -> None:
    assert Counts.default("hardware") == Counts(2, 10)
    assert Counts.default("virtual") == Counts(1, 2)
    assert Counts.default("virtual", counted=False) == Counts(2, 10)
    assert Counts.default("hardware", counted=True) == Counts(2, 10)


# -- the measurement itself, on a board that computes in numpy --------------------------------------------------------


def prepared(sets: int = 3, *, layers: bool = False, **station: Any) -> tuple[FakeDut, Any, ReferenceResult]:
    dut = FakeDut(deployed(), FakeStation(**station))
    values = input_sets.generate(dut.deployment.graph, sets, 0)
    outputs = tuple(dut.infer(v).outputs for v in values)
    known = tuple({t.index: value for t, value in dut.layers(v)} for v in values) if layers else None
    dut.runs, dut.fake_station.now_ns = 0, 0
    return dut, values, ReferenceResult("numpy", outputs, known)


@pytest.mark.parametrize(("warmup", "repeats", "first_input_runs"), [(1, 2, 3), (2, 10, 12), (0, 1, 2), (0, 5, 5)])
def test_every_inference_is_compared(warmup: int, repeats: int, first_input_runs: int) -> None:
    """Both paints need a run of their own; with fewer runs asked for, two are made and the last are timed."""
    dut, values, reference = prepared()
    found = measure(dut, values, reference, Counts(warmup, repeats))
    assert dut.runs == first_input_runs + 2
    assert (found.outputs.elements, found.outputs.mismatches) == (4 * dut.runs, 0)
    assert len(found.latency.samples) == repeats
    assert (found.inputs, found.reference, found.clock_ratio, found.layers) == (3, "numpy", 1.0, None)
    assert found.repeats_identical


def test_every_wrong_inference_is_counted() -> None:
    dut, values, reference = prepared()
    dut.flip = 0x80
    found = measure(dut, values, reference, Counts(1, 2))
    assert (found.outputs.mismatches, found.outputs.max_abs_diff) == (5, 128.0)


def test_ram_is_what_both_paints_show() -> None:
    dut, values, reference = prepared()
    found = measure(dut, values, reference, Counts(1, 2))
    assert dut.painted == list(PAINTS)
    assert len(set(PAINTS)) == 2
    assert found.ram.stacks == FOOTPRINT.stacks, "only the cores in use count"
    assert found.ram.peak == FOOTPRINT.ram_static + dut.deployment.plan.arena_bytes + sum(FOOTPRINT.stacks)


@pytest.mark.parametrize("larger", PAINTS)
def test_what_one_paint_hides_the_other_shows(larger: int) -> None:
    """A stack that holds bytes like the paint looks shorter; the longer of both looks is true."""
    dut, values, reference = prepared()
    arena = dut.deployment.plan.arena_bytes

    def memory() -> Memory:
        seen = 1 if dut.painted[-1] == larger else 0
        return Memory(FOOTPRINT.ram_static, arena - 1 + seen, dut.painted[-1], (StackUse(4096, 499 + seen),))

    dut.memory = memory  # type: ignore[method-assign]
    found = measure(dut, values, reference, Counts(1, 2))
    assert (found.ram.arena, found.ram.stacks) == (arena, (500,))


def test_repeats_that_differ_are_noticed() -> None:
    dut, values, reference = prepared()
    plain = dut.infer

    def drifting(inputs: Any) -> Any:
        dut.cycles += 1
        return plain(inputs)

    dut.infer = drifting  # type: ignore[method-assign]
    assert not measure(dut, values, reference, Counts(1, 2)).repeats_identical


@pytest.mark.parametrize("drift", [0.9, 1.1])
def test_a_device_whose_clock_is_wrong_is_not_measured(drift: float) -> None:
    dut, values, reference = prepared()
    dut.drift = drift
    with pytest.raises(ClockMismatch, match="fake rp2040 at nowhere"):
        measure(dut, values, reference, Counts(1, 2))


def test_a_device_error_goes_up() -> None:
    dut, values, reference = prepared()
    dut.broken = DeviceHang("no answer in 20 s")
    with pytest.raises(DeviceHang):
        measure(dut, values, reference, Counts(1, 2))


def test_layers_are_compared_over_all_inputs() -> None:
    dut, values, reference = prepared(layers=True)
    found = compare_layers(dut, values, reference)
    graph = dut.deployment.graph
    assert [x.operator for x in found] == ["operator 0 FULLY_CONNECTED", "operator 1 FULLY_CONNECTED"]
    assert [x.tensor for x in found] == [str(graph.tensors[op.outputs[0]]) for op in graph.operators]
    assert [x.result for x in found] == [Comparison(18, 0, 0.0), Comparison(12, 0, 0.0)]


def test_a_wrong_layer_is_named() -> None:
    dut, values, reference = prepared(layers=True)
    hidden = dut.deployment.graph.operators[0].outputs[0]
    assert reference.layers is not None
    spoilt = dict(reference.layers[1]) | {hidden: reference.layers[1][hidden].astype(np.int8) ^ np.int8(1)}
    wrong = ReferenceResult("numpy", reference.outputs, (reference.layers[0], spoilt, reference.layers[2]))
    found = compare_layers(dut, values, wrong)
    assert [(x.result.mismatches, x.result.max_abs_diff) for x in found] == [(6, 1.0), (0, 0.0)]


def test_layers_without_a_layer_reference_is_a_usage_error() -> None:
    dut, values, reference = prepared()
    with pytest.raises(UsageError, match="without layers"):
        measure(dut, values, reference, Counts(1, 2), layers=True)
