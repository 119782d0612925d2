"""FULLY_CONNECTED against LiteRT: any input shape, weights per tensor (with zero point) or per channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.errors import MalformedModel, UnsupportedModel
from hil.model.tflite import parse
from hil.plan.lower import lower
from tests.support.hostile import assert_survives
from tests.support.single import assert_exact, build
from tests.support.tflite_writer import ModelWriter


def model(
    shape: tuple[int, ...],
    units: int,
    *,
    seed: int = 0,
    keep: bool = False,
    scales: float | list[float] = 2.0**-7,
    in_scale: float = 1.0,
    out_scale: float = 1.0,
    weight_zp: int = 0,
    zero_points: tuple[int, int] = (0, 0),
    bias: str = "given",
    activation: str = "NONE",
    columns: int | None = None,
    out: tuple[int, ...] | None = None,
    bias_scale: float | None = None,
) -> bytes:
    rng = np.random.default_rng(seed)
    columns = shape[-1] if columns is None else columns
    w = ModelWriter("fc")
    x = w.activation("x", shape, in_scale, zero_points[0])
    k = w.constant("k", rng.integers(-128, 128, (units, columns)).astype(np.int8), scales, weight_zp)
    inputs = {"given": [x, k], "left out": [x, k], "-1": [x, k, -1]}[bias]
    if bias == "given":
        scale = np.asarray(scales) * in_scale if bias_scale is None else bias_scale
        inputs.append(w.constant("b", rng.integers(-(1 << 15), 1 << 15, units).astype(np.int32), scale))
    rows = int(np.prod(shape)) // columns
    made = (*shape[:-1], units) if keep else (rows, units)
    y = w.activation("y", made if out is None else out, out_scale, zero_points[1])
    w.operator("FULLY_CONNECTED", inputs, [y], keep_num_dims=keep, activation=activation)
    return w.finish([x], [y])


@settings(max_examples=200)
@given(data=st.data())
def test_fully_connected_is_exact(data: st.DataObject) -> None:
    draw = data.draw
    shape = (*draw(st.lists(st.integers(1, 4), max_size=3)), draw(st.integers(1, 40)))
    units, per_channel = draw(st.integers(1, 9)), draw(st.booleans())
    factor = draw(st.floats(-30, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    made = (rng.uniform(0.5, 1.0, units if per_channel else 1) * 2.0**factor).tolist()
    halves = draw(st.booleans())  # powers of two, so that sums lie exactly between two outputs
    if halves:
        made = [float(2.0 ** np.floor(np.log2(scale))) for scale in made]
    keep = draw(st.booleans())
    split = draw(st.sampled_from([1, 1, shape[-1]]))
    columns = shape[-1] // split if not keep else shape[-1]
    bytes_ = model(
        shape,
        units,
        seed=draw(st.integers(0, 1000)),
        keep=keep,
        columns=columns,
        scales=made,
        in_scale=1.0 if halves else float(rng.uniform(0.7, 1.4)),
        out_scale=1.0 if halves else float(rng.uniform(0.7, 1.4)),
        weight_zp=0 if len(made) > 1 else draw(st.integers(-128, 127)),
        zero_points=(draw(st.integers(-128, 127)), draw(st.integers(-128, 127))),
        bias=draw(st.sampled_from(["given", "left out", "-1"])),
        activation=draw(st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])),
    )
    assert_exact(bytes_, seed=1)


def test_long_rows_and_many_units() -> None:
    assert_exact(model((1, 640), 128, scales=2.0**-12))
    assert_exact(model((3, 257), 33, scales=2.0**-12, weight_zp=-77, zero_points=(127, -128)))


def test_rows_are_batches_of_the_convolution() -> None:
    graph = parse(model((2, 3, 4), 5), "x")
    record = lower(graph).jobs[0].record
    assert (record.extent().rows, record.extent().channels) == (6, 5)
    assert record.work(record.extent().whole()).macs == 6 * 5 * 4


def test_lying_records_do_no_harm() -> None:
    graph = parse(model((2, 9), 5, weight_zp=3), "x")
    assert_survives(build(graph, lower(graph)), seed=11)


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (MalformedModel, "takes rows of 5", {"columns": 5}),
        (MalformedModel, "takes rows of 3", {"columns": 3, "keep": True, "out": (2, 2, 3)}),
        (MalformedModel, r"computes shape \[4, 3\]", {"out": (2, 2, 3)}),
        (MalformedModel, r"computes shape \[2, 2, 3\]", {"out": (4, 3), "keep": True}),
        (MalformedModel, "bias's scale 0.5 is not", {"bias_scale": 0.5}),
        (UnsupportedModel, "zero point are not supported here", {"scales": [0.1, 0.2, 0.3], "weight_zp": 1}),
        (UnsupportedModel, "activation TANH", {"activation": "TANH"}),
        (UnsupportedModel, "left shift", {"scales": 1e12}),
    ],
)
def test_refused(error: type[Exception], message: str, change: dict[str, Any]) -> None:
    with pytest.raises(error, match=message):
        lower(parse(model(**({"shape": (2, 2, 6) if "columns" in change else (2, 2, 5), "units": 3} | change)), "bad"))
