"""SOFTMAX and LOG_SOFTMAX on float32: the one place with a tolerance, 1e-6 relative to the reference."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.errors import UnsupportedModel
from hil.model.tflite import parse
from hil.plan.interpreter import Interpreter
from hil.plan.lower import lower
from tests.support.engine import NativeEngine, library
from tests.support.hostile import assert_survives
from tests.support.single import build, reference
from tests.support.tensors import FLOAT, model
from tests.support.tflite_writer import ModelWriter

KINDS = pytest.mark.parametrize("kind", ["SOFTMAX", "LOG_SOFTMAX"])
TOLERANCE = 1e-6


def run_all(data: bytes, values: np.ndarray, seed: int) -> list[np.ndarray]:
    """What interpreter and C engine give: whole, as tiles, and in place."""
    graph = parse(data, "float")
    lowered, rng = lower(graph), np.random.default_rng(seed)
    outputs = []
    for tiles, in_place in ((None, False), (rng, False), (rng, True)):
        program = build(graph, lowered, tiles=tiles, in_place=in_place)
        engines = (Interpreter(program), NativeEngine(program.data, program.arena_bytes))
        outputs += [np.frombuffer(engine.run([values])[0], np.float32).reshape(values.shape) for engine in engines]
    return outputs


def assert_close(data: bytes, values: np.ndarray, seed: int = 0) -> None:
    (wanted,) = reference(data, [values])
    for got in run_all(data, values, seed):
        np.testing.assert_allclose(got, wanted.astype(np.float32), rtol=TOLERANCE, atol=1e-44, equal_nan=True)


@KINDS
@settings(max_examples=60)
@given(st.lists(st.integers(1, 4), max_size=3), st.integers(1, 300), st.floats(-6, 2.5), st.integers(0, 1 << 20))
def test_any_spread(kind: str, outer: list[int], channels: int, spread: float, seed: int) -> None:
    shape = (*outer, channels)
    values = (np.random.default_rng(seed).standard_normal(shape) * 10.0**spread).astype(np.float32)
    beta: dict[str, Any] = {"beta": [1.0, 0.3, 2.5][seed % 3]} if kind == "SOFTMAX" else {}
    assert_close(model(kind, [shape], [shape], FLOAT, **beta), values, seed)


@KINDS
def test_extreme_values(kind: str) -> None:
    top = float(np.finfo(np.float32).max)
    values = np.array(
        [
            [0.0, -0.0, 0.0], [top, -top, 0.0], [-top, -top, -top], [1e-45, 0.0, -1e-45], [0.0, -88.5, -103.9],
            [-np.inf, 1.0, 2.0], [np.inf, 1.0, 2.0], [np.nan, 1.0, 2.0], [-np.inf, -np.inf, -np.inf],
            [0.0, -104.0, -1e-30],
        ],
        np.float32,
    )  # fmt: skip
    assert_close(model(kind, [values.shape], [values.shape], FLOAT), values)


def c_function(name: str) -> Callable[[float], float]:
    function = getattr(library(), name)
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    return cast("Callable[[float], float]", function)


def worst_ulp(function: Callable[[float], float], exact: np.ufunc, values: np.ndarray) -> float:
    got = np.array([function(float(value)) for value in values])
    wanted = exact(values.astype(np.float64))
    return float(np.max(np.abs(got - wanted) / np.spacing(np.abs(wanted).astype(np.float32)).astype(np.float64)))


def test_the_exponential_is_right_to_the_last_place() -> None:
    rng = np.random.default_rng(0)
    parts = [-rng.uniform(0, 104, 8000), -rng.uniform(0, 1, 4000), -(10.0 ** rng.uniform(-12, 0, 4000))]
    values = np.concatenate(parts).astype(np.float32)
    function = c_function("hil_exp_of_negative")
    assert worst_ulp(function, np.exp, values) < 0.52
    assert [function(x) for x in (0.0, -0.0, float("-inf"), -104.0)] == [1.0, 1.0, 0.0, 0.0]
    assert np.isnan(function(float("nan")))


def test_the_logarithm_is_right_to_the_last_place() -> None:
    rng = np.random.default_rng(1)
    steps = 1 + np.arange(1, 3000) * 2.0**-23
    values = np.concatenate([steps, 2.0 ** rng.uniform(0, 28, 8000), rng.uniform(1.3, 1.5, 4000), [2.0, 4095.0]])
    function = c_function("hil_log_of_one_or_more")
    assert worst_ulp(function, np.log, values.astype(np.float32)) < 0.52
    assert [function(x) for x in (1.0, 0.0, 0.5)] == [0.0, float("-inf"), float("-inf")]
    assert function(float("inf")) == float("inf")
    assert np.isnan(function(float("nan")))


def chain(*kinds: str) -> bytes:
    """float32 operators one after the other, the last one QUANTIZE's int8 or float32."""
    w = ModelWriter("chain")
    at = first = w.activation("x", (2, 6), dtype=FLOAT)
    for kind in kinds:
        inputs: list[int] = [at]
        options: dict[str, Any] = {}
        if kind == "RESHAPE":
            options["new_shape"] = (2, 6)
        at = (
            w.activation(kind, (2, 6), 1 / 256, -128) if kind == "QUANTIZE" else w.activation(kind, (2, 6), dtype=FLOAT)
        )
        w.operator(kind, inputs, [at], **options)
    return w.finish([first], [at])


@KINDS
def test_a_float_softmax_is_the_last_that_computes(kind: str) -> None:
    lower(parse(chain(kind, "RESHAPE"), "m"))
    for rest in (["QUANTIZE"], ["RESHAPE", "QUANTIZE"], ["RESHAPE", "SOFTMAX"]):
        with pytest.raises(UnsupportedModel, match="as the last step"):
            lower(parse(chain(kind, *rest), "m"))


@KINDS
def test_damaged_records_do_no_harm(kind: str) -> None:
    graph = parse(model(kind, [(5, 9)], [(5, 9)], FLOAT), "damaged")
    assert_survives(build(graph, lower(graph), tiles=np.random.default_rng(3)), 3)
