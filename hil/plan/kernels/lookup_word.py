"""LookupWord: `out[i] = table[in[i] + 128]` with 32-bit results: int8 to float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hil.plan.records import Box, Extent, Memory, Record, Ref, Work


@dataclass(frozen=True)
class LookupWord(Record):
    """int8 to any 32-bit type through a table of 256 words, indexed by value + 128; `rows` x `channels` elements.

    The output is four times as wide, so it may not share the input's place.
    """

    KIND: ClassVar[int] = 11
    COST: ClassVar[str] = "lookup"
    NAME: ClassVar[str] = "lookup_word"

    input: Ref
    out: Ref
    table: Ref
    rows: int
    channels: int

    def extent(self) -> Extent:
        return Extent(self.rows, self.channels)

    def work(self, box: Box) -> Work:
        rows, count = box.r1 - box.r0, box.c1 - box.c0
        return Work(0, rows * count, slow=rows * count, runs=1 if count == self.channels else rows)

    def run(self, memory: Memory, box: Box) -> None:
        shape, count = (self.rows, self.channels), self.rows * self.channels
        index = memory.read(self.input, count, "int8").reshape(shape)[box.r0 : box.r1, box.c0 : box.c1]
        table = memory.read(self.table, 256, "uint32")
        memory.view(self.out, count, "uint32").reshape(shape)[box.r0 : box.r1, box.c0 : box.c1] = table[
            index.astype("i4") + 128
        ]
