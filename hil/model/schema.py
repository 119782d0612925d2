"""Names and numbers of the `.tflite` schema, version 3 (tensorflow/compiler/mlir/lite/schema/schema.fbs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from hil.model.graph import Activation, Dtype

IDENTIFIER = b"TFL3"
VERSION = 3

# Enum BuiltinOperator, in the order of its numbers from 0.
_OPERATORS = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
    FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC
    LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH
    SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN
    GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM
    STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM
    CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN
    TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT
    REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY
    SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS
    SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE
    MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2
    DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D
    IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE
    VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM
    MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX
    UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC
    STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP
    STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL
    STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR
    STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER
    STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE
    STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA
    STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER
    STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT
    STABLEHLO_CBRT STABLEHLO_CASE
"""
BUILTIN_OPERATORS: tuple[str, ...] = tuple(_OPERATORS.split())
CUSTOM = BUILTIN_OPERATORS.index("CUSTOM")

# Enum TensorType, in the order of its numbers, of which those in `ELEMENT_BYTES` are read.
_TYPES = """
    float32 float16 int32 uint8 int64 string bool int16 complex64 int8 float64 complex128 uint64 resource variant
    uint32 uint16 int4 bfloat16
"""
TENSOR_TYPES: tuple[str, ...] = tuple(_TYPES.split())
ELEMENT_BYTES: Mapping[Dtype, int] = {
    "float32": 4,
    "float16": 2,
    "int32": 4,
    "uint8": 1,
    "int64": 8,
    "bool": 1,
    "int16": 2,
    "int8": 1,
}
INTEGERS: tuple[Dtype, ...] = ("int8", "uint8", "int16", "int32", "int64")
# Zero points that a type can hold; the wider integer types are symmetric (TFLite's quantisation specification).
ZERO_POINTS: Mapping[Dtype, tuple[int, int]] = {"int8": (-128, 127), "uint8": (0, 255)}

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
Union = Literal[
    "Conv2DOptions", "DepthwiseConv2DOptions", "Pool2DOptions", "FullyConnectedOptions", "SoftmaxOptions",
    "ConcatenationOptions", "AddOptions", "ReshapeOptions", "MulOptions", "ReducerOptions", "SubOptions",
    "SqueezeOptions", "StridedSliceOptions", "SplitOptions", "PackOptions", "UnpackOptions", "LeakyReluOptions",
    "SplitVOptions",
]  # fmt: skip
# Enum BuiltinOptions: the numbers of the tables that are read.
UNION_NUMBERS: Mapping[Union, int] = {
    "Conv2DOptions": 1,
    "DepthwiseConv2DOptions": 2,
    "Pool2DOptions": 5,
    "FullyConnectedOptions": 8,
    "SoftmaxOptions": 9,
    "ConcatenationOptions": 10,
    "AddOptions": 11,
    "ReshapeOptions": 17,
    "MulOptions": 21,
    "ReducerOptions": 27,
    "SubOptions": 28,
    "SqueezeOptions": 30,
    "StridedSliceOptions": 32,
    "SplitOptions": 35,
    "PackOptions": 59,
    "UnpackOptions": 64,
    "LeakyReluOptions": 75,
    "SplitVOptions": 79,
}


@dataclass(frozen=True)
class Kind:
    """What a sound operator of one kind looks like in a file.

    `inputs` and `outputs` are the least and the most; None is any number. `optional` is the one input that may be
    absent (-1). `versions` is the newest version that LiteRT 1.2.0's reference kernels register (tried one by one).
    """

    versions: int
    inputs: tuple[int, int | None]
    union: Union | None = None
    outputs: tuple[int, int | None] = (1, 1)
    optional: int | None = None


_ONE, _TWO, _SOME = (1, 1), (2, 2), (1, None)

# The operators whose options are read. Which shapes and types of them the engine runs is the plan's business.
KINDS: Mapping[str, Kind] = {
    "ADD": Kind(5, _TWO, "AddOptions"),
    "AVERAGE_POOL_2D": Kind(3, _ONE, "Pool2DOptions"),
    "CONCATENATION": Kind(3, _SOME, "ConcatenationOptions"),
    "CONV_2D": Kind(8, (3, 3), "Conv2DOptions"),
    "DEPTHWISE_CONV_2D": Kind(6, (2, 3), "DepthwiseConv2DOptions"),
    "DEQUANTIZE": Kind(4, _ONE),
    "EXPAND_DIMS": Kind(1, _TWO),
    "FULLY_CONNECTED": Kind(11, (2, 3), "FullyConnectedOptions", optional=2),
    "HARD_SWISH": Kind(1, _ONE),
    "LEAKY_RELU": Kind(2, _ONE, "LeakyReluOptions"),
    "LOGISTIC": Kind(3, _ONE),
    "LOG_SOFTMAX": Kind(2, _ONE),
    "MAX_POOL_2D": Kind(3, _ONE, "Pool2DOptions"),
    "MEAN": Kind(3, _TWO, "ReducerOptions"),
    "MUL": Kind(7, _TWO, "MulOptions"),
    "PACK": Kind(3, _SOME, "PackOptions"),
    "PAD": Kind(4, _TWO),
    "QUANTIZE": Kind(2, _ONE),
    "RELU": Kind(3, _ONE),
    "RELU6": Kind(3, _ONE),
    "RESHAPE": Kind(1, (1, 2), "ReshapeOptions"),
    "SOFTMAX": Kind(3, _ONE, "SoftmaxOptions"),
    "SPLIT": Kind(4, _TWO, "SplitOptions", outputs=_SOME),
    "SPLIT_V": Kind(2, (3, 3), "SplitVOptions", outputs=_SOME),
    "SQUEEZE": Kind(1, _ONE, "SqueezeOptions"),
    "STRIDED_SLICE": Kind(4, (4, 4), "StridedSliceOptions"),
    "SUB": Kind(5, _TWO, "SubOptions"),
    "TANH": Kind(3, _ONE),
    "TRANSPOSE": Kind(5, _TWO),
    "UNPACK": Kind(4, _ONE, "UnpackOptions", outputs=_SOME),
}
