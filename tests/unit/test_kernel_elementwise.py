"""ADD, SUB and MUL against LiteRT: broadcasting, constants, in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.errors import MalformedModel, UnsupportedModel
from hil.model.tflite import parse
from hil.plan.lower import lower
from hil.plan.records import Act
from tests.support.hostile import assert_bounds, assert_refused, assert_survives
from tests.support.single import assert_exact, build
from tests.support.tflite_writer import ModelWriter

KINDS = ["ADD", "SUB", "MUL"]
Shape = tuple[int, ...]


def model(
    kind: str,
    first: Shape = (2, 3, 4, 5),
    second: Shape | None = None,
    *,
    scales: tuple[float, float, float] = (0.05, 0.03, 0.07),
    zero_points: tuple[int, int, int] = (3, -20, 7),
    activation: str = "NONE",
    constant: int | None = None,
    out: Shape | None = None,
) -> bytes:
    """`constant` says which of the two inputs is one."""
    second = first if second is None else second
    made = tuple(np.broadcast_shapes(first, second)) if out is None else out
    w, inputs, ends = ModelWriter("pair"), [], []
    rng = np.random.default_rng(len(first))
    for place, shape in enumerate((first, second)):
        if constant == place:
            data = rng.integers(-128, 128, shape).astype(np.int8)
            inputs.append(w.constant("c", data, scales[place], zero_points[place]))
        else:
            inputs.append(w.activation(f"x{place}", shape, scales[place], zero_points[place]))
            ends.append(inputs[-1])
    y = w.activation("y", made, scales[2], zero_points[2])
    w.operator(kind, inputs, [y], activation=activation)
    return w.finish(ends, [y])


@settings(max_examples=120)
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_elementwise_is_exact(kind: str, data: st.DataObject) -> None:
    draw = data.draw
    full = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    sides = []
    for _ in range(2):
        mask = [True] * len(full) if draw(st.booleans()) else [draw(st.booleans()) for _ in full]
        side = [size if keep else 1 for size, keep in zip(full, mask, strict=True)]
        drop = draw(st.integers(0, len(full))) if draw(st.booleans()) else 0
        while drop and side[0] == 1 and len(side) > 1:
            side, drop = side[1:], drop - 1
        sides.append(tuple(side))
    scale = st.one_of(st.floats(-2, 1), st.integers(-2, 1)).map(lambda x: float(2.0**x))  # integers: halves
    zero = st.integers(-128, 127)
    small = 2.0**-8 if kind == "MUL" and draw(st.booleans()) else 1.0
    assert_exact(
        model(
            kind,
            *sides,
            scales=(draw(scale), draw(scale) * small, draw(scale)),
            zero_points=(draw(zero), draw(zero), draw(zero)),
            activation=draw(st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])),
            constant=draw(st.sampled_from([None, 0, 1])),
        ),
        seed=draw(st.integers(0, 1000)),
    )


@settings(max_examples=40)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["ADD", "SUB"])
def test_sum_of_scales_far_apart(kind: str, data: st.DataObject) -> None:
    exponent = st.floats(-30, 6)
    scales = [float(2.0 ** data.draw(exponent)) for _ in range(3)]
    scales[2] = max(scales[2], max(scales) * 2.0**-16)
    assert_exact(model(kind, (40, 9), scales=(scales[0], scales[1], scales[2])), seed=3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scales", [(0.1, 0.0123, 0.11), (0.5, 0.25, 2.0), (0.5, 0.25, 16.0)])
def test_every_pair_of_values(kind: str, scales: tuple[float, float, float]) -> None:
    a, b = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
    for zeros in ((0, 0, 0), (127, -128, 5)):
        data = model(kind, (256, 256), zero_points=zeros, scales=scales)
        assert_exact(data, inputs=[a.astype(np.int8), b.astype(np.int8)])


@pytest.mark.parametrize("kind", ["ADD", "SUB"])
@pytest.mark.parametrize("second", [1 / 3, 0.8, 0.5 + 2.0**-21, 0.25 + 2.0**-22, 0.75 + 2.0**-21])
@pytest.mark.parametrize("repeated", [False, True])
def test_sums_that_nearly_cancel_show_the_last_bit(kind: str, second: float, repeated: bool) -> None:
    a, b = (np.ascontiguousarray(v.astype(np.int8)) for v in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    if repeated:
        a, b = a[:1], b[:, :1]
    data = model(kind, a.shape, b.shape, zero_points=(1, -1, 0), scales=(1.0, second, 2.0**-19 * 1.01))
    assert_exact(data, inputs=[a, b])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(), (1,), (2,) * 7, (2, 1, 2, 1, 2, 1, 2, 1)])
def test_same_shape_of_any_rank(kind: str, shape: Shape) -> None:
    assert_exact(model(kind, shape))


def test_a_tensor_with_itself() -> None:
    w = ModelWriter("square")
    x, y = w.activation("x", (3, 5), 0.1, 4), w.activation("y", (3, 5), 0.3, -7)
    w.operator("MUL", [x, x], [y])
    assert_exact(w.finish([x], [y]))


def test_output_may_overwrite_inputs_that_are_not_repeated() -> None:
    def overwritten(first: Shape, second: Shape) -> tuple[int, ...]:
        record = lower(parse(model("ADD", first, second), "x")).jobs[0].record
        return tuple(ref.tensor for ref in record.may_overwrite() if isinstance(ref, Act))

    assert overwritten((2, 3, 4, 5), (2, 3, 4, 5)) == (0, 1)
    assert overwritten((2, 3, 4, 5), (1, 5)) == (0,)
    assert overwritten((3, 1), (2, 3, 4)) == (1,)
    assert overwritten((3, 1), (1, 4)) == ()


def test_rows_are_batch_and_height_of_images_and_all_but_the_last_otherwise() -> None:
    for shape, rows, channels in (((2, 3, 4, 5), 6, 5), ((2, 3, 4), 6, 4), ((2, 3, 4, 5, 6), 120, 6), ((7,), 1, 7)):
        extent = lower(parse(model("ADD", shape), "x")).jobs[0].record.extent()
        assert (extent.rows, extent.channels) == (rows, channels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("second", [(2, 3, 4, 5), (3, 1, 5)])
def test_lying_records_do_no_harm(kind: str, second: Shape) -> None:
    graph = parse(model(kind, second=second), "x")
    assert_survives(build(graph, lower(graph)), seed=9, mutants=40)
    sizes = [tensor.elements for tensor in graph.tensors]
    assert_bounds(graph, lower(graph), {"a": sizes[0], "b": sizes[1], "out": sizes[2]})
    for change in ({"a_channel": -1}, {"a_zp": 128}, {"b_zp": -129}, {"out_zp": 300}, {"lo": -129}, {"hi": 128}):
        assert_refused(build(graph, lower(graph)), **change)


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (MalformedModel, "cannot be broadcast", {"first": (2, 3), "second": (2, 4), "out": (2, 4)}),
        (MalformedModel, r"computes shape \[2, 3\]", {"first": (2, 3), "second": (3,), "out": (3,)}),
        (UnsupportedModel, "over 7 dimensions", {"first": (2,) * 7, "second": (2,)}),
        (UnsupportedModel, "too far apart", {"scales": (0.5, 0.5, 2e-7)}),
        (UnsupportedModel, "activation TANH", {"activation": "TANH"}),
        (UnsupportedModel, "left shift", {"kind": "MUL", "scales": (1e6, 1e6, 1e-3)}),
    ],
)
def test_refused(error: type[Exception], message: str, change: dict[str, Any]) -> None:
    with pytest.raises(error, match=message):
        lower(parse(model(**({"kind": "ADD"} | change)), "bad"))
