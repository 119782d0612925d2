"""From a division to every node's actions: what is missing where it is needed crosses the wire just before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hil.model.graph import Graph
from hil.plan.kernels import Conv, Copy, Finish
from hil.plan.records import RANK, Act, Box
from hil.plan.split.geometry import Storage, View, covers, hull, intersection
from hil.plan.split.nodes import Node
from hil.plan.split.operations import Convolution, Elementwise, Operation, views_of
from hil.plan.split.strips import Stripper, boxes_for, strips
from hil.plan.split.units import Boxes, Partial, Span, Unit

Key = tuple[int, int, int, int, bool]
"""A node's storage of a tensor: node, tensor, first and last channel, and whether it is only for what it makes."""


@dataclass(frozen=True)
class Need:
    """A box of a tensor that a node is about to read; `made`: that it has made."""

    node: int
    tensor: int
    box: Box
    made: bool = False

    @property
    def key(self) -> Key:
        return self.node, self.tensor, self.box.c0, self.box.c1, self.made


@dataclass(frozen=True)
class Crossing:
    """A box of a tensor on its way from one node's storage to others'. `add`: sums that are added up there."""

    source: int
    origin: Storage
    part: Box
    targets: tuple[tuple[int, Storage], ...]
    add: bool = False


class Weaver:
    """Puts the units of a division together, one after the other.

    What a node makes and what it gets of the same tensor lie together; with `apart`, where it gets more rows than it
    makes, they are put together only when they have arrived: until then there is less in memory.
    """

    def __init__(
        self, graph: Graph, operations: Sequence[Operation], units: Sequence[Unit], nodes: int, *, apart: bool = False
    ) -> None:
        self.nodes = [Node(number) for number in range(nodes)]
        self.graph = graph
        self.views = views_of(graph, operations)
        self._outputs = tuple(dict.fromkeys(graph.outputs))
        self._owners: dict[int, list[tuple[int, Box]]] = {}
        self._present: dict[Key, list[Box]] = {}
        self._storages: dict[Key, Storage] = {}
        self._rows: dict[Key, Box] = {}
        self._names: Mapping[int, int] = {}
        self.transfers = 0
        self._units = units
        self._apart = apart

    def weave(self, names: Mapping[int, int]) -> None:
        """Fill the nodes. `names`: the tensor that owns another one's bytes."""
        self._names = names
        for unit in self._units:
            for need in self._needs(unit):
                self._grow(need)
            for node, tensor, box in self._made(unit):
                self._grow(Need(node, tensor, box, made=True))
        results = [Need(0, tensor, self.views[tensor].whole) for tensor in self.roots(self._outputs)]
        for need in results:
            self._grow(need)
        for unit in self._units:
            self._fetch(self._needs(unit))
            if isinstance(unit, Boxes):
                self._boxes(unit)
            else:
                self._partial(unit)
            for node, tensor, box in self._made(unit):
                self._owners.setdefault(tensor, []).append((node, box))
                self._present.setdefault(self._place(Need(node, tensor, box, made=True)), []).append(box)
        self._fetch(results)
        for need in results:
            self.nodes[0].kept(self._storage(need))

    def roots(self, tensors: Iterable[int]) -> list[int]:
        return list(dict.fromkeys(self._names.get(t, t) for t in tensors))

    def given(self) -> list[tuple[int, int, Storage]]:
        """Node, graph input and storage of every piece that the host writes."""
        inputs = self.roots(self.graph.inputs)
        return sorted(
            (
                (node, tensor, storage)
                for (node, tensor, _, _, _), storage in self._storages.items()
                if tensor in inputs
            ),
            key=lambda piece: (piece[0], piece[1], piece[2].number),
        )

    def result(self, tensor: int) -> Storage:
        """Where node 0 has an output of the graph."""
        root = self._names.get(tensor, tensor)
        view = self.views[root]
        return self._storage(Need(0, root, view.whole))

    # -- what is needed, and where it lies -------------------------------------------------------------------------

    def _need(self, node: int, operation: Operation, position: int, box: Box) -> Need:
        """An input of a call, in the tensor's own view: all of it, where the call sees another shape."""
        operand = operation.inputs[position]
        view = self.views[operand.tensor]
        if view != operand.view:
            return Need(node, operand.tensor, view.whole)
        return Need(node, operand.tensor, operation.needs(box)[position])

    def _needs(self, unit: Unit) -> list[Need]:
        """What the nodes need for a unit that the unit does not make itself."""
        inside = {operation.out.tensor for operation in unit.group}
        found: dict[Key, Need] = {}
        for node in range(len(self.nodes)):
            boxes = self._boxes_of(unit, node)
            for operation in unit.group if boxes else ():
                box = boxes.get(operation.out.tensor)
                for position, operand in enumerate(operation.inputs) if box else ():
                    if operand.tensor not in inside:
                        assert box is not None
                        need = self._need(node, operation, position, box)
                        if isinstance(unit, Partial) and operation is unit.group[-1]:
                            need = Need(node, operand.tensor, Box(need.box.r0, need.box.r1, *unit.parts[node]))
                        before = found.get(need.key, need)
                        found[need.key] = Need(node, need.tensor, hull([need.box, before.box]))
        return list(found.values())

    @staticmethod
    def _boxes_of(unit: Unit, node: int) -> Mapping[int, Box]:
        """What a node computes of each call of a unit, by tensor; of a partial convolution, sums of all rows."""
        if isinstance(unit, Boxes):
            return unit.boxes[node] or {}
        first, end = unit.parts[node]
        if first == end:
            return {}
        last = unit.group[-1]
        need = last.needs(last.out.view.whole)[0]
        whole = {last.out.tensor: last.out.view.whole}
        if len(unit.group) == 1:
            return whole
        return boxes_for(unit.group[:-1], Box(need.r0, need.r1, first, end)) | whole

    def _made(self, unit: Unit) -> list[tuple[int, int, Box]]:
        """Node, tensor and box of what later units can read."""
        tensor = unit.group[-1].out.tensor
        if isinstance(unit, Partial):
            channels = unit.group[-1].out.view.channels
            return [(n, tensor, Box(r0, r1, 0, channels)) for n, (r0, r1) in enumerate(unit.rows) if r0 < r1]
        return [(node, tensor, boxes[tensor]) for node, boxes in enumerate(unit.boxes) if boxes]

    def _grow(self, need: Need) -> None:
        self._rows[need.key] = hull([need.box, self._rows.get(need.key, need.box)])

    def _place(self, need: Need) -> Key:
        """The key of a box's storage: of all that a node has of these channels, or only of what it makes."""
        made, got = replace(need, made=True).key, replace(need, made=False).key
        more = made in self._rows and got in self._rows and not covers(self._rows[made], self._rows[got])
        return made if need.made and self._apart and more else got

    def _storage(self, need: Need) -> Storage:
        key = self._place(need)
        if key not in self._storages:
            made, got = replace(need, made=True).key, replace(need, made=False).key
            boxes = [self._rows[k] for k in ((key,) if key == made else (made, got)) if k in self._rows]
            if key == got and self._place(replace(need, made=True)) == made:
                boxes = [self._rows[got]]
            box = hull(boxes)
            self._storages[key] = self.nodes[need.node].storage(self.views[need.tensor], box, box.r1 - box.r0)
        return self._storages[key]

    def _fetch(self, needs: Sequence[Need]) -> None:
        """Bring what is missing: from the host before the run, from another storage here, or from other nodes."""
        inputs = self.roots(self.graph.inputs)
        crossings: dict[tuple[int, int, Box], list[tuple[int, Storage]]] = {}
        for need in needs:
            storage = self._storage(need)
            if need.tensor in inputs:
                if self.nodes[need.node].uses[storage.number] is None:
                    self.nodes[need.node].given(storage)
                continue
            present = self._present.setdefault(self._place(need), [])
            for owner, box in self._owners[need.tensor]:
                part = intersection(need.box, box)
                if part is None or any(covers(held, part) for held in present):
                    continue
                present.append(part)
                if owner == need.node:
                    self._copy(owner, self._storage(Need(owner, need.tensor, box, made=True)), storage, part)
                    continue
                crossings.setdefault((owner, need.tensor, part), []).append((need.node, storage))
        origins = {
            (owner, tensor, part): next(
                self._storage(Need(node, tensor, box, made=True))
                for node, box in self._owners[tensor]
                if node == owner and covers(box, part)
            )
            for owner, tensor, part in crossings
        }
        self._exchange([Crossing(key[0], origins[key], key[2], tuple(targets)) for key, targets in crossings.items()])

    def _copy(self, node: int, source: Storage, target: Storage, part: Box) -> None:
        """Move what a node has itself into a storage with other channels."""
        view, rows = source.view, part.r1 - part.r0
        sides = []
        for storage in (source, target):
            at = (part.r0 - storage.box.r0) * storage.row_bytes + (part.c0 - storage.box.c0) * view.size
            sides.append((at, storage.row_bytes, storage.channels * view.size))
        (start, in_row, in_pixel), (to, out_row, out_pixel) = sides
        dims = (rows, 1, 1, 1, view.width, (part.c1 - part.c0) * view.size)
        record = Copy(
            input=Act(source.number), out=Act(target.number, to), unit=1, start=start, dims=dims,
            in_strides=(in_row, 0, 0, 0, in_pixel, 1), out_strides=(out_row, 0, 0, 0, out_pixel, 1),
        )  # fmt: skip
        assert len(dims) == RANK
        at = self.nodes[node].record(record)
        self.nodes[node].call(at, Box(0, rows, 0, dims[-1]), -1)

    def _exchange(self, crossings: Sequence[Crossing]) -> None:
        """One exchange of all nodes that have a part in it."""
        if not crossings:
            return
        members = {c.source for c in crossings} | {node for c in crossings for node, _ in c.targets}
        for node in sorted(members):
            self.nodes[node].begin_exchange()
        # Nodes begin with their right-hand neighbour: otherwise all would send to node 0 first.
        count = len(self.nodes)
        for c in sorted(
            crossings, key=lambda c: ((c.targets[0][0] - c.source) % count, c.source, c.part.r0, c.part.c0)
        ):
            peers = sum(1 << node for node, _ in c.targets)
            self.nodes[c.source].move(c.origin, c.part, self.transfers, peers, sends=True)
            for node, storage in c.targets:
                self.nodes[node].move(storage, c.part, self.transfers, 1 << c.source, sends=False, add=c.add)
            self.transfers += 1

    # -- calls -----------------------------------------------------------------------------------------------------

    def _seen(self, operation: Operation, position: int, storage: Storage) -> Storage:
        """A storage as a call sees it, which may be another shape of the same bytes."""
        view = operation.inputs[position].view
        if view == storage.view:
            return storage
        return Storage(storage.number, view, view.whole, view.rows)

    def _boxes(self, unit: Boxes) -> None:
        for node, boxes in enumerate(unit.boxes):
            if boxes:
                last = unit.group[-1]
                box = boxes[last.out.tensor]
                target = self._storage(Need(node, last.out.tensor, box, made=True))
                if len(unit.group) == 1:
                    record = self._local(node, last, box, target, {})
                    self.nodes[node].call(record, _counted(last, box, box), last.index)
                else:
                    self._fused(node, unit.group, boxes, target)

    def _local(self, node: int, operation: Operation, box: Box, target: Storage, inside: Mapping[int, Storage]) -> int:
        """The record of a call for a box; inputs come from `inside` a group, or from what was fetched."""
        sources = self._sources(node, operation, box, inside)
        return self.nodes[node].record(operation.local(box, target, sources))

    def _sources(self, node: int, operation: Operation, box: Box, inside: Mapping[int, Storage]) -> list[Storage]:
        found = []
        for position, operand in enumerate(operation.inputs):
            storage = inside.get(operand.tensor) or self._storage(self._need(node, operation, position, box))
            found.append(self._seen(operation, position, storage))
        return found

    def _fused(self, node: int, group: Sequence[Operation], boxes: Mapping[int, Box], target: Storage) -> None:
        """A group row by row, with line buffers between its calls."""
        last = group[-1]
        box = boxes[last.out.tensor]
        made = strips(group, range(box.r0, box.r1))
        inside = self._buffers(node, group[:-1], boxes, made.kept, readers=group)
        inside[last.out.tensor] = target
        records = {op.index: self._local(node, op, boxes[op.out.tensor], inside[op.out.tensor], inside) for op in group}
        for strip in made.order:
            op = strip.operation
            whole = boxes[op.out.tensor]
            rows = Box(strip.first, strip.end, whole.c0, whole.c1)
            self.nodes[node].call(records[op.index], _counted(op, whole, rows), op.index)

    def _buffers(
        self,
        node: int,
        made: Sequence[Operation],
        boxes: Mapping[int, Box],
        kept: Mapping[int, int],
        *,
        readers: Sequence[Operation],
    ) -> dict[int, Storage]:
        """Line buffers for what the calls `made` leave to others of their group."""
        found = {}
        for operation in made:
            tensor = operation.out.tensor
            box = boxes[tensor]
            reading = [r for r in readers if any(operand.tensor == tensor for operand in r.inputs)]
            rings = operation.rings and all(r.rings for r in reading)
            rows = min(kept[tensor], box.r1 - box.r0) if rings else box.r1 - box.r0
            found[tensor] = self.nodes[node].storage(operation.out.view, box, rows)
        return found

    # -- partial sums ----------------------------------------------------------------------------------------------

    def _partial(self, unit: Partial) -> None:
        summing = _Sums(self, unit)
        count = len(self.nodes)
        for step in range(count):
            for node in range(count):
                summing.compute(node, (node + step) % count)
            if unit.rounds and step:
                self._exchange(summing.crossings([(n, (n + step) % count) for n in range(count)]))
        if not unit.rounds:
            self._exchange(summing.crossings([(n, m) for n in range(count) for m in range(count) if n != m]))
        summing.finish()


class _Sums:
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
        self._records: list[dict[int, int]] = [{} for _ in weaver.nodes]
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
        boxes = weaver._boxes_of(unit, node)
        before = unit.group[:-1]
        kept = _kept_rows(unit.group, unit.rows, node)
        inside = weaver._buffers(node, before, boxes, kept, readers=unit.group)
        for operation in before:
            tensor = operation.out.tensor
            record = weaver._local(node, operation, boxes[tensor], inside[tensor], inside)
            self._records[node][operation.index] = record
        operand = self._convolution.inputs[0]
        if operand.tensor in inside:
            source = inside[operand.tensor]
        else:
            need = weaver._need(node, self._convolution, 0, self._view.whole).box
            source = weaver._storage(Need(node, operand.tensor, Box(need.r0, need.r1, *unit.parts[node])))
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
        boxes = weaver._boxes_of(self._unit, node)
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
                weaver.nodes[node].call(self._records[node][op.index], _counted(op, held, rows), op.index)

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
            target = self._weaver._storage(Need(node, self._convolution.out.tensor, box, made=True))
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


def _counted(operation: Operation, whole: Box, box: Box) -> Box:
    """A box, counted from the corner of `whole` in the rows of the operation's record."""
    local = Box(box.r0 - whole.r0, box.r1 - whole.r0, box.c0 - whole.c0, box.c1 - whole.c0)
    if isinstance(operation, Elementwise):
        return operation.rows_of(local)
    return local if operation.by_rows or operation.by_channels else operation.record.extent().whole()
