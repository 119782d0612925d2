"""What a lowering function gets and gives: from one graph operator to kernel records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from hil.errors import MalformedModel, UnsupportedModel
from hil.model.graph import Dtype, Graph, Operator, Quantisation, Tensor
from hil.plan.records import Act, Blob, Record, Ref


@dataclass(frozen=True)
class Job:
    """One kernel call over the whole output, with references still symbolic; `operator` is the graph's index."""

    operator: int
    record: Record


@dataclass(frozen=True)
class Lowered:
    """A graph as kernel calls in order. `aliases`: what a tensor is another name for (RESHAPE and its kin)."""

    jobs: tuple[Job, ...]
    aliases: dict[int, Act | Blob]


class Context:
    """The graph and one operator of it, with checks that name operator, tensor and what is supported."""

    def __init__(self, graph: Graph, operator: Operator) -> None:
        self.graph = graph
        self.operator = operator

    def unsupported(self, why: str, tensor: Tensor | None = None) -> NoReturn:
        raise UnsupportedModel(f"{self.graph.name}: {self._where(tensor)}: {why}")

    def malformed(self, why: str, tensor: Tensor | None = None) -> NoReturn:
        raise MalformedModel(f"{self.graph.name}: {self._where(tensor)}: {why}")

    def _where(self, tensor: Tensor | None) -> str:
        return f"{self.operator}, {tensor}" if tensor else str(self.operator)

    def count(self, inputs: range | tuple[int, ...], outputs: range | tuple[int, ...] = (1,)) -> None:
        """Refuse unless the operator has one of the given numbers of inputs and outputs."""
        if len(self.operator.inputs) not in inputs or len(self.operator.outputs) not in outputs:
            self.malformed(f"has {len(self.operator.inputs)} inputs and {len(self.operator.outputs)} outputs")

    def has_input(self, position: int) -> bool:
        return position < len(self.operator.inputs) and self.operator.inputs[position] >= 0

    def input(self, position: int) -> Tensor:
        if not self.has_input(position):
            self.malformed(f"input {position} is missing")
        return self.graph.tensors[self.operator.inputs[position]]

    def output(self, position: int = 0) -> Tensor:
        if position >= len(self.operator.outputs):
            self.malformed(f"output {position} is missing")
        return self.graph.tensors[self.operator.outputs[position]]

    def dtype(self, tensor: Tensor, *supported: Dtype) -> None:
        if tensor.dtype not in supported:
            self.unsupported(f"type {tensor.dtype} is not supported here (supported: {', '.join(supported)})", tensor)

    def quantised(self, tensor: Tensor) -> tuple[float, int]:
        """Scale and zero point of a per-tensor quantised int8 tensor."""
        self.dtype(tensor, "int8")
        quantisation = self.quantisation(tensor)
        if quantisation.per_channel:
            self.unsupported("per-channel quantisation is supported for weights only", tensor)
        return quantisation.scale[0], quantisation.zero_point[0]

    def quantisation(self, tensor: Tensor) -> Quantisation:
        if tensor.quantisation is None:
            self.unsupported("has no quantisation parameters", tensor)
        return tensor.quantisation

    def shape(self, tensor: Tensor, expected: tuple[int, ...]) -> None:
        """Refuse unless the tensor has the shape that the operator computes."""
        if tensor.shape != expected:
            self.malformed(f"the operator computes shape {list(expected)}, the file says {list(tensor.shape)}", tensor)

    def ref(self, tensor: Tensor) -> Ref:
        """Where the tensor's bytes are: an activation, or a constant of the model."""
        return Act(tensor.index) if tensor.data is None else Blob(tensor.data.tobytes())

    def job(self, record: Record) -> Job:
        return Job(self.operator.index, record)


Lowering = Callable[[Context], "list[Job] | Act | Blob"]
"""Gives the kernel calls of an operator, or, for an operator that only renames its input, what it renames."""
