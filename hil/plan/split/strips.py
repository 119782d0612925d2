"""Line buffers: a group of calls computed row by row, so that what lies between them never exists as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hil.plan.records import Box
from hil.plan.split.geometry import hull
from hil.plan.split.operations import Operation


@dataclass(frozen=True)
class Strip:
    """Rows [first, end) of one call's output."""

    operation: Operation
    first: int
    end: int


@dataclass(frozen=True)
class Strips:
    """The calls of a group in the order of their rows, and how many rows of each tensor between them are kept."""

    order: tuple[Strip, ...]
    kept: Mapping[int, int]


class Stripper:
    """Goes through a group's output rows; every call computes a row once, unless the rows begin anew further up."""

    def __init__(self, group: Sequence[Operation]) -> None:
        self._group = group
        self._done: dict[int, int] = {}
        self._low: dict[int, int] = {}
        self.kept: dict[int, int] = {}

    def rows(self, first: int, end: int) -> list[Strip]:
        """What to compute for rows [first, end) of the last call's output."""
        wanted: dict[int, tuple[int, int]] = {self._group[-1].out.tensor: (first, end)}
        new: list[Strip] = []
        for operation in reversed(self._group):
            tensor = operation.out.tensor
            if tensor not in wanted:
                continue
            low, high = wanted[tensor]
            if low < self._low.get(tensor, 0):
                self._done.pop(tensor, None)  # begun anew: what was kept are other rows
            self._low[tensor] = low
            start = max(low, self._done.get(tensor, low))
            if operation is not self._group[-1]:
                self.kept[tensor] = max(self.kept.get(tensor, 0), high - low)
            if start >= high:
                continue
            self._done[tensor] = high
            new.append(Strip(operation, start, high))
            self._want(operation, start, high, wanted)
        return new[::-1]

    def _want(self, operation: Operation, start: int, high: int, wanted: dict[int, tuple[int, int]]) -> None:
        """Note the rows of other calls of the group that rows [start, high) of this one are computed from."""
        inside = {other.out.tensor for other in self._group}
        box = Box(start, high, 0, operation.out.view.channels)
        for operand, need in zip(operation.inputs, operation.needs(box), strict=True):
            if operand.tensor in inside:
                low, top = wanted.get(operand.tensor, (need.r0, need.r1))
                wanted[operand.tensor] = (min(low, need.r0), max(top, need.r1))


def strips(group: Sequence[Operation], rows: Iterable[int]) -> Strips:
    """The whole group, one output row after the other."""
    stripper = Stripper(group)
    order = [strip for row in rows for strip in stripper.rows(row, row + 1)]
    return Strips(tuple(order), stripper.kept)


def boxes_for(group: Sequence[Operation], last: Box) -> dict[int, Box]:
    """What a node computes of each call's output, by tensor, for `last` of the last one's; halos are computed twice."""
    wanted = {group[-1].out.tensor: last}
    for operation in reversed(group):
        box = wanted.get(operation.out.tensor)
        if box is None:
            continue
        for operand, need in zip(operation.inputs, operation.needs(box), strict=True):
            if any(other.out.tensor == operand.tensor for other in group):
                wanted[operand.tensor] = hull([need, wanted.get(operand.tensor, need)])
    return wanted
