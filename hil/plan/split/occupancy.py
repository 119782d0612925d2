"""The arena of a node whose calls may take turns row by row, for people."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from hil.model.graph import Graph
from hil.plan.occupancy import Occupancy, Tenant, described
from hil.plan.split.arrange import Arrangement
from hil.plan.split.geometry import Storage
from hil.plan.split.nodes import Call, Node
from hil.plan.split.operations import Operation


def of_node(graph: Graph, operations: Sequence[Operation], node: Node, arrangement: Arrangement) -> Occupancy:
    """Operators that take turns share a column; an exchange or a copy between operators has one of its own."""
    columns = _columns(operations, node)
    ends = [end for _, end, _ in columns]

    def at(tick: int) -> int:
        return min(bisect_left(ends, tick), max(len(ends) - 1, 0))

    return Occupancy(
        tuple(_title(graph, members) for _, _, members in columns),
        tuple(
            Tenant(
                _name(graph, node.storages[number]),
                arrangement.offsets[number],
                node.storages[number].bytes,
                at(life.first),
                at(life.last),
            )
            for number, life in arrangement.lives.items()
        ),
    )


def _columns(operations: Sequence[Operation], node: Node) -> list[tuple[int, int, list[int]]]:
    """First and last tick of operators whose calls are not mixed with those of others, in order.

    What only moves data counts as an operator below 0, another one each time.
    """
    spans: dict[int, tuple[int, int]] = {}
    for tick, action in node.ticked():
        operator = -1 - tick
        if isinstance(action, Call) and action.operation >= 0:
            operator = operations[action.operation].job.operator
        first, _ = spans.get(operator, (tick, tick))
        spans[operator] = (first, tick)
    found: list[tuple[int, int, list[int]]] = []
    for operator, (first, last) in sorted(spans.items(), key=lambda item: item[1]):
        if found and first <= found[-1][1]:
            before = found.pop()
            found.append((before[0], max(before[1], last), [*before[2], operator]))
        else:
            found.append((first, last, [operator]))
    return found


def _title(graph: Graph, members: Sequence[int]) -> str:
    named = [str(graph.operators[operator]) for operator in members if operator >= 0]
    if not named:
        return "data moves"
    return named[0] if len(members) == 1 else " .. ".join(dict.fromkeys([named[0], named[-1]])) + " in turns"


def _name(graph: Graph, storage: Storage) -> str:
    """The tensor, and what of it the node has."""
    box, view = storage.box, storage.view
    words = []
    if storage.ring:
        words.append(f"{storage.rows} rows at a time")
    if (box.r0, box.r1) != (0, view.rows):
        words.append(f"rows {box.r0}..{box.r1}")
    if (box.c0, box.c1) != (0, view.channels):
        words.append(f"channels {box.c0}..{box.c1}")
    if storage.tensor < 0:
        return ", ".join(["sums", *words])
    return described(graph.tensors[storage.tensor], *words)
