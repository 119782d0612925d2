"""What a `hil.profile/1` record tells of its inside: operators, nodes, memory maps, exchanges, as typed values.

Records may come from a file of another machine: what is not of its form is left out, and `trouble` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

_MOST = 2000
"""Entries of a list that are read."""
_LONGEST = 200
"""Characters of a name that are read."""


@dataclass(frozen=True)
class Operator:
    """One operator run alone. `bound`: the speed-up that its tiling allows; `differ`: elements, None: not compared."""

    name: str
    cycles: int
    bound: float
    differ: int | None


@dataclass(frozen=True)
class Place:
    """A tensor's bytes in the arena, and its first and last column."""

    tensor: str
    offset: int
    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class MemoryMap:
    """The arena as planned, over the operators. `left_out`: small tensors that the record does not hold."""

    arena: int
    stacks: tuple[int, ...]
    columns: tuple[str, ...]
    places: tuple[Place, ...]
    left_out: int


@dataclass(frozen=True)
class Memory:
    """What one board used at the peak, and what was predicted, in bytes."""

    peak: int
    predicted: int
    static: int
    arena: int
    stacks: tuple[int, ...]
    flash: int


@dataclass(frozen=True)
class Times:
    """Microseconds of one inference that a node computed, waited, and moved bytes."""

    compute: float
    wait: float
    wire: float


@dataclass(frozen=True)
class Stage:
    """What a node computed, and the exchange behind it, in microseconds; from `begin` on, since the node's start."""

    what: str
    begin: float
    times: Times


@dataclass(frozen=True)
class NodePart:
    """One board's share of a profile. The times are there where there are several."""

    number: int
    board: str
    memory: Memory
    macs: int
    sent: int
    received: int
    times: Times | None
    predicted: Times | None
    map: MemoryMap | None
    course: tuple[Stage, ...]


@dataclass(frozen=True)
class Parts:
    """The inside of a record."""

    operators: tuple[Operator, ...]
    nodes: tuple[NodePart, ...]
    trouble: tuple[str, ...]


def parts_of(record: Mapping[str, Any]) -> Parts:
    """Everything that can be read."""
    trouble: list[str] = []

    def attempt(what: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            trouble.append(f"the record's {what} cannot be read: {type(error).__name__} at {error}"[:_LONGEST])
            return otherwise

    no_operators: tuple[Operator, ...] = ()
    no_nodes: tuple[NodePart, ...] = ()
    operators = attempt("operators", lambda: _operators(record), no_operators)
    nodes = attempt("nodes", lambda: tuple(map(_node, _list(record["per_node"]))), no_nodes)
    return Parts(operators, nodes, tuple(trouble))


def _operators(record: Mapping[str, Any]) -> tuple[Operator, ...]:
    differ: dict[str, int] = {}
    for row in _list(record.get("layers", [])):
        name = _text(row["operator"])
        differ[name] = differ.get(name, 0) + _whole(row["mismatches"])
    return tuple(
        Operator(name := _text(row["operator"]), _whole(row["cycles"]), _number(row["speedup_bound"]), differ.get(name))
        for row in _list(record.get("operators", []))
    )


def _node(row: Mapping[str, Any]) -> NodePart:
    times, predicted, found = row["latency"], row.get("predicted"), row.get("memory_map")
    return NodePart(
        number=_whole(row["node"]),
        board=_text(row["board"]),
        memory=_memory(row["memory"]),
        macs=_whole(row["macs"]),
        sent=_whole(row["bytes_sent"]),
        received=_whole(row["bytes_received"]),
        times=_times(times) if "wait" in times else None,
        predicted=None if predicted is None else _times(predicted),
        map=None if found is None else _map(found),
        course=tuple(map(_stage, _list(row.get("steps", [])))),
    )


def _memory(row: Mapping[str, Any]) -> Memory:
    return Memory(
        peak=_whole(row["ram_peak"]),
        predicted=_whole(row["ram_predicted"]),
        static=_whole(row["ram_static"]),
        arena=_whole(row["arena"]),
        stacks=tuple(map(_whole, _list(row["stacks"]))),
        flash=_whole(row["flash"]),
    )


def _times(row: Mapping[str, Any]) -> Times:
    return Times(_number(row["compute"]), _number(row["wait"]), _number(row["wire"]))


def _stage(row: Mapping[str, Any]) -> Stage:
    return Stage(_text(row["what"]), _number(row["begin"]), _times(row))


def _map(row: Mapping[str, Any]) -> MemoryMap:
    columns = tuple(map(_text, _list(row["columns"])))
    places = tuple(
        Place(_text(p["tensor"]), *(_whole(p[key]) for key in ("offset", "bytes", "first", "last")))
        for p in _list(row["tensors"])
    )
    for place in places:
        if not place.first <= place.last < max(len(columns), 1):
            raise ValueError(f"a tensor in the columns {place.first}..{place.last} of {len(columns)}")
    stacks = tuple(map(_whole, _list(row["stacks"])))
    return MemoryMap(_whole(row["arena"]), stacks, columns, places, _whole(row["left_out"]))


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.60} is no list")
    return value[:_MOST]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} is no text")
    return value[:_LONGEST]


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise TypeError(f"{value!r:.60} is no count")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        raise TypeError(f"{value!r:.60} is no number")
    return float(value)
