"""The ways to compute a stretch of the model: units, for each way of dividing it over the nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from hil.model.graph import Graph
from hil.plan.split.operations import Convolution, Elementwise, Operation
from hil.plan.split.units import Partial, Unit, by_channels, by_rows, divide, on_one

LONGEST = 8
"""Calls in a fused group, at most."""
GRAIN = 4
"""Channels are cut at multiples of this: kernels compute several at a time."""


def cuts(graph: Graph, operations: Sequence[Operation], results: Sequence[int]) -> list[int]:
    """Positions in the calls where only one tensor is alive: the model can change its division there."""
    last: dict[int, int] = dict.fromkeys(results, len(operations))
    for op in operations:
        for operand in op.inputs:
            last[operand.tensor] = max(last.get(operand.tensor, 0), op.index)
    produced = dict.fromkeys(graph.inputs, -1)
    for op in operations:
        produced.setdefault(op.out.tensor, op.index)
    found = [0]
    for position in range(1, len(operations)):
        alive = [t for t, made in produced.items() if made < position <= last.get(t, -1)]
        if len(alive) == 1 and produced[alive[0]] >= 0 and _written(operations, alive[0]) < position:
            found.append(position)
    return [*found, len(operations)]


def _written(operations: Sequence[Operation], tensor: int) -> int:
    """The last call that writes a tensor."""
    return max(op.index for op in operations if op.out.tensor == tensor)


class Choices:
    """Makes the units of a stretch. `weights` say how much of the work each node takes; `results` are the tensors that
    hold the model's outputs."""

    def __init__(
        self,
        operations: Sequence[Operation],
        weights: Sequence[float],
        *,
        results: Sequence[int],
        homes: Sequence[int] = (0,),
    ) -> None:
        self._operations = operations
        self._results = frozenset(results)
        self._weights = tuple(weights)
        self._homes = tuple(homes)

    @property
    def _count(self) -> int:
        return len(self._weights)

    def of(self, first: int, end: int, *, atomic: bool) -> Iterator[tuple[Unit, ...]]:
        """Every way. `atomic`: there is no cut inside, so a way may be made of several units."""
        group = self._operations[first:end]
        for home in self._homes:
            if atomic:
                yield tuple(on_one([op], home, self._count) for op in group)
            if len(group) > 1 and self._fusible(group):
                yield (on_one(group, home, self._count),)
        if sum(weight > 0 for weight in self._weights) < 2:
            return
        if self._fusible(group):
            yield (self.rows(group),)
        if atomic and len(group) > 1 and any(op.by_rows for op in group):
            yield tuple(self.rows([op]) if op.by_rows else on_one([op], 0, self._count) for op in group)
        if atomic and all(op.by_channels for op in group):
            yield tuple(self.channels(op) for op in group)
        yield from self._partials(group)

    def _fusible(self, group: Sequence[Operation]) -> bool:
        """Whether the group can be computed row by row, each call for those behind it: calls of one row are no rows."""
        return (
            len(group) <= LONGEST
            and all(op.by_rows for op in group)
            and self._closed(group)
            and (len(group) == 1 or group[-1].out.view.rows > 1)
        )

    def _closed(self, group: Sequence[Operation]) -> bool:
        """Whether all that a group makes, but for its last tensor, is read inside it and wanted nowhere else."""
        made = {op.out.tensor for op in group} - {group[-1].out.tensor}
        return made <= {operand.tensor for op in group for operand in op.inputs} and not made & self._results

    def rows(self, group: Sequence[Operation]) -> Unit:
        return by_rows(group, divide(group[-1].out.view.rows, self._weights))

    def channels(self, operation: Operation) -> Unit:
        return by_channels(operation, divide(operation.out.view.channels, self._weights, GRAIN))

    def _partials(self, group: Sequence[Operation]) -> Iterator[tuple[Unit, ...]]:
        """Channels divided up to the last convolution, whose sums are added up; the rest by rows."""
        at = next((k for k in reversed(range(len(group))) if isinstance(group[k], Convolution)), None)
        if at is None or len(group) > LONGEST:
            return
        before, after, convolution = group[:at], group[at + 1 :], group[at]
        channels = convolution.inputs[0].view.channels
        if channels < self._count or not all(isinstance(op, Elementwise) for op in after):
            return
        inner = {op.out.tensor for op in before}
        if any(operand.tensor in inner for op in after for operand in op.inputs):
            return
        if not before and convolution.reshaped:
            return
        if not self._closed(group[: at + 1]):
            return
        if not all(op.by_channels and op.by_rows for op in before) or not self._chained(group[: at + 1]):
            return
        if any(op.inputs[0].view.channels * 1 != op.out.view.channels for op in before[1:]):
            return  # only what keeps its channels lies between the first call and the convolution
        parts = divide(channels, self._weights, GRAIN)
        working = [weight if a < b else 0.0 for weight, (a, b) in zip(self._weights, parts, strict=True)]
        rows = divide(convolution.out.view.rows, working)
        rest = tuple(by_rows([op], rows) for op in after)
        for rounds in (False, True):
            yield (Partial(tuple(group[: at + 1]), parts, rows, rounds), *rest)

    @staticmethod
    def _chained(group: Sequence[Operation]) -> bool:
        """Whether every call reads what the one before it writes, in the shape in which it is written."""
        return all(
            len(later.inputs) == 1 and later.inputs[0].tensor == op.out.tensor and later.inputs[0].view == op.out.view
            for op, later in pairwise(group)
        )
