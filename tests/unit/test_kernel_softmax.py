"""SOFTMAX and LOG_SOFTMAX on int8, bit for bit."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.errors import MalformedModel, UnsupportedModel
from hil.model.tflite import parse
from hil.plan.fixed_point import exp_of_negative, log_of_at_least_one, reciprocal_of_one_plus
from hil.plan.lower import lower
from tests.support.engine import library, run_sanitized, sanitizing_compiler
from tests.support.hostile import assert_survives
from tests.support.single import assert_exact, build, run_both
from tests.support.tensors import model

SEEDS = st.integers(0, 1 << 20)
OUTPUTS = {"SOFTMAX": (1 / 256, -128), "LOG_SOFTMAX": (1 / 16, 127)}
KINDS = pytest.mark.parametrize("kind", OUTPUTS)


def softmax(kind: str, shape: tuple[int, ...], scale: float, **options: Any) -> bytes:
    return model(kind, [(shape, scale, 7)], [(shape, *OUTPUTS[kind])], **options)


def rows(shape: tuple[int, ...], spread: int, seed: int) -> npt.NDArray[Any]:
    """Rows whose values lie within a spread of their own, somewhere in int8."""
    rng = np.random.default_rng(seed)
    low = rng.integers(-128, 128 - spread + 1, (*shape[:-1], 1))
    return (low + rng.integers(0, spread, shape)).astype(np.int8)


@KINDS
@settings(max_examples=80)
@given(
    st.tuples(st.lists(st.integers(1, 4), max_size=3), st.integers(1, 80)).map(lambda s: (*s[0], s[1])),
    st.floats(-20, 8).map(lambda e: float(np.float32(2.0**e))),
    st.integers(1, 256),
    SEEDS,
)
def test_any_scale(kind: str, shape: tuple[int, ...], scale: float, spread: int, seed: int) -> None:
    beta: dict[str, Any] = {"beta": [1.0, 0.3, 2.5][seed % 3]} if kind == "SOFTMAX" else {}
    assert_exact(softmax(kind, shape, scale, **beta), seed, [rows(shape, spread, seed)])


@KINDS
@pytest.mark.parametrize("scale", [2.0**-26 * 1.5, 2.0**-25, 2.0**-3, 0.5, 1.0, 15.9, 16.0, 31.0, 32.0, 1e9])
def test_the_ends_of_the_range_of_scales(kind: str, scale: float) -> None:
    shape = (4, 33)
    assert_exact(softmax(kind, shape, scale), 0, [rows(shape, 200, 1)])


@KINDS
@pytest.mark.parametrize("channels", [511, 1000, 4095])
def test_many_channels(kind: str, channels: int) -> None:
    values = np.full((2, channels), -128, np.int8)
    values[:, :511] = rows((2, 511), 20, channels)
    assert_exact(softmax(kind, (2, channels), 0.3), 0, [values])


def test_where_the_reference_gives_up_all_quotients_round_to_zero() -> None:
    graph = parse(softmax("SOFTMAX", (1, 600), 0.1), "m")
    (out,) = run_both(build(graph, lower(graph)), [np.zeros((1, 600), np.int8)])
    assert set(np.frombuffer(out, np.int8)) == {-128}


@KINDS
def test_every_pair_of_values(kind: str) -> None:
    pairs = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128, 5)), -1).reshape(-1, 2).astype(np.int8)
    assert_exact(softmax(kind, pairs.shape, 0.07), 0, [pairs])


@settings(max_examples=200)
@given(st.integers(0, (1 << 31) - 1))
def test_the_reciprocal_in_c_and_numpy(value: int) -> None:
    # Not saturating where the reference does not: numpy has room that C has not.
    assert library().hil_reciprocal_of_one_plus(value) == int(reciprocal_of_one_plus(np.array([value]))[0])


@settings(max_examples=200)
@given(st.integers(1 << 19, (1 << 31) - 1))
def test_the_logarithm_in_c_numpy_and_truth(value: int) -> None:
    raw = int(log_of_at_least_one(np.array([value]))[0])
    assert library().hil_log_of_at_least_one(value) == raw
    assert raw / 2**26 == pytest.approx(np.log(value / 2**19), abs=1e-6)


def test_the_exponential_is_one() -> None:
    values = -np.arange(0, 1 << 31, 997_331, dtype=np.int64)
    assert exp_of_negative(values) / 2**31 == pytest.approx(np.exp(values / 2**26), abs=3e-7)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (model("SOFTMAX", [(4,)], [((4,), 1 / 128, -128)]), UnsupportedModel, "not scale 1/256"),
        (model("SOFTMAX", [(4,)], [((4,), 1 / 256, 0)]), UnsupportedModel, "zero point -128"),
        (model("LOG_SOFTMAX", [(4,)], [((4,), 1 / 16, 0)]), UnsupportedModel, "zero point 127"),
        (model("LOG_SOFTMAX", [(4,)], [((4,), 1 / 32, 127)]), UnsupportedModel, "not scale 1/16"),
        (softmax("SOFTMAX", (1, 4096), 0.1), UnsupportedModel, "supported: 4095"),
        (softmax("SOFTMAX", (1, 4), 2.0**-27), UnsupportedModel, "too small"),
        (softmax("LOG_SOFTMAX", (1, 4), 2.0**-26), UnsupportedModel, "too small"),
        (softmax("SOFTMAX", (1, 4), 0.1, beta=-1.0), UnsupportedModel, "beta -1"),
        (softmax("SOFTMAX", (1, 4), 0.1, beta=0.0), UnsupportedModel, "beta 0"),
        (model("SOFTMAX", [((1, 4), 0.1, 0)], [((4,), 1 / 256, -128)]), MalformedModel, "computes shape"),
        (model("SOFTMAX", [((), 0.1, 0)], [((), 1 / 256, -128)]), MalformedModel, "no dimension"),
    ],
)
def test_what_is_refused(data: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        lower(parse(data, "m"))


@KINDS
@pytest.mark.skipif(sanitizing_compiler() is None, reason="no gcc or clang with the address sanitizer")
def test_an_output_that_overlaps_the_input_stays_inside_the_tables(kind: str) -> None:
    graph = parse(softmax(kind, (1, 9), 0.1), "m")
    program = build(graph, lower(graph))
    data = bytearray(program.data)
    (table,) = struct.unpack_from("<I", data, 24)
    (record,) = struct.unpack_from("<I", data, table)
    struct.pack_into("<I", data, record + 12, 1)  # the output, whose every result becomes the next input
    struct.pack_into("<I", data, 12, zlib.crc32(data[16:]))
    status, _, _ = run_sanitized(bytes(data), program.arena_bytes, bytes([0x80] * 8 + [0x90]))
    assert status == 0


@KINDS
@pytest.mark.parametrize("seed", range(2))
def test_damaged_records_do_no_harm(kind: str, seed: int) -> None:
    graph = parse(softmax(kind, (5, 9), 0.1), "damaged")
    assert_survives(build(graph, lower(graph), tiles=np.random.default_rng(seed)), seed)
