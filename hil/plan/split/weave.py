"""From a division to every node's actions: what is missing where it is needed crosses the wire just before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hil.model.graph import Graph
from hil.plan.records import Box
from hil.plan.split.geometry import Storage, covers, hull, intersection
from hil.plan.split.needs import Crossing, Key, Need
from hil.plan.split.nodes import Node
from hil.plan.split.operations import Operation, copied, counted
from hil.plan.split.recognise import views_of
from hil.plan.split.strips import boxes_for, strips
from hil.plan.split.sums import Sums
from hil.plan.split.units import Boxes, Partial, Unit


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
        # A lone node is written to as any board is: every input, and all of it.
        alone = [Need(0, t, self.views[t].whole) for t in self.roots(self.graph.inputs)] if len(self.nodes) == 1 else []
        for need in alone:
            self._grow(need)
        for unit in self._units:
            for need in self._needs(unit):
                self._grow(need)
            for node, tensor, box in self._made(unit):
                self._grow(Need(node, tensor, box, made=True))
        results = [Need(0, tensor, self.views[tensor].whole) for tensor in self.roots(self._outputs)]
        for need in results:
            self._grow(need)
        self._fetch(alone)
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
            self.nodes[0].kept(self.storage(need))

    def roots(self, tensors: Iterable[int]) -> list[int]:
        return list(dict.fromkeys(self._names.get(t, t) for t in tensors))

    def given(self) -> list[tuple[int, int, Storage]]:
        """Node, graph input and storage of every piece that the host writes; a node's in the order of the inputs."""
        inputs = self.roots(self.graph.inputs)
        return sorted(
            (
                (node, tensor, storage)
                for (node, tensor, _, _, _), storage in self._storages.items()
                if tensor in inputs
            ),
            key=lambda piece: (piece[0], inputs.index(piece[1]), piece[2].number),
        )

    def result(self, tensor: int) -> Storage:
        """Where node 0 has an output of the graph."""
        root = self._names.get(tensor, tensor)
        view = self.views[root]
        return self.storage(Need(0, root, view.whole))

    # -- what is needed, and where it lies -------------------------------------------------------------------------

    def need(self, node: int, operation: Operation, position: int, box: Box) -> Need:
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
            boxes = self.boxes_of(unit, node)
            for operation in unit.group if boxes else ():
                box = boxes.get(operation.out.tensor)
                for position, operand in enumerate(operation.inputs) if box else ():
                    if operand.tensor not in inside:
                        assert box is not None
                        need = self.need(node, operation, position, box)
                        if isinstance(unit, Partial) and operation is unit.group[-1]:
                            need = Need(node, operand.tensor, Box(need.box.r0, need.box.r1, *unit.parts[node]))
                        before = found.get(need.key, need)
                        found[need.key] = Need(node, need.tensor, hull([need.box, before.box]))
        return list(found.values())

    @staticmethod
    def boxes_of(unit: Unit, node: int) -> Mapping[int, Box]:
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

    def storage(self, need: Need) -> Storage:
        key = self._place(need)
        if key not in self._storages:
            made, got = replace(need, made=True).key, replace(need, made=False).key
            boxes = [self._rows[k] for k in ((key,) if key == made else (made, got)) if k in self._rows]
            if key == got and self._place(replace(need, made=True)) == made:
                boxes = [self._rows[got]]
            box = hull(boxes)
            self._storages[key] = self.nodes[need.node].storage(
                self.views[need.tensor], box, box.r1 - box.r0, need.tensor
            )
        return self._storages[key]

    def _fetch(self, needs: Sequence[Need]) -> None:
        """Bring what is missing: from the host before the run, from another storage here, or from other nodes."""
        inputs = self.roots(self.graph.inputs)
        crossings: dict[tuple[int, int, Box], list[tuple[int, Storage]]] = {}
        for need in needs:
            storage = self.storage(need)
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
                    self._copy(owner, self.storage(Need(owner, need.tensor, box, made=True)), storage, part)
                    continue
                crossings.setdefault((owner, need.tensor, part), []).append((need.node, storage))
        origins = {
            (owner, tensor, part): next(
                self.storage(Need(node, tensor, box, made=True))
                for node, box in self._owners[tensor]
                if node == owner and covers(box, part)
            )
            for owner, tensor, part in crossings
        }
        self._exchange([Crossing(key[0], origins[key], key[2], tuple(targets)) for key, targets in crossings.items()])

    def _copy(self, node: int, source: Storage, target: Storage, part: Box) -> None:
        """Move what a node has itself into a storage with other channels."""
        record = copied(part, source, target, part.c0)
        at = self.nodes[node].record(record)
        self.nodes[node].call(at, record.extent().whole(), -1)

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
                target = self.storage(Need(node, last.out.tensor, box, made=True))
                if len(unit.group) == 1:
                    self.run(node, last, self.local(node, last, box, target, {}), box, box)
                else:
                    self._fused(node, unit.group, boxes, target)

    def local(
        self, node: int, operation: Operation, box: Box, target: Storage, inside: Mapping[int, Storage]
    ) -> list[int]:
        """The records that compute a box; inputs come from `inside` a group, or from what was fetched."""
        sources = self._sources(node, operation, box, inside)
        return [self.nodes[node].record(record) for record in operation.locals(box, target, sources)]

    def run(self, node: int, operation: Operation, records: Sequence[int], whole: Box, box: Box) -> None:
        """Compute `box` by records that were made for `whole`."""
        at = self.nodes[node]
        for record in records:
            at.call(record, counted(operation, whole, box, at.records[record]), operation.index)

    def _sources(self, node: int, operation: Operation, box: Box, inside: Mapping[int, Storage]) -> list[Storage]:
        found = []
        for position, operand in enumerate(operation.inputs):
            storage = inside.get(operand.tensor) or self.storage(self.need(node, operation, position, box))
            found.append(self._seen(operation, position, storage))
        return found

    def _fused(self, node: int, group: Sequence[Operation], boxes: Mapping[int, Box], target: Storage) -> None:
        """A group row by row, with line buffers between its calls."""
        last = group[-1]
        box = boxes[last.out.tensor]
        made = strips(group, range(box.r0, box.r1))
        inside = self.buffers(node, group[:-1], boxes, made.kept, readers=group)
        inside[last.out.tensor] = target
        records = {op.index: self.local(node, op, boxes[op.out.tensor], inside[op.out.tensor], inside) for op in group}
        for strip in made.order:
            op = strip.operation
            whole = boxes[op.out.tensor]
            rows = Box(strip.first, strip.end, whole.c0, whole.c1)
            self.run(node, op, records[op.index], whole, rows)

    def buffers(
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
            found[tensor] = self.nodes[node].storage(operation.out.view, box, rows, tensor)
        return found

    # -- partial sums ----------------------------------------------------------------------------------------------

    def _partial(self, unit: Partial) -> None:
        summing = Sums(self, unit)
        count = len(self.nodes)
        for step in range(count):
            for node in range(count):
                summing.compute(node, (node + step) % count)
            if unit.rounds and step:
                self._exchange(summing.crossings([(n, (n + step) % count) for n in range(count)]))
        if not unit.rounds:
            self._exchange(summing.crossings([(n, m) for n in range(count) for m in range(count) if n != m]))
        summing.finish()
