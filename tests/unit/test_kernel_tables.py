"""Functions of one int8 value: every table over many quantisations against LiteRT; QUANTIZE and DEQUANTIZE too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hil.errors import MalformedModel, UnsupportedModel
from hil.model.tflite import parse
from hil.plan.kernels.quantise import floats, keys
from hil.plan.lower import lower
from tests.support.hostile import assert_survives
from tests.support.single import assert_exact, build, run_both
from tests.support.tensors import FLOAT, model

EVERY = np.arange(-128, 128).astype(np.int8)
ZEROS = st.integers(-128, 127)
SEEDS = st.integers(0, 1 << 20)


def scales(low: int, high: int) -> st.SearchStrategy[float]:
    """float32 scales, spread over powers of two, now and then a power of two itself."""
    exponents = st.one_of(st.floats(low, high), st.integers(low, high))
    return exponents.map(lambda e: float(np.float32(2.0**e)))


def assert_table(
    kind: str, source: tuple[float, int], target: tuple[float, int], seed: int = 0, **options: Any
) -> None:
    """All 256 values, in random order, in two shapes."""
    values = np.random.default_rng(seed).permutation(EVERY)
    for shape in ((256,), (2, 4, 8, 4)):
        assert_exact(model(kind, [(shape, *source)], [(shape, *target)], **options), seed, [values.reshape(shape)])


@settings(max_examples=30)
@given(scales(-12, 6), st.floats(-6, 6), st.tuples(ZEROS, ZEROS), SEEDS)
@pytest.mark.parametrize("kind", ["RELU", "RELU6", "QUANTIZE"])
def test_rescaling(kind: str, scale: float, factor: float, zeros: tuple[int, int], seed: int) -> None:
    assert_table(kind, (scale, zeros[0]), (float(np.float32(scale * 2.0**factor)), zeros[1]), seed)


@settings(max_examples=20)
@given(st.integers(-38, 20), st.sampled_from(["RELU", "QUANTIZE"]))
def test_rescaling_by_extreme_powers_of_two(shift: int, kind: str) -> None:
    assert_table(kind, (2.0**-10, 0), (2.0 ** (-10 - shift), 5))


@settings(max_examples=40)
@given(scales(-12, 4), st.floats(-5, 5), ZEROS, ZEROS, st.one_of(st.floats(-3, 3), st.sampled_from([-1.0, -0.5, 0.0])))
def test_leaky_relu(scale: float, factor: float, zero: int, out_zero: int, alpha: float) -> None:
    assert_table("LEAKY_RELU", (scale, zero), (float(np.float32(scale * 2.0**factor)), out_zero), alpha=alpha)


@settings(max_examples=60)
@given(scales(-28, 20), st.floats(-7, 28), ZEROS, ZEROS)
def test_hard_swish(scale: float, factor: float, zero: int, out_zero: int) -> None:
    out = float(np.float32(scale * 2.0**factor))
    assume(np.float32(scale / 128) / np.float32(out) < 0.999)
    assert_table("HARD_SWISH", (scale, zero), (out, out_zero))


@settings(max_examples=60)
@given(scales(-14, 8), ZEROS, st.one_of(st.just(-128), ZEROS))
def test_logistic(scale: float, zero: int, out_zero: int) -> None:
    assert_table("LOGISTIC", (scale, zero), (1 / 256, out_zero))


@settings(max_examples=60)
@given(scales(-14, 8), ZEROS, st.one_of(st.just(1 / 128), scales(-12, 2)), st.one_of(st.just(0), ZEROS))
def test_tanh(scale: float, zero: int, out_scale: float, out_zero: int) -> None:
    assert_table("TANH", (scale, zero), (out_scale, out_zero))


@settings(max_examples=30)
@given(scales(-20, 8), ZEROS, SEEDS)
def test_dequantise(scale: float, zero: int, seed: int) -> None:
    values = np.random.default_rng(seed).permutation(EVERY).reshape(4, 64)
    assert_exact(model("DEQUANTIZE", [((4, 64), scale, zero)], [(4, 64)], out_dtype=FLOAT), seed, [values])


@settings(max_examples=40)
@given(scales(-24, 24), ZEROS, SEEDS)
def test_quantise_around_every_threshold(scale: float, zero: int, seed: int) -> None:
    """The floats nearest to every half step, and some far out: nothing but the exact rounding passes."""
    halves = ((np.arange(-300, 300) + 0.5) * scale).astype(np.float32)
    up, down = np.nextafter(halves, np.float32(np.inf)), np.nextafter(halves, np.float32(-np.inf))
    far = np.array([0.0, -0.0, 1e-45, -1e-45, 2e9 * scale, -2e9 * scale], np.float32)
    values = np.random.default_rng(seed).permutation(np.concatenate([halves, up, down, far])).reshape(6, -1)
    shape = values.shape
    assert_exact(model("QUANTIZE", [shape], [(shape, scale, zero)], FLOAT, out_dtype="int8"), seed, [values])


def test_quantise_saturates_where_the_reference_is_undefined() -> None:
    bits = np.array([0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F7FFFFF, 0xFF7FFFFF], np.uint32)
    graph = parse(model("QUANTIZE", [(6,)], [((6,), 1e-9, 7)], FLOAT, out_dtype="int8"), "m")
    (out,) = run_both(build(graph, lower(graph)), [bits.view(np.float32)])
    assert np.frombuffer(out, np.int8).tolist() == [127, -128] * 3


@settings(max_examples=50)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=20))
def test_keys_have_the_order_of_floats(values: list[float]) -> None:
    array = np.array(values, np.float32)
    order = np.argsort(keys(array), kind="stable")
    assert np.array_equal(array[order], np.sort(array))
    assert np.array_equal(floats(keys(array)).view(np.int32), array.view(np.int32))


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (model("LOGISTIC", [(4,)], [((4,), 1 / 128, -128)]), UnsupportedModel, "not 1/256"),
        (model("HARD_SWISH", [((4,), 1.0, 0)], [((4,), 1 / 300, 0)]), UnsupportedModel, "too small"),
        (model("RELU", [(4,)], [(5,)]), MalformedModel, r"computes shape \[4\]"),
        (model("RELU", [(4,)], [(4,)], FLOAT), UnsupportedModel, "float32 is not supported"),
        (model("RELU", [((4,), 1.0, 0)], [((4,), 2.0**-24, 0)]), UnsupportedModel, "overflows 32 bits"),
        (model("RELU6", [((4,), 2.0**-30, 0)], [((4,), 2.0**-30, 0)]), UnsupportedModel, "overflows with scale"),
        (model("TANH", [(4,)], [((4,), 1e-12, 0)]), UnsupportedModel, "overflow"),
        (model("DEQUANTIZE", [(4,)], [(4,)]), UnsupportedModel, "int8 is not supported"),
        (model("QUANTIZE", [(4,)], [(4,)], FLOAT), UnsupportedModel, "float32 is not supported"),
    ],
)
def test_what_is_refused(data: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        lower(parse(data, "m"))


@pytest.mark.parametrize(
    "data",
    [
        model("RELU", [(5, 7)], [(5, 7)]),
        model("DEQUANTIZE", [(5, 7)], [(5, 7)], out_dtype=FLOAT),
        model("QUANTIZE", [(5, 7)], [(5, 7)], FLOAT, out_dtype="int8"),
    ],
    ids=["lookup", "lookup_word", "quantise"],
)
def test_damaged_records_do_no_harm(data: bytes) -> None:
    graph = parse(data, "damaged")
    assert_survives(build(graph, lower(graph), tiles=np.random.default_rng(4)), 4)
