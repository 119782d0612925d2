"""CONV_2D and DEPTHWISE_CONV_2D against LiteRT: any shape, stride, dilation, padding, groups, scales, zero points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.errors import MalformedModel, UnsupportedModel
from hil.model.tflite import parse
from hil.plan.kernels import Conv, Depthwise
from hil.plan.lower import lower
from hil.plan.records import Box
from tests.support.hostile import assert_bounds, assert_refused, assert_survives
from tests.support.single import assert_exact, build, tiling
from tests.support.tflite_writer import ModelWriter

ACTIVATIONS = ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def out_size(size: int, taps: int, stride: int, dilation: int, padding: str) -> int:
    reach = (taps - 1) * dilation + 1
    return -(-size // stride) if padding == "SAME" else (size + stride - reach) // stride


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    kernel, dilation = draw(pairs), draw(pairs)
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    least = [(k - 1) * d + 1 if padding == "VALID" else 1 for k, d in zip(kernel, dilation, strict=True)]
    return {
        "seed": draw(st.integers(0, 2**32 - 1)),
        "batch": draw(st.integers(1, 2)),
        "size": tuple(n + draw(st.integers(0, 5)) for n in least),
        "kernel": kernel,
        "stride": draw(pairs),
        "dilation": dilation,
        "padding": padding,
        "groups": draw(st.sampled_from([1, 1, 2, 3])),
        "depth": draw(st.integers(1, 5)),
        "per_group": draw(st.integers(1, 5)),
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "per_channel": draw(st.booleans()),
        "zero_points": draw(st.tuples(st.integers(-128, 127), st.integers(-128, 127))),
        # log2 of the factor from sum to output: up to a left shift of 8 bits, down to nothing left.
        "factor": draw(st.floats(-36, 7)),
        # Powers of two, so that sums lie exactly between two outputs.
        "halves": draw(st.booleans()),
    }


def model(case: dict[str, Any], *, depthwise: bool = False, bias: bool = True) -> bytes:
    rng = np.random.default_rng(case["seed"])
    groups = 1 if depthwise else case["groups"]
    ic = case["depth"] * groups
    oc = ic * case["per_group"] if depthwise else case["per_group"] * groups
    kernel, axis = ((1, *case["kernel"], oc), 3) if depthwise else ((oc, *case["kernel"], case["depth"]), 0)
    oh, ow = (
        out_size(*values, case["padding"])
        for values in zip(case["size"], case["kernel"], case["stride"], case["dilation"], strict=True)
    )
    scales = rng.uniform(0.5, 1.0, oc if case["per_channel"] else 1) * 2.0 ** case["factor"]
    if case["halves"]:
        scales = 2.0 ** np.floor(np.log2(scales))
    in_zp, out_zp = case["zero_points"]
    w = ModelWriter("conv")
    x = w.activation("x", (case["batch"], *case["size"], ic), 1.0, in_zp)
    k = w.constant("k", rng.integers(-128, 128, kernel).astype(np.int8), scales, axis=axis)
    b = w.constant("b", rng.integers(-(1 << 16), 1 << 16, oc).astype(np.int32), 1.0)
    y = w.activation("y", (case["batch"], oh, ow, oc), 1.0 if case["factor"] > -20 else 2.0**-10, out_zp)
    options = {name: case[name] for name in ("stride", "dilation", "padding", "activation")}
    if depthwise:
        w.operator("DEPTHWISE_CONV_2D", [x, k, b][: 2 + bias], [y], depth_multiplier=case["per_group"], **options)
    else:
        w.operator("CONV_2D", [x, k, b], [y], **options)
    return w.finish([x], [y])


@settings(max_examples=150)
@given(cases())
def test_conv_is_exact(case: dict[str, Any]) -> None:
    assert_exact(model(case), case["seed"])


@settings(max_examples=150)
@given(cases(), st.booleans())
def test_depthwise_is_exact(case: dict[str, Any], bias: bool) -> None:
    assert_exact(model(case, depthwise=True, bias=bias), case["seed"])


BASE: dict[str, Any] = {
    "seed": 1, "batch": 2, "size": (6, 5), "kernel": (3, 2), "stride": (2, 1), "dilation": (1, 2), "padding": "SAME",
    "groups": 2, "depth": 3, "per_group": 2, "activation": "NONE", "per_channel": True, "zero_points": (5, -9),
    "factor": -9.0, "halves": False,
}  # fmt: skip


@pytest.mark.parametrize("depthwise", [False, True])
def test_interior_only_and_border_only(depthwise: bool) -> None:
    assert_exact(model(BASE | {"padding": "VALID", "groups": 1, "dilation": (1, 1)}, depthwise=depthwise))
    assert_exact(model(BASE | {"size": (1, 1), "kernel": (3, 3), "dilation": (3, 3)}, depthwise=depthwise))


@pytest.mark.parametrize("depthwise", [False, True])
def test_extreme_values_do_not_overflow_the_accumulator_path(depthwise: bool) -> None:
    for value in (-128, 127):
        case = BASE | {"groups": 1, "depth": 64, "kernel": (3, 3), "dilation": (1, 1), "factor": -16.0}
        graph = parse(model(case, depthwise=depthwise), "x")
        shape = graph.tensors[graph.inputs[0]].shape
        assert_exact(model(case, depthwise=depthwise), inputs=[np.full(shape, value, np.int8)])


@pytest.mark.parametrize("depthwise", [False, True])
def test_work_of_boxes_adds_up(depthwise: bool) -> None:
    graph = parse(model(BASE, depthwise=depthwise), "x")
    record = lower(graph).jobs[0].record
    assert isinstance(record, Depthwise if depthwise else Conv)
    whole = record.work(record.extent().whole())
    parts = [record.work(box) for box in tiling(record.extent(), np.random.default_rng(3))]
    assert (sum(p.macs for p in parts), sum(p.outputs for p in parts)) == (whole.macs, whole.outputs)
    assert whole.outputs == graph.tensors[graph.outputs[0]].elements
    assert whole.macs == whole.outputs * 6 * (1 if depthwise else 3)
    assert record.work(Box(0, 1, 0, 1)).outputs == record.ow


def test_depthwise_of_one_channel_is_a_convolution() -> None:
    data = model(BASE | {"depth": 1, "per_group": 8, "kernel": (3, 3)}, depthwise=True)
    assert isinstance(lower(parse(data, "x")).jobs[0].record, Conv)
    assert_exact(data)


@pytest.mark.parametrize("size", [(12, 12), (2, 30)])
@pytest.mark.parametrize(("depth", "kernel"), [(1, (10, 4)), (16, (3, 3)), (17, (3, 3)), (64, (1, 1)), (40, (1, 5))])
def test_every_way_through_a_window(depth: int, kernel: tuple[int, int], size: tuple[int, int]) -> None:
    change = {"depth": depth, "kernel": kernel, "groups": 1, "size": size, "factor": -14.0}
    for per_group in (1, 2, 9, 64):
        for dilation in ((1, 1), (2, 1), (1, 2)):
            assert_exact(model(BASE | change | {"per_group": per_group, "dilation": dilation}))


@pytest.mark.parametrize("depthwise", [False, True])
def test_lying_records_do_no_harm(depthwise: bool) -> None:
    graph = parse(model(BASE, depthwise=depthwise), "x")
    assert_survives(build(graph, lower(graph)), seed=7)


@pytest.mark.parametrize("depthwise", [False, True])
def test_references_end_inside_their_memory(depthwise: bool) -> None:
    graph = parse(model(BASE, depthwise=depthwise), "x")
    data, weights, _, out = (graph.tensors[index].elements for index in range(4))
    channels = graph.tensors[3].shape[3]
    sizes = {"input": data, "weights": weights, "params": 16 * channels, "out": out}
    assert_bounds(graph, lower(graph), sizes)


@pytest.mark.parametrize("depthwise", [False, True])
def test_windows_that_leave_the_input_are_refused(depthwise: bool) -> None:
    graph = parse(model(BASE, depthwise=depthwise), "x")
    program = build(graph, lower(graph))
    for change in (
        {"pad_top": 3}, {"pad_top": -1}, {"stride_h": 5}, {"stride_w": 0}, {"dilation_w": 0}, {"dilation_h": 1 << 28},
        {"lo": -129}, {"hi": 128}, {"in_zp": 200}, {"out_zp": -200},
    ):  # fmt: skip
        assert_refused(program, **change)


def refused(change: dict[str, Any]) -> bytes:
    """A small convolution with something changed."""
    given_ = {
        "kind": "CONV_2D", "weights": np.ones((2, 3, 3, 2), np.int8), "scale": 0.1, "axis": 0, "zero": None,
        "bias": np.zeros(2, np.int32), "bias_zero": None, "out": (1, 4, 4, 2), "in": (1, 6, 6, 2), "options": {},
        "in_zero": 0, "computed": False, "dtype": "int8", "out_scale": 0.1,
    } | change  # fmt: skip
    w = ModelWriter("conv")
    x = w.activation("x", given_["in"], 0.1, given_["in_zero"])
    k = w.constant("k", given_["weights"], given_["scale"], given_["zero"], given_["axis"])
    inputs, ends = [x, k], [x]
    if given_["computed"]:
        inputs[1] = w.activation("k2", given_["weights"].shape, 0.1, 0)
        ends.append(inputs[1])
    if given_["bias"] is not None:
        inputs.append(w.constant("b", given_["bias"], 0.01, given_["bias_zero"]))
    y = w.activation("y", given_["out"], given_["out_scale"], 0, given_["dtype"])
    w.operator(given_["kind"], inputs, [y], **given_["options"])
    return w.finish(ends, [y])


DEPTHWISE = {"kind": "DEPTHWISE_CONV_2D", "weights": np.ones((1, 3, 3, 2), np.int8), "axis": 3}


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (MalformedModel, r"computes shape \[1, 4, 4, 2\]", {"out": (1, 6, 6, 2)}),
        (MalformedModel, "does not fit into 2", {"in": (1, 2, 6, 2), "out": (1, 1, 4, 2)}),
        (MalformedModel, "does not fit 3 input channels", {"in": (1, 6, 6, 3)}),
        (MalformedModel, "4 dimensions", {"in": (6, 6, 2)}),
        (MalformedModel, "4 dimensions", {"weights": np.ones((2, 18), np.int8)}),
        (MalformedModel, "stride height is 0", {"options": {"stride": (0, 1)}}),
        (MalformedModel, "dilation width is -1", {"options": {"dilation": (1, -1)}}),
        (MalformedModel, "2 inputs, it has 3", {"bias": None}),
        (MalformedModel, "must have 2 elements", {"bias": np.zeros(3, np.int32)}),
        (UnsupportedModel, "type int64 .*supported: int32", {"bias": np.zeros(2, np.int64)}),
        (UnsupportedModel, "int16; supported are int8", {"dtype": "int16"}),
        (UnsupportedModel, "type uint8 .*supported: int8", {"weights": np.ones((2, 3, 3, 2), np.uint8)}),
        (MalformedModel, "zero point is outside", {"bias_zero": 1}),
        (UnsupportedModel, "zero point are not supported here", {"zero": 3}),
        (MalformedModel, "along axis 0", {"scale": [0.1, 0.2], "axis": 3}),
        (UnsupportedModel, "computed are not supported", {"computed": True}),
        (UnsupportedModel, "activation TANH", {"options": {"activation": "TANH"}}),
        (UnsupportedModel, "left shift", {"scale": 1e15}),
        (MalformedModel, "does not lead from", DEPTHWISE | {"weights": np.ones((1, 3, 3, 3), np.int8)}),
        (MalformedModel, "along axis 2", DEPTHWISE | {"scale": [0.1, 0.2], "axis": 2}),
        (UnsupportedModel, "zero point are not supported here", DEPTHWISE | {"zero": 3}),
    ],
)
def test_refused(error: type[Exception], message: str, change: dict[str, Any]) -> None:
    with pytest.raises(error, match=message):
        lower(parse(refused(change), "bad"))


def test_not_refused_without_a_change() -> None:
    assert_exact(refused({}))
    assert_exact(refused(DEPTHWISE))
