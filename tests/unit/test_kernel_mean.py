"""MEAN against LiteRT: any axes, kept or not, any quantisation."""

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


def model(
    shape: tuple[int, ...] = (2, 3, 4, 5),
    axes: Any = (1, 2),
    *,
    keep: bool = False,
    scales: tuple[float, float] = (0.05, 0.03),
    zero_points: tuple[int, int] = (3, -20),
    out: tuple[int, ...] | None = None,
    axes_type: str = "int32",
    computed: bool = False,
) -> bytes:
    reduced = {int(axis) % max(len(shape), 1) for axis in np.atleast_1d(axes)}
    sizes = enumerate(shape)
    made = [1 if i in reduced else n for i, n in sizes] if keep else [n for i, n in sizes if i not in reduced]
    w = ModelWriter("mean")
    x = w.activation("x", shape, scales[0], zero_points[0])
    ends = [x]
    if computed:
        a = w.activation("a", (2,), None, None, "int32")
        ends.append(a)
    else:
        a = w.constant("a", np.array(axes, axes_type))
    y = w.activation("y", made if out is None else out, scales[1], zero_points[1])
    w.operator("MEAN", [x, a], [y], keep_dims=keep)
    return w.finish(ends, [y])


@settings(max_examples=250)
@given(data=st.data())
def test_mean_is_exact(data: st.DataObject) -> None:
    draw = data.draw
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=6)))
    rank = len(shape)
    axes = draw(st.lists(st.integers(-rank, rank - 1), min_size=1, max_size=rank + 1))
    scale = st.one_of(st.floats(-8, 4), st.integers(-3, 3)).map(lambda x: float(2.0**x))  # integers: halves
    zero = st.integers(-128, 127)
    scales, zeros = (draw(scale), draw(scale)), (draw(zero), draw(zero))
    if draw(st.booleans()):
        scales, zeros = (scales[0], scales[0]), (zeros[0], zeros[0])
    assert_exact(
        model(shape, axes, keep=draw(st.booleans()), scales=scales, zero_points=zeros), seed=draw(st.integers(0, 1000))
    )


def test_global_means() -> None:
    for keep in (False, True):
        assert_exact(model((1, 25, 5, 64), (1, 2), keep=keep))
        assert_exact(model((1, 8, 8, 33), (1, 2), keep=keep, scales=(0.1, 0.1), zero_points=(-128, -128)))
        assert_exact(model((3, 4, 5, 6), (3, 1), keep=keep))


def test_one_axis_as_a_scalar() -> None:
    assert_exact(model((3, 4), 1))


def test_alternate_axes_of_eight() -> None:
    assert_exact(model((2, 3, 2, 3, 2, 2, 2, 3), (0, 2, 4, 6)))
    assert_exact(model((2, 3, 2, 3, 2, 2, 2, 3), (1, 3, 5, 7), keep=True))


def test_work_counts_elements_read() -> None:
    record = lower(parse(model(), "x")).jobs[0].record
    whole = record.work(record.extent().whole())
    assert (whole.macs, whole.outputs) == (2 * 3 * 4 * 5, 2 * 5)


@pytest.mark.parametrize("axes", [(1, 2), (0, 2), (3,)])
def test_lying_records_do_no_harm(axes: tuple[int, ...]) -> None:
    graph = parse(model(axes=axes, keep=True), "x")
    program = build(graph, lower(graph))
    assert_survives(program, seed=2, mutants=40)
    assert_bounds(graph, lower(graph), {"input": 120, "out": graph.tensors[graph.outputs[0]].elements})
    assert_refused(program, run_length=1 << 28, run_stride=0)
    assert_refused(program, reduced=(1, 1, 1, 1, 1, 1 << 20), reduced_strides=(0,) * 6)
    assert_refused(program, run_stride=-1)


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (MalformedModel, r"axes \[4\] of an input with 4", {"axes": (4,), "out": (2, 3, 4, 5)}),
        (MalformedModel, r"axes \[-5\] of an input with 4", {"axes": (-5,), "out": (2, 3, 4, 5)}),
        (MalformedModel, r"computes shape \[2, 5\]", {"out": (2, 1, 1, 5)}),
        (MalformedModel, r"computes shape \[2, 1, 1, 5\]", {"out": (2, 5), "keep": True}),
        (UnsupportedModel, "type int64 .*supported: int32", {"axes_type": "int64"}),
        (UnsupportedModel, "scalar", {"shape": (), "axes": (0,), "out": ()}),
        (UnsupportedModel, "left shift", {"scales": (1e12, 1e-3)}),
    ],
)
def test_refused(error: type[Exception], message: str, change: dict[str, Any]) -> None:
    with pytest.raises(error, match=message):
        lower(parse(model(**change), "bad"))
