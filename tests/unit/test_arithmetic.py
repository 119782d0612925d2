"""Fixed-point arithmetic: the host's against exact fractions, the engine's against the host's."""

from __future__ import annotations

import ctypes
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hil.plan.arithmetic import (
    INT32_MAX,
    INT32_MIN,
    activation_range,
    float32,
    high_multiply,
    quantise_multiplier,
    quantise_multiplier_below_one,
    requantise,
    round_half_away,
    rounding_shift_right,
    wrap32,
)
from tests.support.engine import library

int32 = st.integers(INT32_MIN, INT32_MAX)
edges = [
    INT32_MIN,
    INT32_MIN + 1,
    -(1 << 30),
    -65536,
    -65535,
    -1,
    0,
    1,
    65535,
    65536,
    1 << 30,
    INT32_MAX - 1,
    INT32_MAX,
]


def one(value: int) -> np.ndarray:
    return np.array([value], np.int64)


@given(int32, int32)
@example(INT32_MIN, INT32_MIN)
def test_high_multiply_rounds_halves_up(a: int, b: int) -> None:
    exact = min(math.floor(Fraction(a * b, 1 << 31) + Fraction(1, 2)), INT32_MAX)
    assert high_multiply(one(a), one(b))[0] == exact


@given(int32, st.integers(0, 31))
def test_rounding_shift_rounds_halves_away_from_zero(value: int, bits: int) -> None:
    magnitude = math.floor(Fraction(abs(value), 1 << bits) + Fraction(1, 2))
    assert rounding_shift_right(one(value), one(bits))[0] == (magnitude if value >= 0 else -magnitude)


def engine_requantise(x: int, multiplier: int, shift: int) -> int:
    function = library().hil_requantise
    function.restype = ctypes.c_int32
    return int(function(ctypes.c_int32(x), ctypes.c_int32(multiplier), ctypes.c_int32(shift)))


@settings(max_examples=400)
@given(int32, st.integers(INT32_MIN + 1, INT32_MAX), st.integers(-31, 30))
def test_engine_requantises_like_the_host(x: int, multiplier: int, shift: int) -> None:
    assert engine_requantise(x, multiplier, shift) == requantise(one(x), multiplier, shift)[0]


def test_engine_requantises_like_the_host_at_every_edge() -> None:
    for multiplier in edges[1:]:
        for shift in range(-31, 31):
            expected = requantise(np.array(edges, np.int64), multiplier, shift)
            assert [engine_requantise(x, multiplier, shift) for x in edges] == expected.tolist()


@given(int32, int32, int32)
def test_engine_requantise_is_defined_for_any_words(x: int, multiplier: int, shift: int) -> None:
    assert INT32_MIN <= engine_requantise(x, multiplier, shift) <= INT32_MAX


@given(st.floats(2**-31, 2**29))
def test_multiplier_is_the_nearest_number_of_31_bits(real: float) -> None:
    multiplier, shift = quantise_multiplier(real)
    assert 1 << 30 <= multiplier < 1 << 31
    error = abs(Fraction(multiplier) * Fraction(2) ** (shift - 31) - Fraction(real))
    assert error <= Fraction(2) ** (shift - 32)


@pytest.mark.parametrize(
    ("real", "expected"),
    [(0.0, (0, 0)), (1.0, (1 << 30, 1)), (0.5, (1 << 30, 0)), (2.0**-33, (0, 0)), (2.0**-32, (1 << 30, -31)),
     (1 - 2.0**-40, (1 << 30, 1)), (2.0**29, (1 << 30, 30))],
)  # fmt: skip
def test_multiplier_edges(real: float, expected: tuple[int, int]) -> None:
    assert quantise_multiplier(real) == expected


@pytest.mark.parametrize("real", [2.0**30, math.inf, math.nan, -0.5])
def test_multiplier_without_fixed_point_form(real: float) -> None:
    with pytest.raises(ValueError, match="multiplier"):
        quantise_multiplier(real)


@pytest.mark.parametrize("real", [0.0, 1.0, 1 - 2.0**-40, 3.0])
def test_multiplier_that_must_lie_below_one(real: float) -> None:
    with pytest.raises(ValueError, match="multiplier"):
        quantise_multiplier_below_one(real)


def test_rounding_and_wrapping() -> None:
    assert [round_half_away(v) for v in (0.5, 1.5, -0.5, -2.5, 0.49999999999999994)] == [1, 2, -1, -3, 0]
    assert wrap32(np.array([1 << 31, -(1 << 31) - 1, 1 << 32, 7])).tolist() == [INT32_MIN, INT32_MAX, 0, 7]
    assert float32(0.1) == 0.10000000149011612


@pytest.mark.parametrize(
    ("activation", "scale", "zero_point", "expected"),
    [("NONE", 0.1, 5, (-128, 127)), ("RELU", 0.1, -7, (-7, 127)), ("RELU6", 0.1, -100, (-100, -40)),
     ("RELU6", 0.001, 0, (0, 127)), ("RELU_N1_TO_1", 0.5, 1, (-1, 3)), ("RELU_N1_TO_1", 0.001, 0, (-128, 127))],
)  # fmt: skip
def test_activation_range(activation, scale, zero_point, expected) -> None:  # type: ignore[no-untyped-def]
    assert activation_range(activation, float32(scale), zero_point) == expected


@pytest.mark.parametrize(("activation", "scale"), [("TANH", 0.1), ("SIGN_BIT", 0.1), ("RELU6", 1e-20)])
def test_activation_without_range(activation, scale) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="activation"):
        activation_range(activation, scale, 0)
