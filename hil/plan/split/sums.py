"""Partial sums of a convolution: who sums what, where sums are kept, and who adds them up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hil.plan.kernels import Conv, Finish
from hil.plan.records import Act, Box
from hil.plan.split.geometry import Storage, View
from hil.plan.split.needs import Crossing, Need
from hil.plan.split.operations import Convolution, Operation
from hil.plan.split.strips import Stripper
from hil.plan.split.units import Partial, Span

if TYPE_CHECKING:
    from hil.plan.split.weave import Weaver


class Sums:
    """One partial convolution: who sums what, where sums are kept, and who adds them up."""

    def __init__(self, weaver: Weaver, unit: Partial) -> None:
        self._weaver = weaver
        self._unit = unit
        convolution = unit.group[-1]
        assert isinstance(convolution, Convolution)
        self._convolution = convolution
        view = convolution.out.view
        self._view = View(view.rows, view.width, view.channels, 4)
        self._strippers = [Stripper(unit.group) for _ in weaver.nodes]
        self._records: list[dict[int, list[int]]] = [{} for _ in weaver.nodes]
        self._sources: list[Storage | None] = [None for _ in weaver.nodes]
        self._own = [self._kept(node, span[1] - span[0]) for node, span in enumerate(unit.rows)]
        self._sent: dict[tuple[int, int], Storage | None] = {}
        self._summed: dict[tuple[int, int], int] = {}
        self._started = {node for node, (first, end) in enumerate(unit.parts) if first < end}
        assert all(node in self._started for node, (first, end) in enumerate(unit.rows) if first < end)
        for node in sorted(self._started):
            self._prepare(node)

    def _kept(self, node: int, rows: int) -> Storage | None:
        return self._weaver.nodes[node].storage(self._view, self._view.whole, rows) if rows else None

    def _prepare(self, node: int) -> None:
        """Line buffers and records of the calls before the convolution."""
        unit, weaver = self._unit, self._weaver
        boxes = weaver.boxes_of(unit, node)
        before = unit.group[:-1]
        kept = _kept_rows(unit.group, unit.rows, node)
        inside = weaver.buffers(node, before, boxes, kept, readers=unit.group)
        for operation in before:
            tensor = operation.out.tensor
            record = weaver.local(node, operation, boxes[tensor], inside[tensor], inside)
            self._records[node][operation.index] = record
        operand = self._convolution.inputs[0]
        if operand.tensor in inside:
            source = inside[operand.tensor]
        else:
            need = weaver.need(node, self._convolution, 0, self._view.whole).box
            source = weaver.storage(Need(node, operand.tensor, Box(need.r0, need.r1, *unit.parts[node])))
        self._sources[node] = source

    def _target(self, node: int, owner: int) -> Storage:
        """Where a node keeps its sums for an owner's rows."""
        if node == owner:
            own = self._own[node]
            assert own is not None
            return own
        key = (node, -1 if self._unit.rounds else owner)
        if key not in self._sent:
            others = [r1 - r0 for other, (r0, r1) in enumerate(self._unit.rows) if other != node]
            rows = max(others) if self._unit.rounds else self._unit.rows[owner][1] - self._unit.rows[owner][0]
            self._sent[key] = self._kept(node, rows)
        found = self._sent[key]
        assert found is not None
        return found

    def compute(self, node: int, owner: int) -> None:
        """A node's sums for an owner's rows, with all that has to be computed before."""
        first, end = self._unit.rows[owner]
        if node not in self._started or first == end:
            return
        weaver, target = self._weaver, self._target(node, owner)
        key = (node, target.number)
        source = self._sources[node]
        assert source is not None
        if key not in self._summed:
            record = self._convolution.partial(self._view.whole, self._unit.parts[node], target, source)
            self._summed[key] = weaver.nodes[node].record(record)
        boxes = weaver.boxes_of(self._unit, node)
        whole = len(self._unit.group) == 1
        steps = [(first, end)] if whole else [(row, row + 1) for row in range(first, end)]
        for a, b in steps:
            for strip in self._strippers[node].rows(a, b):
                op = strip.operation
                if op is self._convolution:
                    box = Box(strip.first, strip.end, 0, self._view.channels)
                    weaver.nodes[node].call(self._summed[key], box, op.index)
                    continue
                held = boxes[op.out.tensor]
                rows = Box(strip.first, strip.end, held.c0, held.c1)
                weaver.run(node, op, self._records[node][op.index], held, rows)

    def crossings(self, pairs: Sequence[tuple[int, int]]) -> list[Crossing]:
        """Sums of each (node, owner) on their way to the owner. The first to come where none are is stored."""
        found = []
        for node, owner in pairs:
            first, end = self._unit.rows[owner]
            if node not in self._started or first == end or node == owner:
                continue
            target = self._own[owner]
            assert target is not None
            part = Box(first, end, 0, self._view.channels)
            found.append(Crossing(node, self._target(node, owner), part, ((owner, target),), add=True))
        return found

    def finish(self) -> None:
        """The owners' rows from their sums. Sums lie in a ring: where it ends a second record begins."""
        r = self._convolution.record
        assert isinstance(r, Conv)
        for node, (first, end) in enumerate(self._unit.rows):
            own = self._own[node]
            if own is None:
                continue
            box = Box(first, end, 0, r.oc)
            target = self._weaver.storage(Need(node, self._convolution.out.tensor, box, made=True))
            for a, b in _segments(first, end, own.rows):
                record = Finish(
                    input=Act(own.number, a % own.rows * own.row_bytes),
                    out=Act(target.number, (a - target.box.r0) * target.row_bytes),
                    params=r.params, rows=b - a, width=r.ow, channels=r.oc, out_zp=r.out_zp, lo=r.lo, hi=r.hi,
                )  # fmt: skip
                at = self._weaver.nodes[node].record(record)
                self._weaver.nodes[node].call(at, Box(0, b - a, 0, r.oc), self._convolution.index)


def _kept_rows(group: Sequence[Operation], rows: Sequence[Span], node: int) -> Mapping[int, int]:
    """How many rows of each tensor before the convolution are kept, in the order in which a node takes the owners."""
    stripper = Stripper(group)
    for step in range(len(rows)):
        first, end = rows[(node + step) % len(rows)]
        for row in range(first, end):
            stripper.rows(row, row + 1)
    return stripper.kept


def _segments(first: int, end: int, ring: int) -> list[Span]:
    """Rows [first, end) cut where they come back to the start of their ring."""
    cut = -(-first // ring) * ring
    return [(a, b) for a, b in ((first, min(cut, end)), (cut, end)) if a < b]
