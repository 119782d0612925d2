"""Where the bytes of a message lie in a node's arena; SEND and RECEIVE steps refer to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hil.errors import PlanError
from hil.plan.records import Arena, Box, Extent, Memory, Record, Ref, Work


@dataclass(frozen=True)
class Transfer(Record):
    """`runs` logical runs of `run_bytes`; run i lies at `out` + (i % `ring`) * `stride`. A message is some of them.

    A message that is received is stored there; with `add` = 1 its int32 words are added, modulo 2^32, to those there.
    It is no kernel: its extent is empty, so that no box of it can be run.
    """

    KIND: ClassVar[int] = 17
    COST: ClassVar[str] = "copy"
    NAME: ClassVar[str] = "transfer"

    out: Ref
    run_bytes: int
    stride: int
    ring: int
    runs: int
    add: int

    def extent(self) -> Extent:
        return Extent(0, 0)

    def work(self, box: Box) -> Work:
        return Work(0, self.size(box.r0, box.r1))

    def contains(self, first: int, end: int) -> bool:
        """Whether runs [first, end) can be one message: not empty, and each at a place of its own."""
        return 0 <= first < end <= self.runs and end - first <= self.ring

    def size(self, first: int, end: int) -> int:
        """The size of the message of runs [first, end)."""
        return (end - first) * self.run_bytes

    def gather(self, memory: Memory, first: int, end: int) -> bytes:
        """The message of runs [first, end). Raises `PlanError` where they leave the arena."""
        return memory.arena[self._places(memory, first, end)].tobytes()

    def scatter(self, memory: Memory, first: int, end: int, data: bytes) -> None:
        """Take the message of runs [first, end). Raises `PlanError` for another size, or outside of the arena."""
        if len(data) != self.size(first, end):
            raise PlanError(f"runs [{first}, {end}) of {self} are {self.size(first, end)} bytes, not {len(data)}")
        places = self._places(memory, first, end)
        if self.add:
            there = np.frombuffer(memory.arena[places].tobytes(), "<u4")
            data = (there + np.frombuffer(data, "<u4")).tobytes()
        memory.arena[places] = np.frombuffer(data, np.uint8).reshape(places.shape)

    def _places(self, memory: Memory, first: int, end: int) -> npt.NDArray[np.int64]:
        """Offsets in the arena, as (runs, bytes)."""
        if not self.contains(first, end):
            raise PlanError(f"[{first}, {end}) are no runs of {self}")
        memory.view(self.out, (self.ring - 1) * self.stride + self.run_bytes, "uint8")
        assert isinstance(self.out, Arena)
        starts = self.out.offset + np.arange(first, end, dtype=np.int64) % self.ring * self.stride
        return starts[:, None] + np.arange(self.run_bytes, dtype=np.int64)
