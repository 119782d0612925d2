"""Small models for the corners of every operator: shapes, strides, paddings, scales and zero points that ordinary
models do not have. Written directly, without TensorFlow; run in the clone, with ai-edge-litert installed.
"""

from __future__ import annotations

import numpy as np

from model_zoo.recipes.builder import Builder


def conv_corners() -> None:
    """Odd kernels, strides larger than kernels, dilation, groups, every activation, left shifts, a single scale."""
    b = Builder("op_conv_corners", 101)
    x = b.input((1, 13, 11, 3), 0.031, 7)
    a = b.conv(x, 8, (5, 3), stride=(2, 1), activation="RELU", zero=-128)
    c = b.conv(a, 6, (3, 3), dilation=(2, 3), zero=11)
    d = b.conv(c, 12, (3, 2), groups=3, padding="VALID", activation="RELU6", zero=-100, scale=0.05)
    wide = b.conv(x, 5, (1, 1), stride=(3, 2), padding="VALID", per_channel=False, zero=127)
    y = b.input((1, 6, 9, 2), 0.002, -60)
    tall = b.conv(y, 4, (9, 7), stride=(5, 2), activation="RELU_N1_TO_1", zero=-3, scale=0.012)
    loud = b.conv(wide, 7, (2, 2), scale=b.scale[wide] / 3, zero=-128)
    b.finish([d, tall, loud])


def depthwise_corners() -> None:
    """Depth multipliers, one input channel, dilation, unequal strides, kernels larger than the picture."""
    b = Builder("op_depthwise_corners", 102)
    x = b.input((1, 9, 10, 4), 0.02, -128)
    a = b.depthwise(x, 1, (3, 3), stride=(2, 2), activation="RELU6", zero=-128)
    c = b.depthwise(a, 3, (2, 5), stride=(1, 2), zero=5)
    d = b.depthwise(c, 1, (3, 3), dilation=(2, 1), bias=False, zero=127)
    valid = b.depthwise(x, 2, (4, 3), padding="VALID", dilation=(1, 2), activation="RELU", zero=-20)
    y = b.input((2, 6, 5, 1), 0.02, 0)
    one = b.depthwise(y, 8, (7, 7), stride=(3, 3), zero=-1)
    b.finish([d, valid, one])


def fully_connected_corners() -> None:
    """Batches, kept dimensions, no bias, a scale per unit, a zero point in the weights."""
    b = Builder("op_fully_connected_corners", 103)
    x = b.input((3, 17), 0.1, -9)
    a = b.fully_connected(x, 12, activation="RELU", zero=-128)
    c = b.fully_connected(a, 5, bias=False, weight_zero=4, zero=30)
    d = b.fully_connected(a, 9, per_channel=True, zero=-7)
    y = b.input((1, 2, 3, 8), 0.004, 5)
    e = b.fully_connected(y, 1, keep=True, activation="RELU6", zero=-128)
    b.finish([c, d, e])


def pool_pad() -> None:
    """Windows over the edge, which average fewer values; activations; PAD on every axis; MEAN over several axes."""
    b = Builder("op_pool_pad", 104)
    x = b.input((1, 11, 7, 5), 0.05, 13)
    padded = b.move("PAD", [x, b.ints([[0, 0], [1, 2], [0, 3], [2, 0]])], (1, 14, 10, 7))
    mean_edge = b.pool("AVERAGE_POOL_2D", padded, (3, 5), (2, 2), "SAME", activation="RELU")
    mean_all = b.pool("AVERAGE_POOL_2D", x, (11, 7), (1, 1), "VALID")
    most = b.pool("MAX_POOL_2D", x, (2, 3), (1, 2), "SAME", activation="RELU6")
    most_valid = b.pool("MAX_POOL_2D", padded, (5, 2), (3, 1), "VALID")
    mean = b.tensor("mean", (1, 1, 1, 5), spread=b.spread[x] / 8, zero=-4)
    b.writer.operator("MEAN", [x, b.ints([1, 2])], [mean], keep_dims=True)
    across = b.tensor("mean", (1, 11, 7), spread=b.spread[x] / 2, zero=100)
    b.writer.operator("MEAN", [x, b.ints([-1])], [across], keep_dims=False)
    b.finish([mean_edge, mean_all, most, most_valid, mean, across])


def shape_moves() -> None:
    """Everything that moves values without changing them, on axes counted from both ends."""
    b = Builder("op_shape_moves", 105)
    x = b.input((1, 4, 6, 5), 0.07, -30)
    turned = b.move("TRANSPOSE", [x, b.ints([0, 3, 1, 2])], (1, 5, 4, 6))
    flat = b.move("RESHAPE", [turned, b.ints([5, 24])], (5, 24), new_shape=(5, 24))
    raised = b.move("EXPAND_DIMS", [flat, b.ints([-2])], (5, 1, 24))
    lowered = b.move("SQUEEZE", [raised], (5, 24), dims=(1,))
    thirds = [b.like("split", (5, 8), lowered) for _ in range(3)]
    b.writer.operator("SPLIT", [b.ints(1), lowered], thirds, num_splits=3)
    pieces = [b.like("split_v", (1, n, 6, 5), x) for n in (1, 2, 1)]
    b.writer.operator("SPLIT_V", [x, b.ints([1, -1, 1]), b.ints(1)], pieces, num_splits=3)
    packed = b.move("PACK", thirds, (5, 3, 8), values_count=3, axis=-2)
    rows = [b.like("unpack", (3, 8), packed) for _ in range(5)]
    b.writer.operator("UNPACK", [packed], rows, num=5, axis=0)
    joined = b.move("CONCATENATION", [rows[3], rows[0], rows[4]], (3, 24), axis=-1)
    sliced = b.move(
        "STRIDED_SLICE", [joined, b.ints([2, 3]), b.ints([-4, -2]), b.ints([-1, 4])], (3, 5), begin_mask=0, end_mask=1
    )
    row = b.move("STRIDED_SLICE", [x, b.ints([0, 3, 0, 1]), b.ints([1, 4, 6, 5]), b.ints([1, 1, 2, 3])], (1, 3, 2),
                 shrink_axis_mask=2)  # fmt: skip
    b.finish([sliced, row, pieces[1], rows[2]])


def elementwise() -> None:
    """Sums, differences and products of unlike scales, broadcast both ways, with constants, with activations."""
    b = Builder("op_elementwise", 106)
    x, y = b.input((1, 5, 4, 6), 0.03, 17), b.input((1, 5, 4, 6), 0.06, -128)
    row = b.input((1, 1, 1, 6), 0.011, 127)
    total = b.binary("ADD", x, y, activation="RELU", zero=-128)
    near = b.binary("SUB", x, row, zero=-5)
    far = b.binary("SUB", b.constant((1, 5, 4, 6), 0.09, 3), y, activation="RELU6", zero=-60, scale=0.034)
    product = b.binary("MUL", near, b.constant((6,), 0.004, -100), zero=50)
    square = b.binary("MUL", x, x, activation="RELU_N1_TO_1", zero=0, scale=0.0125)
    twice = b.binary("ADD", near, near, zero=1)
    b.finish([total, far, product, square, twice])


def activations() -> None:
    """Every function of one value, with output scales that differ from the input's."""
    b = Builder("op_activations", 107)
    x = b.input((1, 4, 4, 16), 0.05, 12)
    relu = b.unary("RELU", x, 0.026, -128)
    relu6 = b.unary("RELU6", x, 6 / 255, -128)
    leaky = b.unary("LEAKY_RELU", x, 0.04, -40, alpha=0.17)
    steep = b.unary("LEAKY_RELU", leaky, 0.11, 20, alpha=-1.5)
    swish = b.unary("HARD_SWISH", x, 0.028, -111)
    logistic = b.unary("LOGISTIC", x, 1 / 256, -128)
    tanh = b.unary("TANH", steep, 1 / 128, 0)
    rescaled = b.unary("QUANTIZE", swish, 0.03, 55)
    b.finish([relu, relu6, rescaled, logistic, tanh])


def softmax() -> None:
    """Softmax and its logarithm over one class, over many, over batches, sharp and flat."""
    b = Builder("op_softmax", 108)
    x = b.input((4, 33), 0.04, 20)
    plain = b.unary("SOFTMAX", x, 1 / 256, -128, beta=1.0)
    flat = b.unary("SOFTMAX", x, 1 / 256, -128, beta=0.25)
    log = b.unary("LOG_SOFTMAX", x, 16 / 256, 127)
    y = b.input((1, 3, 2, 2), 0.3, -90)
    sharp = b.unary("SOFTMAX", y, 1 / 256, -128, beta=1.0)
    b.finish([plain, flat, log, sharp])


def float_edges() -> None:
    """Floats in and out: QUANTIZE, rescaling, DEQUANTIZE, and softmaxes in float at the end."""
    b = Builder("op_float_edges", 109)
    x = b.writer.activation("x", (2, 12), dtype="float32")
    b.inputs.append(x)
    q = b.tensor("quantize", (2, 12), spread=0.037 * 73.9, scale=0.037, zero=-21)
    b.writer.operator("QUANTIZE", [x], [q])
    dense = b.fully_connected(q, 10, zero=9)
    rescaled = b.unary("QUANTIZE", dense, b.scale[dense] * 1.7, -3)
    logits = b.writer.activation("dequantize", (2, 10), dtype="float32")
    b.writer.operator("DEQUANTIZE", [rescaled], [logits])
    shares = b.writer.activation("softmax", (2, 10), dtype="float32")
    b.writer.operator("SOFTMAX", [logits], [shares], beta=1.0)
    logarithms = b.writer.activation("log_softmax", (2, 10), dtype="float32")
    b.writer.operator("LOG_SOFTMAX", [logits], [logarithms])
    back = b.writer.activation("dequantize_input", (2, 12), dtype="float32")
    b.writer.operator("DEQUANTIZE", [q], [back])
    b.finish([shares, logarithms, back])


def multi_io() -> None:
    """Three inputs, four outputs, one of them in the middle of the graph, one value read by many."""
    b = Builder("op_multi_io", 110)
    first, second = b.input((1, 8, 8, 3), 0.02, -7), b.input((1, 8, 8, 5), 0.08, 44)
    third = b.input((1, 10), 0.02, 0)
    left = b.conv(first, 4, (3, 3), activation="RELU", zero=-128)
    right = b.conv(second, 4, (1, 1), zero=3)
    both = b.binary("ADD", left, right, zero=-10)
    pooled = b.pool("AVERAGE_POOL_2D", both, (8, 8), (8, 8), "VALID")
    flat = b.move("RESHAPE", [pooled, b.ints([1, 4])], (1, 4), new_shape=(1, 4))
    joined = b.tensor("concatenation", (1, 4), spread=b.spread[flat], scale=b.scale[flat], zero=b.zero[flat])
    b.writer.operator("CONCATENATION", [flat], [joined], axis=1)
    gate = b.fully_connected(third, 4, zero=8)
    mixed = b.binary("MUL", joined, gate, zero=2)
    shares = b.unary("SOFTMAX", gate, 1 / 256, -128, beta=1.0)
    b.finish([mixed, left, shares, pooled])


def tiny() -> None:
    """One element at a time, and scales that are a million times apart."""
    b = Builder("op_tiny", 111)
    x = b.input((1, 1), 1e-4, 0)
    a = b.fully_connected(x, 1, zero=-12)
    coarse = b.unary("QUANTIZE", a, b.scale[a] * 20, 1)
    y = b.input((1, 1, 1, 1), 250.0, -1)
    c = b.conv(y, 1, (1, 1))
    d = b.depthwise(c, 1, (3, 3), zero=3)
    e = b.binary("ADD", c, b.constant((1,), 1e-3, 0), zero=0)
    b.finish([coarse, d, e])


MODELS = (
    conv_corners, depthwise_corners, fully_connected_corners, pool_pad, shape_moves, elementwise, activations,
    softmax, float_edges, multi_io, tiny,
)  # fmt: skip

if __name__ == "__main__":
    np.seterr(all="raise")
    for make in MODELS:
        make()
