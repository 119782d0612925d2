"""A model as the framework sees it: tensors with quantisation, operators with typed options, in execution order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Dtype = Literal["int8", "int16", "int32", "int64", "uint8", "float32", "float16", "bool", "int4", "other"]
Padding = Literal["SAME", "VALID"]
Activation = Literal["NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"]


@dataclass(frozen=True)
class Quantisation:
    """Affine quantisation, `real = scale * (stored - zero_point)`; one entry, or one per slice along `axis`.

    Scales are the file's float32 values (every one finite and above zero), widened to Python floats.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int = 0

    @property
    def per_channel(self) -> bool:
        return len(self.scale) > 1


@dataclass(frozen=True)
class Tensor:
    """One tensor. `data` is the constant's value, of `shape`, read-only, or None for an activation."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: Dtype
    quantisation: Quantisation | None
    data: npt.NDArray[np.generic] | None = field(default=None, compare=False, repr=False)

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) if self.shape else 1

    @property
    def bytes(self) -> int:
        """Size of an activation (int8 or float32; constants of other types have theirs from `data`)."""
        return self.elements * {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "float16": 2, "int64": 8}.get(
            self.dtype, 4
        )

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "scalar"
        return f"tensor {self.index} '{self.name}' ({self.dtype} {shape})"


@dataclass(frozen=True)
class Conv2D:
    padding: Padding
    stride: tuple[int, int]  # height, width
    dilation: tuple[int, int]
    activation: Activation


@dataclass(frozen=True)
class DepthwiseConv2D:
    padding: Padding
    stride: tuple[int, int]
    dilation: tuple[int, int]
    depth_multiplier: int
    activation: Activation


@dataclass(frozen=True)
class FullyConnected:
    activation: Activation
    keep_num_dims: bool
    weights_format: int  # 0 is the plain layout
    asymmetric_quantize_inputs: bool


@dataclass(frozen=True)
class Pool2D:
    padding: Padding
    stride: tuple[int, int]
    filter: tuple[int, int]
    activation: Activation


@dataclass(frozen=True)
class Elementwise:
    """ADD, SUB, MUL."""

    activation: Activation


@dataclass(frozen=True)
class Softmax:
    beta: float


@dataclass(frozen=True)
class Concatenation:
    axis: int
    activation: Activation


@dataclass(frozen=True)
class Reducer:
    """MEAN. The axes are the operator's second input."""

    keep_dims: bool


@dataclass(frozen=True)
class Split:
    """SPLIT and SPLIT_V."""

    num_splits: int


@dataclass(frozen=True)
class StridedSlice:
    begin_mask: int
    end_mask: int
    ellipsis_mask: int
    new_axis_mask: int
    shrink_axis_mask: int
    offset: bool


@dataclass(frozen=True)
class Pack:
    values_count: int
    axis: int


@dataclass(frozen=True)
class Unpack:
    num: int
    axis: int


@dataclass(frozen=True)
class LeakyRelu:
    alpha: float


@dataclass(frozen=True)
class Reshape:
    """The shape in the options, or None where it is given by the second input."""

    new_shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Squeeze:
    dims: tuple[int, ...]


@dataclass(frozen=True)
class NoOptions:
    """An operator without options, or one whose options do not matter here."""


Options = (
    Conv2D | DepthwiseConv2D | FullyConnected | Pool2D | Elementwise | Softmax | Concatenation | Reducer | Split
    | StridedSlice | Pack | Unpack | LeakyRelu | Reshape | Squeeze | NoOptions
)  # fmt: skip


@dataclass(frozen=True)
class Operator:
    """One operator; `kind` is the name in the schema ('CONV_2D'). An absent optional input is -1."""

    index: int
    kind: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options

    def __str__(self) -> str:
        return f"operator {self.index} {self.kind}"


@dataclass(frozen=True)
class Graph:
    """The one subgraph of a model, checked: every index in range, every operator's inputs made before it runs."""

    name: str
    sha256: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    source: bytes = field(repr=False, compare=False)

    def operator_counts(self) -> dict[str, int]:
        return dict(sorted(Counter(op.kind for op in self.operators).items()))
