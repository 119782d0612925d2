"""One-operator models in one line, for the tests of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.support.tflite_writer import ModelWriter

Shape = tuple[int, ...]
Constant = npt.NDArray[Any]
Quantised = tuple[Shape, float, int]
"""An int8 activation: shape, scale, zero point. A bare shape has scale 0.1 and zero point 3, or is float32."""

FLOAT = "float32"


def ints(*values: int) -> Constant:
    return np.array(values, np.int32)


def model(
    kind: str,
    inputs: Sequence[Shape | Quantised | Constant],
    outputs: Sequence[Shape | Quantised],
    dtype: str = "int8",
    out_dtype: str | None = None,
    **options: Any,
) -> bytes:
    """A model with the one operator; arrays are constants, everything else is an activation of `dtype`."""
    writer = ModelWriter("one")

    def activation(name: str, what: Any, dtype: str) -> int:
        shape, scale, zero = what if len(what) == 3 and isinstance(what[0], tuple) else (what, 0.1, 3)
        if dtype == FLOAT:
            return writer.activation(name, shape, dtype=FLOAT)
        return writer.activation(name, shape, scale, zero)

    read = [
        writer.constant(f"c{k}", value) if isinstance(value, np.ndarray) else activation(f"x{k}", value, dtype)
        for k, value in enumerate(inputs)
    ]
    made = [activation(f"y{k}", value, out_dtype or dtype) for k, value in enumerate(outputs)]
    writer.operator(kind, read, made, **options)
    return writer.finish([t for t, v in zip(read, inputs, strict=True) if not isinstance(v, np.ndarray)], made)
