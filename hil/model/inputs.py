"""Input sets: seeded ones for any model, and ones from files.

An input set is one array per graph input, of the input's exact shape and type. A list of sets is a tuple of tuples.
"""

from __future__ import annotations

import hashlib
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from hil.errors import UsageError
from hil.model.graph import Graph, Tensor

Array = npt.NDArray[np.generic]
InputSets = tuple[tuple[Array, ...], ...]

# The sets that are not random, by number; the first one is, so that a single set is a representative one.
_CORNERS: dict[int, Literal["least", "greatest", "zero"]] = {1: "least", 2: "greatest", 3: "zero"}
# A float input without a QUANTIZE behind it is drawn from this range.
_FLOAT_RANGE = (-4.0, 4.0)
_FILE_BYTES = 256 << 20
_DAMAGE = (
    OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, SyntaxError, MemoryError,
    zipfile.BadZipFile, zlib.error, tokenize.TokenError,
)  # fmt: skip


def generate(graph: Graph, count: int, seed: int) -> InputSets:
    """`count` input sets that depend on the model's bytes, the seed and their own number, and on nothing else.

    Set 1 is all least values, set 2 all greatest, set 3 all zero points; the others are uniform over the full int8
    range. Float inputs cover the range of the QUANTIZE that reads them and a little more, with values halfway
    between two steps among them, where rounding shows.
    """
    if count < 1:
        raise UsageError(f"{count} input sets; at least one is needed")
    return tuple(_one(graph, number, seed) for number in range(count))


def _one(graph: Graph, number: int, seed: int) -> tuple[Array, ...]:
    key = hashlib.sha256(f"{seed}/{graph.sha256}/{number}".encode()).digest()
    draw = np.random.Generator(np.random.PCG64(int.from_bytes(key, "little")))
    return tuple(_array(graph, graph.tensors[index], draw, number) for index in graph.inputs)


def _array(graph: Graph, tensor: Tensor, draw: np.random.Generator, number: int) -> Array:
    corner = _CORNERS.get(number)
    if tensor.dtype == "float32":
        return _floats(graph, tensor, draw, corner)
    if corner is None:
        return draw.integers(-128, 128, tensor.shape, np.int8)
    zero_point = tensor.quantisation.zero_point[0] if tensor.quantisation else 0
    return np.full(tensor.shape, {"least": -128, "greatest": 127, "zero": zero_point}[corner], np.int8)


def _floats(graph: Graph, tensor: Tensor, draw: np.random.Generator, corner: str | None) -> Array:
    grid = _grid(graph, tensor)
    low, high = _FLOAT_RANGE if grid is None else (grid[0] * (-130.0 - grid[1]), grid[0] * (129.0 - grid[1]))
    limit = float(np.finfo(np.float32).max)
    low, high = max(low, -limit), min(high, limit)
    if corner is not None:
        return np.full(tensor.shape, {"least": low, "greatest": high, "zero": 0.0}[corner], np.float32)
    values = draw.uniform(low, high, tensor.shape)
    if grid is not None:
        halfway = (draw.integers(-129, 128, tensor.shape) - grid[1] + 0.5) * grid[0]
        values = np.where(draw.random(tensor.shape) < 0.125, halfway, values)
    return np.clip(values, -limit, limit).astype(np.float32)


def _grid(graph: Graph, tensor: Tensor) -> tuple[float, int] | None:
    """Scale and zero point of the first QUANTIZE that reads the tensor."""
    for operator in graph.operators:
        if operator.kind == "QUANTIZE" and operator.inputs[0] == tensor.index:
            quantisation = graph.tensors[operator.outputs[0]].quantisation
            if quantisation is not None:
                return quantisation.scale[0], quantisation.zero_point[0]
    return None


def load(path: Path, graph: Graph) -> InputSets:
    """Input sets from a file for the graph's inputs.

    A `.npy` holds the sets of a model with one input, stacked along a first axis. A `.npz` holds one such array per
    input, called `input_0`, `input_1`, ... or by the tensor's name. The model's own batch axis of 1 may be left out.
    """
    tensors = [graph.tensors[index] for index in graph.inputs]
    columns = [_column(path, array, tensor) for array, tensor in zip(_arrays(path, tensors), tensors, strict=True)]
    counts = {len(column) for column in columns}
    if len(counts) != 1 or counts == {0}:
        raise UsageError(f"inputs {path}: {sorted(counts)} sets; every input needs the same number, at least one")
    return tuple(tuple(sets) for sets in zip(*columns, strict=True))


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a `.npz`, or the one of a `.npy` under the name `input_0`; without pickles, of bounded size."""
    try:
        if not path.is_file():
            raise UsageError(f"inputs {path}: no such file")
        if path.suffix == ".npy":
            return {"input_0": np.array(np.load(path, mmap_mode="r", allow_pickle=False))}
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _FILE_BYTES:
            raise UsageError(f"inputs {path}: {size} bytes unpacked; up to {_FILE_BYTES} are read")
        with np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
        for name, array in found.items():
            if not isinstance(array, np.ndarray):
                raise UsageError(f"inputs {path}: '{name}' is no array")
        return found
    except _DAMAGE as error:
        raise UsageError(f"inputs {path}: not a .npz or .npy of plain arrays: {error}") from None


def _arrays(path: Path, tensors: list[Tensor]) -> Iterable[Array]:
    found = read_arrays(path)
    for place, tensor in enumerate(tensors):
        for name in (f"input_{place}", tensor.name):
            if name in found:
                yield found[name]
                break
        else:
            raise UsageError(f"inputs {path}: no array 'input_{place}' for {tensor}; it has {sorted(found)[:8]}")


def _column(path: Path, array: Array, tensor: Tensor) -> list[Array]:
    """The sets of one input, each of the tensor's shape."""
    inner = tensor.shape
    if array.ndim == len(inner) and inner[:1] == (1,):
        inner = inner[1:]
    if array.dtype.name != tensor.dtype or array.ndim != len(inner) + 1 or array.shape[1:] != inner:
        raise UsageError(
            f"inputs {path}: {array.dtype.name} {array.shape} for {tensor}; "
            f"{tensor.dtype} of shape (sets, {', '.join(map(str, tensor.shape))}) is needed"
        )
    if tensor.dtype == "float32" and not np.isfinite(array).all():
        raise UsageError(f"inputs {path}: values for {tensor} that are not finite")
    return [np.ascontiguousarray(one).reshape(tensor.shape) for one in array]
