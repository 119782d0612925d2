"""The switch in the middle of a star of nodes: which frame goes where, and what goes wrong on the way.

Pure logic, without time and without I/O: what owns the lines asks it about each frame that has arrived whole, and
delivers what it answers, after the delays that it answers. A frame is 32 bytes of header, a payload and a CRC (see
docs/network.md); only the fields that a switch needs are looked at, and the CRC is the receivers' business.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from hil.errors import UsageError

VERSION = 1
HEADER = struct.Struct("<BBBBHHIIIIII")
"""Version, kind, source, zero, mask of peers, payload bytes, run, step, sequence, offset, total, zero."""
SHORTEST = HEADER.size + 4
LONGEST = SHORTEST + 512
MOST_NODES = 16

FaultKind = Literal["drop", "damage", "double", "reorder", "delay", "cut"]
_LONGEST_DELAY = 60_000_000


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with frames, the same in every run.

    drop: the frame is gone. damage: one of its bits is turned over. double: it comes twice. reorder: it waits until
    the next frame to the same node has gone, which is not held back as well, and follows it. delay: it comes
    `microseconds` later than it would, which may be behind frames that left later. cut: all lines of `node`, in both
    directions, carry nothing.

    `source` and `node` say on which way: frames from `source` to `node`; None is any. Each frame to several nodes
    counts once for each of them. Of the frames on that way, since the fault was installed, those numbered `first` to
    `first + count - 1` (count None: to the end) are hit, each with `probability`, drawn from `seed`.
    """

    kind: FaultKind
    source: int | None = None
    node: int | None = None
    first: int = 0
    count: int | None = None
    probability: float = 1.0
    seed: int = 0
    microseconds: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise UsageError(f"no fault is called {self.kind!r}; there are: {', '.join(get_args(FaultKind))}")
        for name, value, high in (
            ("source", self.source, MOST_NODES - 1),
            ("node", self.node, MOST_NODES - 1),
            ("first", self.first, 1 << 62),
            ("count", self.count, 1 << 62),
            ("seed", self.seed, 1 << 64),
            ("microseconds", self.microseconds, _LONGEST_DELAY),
        ):
            if value is None and name in ("source", "node", "count"):
                continue
            if type(value) is not int or not 0 <= value <= high:
                raise UsageError(f"a fault's {name} is a number from 0 to {high}, not {value!r}")
        if type(self.probability) not in (int, float) or not 0 <= self.probability <= 1:
            raise UsageError(f"a fault's probability is from 0 to 1, not {self.probability!r}")
        if self.kind == "cut" and self.source is not None:
            raise UsageError("a cut takes a node, and no source: it stops both directions")
        if self.kind == "delay" and not self.microseconds:
            raise UsageError("a delay needs microseconds")

    def on(self, source: int, node: int) -> bool:
        """Whether a frame on that way is counted by this fault."""
        if self.kind == "cut":
            return self.node in (None, source, node)
        return self.source in (None, source) and self.node in (None, node)


def fault_from(values: object) -> Fault:
    """A fault from what JSON gave. Raises `UsageError`."""
    known = {field.name for field in fields(Fault)}
    if not isinstance(values, Mapping) or not set(values) <= known or "kind" not in values:
        raise UsageError(f"a fault is an object with kind, and of {', '.join(sorted(known))}; not {values!r:.200}")
    made: dict[str, Any] = dict(values)
    if not isinstance(made["kind"], str):
        raise UsageError(f"a fault's kind is a name, not {made['kind']!r:.80}")
    return Fault(**made)


@dataclass(frozen=True)
class Delivery:
    """`frame` goes to `node`, `delay_us` later than the wire alone would have it."""

    node: int
    frame: bytes
    delay_us: int = 0


@dataclass
class Counts:
    """What one node's line has carried. `refused`: frames from it that name no such nodes or are none at all;
    `dropped`: frames to it that faults took, or that it had no room for; `lost`: bytes from it outside of frames."""

    frames_sent: int = 0
    bytes_sent: int = 0
    frames_received: int = 0
    bytes_received: int = 0
    dropped: int = 0
    refused: int = 0
    lost: int = 0


class _Live:
    """An installed fault: how many frames it has seen, and its own random numbers."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.random = random.Random(fault.seed)

    def strikes(self, source: int, node: int) -> bool:
        fault = self.fault
        if not fault.on(source, node):
            return False
        number = self.seen
        self.seen += 1
        within = number >= fault.first and (fault.count is None or number < fault.first + fault.count)
        return within and (fault.probability >= 1 or self.random.random() < fault.probability)


class Switch:
    """Routes frames between `nodes` nodes. The same frames in the same order meet the same faults."""

    def __init__(self, nodes: int, faults: Sequence[Fault] = ()) -> None:
        if not 1 <= nodes <= MOST_NODES:
            raise UsageError(f"a network has 1 to {MOST_NODES} nodes, not {nodes}")
        self.nodes = nodes
        self.counts = tuple(Counts() for _ in range(nodes))
        self._faults: list[_Live] = []
        self._held: tuple[list[Delivery], ...] = tuple([] for _ in range(nodes))
        for fault in faults:
            self.install(fault)

    def install(self, fault: Fault) -> None:
        """From now on. Raises `UsageError` if it names a node that is not there."""
        for named in (fault.source, fault.node):
            if named is not None and named >= self.nodes:
                raise UsageError(f"there is no node {named}; there are 0 to {self.nodes - 1}")
        self._faults.append(_Live(fault))

    def clear(self) -> None:
        """No more faults. Frames that a `reorder` holds back are gone."""
        self._faults.clear()
        for node, held in enumerate(self._held):
            self.counts[node].dropped += len(held)
            held.clear()

    def restart(self) -> None:
        """Count from 0 again; frames that a `reorder` holds back are gone. Faults stay."""
        for held in self._held:
            held.clear()
        for count in self.counts:
            vars(count).update(vars(Counts()))

    def route(self, source: int, frame: bytes) -> list[Delivery]:
        """Where a frame goes that has come whole from node `source`, in the order of delivery."""
        count = self.counts[source]
        count.frames_sent += 1
        count.bytes_sent += len(frame)
        peers = self._peers(source, frame)
        if not peers:
            count.refused += 1
        return [delivery for node in peers for delivery in self._way(source, node, frame)]

    def _peers(self, source: int, frame: bytes) -> list[int]:
        """The nodes that a frame names; none if it is not a frame, or names any that is not there or itself."""
        if not SHORTEST <= len(frame) <= LONGEST:
            return []
        version, _, claimed, _, mask, length, *_ = HEADER.unpack_from(frame)
        if version != VERSION or claimed != source or length != len(frame) - SHORTEST:
            return []
        if mask >> self.nodes or mask >> source & 1:
            return []
        return [node for node in range(self.nodes) if mask >> node & 1]

    def _way(self, source: int, node: int, frame: bytes) -> list[Delivery]:
        """What reaches `node` now of a frame from `source`."""
        copies, delay, held = 1, 0, False
        for live in self._faults:
            if not live.strikes(source, node):
                continue
            match live.fault.kind:
                case "drop" | "cut":
                    copies = 0
                case "damage":
                    frame = _damaged(frame, live.random)
                case "double":
                    copies *= 2
                case "reorder":
                    held = True
                case "delay":
                    delay += live.fault.microseconds
        count = self.counts[node]
        if not copies:
            count.dropped += 1
            return []
        made = [Delivery(node, frame, delay)] * min(copies, 16)
        waiting = self._held[node]
        if held and not waiting:
            waiting.extend(made)
            return []
        made += waiting
        waiting.clear()
        for delivery in made:
            count.frames_received += 1
            count.bytes_received += len(delivery.frame)
        return made


def _damaged(frame: bytes, source: random.Random) -> bytes:
    at = source.randrange(8 * len(frame))
    spoilt = bytearray(frame)
    spoilt[at // 8] ^= 1 << at % 8
    return bytes(spoilt)
