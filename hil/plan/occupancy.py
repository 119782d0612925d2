"""Which bytes of the arena hold what, and when: told of a finished plan, for people. Nothing is planned by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hil.model.graph import Graph, Tensor
from hil.plan.lower import Job
from hil.plan.memory import Layout


@dataclass(frozen=True)
class Tenant:
    """Bytes [offset, offset + bytes) of the arena hold `name` in the columns first..last, both included."""

    name: str
    offset: int
    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Occupancy:
    """An arena over the course of an inference. `columns`: what runs one after the other, mostly an operator each."""

    columns: tuple[str, ...] = ()
    tenants: tuple[Tenant, ...] = ()


UNKNOWN = Occupancy()


def described(tensor: Tensor, *more: str) -> str:
    """A tensor, what of it is meant, and in the end its name, which may be long."""
    shape = "x".join(map(str, tensor.shape)) or "scalar"
    return f"{', '.join([f'tensor {tensor.index}', f'{tensor.dtype} {shape}', *more])}: {tensor.name}"


def of_layout(graph: Graph, jobs: Sequence[Job], layout: Layout) -> Occupancy:
    """The arena of a plan that runs operator by operator."""
    order = list(dict.fromkeys(job.operator for job in jobs))
    column = [order.index(job.operator) for job in jobs]

    def at(job: int) -> int:
        """Inputs are there before the first job, outputs after the last one."""
        return column[min(max(job, 0), len(column) - 1)] if column else 0

    return Occupancy(
        tuple(str(graph.operators[operator]) for operator in order),
        tuple(
            Tenant(described(graph.tensors[tensor]), layout.offsets[tensor], life.size, at(life.first), at(life.last))
            for tensor, life in layout.lives.items()
            if tensor in layout.offsets
        ),
    )
