"""From a `.tflite` file to a checked graph.

What TFLite would take silently for something else is refused here: a file that this module accepts means to TFLite
exactly what the graph says, except for shapes and types that TFLite infers, which the plan checks operator by
operator. Nothing in the file is believed: `MalformedModel` for what contradicts itself, `UnsupportedModel` for what
is sound but not run here.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from hil.errors import HilError, MalformedModel, UnsupportedModel, UsageError
from hil.model import schema
from hil.model.flatbuffer import Reader, Table
from hil.model.graph import Dtype, Graph, Operator, Quantisation, Tensor
from hil.model.options import read_options
from hil.model.soundness import check_graph

MAX_FILE_BYTES = 64 << 20
MAX_TENSORS = 1 << 16
MAX_OPERATORS = 1 << 14
MAX_RANK = 8
MAX_ELEMENTS = 1 << 28

_AXIS = 6  # slot of QuantizationParameters.quantized_dimension


def load(path: Path) -> Graph:
    """The graph of the file at `path`, named by the file's stem."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"model {path}: not a file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnsupportedModel(f"model {path}: {path.stat().st_size} bytes; up to {MAX_FILE_BYTES} are read")
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"model {path}: no such file") from None
    except OSError as error:
        raise UsageError(f"model {path}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # a path with a NUL in it
        raise UsageError(f"model {str(path)!r}: {error}") from None
    return parse(data, path.stem)


def parse(data: bytes, name: str) -> Graph:
    """The graph of a model's bytes; `name` is what messages and reports call it."""
    try:
        return _parse(data, name)
    except HilError as error:
        raise type(error)(f"model {name}: {error.message}", hint=error.hint) from None


def _parse(data: bytes, name: str) -> Graph:
    if len(data) < 12 or data[4:8] != schema.IDENTIFIER:
        raise MalformedModel(f"not a .tflite file: {len(data)} bytes without the identifier TFL3 at byte 4")
    if len(data) > MAX_FILE_BYTES:
        raise UnsupportedModel(f"{len(data)} bytes; up to {MAX_FILE_BYTES} are read")
    model = Reader(data).root()
    if (version := model.u32(0)) != schema.VERSION:
        raise MalformedModel(f"schema version {version}; version {schema.VERSION} is supported")
    subgraphs = model.children(2, "subgraph", 1 << 10)
    if len(subgraphs) != 1:
        raise UnsupportedModel(f"{len(subgraphs)} subgraphs; exactly one is supported")
    main = subgraphs[0]
    main.text(4, "name")
    buffers = _buffers(model)
    tables = main.children(0, "tensor", MAX_TENSORS)
    tensors = tuple(_tensor(k, table, buffers, data) for k, table in enumerate(tables))
    codes = tuple(_code(table) for table in model.children(1, "operator code", MAX_OPERATORS))
    operators = tuple(
        _operator(k, table, codes, tensors) for k, table in enumerate(main.children(3, "operator", MAX_OPERATORS))
    )
    inputs = _indices(main, 1, "graph inputs", len(tensors))
    outputs = _indices(main, 2, "graph outputs", len(tensors))
    _check_extras(model, len(buffers), len(tensors))
    graph = Graph(name, hashlib.sha256(data).hexdigest(), tensors, operators, inputs, outputs, data)
    check_graph(graph)
    return graph


@dataclass(frozen=True)
class _Buffer:
    """Where a constant's bytes are in the file; a count of 0 is an activation's buffer."""

    start: int
    count: int


def _buffers(model: Table) -> tuple[_Buffer, ...]:
    found = []
    for table in model.children(4, "buffer", 2 * MAX_TENSORS):
        # Slots 1 and 2: data after the flatbuffer, for files above 2 GB.
        if table.u64(1) > 1 or table.u64(2) > 1:
            raise UnsupportedModel(f"{table.what}: its data is outside the flatbuffer; only data inside is supported")
        span = table.span(0, "data") or (0, 0)
        found.append(_Buffer(*span))
    if not found:
        raise MalformedModel("no buffers")
    # Buffer 0 means "no data" to TFLite, whatever it holds.
    return (_Buffer(0, 0), *found[1:])


def _tensor(index: int, table: Table, buffers: tuple[_Buffer, ...], data: bytes) -> Tensor:
    name = table.text(3, "name") or ""
    what = f"tensor {index} '{name}'"
    number = table.i8(1)
    if not 0 <= number < len(schema.TENSOR_TYPES):
        raise MalformedModel(f"{what}: type {number} is not in the schema")
    type_name = schema.TENSOR_TYPES[number]
    dtype = cast(Dtype, type_name if type_name in schema.ELEMENT_BYTES or type_name == "int4" else "other")
    shape = table.i32s(0, "shape") or ()
    table.i32s(7, "shape signature")
    if len(shape) > MAX_RANK:
        raise UnsupportedModel(f"{what}: {len(shape)} dimensions; up to {MAX_RANK} are supported")
    if any(n < 1 for n in shape):
        raise UnsupportedModel(f"{what}: shape {shape}; only fixed dimensions of at least 1 are supported")
    if math.prod(shape) >= MAX_ELEMENTS:
        raise UnsupportedModel(
            f"{what}: shape {shape} has {math.prod(shape)} elements; fewer than {MAX_ELEMENTS} can be"
        )
    if table.flag(5):
        raise UnsupportedModel(f"{what}: a variable tensor; only stateless models are supported")
    if table.child(6, "sparsity") is not None:
        raise UnsupportedModel(f"{what}: a sparse tensor; only dense ones are supported")
    buffer = table.u32(2)
    if buffer >= len(buffers):
        raise MalformedModel(f"{what}: buffer {buffer} of {len(buffers)}")
    value = _value(what, dtype, shape, buffers[buffer], data)
    return Tensor(index, name, shape, dtype, _quantisation(table, what, dtype, shape), value)


def _value(
    what: str, dtype: Dtype, shape: tuple[int, ...], buffer: _Buffer, data: bytes
) -> npt.NDArray[np.generic] | None:
    """The constant's value, read-only; None for an activation, and for types that are not read."""
    if buffer.count == 0:
        return None
    if dtype not in schema.ELEMENT_BYTES:
        return None
    needed = math.prod(shape) * schema.ELEMENT_BYTES[dtype]
    if buffer.count != needed:
        raise MalformedModel(f"{what}: {dtype} of shape {shape} needs {needed} bytes, its buffer has {buffer.count}")
    array = np.frombuffer(data, np.dtype(dtype).newbyteorder("<"), math.prod(shape), buffer.start)
    array = np.require(array.reshape(shape), requirements="A")
    array.setflags(write=False)
    return array


def _quantisation(table: Table, what: str, dtype: Dtype, shape: tuple[int, ...]) -> Quantisation | None:
    """The tensor's quantisation. TFLite ignores `min` and `max` at run time, and so does this."""
    entry = table.child(4, f"{what}: quantisation")
    if entry is None:
        return None
    entry.f32s(0, "min")
    entry.f32s(1, "max")
    if entry.u8(4) != 0:
        raise UnsupportedModel(f"{what}: custom or block-wise quantisation; affine is supported")
    scale, zero_point = entry.f32s(2, "scale"), entry.i64s(3, "zero point")
    if not scale:
        return None
    if zero_point is None or len(zero_point) != len(scale):
        raise MalformedModel(f"{what}: {len(scale)} scales but {len(zero_point or ())} zero points")
    if not all(math.isfinite(s) and s > 0 for s in scale):
        raise MalformedModel(f"{what}: a scale is not a finite number above zero")
    low, high = schema.ZERO_POINTS.get(dtype, (0, 0))
    if dtype in schema.INTEGERS and not all(low <= z <= high for z in zero_point):
        raise MalformedModel(f"{what}: a zero point is outside {low} to {high}, which {dtype} can have")
    axis = entry.i32(_AXIS)
    if axis < 0 or (axis >= len(shape) > 1):
        raise MalformedModel(f"{what}: its scales are along axis {axis} of shape {shape}")
    if len(shape) <= 1:  # see `for_reference`
        axis = 0
    if len(scale) > 1 and (not shape or shape[axis] != len(scale)):
        raise MalformedModel(f"{what}: {len(scale)} scales along axis {axis} of shape {shape}")
    return Quantisation(scale, zero_point, axis)


@dataclass(frozen=True)
class _Code:
    kind: str
    version: int


def _code(table: Table) -> _Code:
    """An operator code; the kind is the larger of the old and the new field, as TFLite takes it."""
    number = max(table.i8(0), table.i32(3))
    if not 0 <= number < len(schema.BUILTIN_OPERATORS):
        raise UnsupportedModel(
            f"{table.what}: builtin operator {number}; the schema's first {len(schema.BUILTIN_OPERATORS)} are known"
        )
    if number == schema.CUSTOM:
        return _Code(f"CUSTOM '{table.text(1, 'custom code') or ''}'", 1)
    return _Code(schema.BUILTIN_OPERATORS[number], table.i32(2, 1))


def _operator(index: int, table: Table, codes: tuple[_Code, ...], tensors: tuple[Tensor, ...]) -> Operator:
    number = table.u32(0)
    if number >= len(codes):
        raise MalformedModel(f"operator {index}: operator code {number} of {len(codes)}")
    code = codes[number]
    what = f"operator {index} {code.kind}"
    inputs = _indices(table, 1, f"{what}: inputs", len(tensors), absent=True)
    outputs = _indices(table, 2, f"{what}: outputs", len(tensors))
    kind = schema.KINDS.get(code.kind)
    if kind is None:
        on = f" on {tensors[inputs[0]]}" if inputs and inputs[0] >= 0 else ""
        raise UnsupportedModel(f"{what}{on}: not supported; supported are {', '.join(sorted(schema.KINDS))}")
    if not 1 <= code.version <= kind.versions:
        raise UnsupportedModel(f"{what}: version {code.version}; versions 1 to {kind.versions} are supported")
    _check_arity(what, kind, inputs, outputs)
    # Nothing here reads these, but TFLite checks that they lie inside the file.
    table.span(5, "custom options")
    table.span(7, "mutating variable inputs")
    table.i32s(8, "intermediates")
    table.child(12, f"{what}: second options")
    options = read_options(code.kind, _union(table, kind, what), what)
    return Operator(index, code.kind, code.version, inputs, outputs, options)


def for_reference(graph: Graph) -> bytes:
    """The bytes to give to TFLite: the file's own, but for one number that newer versions of TFLite stumble over.

    Converters before 2019 wrote the weights' quantised axis, 3, for the bias too. In one dimension there is only one
    axis and nothing reads the number, but LiteRT refuses a model with an axis that does not exist. It becomes 0.
    """
    main = Reader(graph.source).root().children(2, "subgraph", 1)[0]
    mended: set[int] = set()
    kept: set[int] = set()
    for table, tensor in zip(main.children(0, "tensor", MAX_TENSORS), graph.tensors, strict=True):
        entry = table.child(4, "quantisation")
        place = None if entry is None else entry.at(_AXIS, 4)
        if place is not None:
            (mended if len(tensor.shape) == 1 else kept).add(place)
    data = bytearray(graph.source)
    for place in mended - kept:  # one that a tensor with more axes shares stays, for TFLite to judge
        data[place : place + 4] = bytes(4)
    return bytes(data)


def _check_arity(what: str, kind: schema.Kind, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> None:
    for side, indices, (least, most) in (("inputs", inputs, kind.inputs), ("outputs", outputs, kind.outputs)):
        if len(indices) < least or (most is not None and len(indices) > most):
            wanted = f"{least}" if least == most else f"{least} to {most}" if most else f"at least {least}"
            raise MalformedModel(f"{what}: {len(indices)} {side}, it has {wanted}")
    for place, index in enumerate(inputs):
        if index < 0 and place != kind.optional:
            raise MalformedModel(f"{what}: input {place} is absent, which it cannot be")


def _union(table: Table, kind: schema.Kind, what: str) -> Table | None:
    """The operator's options table. One of another operator's type, TFLite would take for none: refused."""
    if (number := table.u8(3)) == 0:
        return None
    if kind.union is None:
        table.child(4, f"{what}: options")
        return None
    if number != schema.UNION_NUMBERS[kind.union]:
        raise MalformedModel(f"{what}: its options are of type {number}, not {kind.union}")
    return table.child(4, f"{what}: {kind.union}")


def _indices(table: Table, slot: int, what: str, count: int, *, absent: bool = False) -> tuple[int, ...]:
    """A vector of tensor indices, each below `count`; -1 is allowed where an input may be absent."""
    indices = table.i32s(slot, what) or ()
    for index in indices:
        if not (0 <= index < count or (absent and index == -1)):
            raise MalformedModel(f"{what}: tensor {index} of {count}")
    return indices


def _check_extras(model: Table, buffers: int, tensors: int) -> None:
    """Hold metadata and signatures against the file: TFLite follows them when it loads the model."""
    model.text(3, "description")
    model.i32s(5, "metadata buffers")
    for entry in model.children(6, "metadata", 1 << 10):
        entry.text(0, "name")
        if entry.u32(1) >= buffers:
            raise MalformedModel(f"{entry.what}: buffer {entry.u32(1)} of {buffers}")
    for signature in model.children(7, "signature", 1 << 10):
        if signature.text(2, "key") is None:
            raise MalformedModel(f"{signature.what}: no key")
        if signature.u32(4) != 0:
            raise MalformedModel(f"{signature.what}: subgraph {signature.u32(4)} of 1")
        for slot in (0, 1):
            for entry in signature.children(slot, "map", 1 << 12):
                if entry.text(0, "name") is None or entry.u32(1) >= tensors:
                    raise MalformedModel(f"{signature.what}: {entry.what} names tensor {entry.u32(1)} of {tensors}")
