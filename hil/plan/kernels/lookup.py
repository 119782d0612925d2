"""Lookup: `out[i] = table[in[i] + 128]`, every int8 function of one int8 value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hil.plan.records import Box, Extent, Memory, Record, Ref, Work


@dataclass(frozen=True)
class Lookup(Record):
    """int8 to int8 through a table of 256 bytes, indexed by value + 128; `rows` x `channels` elements."""

    KIND: ClassVar[int] = 10
    COST: ClassVar[str] = "lookup"
    NAME: ClassVar[str] = "lookup"

    input: Ref
    out: Ref
    table: Ref
    rows: int
    channels: int

    def extent(self) -> Extent:
        return Extent(self.rows, self.channels)

    def work(self, box: Box) -> Work:
        rows, count = box.r1 - box.r0, box.c1 - box.c0
        return Work(0, rows * count, fast=rows * count, runs=1 if count == self.channels else rows)

    def may_overwrite(self) -> tuple[Ref, ...]:
        return (self.input,)

    def run(self, memory: Memory, box: Box) -> None:
        shape, count = (self.rows, self.channels), self.rows * self.channels
        index = memory.read(self.input, count, "int8").reshape(shape)[box.r0 : box.r1, box.c0 : box.c1]
        table = memory.read(self.table, 256, "int8")
        memory.view(self.out, count, "int8").reshape(shape)[box.r0 : box.r1, box.c0 : box.c1] = table[
            index.astype("i4") + 128
        ]
