"""What a unit costs every node, estimated: fast enough to be asked some thousand times while a division is sought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import add

from hil.board import Board
from hil.plan.records import Box
from hil.plan.split.geometry import Storage, View, covers, hull, intersection
from hil.plan.split.operations import Convolution, Elementwise, Joined, Operation, counted
from hil.plan.split.strips import Stripper, boxes_for
from hil.plan.split.units import Boxes, Partial, Unit
from hil.plan.tiles import cycles
from hil.wire import Wire

Owners = tuple[tuple[int, Box], ...]
"""Who has which part of a tensor; parts do not overlap."""

FRAME_BYTES = 512
FRAME_OVERHEAD = 44
"""Header, CRC, stuffing and delimiters of a frame."""
_HANDSHAKES = 3.0
"""Ways of a small frame through the network for each exchange: credit, data, acknowledgement."""


@dataclass(frozen=True)
class Target:
    """A node as the planner sees it: its board, and what of its memory a plan may take, in bytes."""

    board: Board
    cores: int
    ram: int
    flash: int

    def microseconds(self, count: float) -> float:
        return count * 1e6 / self.board.clock_hz


@dataclass(frozen=True)
class Estimate:
    """Of one unit, for each node: microseconds, bytes. `microseconds` and `wire` are of the whole cluster."""

    compute: tuple[float, ...]
    ram: tuple[int, ...]
    flash: tuple[int, ...]
    received: tuple[int, ...]
    wire: float
    owners: Owners

    @property
    def microseconds(self) -> float:
        return max(self.compute, default=0.0) + self.wire


@dataclass(frozen=True)
class _Own:
    """What a unit costs by itself, for each node: whoever has its inputs."""

    unit: Unit
    compute: tuple[float, ...]
    flash: tuple[int, ...]
    needs: tuple[Mapping[int, Box], ...]
    work: tuple[int, ...]
    made: Owners
    received: tuple[int, ...]
    """Bytes of sums that are exchanged; `wire`: the time that takes."""
    wire: float


class Estimator:
    """Estimates units of one model on given nodes."""

    def __init__(self, targets: Sequence[Target], wire: Wire, views: Mapping[int, View]) -> None:
        self.targets = tuple(targets)
        self.wire = wire
        self._views = views
        self._kept: dict[tuple[tuple[int, ...], int, int], Mapping[int, int]] = {}
        self._cost = lru_cache(maxsize=200_000)(self._cost_of)
        self._operations: dict[int, Operation] = {}
        self._own: dict[int, _Own] = {}

    def unit(self, unit: Unit, tensor: int | None, owners: Owners) -> Estimate:
        """One unit. `tensor`: what it reads of units before, and who has it; None where it reads the model's input."""
        known = self._own.get(id(unit))
        if known is None or known.unit is not unit:
            made = self._of_boxes(unit) if isinstance(unit, Boxes) else self._of_partial(unit)
            known = self._own[id(unit)] = made
        ram, received, _, wire = self._sources(known.needs, tensor, owners)
        total = tuple(map(add, ram, known.work))
        return Estimate(
            known.compute, total, known.flash, tuple(map(add, received, known.received)), known.wire + wire, known.made
        )

    # -- pieces ----------------------------------------------------------------------------------------------------

    def _cost_of(self, operation: int, board: int, box: Box) -> float:
        """Cycles of a box of a call on one core."""
        found, target = self._operations[operation], self.targets[board].board
        if isinstance(found, Joined):
            out, *sources = (Storage(0, o.view, o.view.whole, o.view.rows) for o in (found.out, *found.inputs))
            return sum(cycles(record, target, record.extent().whole()) for record in found.locals(box, out, sources))
        return cycles(found.record, target, counted(found, Box(0, 0, 0, 0), box, found.record))

    def cost(self, operation: Operation, node: int, box: Box, strips: int = 1) -> float:
        """Microseconds of a box of a call, in `strips` steps, with the cores of the node."""
        self._operations[operation.index] = operation
        target = self.targets[node]
        first = next(k for k, other in enumerate(self.targets) if other.board is target.board)
        spent = self._cost(operation.index, first, box) / target.cores
        return target.microseconds(spent + (strips - 1) * target.board.step_cost)

    def kept(self, group: Sequence[Operation], first: int, end: int) -> Mapping[int, int]:
        """Rows of line buffers; the first few rows of a strip tell."""
        key = (tuple(op.index for op in group), first, min(end, first + 6))
        if key not in self._kept:
            stripper = Stripper(group)
            for row in range(first, key[2]):
                stripper.rows(row, row + 1)
            self._kept[key] = dict(stripper.kept)
        return self._kept[key]

    def _needs(self, unit: Unit, node: int, boxes: Mapping[int, Box]) -> dict[int, Box]:
        """What a node needs of tensors that the unit does not make, by tensor."""
        inside = {op.out.tensor for op in unit.group}
        found: dict[int, Box] = {}
        for op in unit.group:
            box = boxes.get(op.out.tensor)
            if box is None:
                continue
            needs = op.needs(box)
            for position, operand in enumerate(op.inputs):
                if operand.tensor in inside:
                    continue
                view = self._views[operand.tensor]
                need = needs[position] if view == operand.view else view.whole
                if isinstance(unit, Partial) and op is unit.group[-1]:
                    need = Box(need.r0, need.r1, *unit.parts[node])
                found[operand.tensor] = hull([need, found.get(operand.tensor, need)])
        return found

    def _sources(
        self, needs: Sequence[Mapping[int, Box]], tensor: int | None, owners: Owners
    ) -> tuple[list[int], list[int], list[int], float]:
        """Bytes of each node's inputs in RAM, received, and sent; and the time of bringing them."""
        count = len(self.targets)
        ram, received, sent = [0] * count, [0] * count, [0] * count
        multicast: dict[tuple[int, Box], set[int]] = {}
        for node in range(count):
            for name, need in needs[node].items():
                view = self._views[name]
                if name != tensor:
                    ram[node] += view.bytes_of(need)
                    continue
                own = [box for owner, box in owners if owner == node]
                whole = hull([need, *own]) if own and own[0].c1 - own[0].c0 == need.c1 - need.c0 else need
                ram[node] += view.bytes_of(whole) + sum(view.bytes_of(b) for b in own if not covers(whole, b))
                for owner, box in owners:
                    part = intersection(need, box)
                    if owner != node and part is not None:
                        received[node] += view.bytes_of(part)
                        multicast.setdefault((owner, part), set()).add(node)
            if tensor is not None and tensor not in needs[node]:
                ram[node] += sum(self._views[tensor].bytes_of(box) for owner, box in owners if owner == node)
        for owner, part in multicast:
            assert tensor is not None
            sent[owner] += self._views[tensor].bytes_of(part)
        return ram, received, sent, self.exchange(received, sent)

    def exchange(self, received: Sequence[int], sent: Sequence[int]) -> float:
        """Microseconds of an exchange in which nodes receive and send these bytes."""
        busiest = max([*received, *sent], default=0)
        if not busiest:
            return 0.0
        frames = -(-busiest // FRAME_BYTES)
        small = FRAME_OVERHEAD * self.wire.byte_us
        line = (busiest + frames * FRAME_OVERHEAD) * self.wire.byte_us
        return line + _HANDSHAKES * (self.wire.delay_us + 2 * small)

    # -- units -----------------------------------------------------------------------------------------------------

    def _of_boxes(self, unit: Boxes) -> _Own:
        """What does not depend on who has the inputs."""
        count = len(self.targets)
        compute, flash, made = [0.0] * count, [0] * count, []
        last = unit.group[-1]
        needs: list[Mapping[int, Box]] = []
        work = [0] * count
        for node in range(count):
            boxes = unit.boxes[node] or {}
            needs.append(self._needs(unit, node, boxes))
            if not boxes:
                continue
            final = boxes[last.out.tensor]
            strips = final.r1 - final.r0 if len(unit.group) > 1 else 1
            kept = self.kept(unit.group, final.r0, final.r1) if len(unit.group) > 1 else {}
            for op in unit.group:
                box = boxes[op.out.tensor]
                compute[node] += self.cost(op, node, box, strips)
                flash[node] += op.constants(box)
                rows = box.r1 - box.r0
                if op is not last and self._ringed(op, unit.group):
                    rows = min(rows, kept.get(op.out.tensor, rows))
                if op is not last or not self._over(op, unit.group):
                    work[node] += op.out.view.bytes_of(Box(0, rows, box.c0, box.c1))
            made.append((node, final))
        return _Own(unit, tuple(compute), tuple(flash), tuple(needs), tuple(work), tuple(made), (0,) * count, 0.0)

    @staticmethod
    def _ringed(op: Operation, group: Sequence[Operation]) -> bool:
        readers = [r for r in group if any(operand.tensor == op.out.tensor for operand in r.inputs)]
        return op.rings and all(r.rings for r in readers)

    @staticmethod
    def _over(op: Operation, group: Sequence[Operation]) -> bool:
        """Whether a call writes in the place of what it reads from inside its group."""
        inside = {other.out.tensor for other in group}
        return isinstance(op, Elementwise) and any(operand.tensor in inside for operand in op.inputs)

    def _of_partial(self, unit: Partial) -> _Own:
        count = len(self.targets)
        convolution = unit.group[-1]
        assert isinstance(convolution, Convolution)
        view = convolution.out.view
        sums = View(view.rows, view.width, view.channels, 4)
        compute, flash, work = [0.0] * count, [0] * count, [0] * count
        needs: list[Mapping[int, Box]] = []
        for node in range(count):
            first, end = unit.parts[node]
            if first == end:
                needs.append({})
                continue
            need = convolution.needs(view.whole)[0]
            boxes = {convolution.out.tensor: view.whole}
            if len(unit.group) > 1:
                boxes |= boxes_for(unit.group[:-1], Box(need.r0, need.r1, first, end))
            needs.append(self._needs(unit, node, boxes))
            kept = self.kept(unit.group, 0, view.rows) if len(unit.group) > 1 else {}
            strips = view.rows if len(unit.group) > 1 else count
            for op in unit.group[:-1]:
                box = boxes[op.out.tensor]
                compute[node] += self.cost(op, node, box, strips)
                flash[node] += op.constants(box)
                rows = min(box.r1, kept.get(op.out.tensor, box.r1)) if self._ringed(op, unit.group) else box.r1
                work[node] += op.out.view.bytes_of(Box(0, rows, box.c0, box.c1))
            share = (end - first) / convolution.inputs[0].view.channels
            compute[node] += self.cost(convolution, node, view.whole, strips) * share
            flash[node] += convolution.partial_constants(end - first)
            work[node] += self._sum_bytes(unit, node, sums)
        received, wire = [0] * count, 0.0
        working = [node for node in range(count) if unit.parts[node][0] < unit.parts[node][1]]
        piece = [sums.bytes_of(Box(r0, r1, 0, view.channels)) for r0, r1 in unit.rows]
        if len(working) > 1:
            more = [piece[node] * (len(working) - 1) for node in range(count)]
            away = [sum(piece) - piece[node] if node in working else 0 for node in range(count)]
            rounds = count - 1 if unit.rounds else 1
            each = self.exchange([m // rounds for m in more], [a // rounds for a in away])
            received, wire = more, rounds * each
        made = tuple((node, Box(r0, r1, 0, view.channels)) for node, (r0, r1) in enumerate(unit.rows) if r0 < r1)
        out = [view.bytes_of(Box(r0, r1, 0, view.channels)) for r0, r1 in unit.rows]
        return _Own(
            unit, tuple(compute), tuple(flash), tuple(needs), tuple(map(add, work, out)), made, tuple(received), wire
        )

    @staticmethod
    def _sum_bytes(unit: Partial, node: int, sums: View) -> int:
        spans = [r1 - r0 for r0, r1 in unit.rows]
        others = [rows for other, rows in enumerate(spans) if other != node]
        sent = max(others, default=0) if unit.rounds else sum(others)
        return sums.bytes_of(Box(0, spans[node] + sent, 0, sums.channels))
