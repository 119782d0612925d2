"""AVERAGE_POOL_2D and MAX_POOL_2D against LiteRT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.errors import MalformedModel, UnsupportedModel
from hil.model.tflite import parse
from hil.plan.lower import lower
from tests.support.hostile import assert_bounds, assert_refused, assert_survives
from tests.support.single import assert_exact, build
from tests.support.tflite_writer import ModelWriter

KINDS = ["AVERAGE_POOL_2D", "MAX_POOL_2D"]


def model(
    kind: str,
    *,
    shape: tuple[int, ...] = (2, 5, 6, 3),
    window: tuple[int, int] = (2, 3),
    stride: tuple[int, int] = (1, 2),
    padding: str = "SAME",
    activation: str = "NONE",
    quantisation: tuple[float, int] = (0.05, 3),
    out_quantisation: tuple[float, int] | None = None,
    out: tuple[int, ...] | None = None,
) -> bytes:
    w = ModelWriter("pool")
    x = w.activation("x", shape, *quantisation)
    sizes = [
        -(-size // step) if padding == "SAME" else (size - taps + step) // step
        for size, taps, step in zip(shape[1:3], window, stride, strict=False)
    ]
    made = (shape[0], *sizes, shape[-1])
    y = w.activation("y", made if out is None else out, *(out_quantisation or quantisation))
    w.operator(kind, [x], [y], filter=window, stride=stride, padding=padding, activation=activation)
    return w.finish([x], [y])


@settings(max_examples=120)
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_pool_is_exact(kind: str, data: st.DataObject) -> None:
    draw = data.draw
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    window = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    least = window if padding == "VALID" else (1, 1)
    height, width = (n + draw(st.integers(0, 5)) for n in least)
    assert_exact(
        model(
            kind,
            shape=(draw(st.integers(1, 2)), height, width, draw(st.integers(1, 6))),
            window=window,
            stride=draw(st.tuples(st.integers(1, 6), st.integers(1, 6))),
            padding=padding,
            activation=draw(st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])),
            quantisation=(10.0 ** draw(st.floats(-3, 0)), draw(st.integers(-128, 127))),
        ),
        seed=draw(st.integers(0, 1000)),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_filter_larger_than_the_input(kind: str) -> None:
    assert_exact(model(kind, window=(40, 50), stride=(1, 1)))


@pytest.mark.parametrize("values", [(-3, -2), (3, 2), (-128, -128), (127, 127), (-1, 0), (1, 0)])
def test_average_of_two_rounds_halves_away_from_zero(values: tuple[int, int]) -> None:
    data = model("AVERAGE_POOL_2D", shape=(1, 1, 2, 1), window=(1, 2), stride=(1, 1), padding="VALID")
    assert_exact(data, inputs=[np.array(values, np.int8).reshape(1, 1, 2, 1)])


@pytest.mark.parametrize("kind", KINDS)
def test_lying_records_do_no_harm(kind: str) -> None:
    graph = parse(model(kind), "x")
    assert_survives(build(graph, lower(graph)), seed=5)
    assert_bounds(graph, lower(graph), {"input": 2 * 5 * 6 * 3, "out": 2 * 5 * 3 * 3})
    for change in ({"pad_top": 2}, {"pad_left": -1}, {"stride_h": 6}, {"lo": -129}, {"hi": 128}):
        assert_refused(build(graph, lower(graph)), **change)


@pytest.mark.parametrize("kind", KINDS)
def test_work_counts_elements_read(kind: str) -> None:
    record = lower(parse(model(kind), "x")).jobs[0].record
    whole = record.work(record.extent().whole())
    assert (whole.outputs, whole.macs) == (2 * 5 * 3 * 3, 2 * 5 * 3 * 3 * 6)


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (UnsupportedModel, "different scales or zero points", {"out_quantisation": (0.1, 3)}),
        (UnsupportedModel, "different scales or zero points", {"out_quantisation": (0.05, 4)}),
        (UnsupportedModel, "activation SIGN_BIT", {"activation": "SIGN_BIT"}),
        (MalformedModel, "does not fit into 5", {"window": (6, 1), "padding": "VALID", "out": (2, 1, 3, 3)}),
        (MalformedModel, r"computes shape \[2, 5, 3, 3\]", {"out": (2, 5, 6, 3)}),
        (MalformedModel, "4 dimensions", {"shape": (5, 6, 3)}),
    ],
)
def test_refused(error: type[Exception], message: str, change: dict[str, Any]) -> None:
    with pytest.raises(error, match=message):
        lower(parse(model("MAX_POOL_2D", **change), "bad"))
