"""From an operator's options table to the typed options of `hil.model.graph`.

Slots and defaults are those of the schema. An absent table reads as a table of defaults; where those make no sense
(a stride of 0) the file is malformed. Enum values that the schema does not have are refused, because TFLite takes
them silently for something else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hil.errors import MalformedModel, UnsupportedModel
from hil.model import graph
from hil.model.flatbuffer import Table
from hil.model.schema import ACTIVATIONS

# TFLite reads at most this many dimensions from ReshapeOptions and SqueezeOptions.
_MAX_DIMS = 8


@dataclass(frozen=True)
class Fields:
    """The fields of one options table, or their defaults where the operator has no table."""

    table: Table | None
    what: str

    def i32(self, slot: int, default: int = 0) -> int:
        return default if self.table is None else self.table.i32(slot, default)

    def f32(self, slot: int) -> float:
        value = 0.0 if self.table is None else self.table.f32(slot)
        if not math.isfinite(value):
            raise MalformedModel(f"{self.what}: option number {slot} is {value}")
        return value

    def flag(self, slot: int) -> bool:
        return False if self.table is None else self.table.flag(slot)

    def dims(self, slot: int, what: str) -> tuple[int, ...] | None:
        values = None if self.table is None else self.table.i32s(slot, what)
        if values is not None and len(values) > _MAX_DIMS:
            raise UnsupportedModel(f"{self.what}: {what} of {len(values)} dimensions; up to {_MAX_DIMS} are supported")
        return values

    def positive(self, slot: int, what: str, default: int = 0) -> int:
        value = self.i32(slot, default)
        if value < 1:
            raise MalformedModel(f"{self.what}: {what} is {value}, it must be at least 1")
        return value

    def pair(self, height: int, width: int, what: str, default: int = 0) -> tuple[int, int]:
        """Two fields by slot, as (height, width)."""
        return self.positive(height, f"{what} height", default), self.positive(width, f"{what} width", default)

    def padding(self, slot: int) -> graph.Padding:
        value = 0 if self.table is None else self.table.i8(slot)
        if value == 0:
            return "SAME"
        if value == 1:
            return "VALID"
        raise MalformedModel(f"{self.what}: padding {value} is not in the schema (0 SAME, 1 VALID)")

    def activation(self, slot: int) -> graph.Activation:
        value = 0 if self.table is None else self.table.i8(slot)
        if not 0 <= value < len(ACTIVATIONS):
            raise MalformedModel(f"{self.what}: fused activation {value} is not in the schema (0 to 5)")
        return ACTIVATIONS[value]

    def bias_type(self, slot: int) -> None:
        """Refuse biases other than int32 (TensorType 2; 0 stands for "not said")."""
        value = 0 if self.table is None else self.table.i8(slot)
        if value not in (0, 2):
            raise UnsupportedModel(f"{self.what}: quantised bias type {value}; int32 biases are supported")

    def mask(self, slot: int) -> int:
        value = self.i32(slot)
        if not 0 <= value < 1 << _MAX_DIMS:
            raise MalformedModel(f"{self.what}: mask {value} (option number {slot}) names dimensions that do not exist")
        return value


def _conv(f: Fields) -> graph.Conv2D:
    f.bias_type(6)
    return graph.Conv2D(
        padding=f.padding(0),
        stride=f.pair(2, 1, "stride"),
        activation=f.activation(3),
        dilation=f.pair(5, 4, "dilation", 1),
    )


def _depthwise(f: Fields) -> graph.DepthwiseConv2D:
    return graph.DepthwiseConv2D(
        padding=f.padding(0),
        stride=f.pair(2, 1, "stride"),
        depth_multiplier=f.positive(3, "depth multiplier"),
        activation=f.activation(4),
        dilation=f.pair(6, 5, "dilation", 1),
    )


def _fully_connected(f: Fields) -> graph.FullyConnected:
    layout = 0 if f.table is None else f.table.i8(1)
    if layout not in (0, 1):
        raise MalformedModel(f"{f.what}: weights format {layout} is not in the schema (0 or 1)")
    f.bias_type(4)
    return graph.FullyConnected(
        activation=f.activation(0), weights_format=layout, keep_num_dims=f.flag(2), asymmetric_quantize_inputs=f.flag(3)
    )


def _pool(f: Fields) -> graph.Pool2D:
    return graph.Pool2D(
        padding=f.padding(0), stride=f.pair(2, 1, "stride"), filter=f.pair(4, 3, "filter"), activation=f.activation(5)
    )


def _elementwise(f: Fields) -> graph.Elementwise:
    return graph.Elementwise(activation=f.activation(0))


def _strided_slice(f: Fields) -> graph.StridedSlice:
    return graph.StridedSlice(
        begin_mask=f.mask(0),
        end_mask=f.mask(1),
        ellipsis_mask=f.mask(2),
        new_axis_mask=f.mask(3),
        shrink_axis_mask=f.mask(4),
        offset=f.flag(5),
    )


_READERS: Mapping[str, Callable[[Fields], graph.Options]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    "ADD": _elementwise,
    "SUB": _elementwise,
    "MUL": _elementwise,
    "SOFTMAX": lambda f: graph.Softmax(beta=f.f32(0)),
    "CONCATENATION": lambda f: graph.Concatenation(axis=f.i32(0), activation=f.activation(1)),
    "MEAN": lambda f: graph.Reducer(keep_dims=f.flag(0)),
    "SPLIT": lambda f: graph.Split(num_splits=f.positive(0, "number of splits")),
    "SPLIT_V": lambda f: graph.Split(num_splits=f.positive(0, "number of splits")),
    "STRIDED_SLICE": _strided_slice,
    "PACK": lambda f: graph.Pack(values_count=f.positive(0, "number of values"), axis=f.i32(1)),
    "UNPACK": lambda f: graph.Unpack(num=f.positive(0, "number of values"), axis=f.i32(1)),
    "LEAKY_RELU": lambda f: graph.LeakyRelu(alpha=f.f32(0)),
    "RESHAPE": lambda f: graph.Reshape(new_shape=f.dims(0, "new shape")),
    "SQUEEZE": lambda f: graph.Squeeze(dims=f.dims(0, "squeeze dimensions") or ()),
}


def read_options(kind: str, table: Table | None, what: str) -> graph.Options:
    """The typed options of an operator of `kind`; `table` is its options table, None where it has none."""
    reader = _READERS.get(kind)
    return graph.NoOptions() if reader is None else reader(Fields(table, what))
