"""Seeks the division that serves an objective best, by dynamic programming over the points where one tensor is alive.

At each such point it matters only who has which part of that tensor. What leads there is compared by cost; memory is
a hard limit for every unit, flash for all units together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import gt

from hil.model.graph import Graph
from hil.plan.split.choices import LONGEST, Choices, cuts
from hil.plan.split.estimate import Estimate, Estimator, Owners, Target
from hil.plan.split.operations import Operation
from hil.plan.split.recognise import views_of
from hil.plan.split.units import Unit
from hil.wire import Wire


@dataclass(frozen=True)
class Found:
    """A division with its estimates: microseconds in all, bytes of the node with most."""

    units: tuple[Unit, ...]
    cost: float
    microseconds: float
    ram: tuple[int, ...]
    flash: tuple[int, ...]
    received: tuple[int, ...]


@dataclass(frozen=True)
class _Label:
    """The best way known to a point, for one way of having the tensor there."""

    found: Found
    owners: Owners


@dataclass(frozen=True)
class _Way:
    """How to compute a stretch: each node's most RAM, the fullest nodes' flash, and how the last tensor is then had."""

    units: tuple[Unit, ...]
    estimates: tuple[Estimate, ...]
    ram: tuple[int, ...]
    flash: int
    state: object


def _way(units: tuple[Unit, ...], estimates: Sequence[Estimate]) -> _Way:
    ram = tuple(max(of_node) for of_node in zip(*(e.ram for e in estimates), strict=True))
    return _Way(units, tuple(estimates), ram, sum(max(e.flash) for e in estimates), _state(estimates[-1].owners))


Cost = Callable[[Sequence[Estimate]], float]
_Weights = tuple[tuple[float, ...], ...]


class Search:
    """One model, on given nodes; edges are estimated once, whatever is asked for."""

    def __init__(
        self,
        graph: Graph,
        operations: Sequence[Operation],
        results: Sequence[int],
        targets: Sequence[Target],
        wire: Wire,
    ) -> None:
        self._operations = operations
        self._results = tuple(results)
        self._targets = targets
        self.cuts = cuts(graph, operations, results)
        self._estimator = Estimator(targets, wire, views_of(graph, operations))
        self._edges: dict[tuple[int, int, _Weights], list[tuple[Unit, ...]]] = {}
        self._known: dict[tuple[int, int, _Weights, Owners], list[_Way]] = {}

    @property
    def speeds(self) -> tuple[float, ...]:
        """How fast each node is: models a second."""
        return tuple(
            1e6 / sum(self._estimator.cost(op, node, op.out.view.whole) for op in self._operations)
            for node in range(len(self._targets))
        )

    def alone(self, operation: Operation, node: int) -> tuple[float, int, int]:
        """Microseconds, bytes of RAM and of flash of a whole call on one node."""
        whole = operation.out.view.whole
        held = operation.out.view.bytes + sum(operand.view.bytes for operand in operation.inputs)
        return self._estimator.cost(operation, node, whole), held, operation.constants(whole)

    def carry(self, count: int) -> float:
        """Microseconds of bringing `count` bytes from one node to another."""
        return self._estimator.exchange([count], [0])

    def best(
        self,
        cost: Cost,
        caps: Sequence[int],
        weights: Sequence[tuple[float, ...]],
        flash_price: float = 0.0,
    ) -> Found | None:
        """The division of least cost whose units keep within `caps` bytes of RAM; None if there is none.

        `weights` are ways to share work among the nodes, of which every stretch takes one.
        """
        none = (0,) * len(self._targets)
        table: dict[int, dict[object, _Label]] = {0: {None: _Label(Found((), 0.0, 0.0, none, none, none), ())}}
        for index, first in enumerate(self.cuts):
            for label in table.get(first, {}).values():
                for end in self.cuts[index + 1 :]:
                    atomic = end == self.cuts[index + 1]
                    if end - first > LONGEST and not atomic:
                        break
                    known = table.setdefault(end, {})
                    for way in self._ways(first, end, tuple(weights), label.owners, atomic=atomic):
                        if any(map(gt, way.ram, caps)):
                            continue
                        spent = label.found.cost + cost(way.estimates) + flash_price * way.flash
                        old = known.get(way.state)
                        if old is None or spent < old.found.cost:
                            known[way.state] = _extended(label, way.units, way.estimates, spent)
        ends = [self._home(label, cost, caps) for label in table.get(self.cuts[-1], {}).values()]
        return min((f for f in ends if f is not None), key=lambda f: f.cost, default=None)

    def _ways(self, first: int, end: int, weights: _Weights, owners: Owners, *, atomic: bool) -> list[_Way]:
        """Every way to compute a stretch, with its estimates, from what the nodes have."""
        key = (first, end, weights)
        if key not in self._edges:
            self._edges[key] = self._units(first, end, weights, atomic=atomic)
        known = self._known.setdefault((*key, owners), [])
        if not known:
            tensor = self._read(first)
            known += [_way(units, self._estimates(units, tensor, owners)) for units in self._edges[key]]
        return known

    def _units(
        self, first: int, end: int, weights: Sequence[tuple[float, ...]], *, atomic: bool
    ) -> list[tuple[Unit, ...]]:
        """Every way, once: with different shares some are the same."""
        homes = range(len(self._targets)) if any(t != self._targets[0] for t in self._targets) else (0,)
        found: list[tuple[Unit, ...]] = []
        for share in weights:
            choices = Choices(self._operations, share, results=self._results, homes=homes)
            found += [units for units in choices.of(first, end, atomic=atomic) if units not in found]
        return found

    def _read(self, first: int) -> int | None:
        """The tensor that is alive before a call."""
        if first == 0:
            return None
        written = {op.out.tensor for op in self._operations[:first]}
        for op in self._operations[first:]:
            for operand in op.inputs:
                if operand.tensor in written:
                    return operand.tensor
        return self._operations[first - 1].out.tensor

    def _estimates(self, units: Sequence[Unit], tensor: int | None, owners: Owners) -> list[Estimate]:
        """The estimates of units that follow one another inside a stretch."""
        made: list[Estimate] = []
        have: dict[int, Owners] = {} if tensor is None else {tensor: owners}
        for unit in units:
            inside = {op.out.tensor for op in unit.group}
            reads = [o.tensor for op in unit.group for o in op.inputs if o.tensor in have and o.tensor not in inside]
            source = reads[0] if reads else None
            made.append(self._estimator.unit(unit, source, have.get(source, ()) if source is not None else ()))
            have[unit.group[-1].out.tensor] = made[-1].owners
        return made

    def _home(self, label: _Label, cost: Cost, caps: Sequence[int]) -> Found | None:
        """With the result brought to node 0."""
        view = self._operations[-1].out.view
        whole = view.bytes_of(view.whole)
        away = sum(view.bytes_of(box) for node, box in label.owners if node != 0)
        if not away:
            return label.found
        received = (away, *(0 for _ in self._targets[1:]))
        sent = [sum(view.bytes_of(box) for n, box in label.owners if n == node) for node in range(len(self._targets))]
        wire = self._estimator.exchange(received, [0, *sent[1:]])
        idle = tuple(0.0 for _ in self._targets)
        ram = (whole, *(0 for _ in self._targets[1:]))
        last = Estimate(idle, ram, tuple(0 for _ in self._targets), received, wire, ((0, view.whole),))
        if whole > caps[0]:
            return None
        return _extended(label, (), [last], label.found.cost + cost([last])).found


def _state(owners: Owners) -> object:
    """How a tensor is had: by rows, by channels, or by one node."""
    if len(owners) == 1:
        return owners[0][0]
    return "rows" if len({(box.c0, box.c1) for _, box in owners}) == 1 else "channels"


def _extended(label: _Label, units: Sequence[Unit], estimates: Sequence[Estimate], cost: float) -> _Label:
    """A label further on; `cost` is that of the whole way."""
    found = label.found
    flash = tuple(a + sum(e.flash[n] for e in estimates) for n, a in enumerate(found.flash))
    made = Found(
        (*found.units, *units),
        cost,
        found.microseconds + sum(e.microseconds for e in estimates),
        tuple(max(a, *(e.ram[n] for e in estimates)) for n, a in enumerate(found.ram)),
        flash,
        tuple(a + sum(e.received[n] for e in estimates) for n, a in enumerate(found.received)),
    )
    return _Label(made, estimates[-1].owners)


def latency(estimates: Sequence[Estimate]) -> float:
    return sum(e.microseconds for e in estimates)


def traffic(estimates: Sequence[Estimate]) -> float:
    """Bytes of the node that receives most; time only where these are equal."""
    return sum(max(e.received) for e in estimates) + 1e-6 * latency(estimates)
