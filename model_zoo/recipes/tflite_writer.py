"""Writes small `.tflite` files for recipes and tests, without TensorFlow: every operator and option of the engine.

    w = ModelWriter("tiny")
    x = w.activation("x", (1, 8, 8, 2), scale=0.05, zero_point=3)
    k = w.constant("k", np.ones((4, 3, 3, 2), np.int8), scale=[0.01, 0.02, 0.03, 0.04])
    b = w.constant("b", np.zeros(4, np.int32), scale=[0.0005, 0.001, 0.0015, 0.002])
    y = w.activation("y", (1, 8, 8, 4), scale=0.08, zero_point=-5)
    w.operator("CONV_2D", [x, k, b], [y], padding="SAME", stride=(1, 1), activation="RELU")
    data = w.finish([x], [y])

Options carry the names of the fields of the option classes in `hil.model.graph`: pairs are (height, width), enums are
the schema's names, and an option that is not given is the schema's useful default (stride 1, dilation 1, VALID, NONE).
An unknown option name is a TypeError, so that a misspelt one does not test something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

TYPES: Mapping[str, int] = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "uint8": schema.TensorType.UINT8,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
    "int16": schema.TensorType.INT16,
    "int8": schema.TensorType.INT8,
}

Numbers = float | Sequence[float] | npt.NDArray[Any]
Integers = int | Sequence[int] | npt.NDArray[Any]


def _enum(names: type, value: str | int) -> int:
    """An enum's number; a plain int passes, so that tests can write values that the schema does not have."""
    return value if isinstance(value, int) else int(getattr(names, value))


def _window(options: Any, given: dict[str, Any]) -> None:
    options.padding = _enum(schema.Padding, given.pop("padding", "VALID"))
    options.strideH, options.strideW = given.pop("stride", (1, 1))


def _dilation(options: Any, given: dict[str, Any]) -> None:
    options.dilationHFactor, options.dilationWFactor = given.pop("dilation", (1, 1))


def _activation(options: Any, given: dict[str, Any]) -> None:
    options.fusedActivationFunction = _enum(schema.ActivationFunctionType, given.pop("activation", "NONE"))


def _conv(given: dict[str, Any]) -> Any:
    options = schema.Conv2DOptionsT()
    _window(options, given)
    _dilation(options, given)
    _activation(options, given)
    return options


def _depthwise(given: dict[str, Any]) -> Any:
    options = schema.DepthwiseConv2DOptionsT()
    _window(options, given)
    _dilation(options, given)
    _activation(options, given)
    options.depthMultiplier = given.pop("depth_multiplier", 1)
    return options


def _pool(given: dict[str, Any]) -> Any:
    options = schema.Pool2DOptionsT()
    _window(options, given)
    _activation(options, given)
    options.filterHeight, options.filterWidth = given.pop("filter", (1, 1))
    return options


def _fully_connected(given: dict[str, Any]) -> Any:
    options = schema.FullyConnectedOptionsT()
    _activation(options, given)
    options.keepNumDims = given.pop("keep_num_dims", False)
    options.weightsFormat = given.pop("weights_format", 0)
    options.asymmetricQuantizeInputs = given.pop("asymmetric_quantize_inputs", False)
    return options


def _fused(make: Callable[[], Any]) -> Callable[[dict[str, Any]], Any]:
    def build(given: dict[str, Any]) -> Any:
        options = make()
        _activation(options, given)
        return options

    return build


def _softmax(given: dict[str, Any]) -> Any:
    options = schema.SoftmaxOptionsT()
    options.beta = given.pop("beta", 1.0)
    return options


def _concatenation(given: dict[str, Any]) -> Any:
    options = schema.ConcatenationOptionsT()
    options.axis = given.pop("axis", 0)
    _activation(options, given)
    return options


def _reducer(given: dict[str, Any]) -> Any:
    options = schema.ReducerOptionsT()
    options.keepDims = given.pop("keep_dims", False)
    return options


def _split(make: Callable[[], Any]) -> Callable[[dict[str, Any]], Any]:
    def build(given: dict[str, Any]) -> Any:
        options = make()
        options.numSplits = given.pop("num_splits")
        return options

    return build


def _strided_slice(given: dict[str, Any]) -> Any:
    options = schema.StridedSliceOptionsT()
    options.beginMask = given.pop("begin_mask", 0)
    options.endMask = given.pop("end_mask", 0)
    options.ellipsisMask = given.pop("ellipsis_mask", 0)
    options.newAxisMask = given.pop("new_axis_mask", 0)
    options.shrinkAxisMask = given.pop("shrink_axis_mask", 0)
    options.offset = given.pop("offset", False)
    return options


def _pack(given: dict[str, Any]) -> Any:
    options = schema.PackOptionsT()
    options.valuesCount = given.pop("values_count")
    options.axis = given.pop("axis", 0)
    return options


def _unpack(given: dict[str, Any]) -> Any:
    options = schema.UnpackOptionsT()
    options.num = given.pop("num")
    options.axis = given.pop("axis", 0)
    return options


def _leaky_relu(given: dict[str, Any]) -> Any:
    options = schema.LeakyReluOptionsT()
    options.alpha = given.pop("alpha")
    return options


def _reshape(given: dict[str, Any]) -> Any:
    options = schema.ReshapeOptionsT()
    new_shape = given.pop("new_shape", None)
    options.newShape = None if new_shape is None else list(new_shape)
    return options


def _squeeze(given: dict[str, Any]) -> Any:
    options = schema.SqueezeOptionsT()
    options.squeezeDims = list(given.pop("dims", ()))
    return options


def _plain(make: Callable[[], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda _given: make()


# kind -> (version that the converter writes for int8, name in the options union or "", builder)
OPERATORS: Mapping[str, tuple[int, str, Callable[[dict[str, Any]], Any] | None]] = {
    "CONV_2D": (3, "Conv2DOptions", _conv),
    "DEPTHWISE_CONV_2D": (3, "DepthwiseConv2DOptions", _depthwise),
    "FULLY_CONNECTED": (4, "FullyConnectedOptions", _fully_connected),
    "ADD": (2, "AddOptions", _fused(schema.AddOptionsT)),
    "MUL": (2, "MulOptions", _fused(schema.MulOptionsT)),
    "SUB": (2, "SubOptions", _fused(schema.SubOptionsT)),
    "AVERAGE_POOL_2D": (2, "Pool2DOptions", _pool),
    "MAX_POOL_2D": (2, "Pool2DOptions", _pool),
    "MEAN": (2, "ReducerOptions", _reducer),
    "PAD": (2, "PadOptions", _plain(schema.PadOptionsT)),
    "RESHAPE": (1, "ReshapeOptions", _reshape),
    "SQUEEZE": (1, "SqueezeOptions", _squeeze),
    "EXPAND_DIMS": (1, "ExpandDimsOptions", _plain(schema.ExpandDimsOptionsT)),
    "TRANSPOSE": (2, "TransposeOptions", _plain(schema.TransposeOptionsT)),
    "CONCATENATION": (2, "ConcatenationOptions", _concatenation),
    "SPLIT": (2, "SplitOptions", _split(schema.SplitOptionsT)),
    "SPLIT_V": (2, "SplitVOptions", _split(schema.SplitVOptionsT)),
    "STRIDED_SLICE": (2, "StridedSliceOptions", _strided_slice),
    "PACK": (2, "PackOptions", _pack),
    "UNPACK": (2, "UnpackOptions", _unpack),
    "SOFTMAX": (2, "SoftmaxOptions", _softmax),
    "LOG_SOFTMAX": (2, "LogSoftmaxOptions", _plain(schema.LogSoftmaxOptionsT)),
    "LOGISTIC": (2, "", None),
    "TANH": (2, "", None),
    "RELU": (2, "", None),
    "RELU6": (2, "", None),
    "LEAKY_RELU": (2, "LeakyReluOptions", _leaky_relu),
    "HARD_SWISH": (1, "HardSwishOptions", _plain(schema.HardSwishOptionsT)),
    "QUANTIZE": (2, "QuantizeOptions", _plain(schema.QuantizeOptionsT)),
    "DEQUANTIZE": (2, "DequantizeOptions", _plain(schema.DequantizeOptionsT)),
}


class _Data(schema.BufferT):  # type: ignore[misc]
    """A buffer whose bytes start at a multiple of 16, as the schema asks (`force_align: 16`)."""

    def Pack(self, builder: Any) -> Any:  # noqa: N802 (the object API's name)
        where = None
        if self.data is not None:
            raw = bytes(self.data)
            builder.StartVector(1, len(raw), 16)
            builder.head -= len(raw)
            builder.Bytes[builder.head : builder.head + len(raw)] = raw
            where = builder.EndVector()
        schema.BufferStart(builder)
        if where is not None:
            schema.BufferAddData(builder, where)
        return schema.BufferEnd(builder)


class ModelWriter:
    """One model with one subgraph; tensors are named by the index that `activation` and `constant` return."""

    def __init__(self, name: str = "test") -> None:
        self.model = schema.ModelT()
        self.graph = schema.SubGraphT()
        self.model.version = 3
        self.model.description = name
        self.model.operatorCodes = []
        self.model.buffers = [_Data()]  # buffer 0 is the empty one, by convention
        self.model.subgraphs = [self.graph]
        self.graph.name = "main"
        self.graph.tensors = []
        self.graph.operators = []
        self._codes: dict[tuple[int, int], int] = {}

    def activation(
        self,
        name: str,
        shape: Sequence[int],
        scale: Numbers | None = None,
        zero_point: Integers | None = None,
        dtype: str = "int8",
    ) -> int:
        """A tensor without data: a graph input, or made by an operator. Without `scale` it is not quantised."""
        return self._tensor(name, shape, dtype, buffer=0, scale=scale, zero_point=zero_point)

    def constant(
        self,
        name: str,
        array: npt.NDArray[Any],
        scale: Numbers | None = None,
        zero_point: Integers | None = None,
        axis: int = 0,
    ) -> int:
        """A tensor with data; a sequence of scales makes it per-channel along `axis`."""
        data = _Data()
        data.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self.model.buffers.append(data)
        last = len(self.model.buffers) - 1
        return self._tensor(
            name, array.shape, array.dtype.name, buffer=last, scale=scale, zero_point=zero_point, axis=axis
        )

    def operator(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int], *, version: int | None = None, **options: Any
    ) -> None:
        """One operator, after those before it. An input of -1 is an absent optional one."""
        usual, union, build = OPERATORS[kind]
        entry = schema.OperatorT()
        entry.opcodeIndex = self._code(kind, usual if version is None else version)
        entry.inputs, entry.outputs = list(inputs), list(outputs)
        if build is not None:
            entry.builtinOptionsType = getattr(schema.BuiltinOptions, union)
            entry.builtinOptions = build(options)
        if options:
            raise TypeError(f"{kind} has no option {', '.join(sorted(options))}")
        self.graph.operators.append(entry)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file's bytes; the same calls give the same bytes."""
        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _code(self, kind: str, version: int) -> int:
        number = int(getattr(schema.BuiltinOperator, kind))
        if (number, version) not in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
            self.model.operatorCodes.append(code)
            self._codes[number, version] = len(self.model.operatorCodes) - 1
        return self._codes[number, version]

    def _tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        *,
        buffer: int,
        scale: Numbers | None,
        zero_point: Integers | None,
        axis: int = 0,
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, [int(n) for n in shape], TYPES[dtype], buffer
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            zeros = np.broadcast_to(np.asarray(0 if zero_point is None else zero_point, np.int64), scales.shape)
            quantisation = schema.QuantizationParametersT()
            quantisation.scale = [float(value) for value in scales]
            quantisation.zeroPoint = [int(value) for value in zeros]
            quantisation.quantizedDimension = axis
            tensor.quantization = quantisation
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1
