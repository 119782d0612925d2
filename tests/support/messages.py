"""Made-up deployments that only exchange messages, and what must be in every node's arena at their end."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hil.plan.kernels import Transfer
from hil.plan.program import AnyStep, Barrier, Program, Receive, Send, Span, encode
from hil.plan.records import Arena

SIZES = (4, 8, 60, 508, 512, 516, 2044, 2048, 2052, 4096, 4100, 6148)


@dataclass(frozen=True)
class Region:
    """Where a message lies at one node: runs [first, end) of a record."""

    record: Transfer
    first: int
    end: int

    def places(self) -> list[int]:
        """The offset in the arena of every byte of the message, in order."""
        record = self.record
        assert isinstance(record.out, Arena)
        base = record.out.offset
        runs = [base + i % record.ring * record.stride for i in range(self.first, self.end)]
        return [at + byte for at in runs for byte in range(record.run_bytes)]


@dataclass
class Node:
    """One node's program in the making."""

    used: int = 0
    records: list[Transfer] = field(default_factory=list)
    steps: list[AnyStep] = field(default_factory=list)
    known: list[tuple[int, Region]] = field(default_factory=list)
    """Regions that can be sent, with their sizes."""


@dataclass(frozen=True)
class MadeUp:
    """Programs, what the arenas hold before the run, and what they must hold after it (the traces left out)."""

    programs: tuple[Program, ...]
    before: tuple[bytes, ...]
    after: tuple[bytes, ...]


def made_up(seed: int, nodes: int, exchanges: int = 3, most: int = 5) -> MadeUp:
    """A deployment of `exchanges` rounds with up to `most` messages each: multicasts, rings, sums of several nodes."""
    draw = random.Random(seed)
    made = [Node() for _ in range(nodes)]
    moves: list[tuple[Region, int, list[tuple[int, Region]]]] = []
    number = draw.randrange(1 << 20)
    for _ in range(exchanges):
        fresh: list[tuple[int, int, Region]] = []
        sums: dict[tuple[int, int], Region] = {}
        for _ in range(draw.randint(1, most)):
            source = draw.randrange(nodes)
            peers = [n for n in range(nodes) if n != source and draw.random() < 0.5] or [(source + 1) % nodes]
            old = [one for one in made[source].known if one[0] % 4 == 0]
            total = draw.choice(SIZES)
            if old and draw.random() < 0.5:
                total, region = draw.choice(old)
            else:
                region = _region(draw, made[source], total, add=False)
            add = draw.random() < 0.4
            _step(made[source], region, lambda at, r: Send(at, r.first, r.end, number, sum(1 << p for p in peers)))  # noqa: B023
            into = []
            for peer in peers:
                target = sums.get((peer, total)) if add else None
                target = target or _region(draw, made[peer], total, add=add)
                if add:
                    sums[peer, total] = target
                _step(made[peer], target, lambda at, r: Receive(at, r.first, r.end, number, source))  # noqa: B023
                into.append((peer, target))
                fresh.append((peer, total, target))
            moves.append((region, source, into))
            number += draw.randint(1, 3)
        for peer, total, target in fresh:
            made[peer].known.append((total, target))
        for node in made:
            node.steps.append(Barrier())
    programs = tuple(_program(node, index, nodes) for index, node in enumerate(made))
    before = tuple(draw.randbytes(node.used) for node in made)
    after = [bytearray(data) for data in before]
    for region, source, into in moves:
        data = bytes(after[source][at] for at in region.places())
        for peer, target in into:
            _put(after[peer], target, data)
    return MadeUp(programs, before, tuple(bytes(data) for data in after))


def _region(draw: random.Random, node: Node, total: int, *, add: bool) -> Region:
    """A new place for `total` bytes: one run or several, side by side or apart, in a ring that may wrap."""
    sizes = [size for size in (4, 12, 64, 512, total) if total % size == 0 and total // size <= 64]
    run = draw.choice(sizes)
    count = total // run
    stride = run + draw.choice([0, 0, 4, 12])
    ring = count + draw.choice([0, 0, 1, 3])
    first = draw.choice([0, 0, 1, 5])
    record = Transfer(Arena(node.used), run, stride, ring, max(ring, first + count), int(add))
    node.used += ring * stride
    return Region(record, first, first + count)


def _step(node: Node, region: Region, make: object) -> None:
    if region.record not in node.records:
        node.records.append(region.record)
    node.steps.append(make(node.records.index(region.record), region))  # type: ignore[operator]


def _program(node: Node, index: int, nodes: int) -> Program:
    spans = [Span(0, node.used)] if node.used else []
    return encode(
        node.records, node.steps, spans, spans, arena_bytes=node.used + 120, node=index, nodes=nodes,
        trace_at=node.used,
    )  # fmt: skip


def _put(arena: bytearray, target: Region, data: bytes) -> None:
    places = target.places()
    if not target.record.add:
        for at, byte in zip(places, data, strict=True):
            arena[at] = byte
        return
    for i in range(0, len(places), 4):
        at = places[i]
        total = int.from_bytes(arena[at : at + 4], "little") + int.from_bytes(data[i : i + 4], "little")
        arena[at : at + 4] = (total & 0xFFFF_FFFF).to_bytes(4, "little")
