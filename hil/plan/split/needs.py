"""What a node needs of a tensor, and what crosses the wire for it."""

from __future__ import annotations

from dataclasses import dataclass

from hil.plan.records import Box
from hil.plan.split.geometry import Storage

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
