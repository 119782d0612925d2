"""Operator records: the parameters of one kernel call, as fields of 32-bit words, and what every kernel must offer.

`firmware/engine/kernels/kernels.h` declares the same structures field by field.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from hil.errors import PlanError

CONST_BIT = 0x8000_0000
RANK = 6
"""Dimensions of the general kernels; smaller shapes are padded with leading ones."""


@dataclass(frozen=True)
class Act:
    """Bytes of a graph activation, before memory is planned: tensor index and byte offset into it."""

    tensor: int
    offset: int = 0


@dataclass(frozen=True)
class Blob:
    """Constant bytes, before they have a place in the program. Equal blobs are stored once."""

    data: bytes = dataclasses.field(repr=False)


@dataclass(frozen=True)
class Arena:
    """An offset in the arena."""

    offset: int


@dataclass(frozen=True)
class Const:
    """An offset in the program."""

    offset: int


Ref = Act | Blob | Arena | Const


@dataclass(frozen=True)
class Box:
    """Rows [r0, r1) by channels [c0, c1) of an operator's output."""

    r0: int
    r1: int
    c0: int
    c1: int


@dataclass(frozen=True)
class Extent:
    """The largest box of a record; `whole_channels`: a box must take all channels."""

    rows: int
    channels: int
    whole_channels: bool = False

    def whole(self) -> Box:
        return Box(0, self.rows, 0, self.channels)

    def contains(self, box: Box) -> bool:
        """Whether `box` is a part that one step may run: not empty, inside, and of all channels where it must be."""
        inside = 0 <= box.r0 < box.r1 <= self.rows and 0 <= box.c0 < box.c1 <= self.channels
        return inside and (not self.whole_channels or (box.c0, box.c1) == (0, self.channels))


class Work(NamedTuple):
    """How much there is to do in a box, counted: a board's cost table says what one of each takes.

    `macs`: multiply-accumulates (or elements read, where there are none); `outputs`: output elements. The others are
    how often parts of the kernel's C code run. Where a kernel has a quick and a general path, or two kernels share a
    line of the table, `fast`, `turns` and `runs` are outputs (of convolutions: pairs of them), turns of the inner loop
    and calls of it on the one, and `slow...` on the other. `gathered` are bytes copied one by one, in `pieces`;
    `extra` is what only some boxes need: divisions, shifts.
    """

    macs: int
    outputs: int
    rows: int = 0
    pixels: int = 0
    fast: int = 0
    turns: int = 0
    runs: int = 0
    slow: int = 0
    slow_turns: int = 0
    slow_runs: int = 0
    gathered: int = 0
    pieces: int = 0
    extra: int = 0
    calls: int = 1


class Memory:
    """The two memories that a program sees, as arrays of bytes: the arena, and the program itself."""

    def __init__(self, arena: npt.NDArray[np.uint8], program: bytes) -> None:
        self.arena = arena
        self.program = np.frombuffer(program, np.uint8)

    def read(self, ref: Ref, count: int, dtype: str) -> npt.NDArray[np.generic]:
        """`count` values from `ref`, as a copy, so that a kernel that runs in place reads what was there before."""
        size = count * np.dtype(dtype).itemsize
        memory, offset = (self.program, ref.offset) if isinstance(ref, Const) else (self.arena, _offset(ref))
        if offset + size > memory.size:
            raise PlanError(f"a record reads {size} bytes at {ref}, outside of {memory.size}")
        return memory[offset : offset + size].copy().view(np.dtype(dtype).newbyteorder("<"))

    def view(self, ref: Ref, count: int, dtype: str) -> npt.NDArray[np.generic]:
        """`count` values of the arena at `ref`, writable in place."""
        size = count * np.dtype(dtype).itemsize
        offset = _offset(ref)
        if offset + size > self.arena.size:
            raise PlanError(f"a record writes {size} bytes at {ref}, outside of {self.arena.size}")
        return self.arena[offset : offset + size].view(np.dtype(dtype).newbyteorder("<"))


def _offset(ref: Ref) -> int:
    if not isinstance(ref, Arena):
        raise PlanError(f"{ref} is not a place in the arena")
    return ref.offset


@dataclass(frozen=True)
class Record:
    """Base of all records. Fields are `Ref`, `int` (signed 32 bits), or `tuple[int, ...]` of RANK values, in C order.

    KIND is the number in `hil_program.h`, COST the key of the board's cost table, NAME the C kernel's name
    (`hil_run_<NAME>`), OUTPUT the field that the kernel writes.
    """

    KIND: ClassVar[int]
    COST: ClassVar[str]
    NAME: ClassVar[str]
    OUTPUT: ClassVar[str] = "out"

    def extent(self) -> Extent:
        """The whole output as rows and channels."""
        raise NotImplementedError

    def work(self, box: Box) -> Work:
        """What the box costs."""
        raise NotImplementedError

    def run(self, memory: Memory, box: Box) -> None:
        """Compute the box in numpy: the engine's arithmetic, independently written."""
        raise NotImplementedError

    def idle(self) -> frozenset[str]:
        """Functions of the kernel's C file that no box of this record calls: they need no stack."""
        return frozenset()

    def may_overwrite(self) -> tuple[Ref, ...]:
        """Inputs whose storage the output may take over: each element is read before its place is written."""
        return ()

    # -- generic over the fields ---------------------------------------------------------------------------------

    @property
    def target(self) -> Ref:
        ref = getattr(self, self.OUTPUT)
        assert isinstance(ref, Act | Blob | Arena | Const)
        return ref

    def refs(self) -> dict[str, Ref]:
        """All reference fields, the output included, by name."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Act | Blob | Arena | Const)}

    def sources(self) -> tuple[Ref, ...]:
        """All references that the kernel reads."""
        return tuple(ref for name, ref in self.refs().items() if name != self.OUTPUT)

    def placed(self, place: Callable[[Ref], Ref]) -> Self:
        """The same record with every reference replaced."""
        return dataclasses.replace(self, **{name: place(ref) for name, ref in self.refs().items()})

    def pack(self) -> bytes:
        """The record's words; every reference must be placed."""
        words: list[int] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Arena):
                words.append(value.offset)
            elif isinstance(value, Const):
                words.append(value.offset | CONST_BIT)
            elif isinstance(value, tuple):
                words += [v & 0xFFFF_FFFF for v in value]
            elif isinstance(value, int):
                if not -(1 << 31) <= value < 1 << 31:
                    raise PlanError(f"{type(self).__name__}.{field.name} = {value} does not fit in 32 bits")
                words.append(value & 0xFFFF_FFFF)
            else:
                raise PlanError(f"{type(self).__name__}.{field.name} = {value!r} is not placed")
        return struct.pack(f"<{len(words) + 2}I", self.KIND, len(words) + 2, *words)

    @classmethod
    def unpack(cls, words: tuple[int, ...]) -> Self:
        """A record from its words (without kind and length)."""
        values: dict[str, Ref | int | tuple[int, ...]] = {}
        at = 0
        for field in dataclasses.fields(cls):
            kind = str(field.type)
            count = RANK if kind.startswith("tuple") else 1
            part = words[at : at + count]
            if len(part) != count:
                raise PlanError(f"a {cls.__name__} record is {len(words)} words long, too short")
            at += count
            signed = tuple(w - (1 << 32) if w & CONST_BIT else w for w in part)
            if kind == "Ref":
                values[field.name] = Const(part[0] & ~CONST_BIT) if part[0] & CONST_BIT else Arena(part[0])
            else:
                values[field.name] = signed if count == RANK else signed[0]
        if at != len(words):
            raise PlanError(f"a {cls.__name__} record is {len(words)} words long, {at} expected")
        return cls(**values)


def registry(*records: type[Record]) -> Mapping[int, type[Record]]:
    """Records by kind; a kind used twice is a mistake of ours."""
    found = {record.KIND: record for record in records}
    assert len(found) == len(records)
    return found
