"""Which core computes which box, and where the cores have to meet.

Tiling is per kernel call: rows, channels, or a grid of both, whichever the board's cost table finds fastest; a call
that is not worth a meeting stays on core 0. Cores meet before a call that touches what another core wrote, or writes
what another core read, since they last met. Within one call they leave each other's bytes alone (see `divisible`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hil.board import Board
from hil.plan.records import Box, Record


@dataclass(frozen=True)
class Tile:
    """One core's share of a kernel call."""

    core: int
    box: Box


@dataclass(frozen=True)
class Tiling:
    """The shares of one call. `whole` and `slowest` are predicted cycles: on one core, and of the slowest share."""

    tiles: tuple[Tile, ...]
    whole: float
    slowest: float

    @property
    def cores(self) -> frozenset[int]:
        return frozenset(tile.core for tile in self.tiles)

    @property
    def bound(self) -> float:
        """The speed-up that this tiling allows at most."""
        return self.whole / self.slowest if self.slowest else 1.0


@dataclass(frozen=True)
class Touch:
    """Bytes of the arena that a call reads or writes: [start, end)."""

    start: int
    end: int
    writes: bool

    def conflicts(self, other: Touch) -> bool:
        return (self.writes or other.writes) and self.start < other.end and other.start < self.end


def cycles(record: Record, board: Board, box: Box) -> float:
    """What a box costs on one core, by the board's cost table."""
    work = record.work(box)
    return sum([each * getattr(work, count) for count, each in board.costs[record.COST].each], board.step_cost)


def tile(record: Record, board: Board, cores: int, *, divisible: bool, of: Box | None = None) -> Tiling:
    """The fastest tiling of a call, or of its box `of`, over up to `cores` cores.

    One share on core 0 where more would not pay.
    `divisible`: whether shares may run side by side at all (not where an output overwrites an input of another size).
    """
    extent = record.extent()
    box = of or extent.whole()
    whole = cycles(record, board, box)
    best = Tiling((Tile(0, box),), whole, whole)
    if cores == 1 or not divisible:
        return best
    for across in range(1, cores + 1):
        down = cores // across
        if across > 1 and extent.whole_channels:
            break
        boxes = [
            Box(box.r0 + r0, box.r0 + r1, box.c0 + c0, box.c0 + c1)
            for r0, r1 in _parts(box.r1 - box.r0, down, 1)
            for c0, c1 in _parts(box.c1 - box.c0, across, _GRAIN)
        ]
        slowest = max(cycles(record, board, part) for part in boxes)
        # Every share meets the others once more than a call on one core would.
        if len(boxes) > 1 and slowest + board.step_cost < best.slowest:
            best = Tiling(tuple(Tile(core, part) for core, part in enumerate(boxes)), whole, slowest)
    return best


_GRAIN = 4
"""Channels are divided in multiples of this where there are enough: kernels compute several at a time."""
_ENOUGH = 16
"""Channels for each share, from which on a cut at a multiple of the grain costs less balance than it saves."""


def _parts(count: int, parts: int, grain: int) -> list[tuple[int, int]]:
    """[0, count) in up to `parts` nearly equal parts, cut at multiples of `grain` where there is enough to divide."""
    if count < parts * _ENOUGH:
        grain = 1
    cuts = sorted({min(count, round(count * k / parts / grain) * grain) for k in range(parts)} | {0, count})
    return [(a, b) for a, b in pairwise(cuts) if a < b]


class Meetings:
    """Decides where cores have to meet: what each has touched since they last did."""

    def __init__(self) -> None:
        self._touched: list[tuple[int, Touch]] = []

    def needed(self, cores: frozenset[int], touches: Sequence[Touch]) -> bool:
        """Whether a call by `cores` that touches these bytes must wait for another core; notes the call either way."""
        conflict = any(
            core != seen_core and touch.conflicts(seen)
            for seen_core, seen in self._touched
            for core in cores
            for touch in touches
        )
        if conflict:
            self._touched.clear()
        self._touched += [(core, touch) for core in cores for touch in touches]
        return conflict
