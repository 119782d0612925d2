"""Tensors as pictures of rows, columns and channels; boxes of them; and where a node keeps a box."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hil.plan.records import Box


@dataclass(frozen=True)
class View:
    """A tensor's bytes as rows x width x channels of elements of `size` bytes."""

    rows: int
    width: int
    channels: int
    size: int = 1

    @property
    def whole(self) -> Box:
        return Box(0, self.rows, 0, self.channels)

    @property
    def bytes(self) -> int:
        return self.rows * self.width * self.channels * self.size

    def bytes_of(self, box: Box) -> int:
        """Bytes of the elements in `box`."""
        return volume(box) * self.width * self.size


def volume(box: Box) -> int:
    """Rows times channels; 0 for an empty box."""
    return max(0, box.r1 - box.r0) * max(0, box.c1 - box.c0)


def intersection(a: Box, b: Box) -> Box | None:
    """What two boxes share, if anything."""
    box = Box(max(a.r0, b.r0), min(a.r1, b.r1), max(a.c0, b.c0), min(a.c1, b.c1))
    return box if volume(box) else None


def covers(outer: Box, inner: Box) -> bool:
    return outer.r0 <= inner.r0 and inner.r1 <= outer.r1 and outer.c0 <= inner.c0 and inner.c1 <= outer.c1


def hull(boxes: Iterable[Box]) -> Box:
    """The smallest box around all; at least one must be given."""
    given = list(boxes)
    return Box(min(b.r0 for b in given), max(b.r1 for b in given), min(b.c0 for b in given), max(b.c1 for b in given))


@dataclass
class Storage:
    """Bytes of one node's arena that hold `box` of a tensor.

    `rows` of the box's rows are kept: row y lies at (y - box.r0) % rows. `number` stands for its place in references
    until the arena is laid out. `tensor`: of the graph, for people; -1 for sums that belong to none.
    """

    number: int
    view: View
    box: Box
    rows: int
    tensor: int = -1

    @property
    def ring(self) -> bool:
        """Whether rows overwrite each other."""
        return self.rows < self.box.r1 - self.box.r0

    @property
    def channels(self) -> int:
        return self.box.c1 - self.box.c0

    @property
    def row_bytes(self) -> int:
        return self.view.width * self.channels * self.view.size

    @property
    def bytes(self) -> int:
        return self.rows * self.row_bytes
