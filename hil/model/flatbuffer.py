"""A bounds-checked reader of flatbuffers that nobody vouches for.

Every offset, vtable, vector and string is held against the buffer before it is followed, and the work that one file
can cause is bounded: vectors that many tables share are paid for each time they are read. Whatever is wrong raises
`MalformedModel`. Format: flatbuffers "Internals" (https://flatbuffers.dev/internals/), little endian throughout.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from hil.errors import MalformedModel

_U8, _I8, _BOOL = struct.Struct("<B"), struct.Struct("<b"), struct.Struct("<?")
_U16, _U32, _I32 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i")
_U64, _F32 = struct.Struct("<Q"), struct.Struct("<f")

# Bytes of vectors and strings that one reader hands out: so many times the file, and a floor for small files.
_WORK_FACTOR = 8
_WORK_FLOOR = 1 << 20


@dataclass
class Reader:
    """The bytes of one flatbuffer, and what is left of its work allowance."""

    data: bytes
    work_left: int = field(init=False)

    def __post_init__(self) -> None:
        self.work_left = _WORK_FACTOR * len(self.data) + _WORK_FLOOR

    def root(self) -> Table:
        """The root table."""
        return self.table(self.follow(0, "root table"), "root table")

    def table(self, position: int, what: str) -> Table:
        """The table at `position`, with its vtable checked."""
        vtable = position - int(self.number(_I32, position, what))
        vtable_size = int(self.number(_U16, vtable, f"{what}: vtable"))
        size = int(self.number(_U16, vtable + 2, f"{what}: vtable"))
        if vtable_size < 4 or vtable_size % 2 or vtable + vtable_size > len(self.data):
            raise MalformedModel(f"{what}: vtable at byte {vtable} has an impossible size of {vtable_size} bytes")
        if size < 4 or position + size > len(self.data):
            raise MalformedModel(f"{what}: table at byte {position} ends outside the file")
        return Table(self, position, vtable, vtable_size, size, what)

    def number(self, form: struct.Struct, position: int, what: str) -> int | float:
        """One little-endian number at `position`, which is a multiple of its size, as TFLite insists."""
        if position < 0 or position + form.size > len(self.data):
            raise MalformedModel(f"{what}: byte {position} is outside the file of {len(self.data)} bytes")
        if position % form.size:
            raise MalformedModel(f"{what}: byte {position} is not aligned to {form.size}")
        value: int | float = form.unpack_from(self.data, position)[0]
        return value

    def follow(self, position: int, what: str) -> int:
        """Where the unsigned 32-bit offset at `position` leads."""
        offset = int(self.number(_U32, position, what))
        target = position + offset
        if offset == 0 or target + 4 > len(self.data):
            raise MalformedModel(f"{what}: offset {offset} at byte {position} leads outside the file")
        return target

    def span(self, position: int, item: int, what: str) -> tuple[int, int]:
        """Start and count of the vector at `position`, whose items have `item` bytes each."""
        count = int(self.number(_U32, position, what))
        start = position + 4
        if count * item > len(self.data) - start:
            raise MalformedModel(f"{what}: {count} items of {item} bytes at byte {start} end outside the file")
        return start, count

    def spend(self, work: int, what: str) -> None:
        """Pay for `work` bytes of reading; a file that asks for too much is not a model."""
        self.work_left -= work
        if self.work_left < 0:
            raise MalformedModel(f"{what}: the file refers to the same bytes far too often")


@dataclass(frozen=True)
class Table:
    """One table: fields are asked for by slot (their number in the schema); an absent one is its default."""

    reader: Reader
    position: int
    vtable: int
    vtable_size: int
    size: int
    what: str

    def at(self, slot: int, size: int) -> int | None:
        """The position of the field, or None where the table does not have it."""
        place = 4 + 2 * slot
        if place + 2 > self.vtable_size:
            return None
        offset = int(self.reader.number(_U16, self.vtable + place, self.what))
        if offset == 0:
            return None
        if offset < 4 or offset + size > self.size:
            raise MalformedModel(f"{self.what}: field {slot} lies outside its table of {self.size} bytes")
        return self.position + offset

    def _integer(self, slot: int, form: struct.Struct, default: int) -> int:
        place = self.at(slot, form.size)
        return default if place is None else int(self.reader.number(form, place, self.what))

    def u8(self, slot: int, default: int = 0) -> int:
        return self._integer(slot, _U8, default)

    def i8(self, slot: int, default: int = 0) -> int:
        return self._integer(slot, _I8, default)

    def u32(self, slot: int, default: int = 0) -> int:
        return self._integer(slot, _U32, default)

    def i32(self, slot: int, default: int = 0) -> int:
        return self._integer(slot, _I32, default)

    def u64(self, slot: int, default: int = 0) -> int:
        return self._integer(slot, _U64, default)

    def flag(self, slot: int, default: bool = False) -> bool:
        """A bool; any byte other than 0 counts as true, as C++ readers take it."""
        return self.u8(slot, int(default)) != 0

    def f32(self, slot: int, default: float = 0.0) -> float:
        place = self.at(slot, 4)
        return default if place is None else float(self.reader.number(_F32, place, self.what))

    def child(self, slot: int, what: str) -> Table | None:
        """The table that the field refers to."""
        place = self.at(slot, 4)
        return None if place is None else self.reader.table(self.reader.follow(place, what), what)

    def children(self, slot: int, what: str, limit: int) -> tuple[Table, ...]:
        """The vector of tables, at most `limit`; each is called by `what` and its number."""
        span = self._vector(slot, 4, what)
        if span is None:
            return ()
        start, count = span
        if count > limit:
            raise MalformedModel(f"{what}: {count} of them, at most {limit} are read")
        self.reader.spend(4 * count, what)
        places = (start + 4 * k for k in range(count))
        reader = self.reader
        return tuple(reader.table(reader.follow(p, f"{what} {k}"), f"{what} {k}") for k, p in enumerate(places))

    def i32s(self, slot: int, what: str) -> tuple[int, ...] | None:
        """A vector of int32, or None where it is absent."""
        return self._numbers(slot, "i", 4, what)

    def i64s(self, slot: int, what: str) -> tuple[int, ...] | None:
        return self._numbers(slot, "q", 8, what)

    def f32s(self, slot: int, what: str) -> tuple[float, ...] | None:
        return self._numbers(slot, "f", 4, what)

    def span(self, slot: int, what: str) -> tuple[int, int] | None:
        """Start and length of a vector of bytes, which is not copied."""
        return self._vector(slot, 1, what)

    def text(self, slot: int, what: str) -> str | None:
        """A string, safe to print: control characters become U+FFFD."""
        span = self._vector(slot, 1, what)
        if span is None:
            return None
        start, count = span
        self.reader.spend(count, what)
        if self.reader.data[start + count : start + count + 1] != b"\0":
            raise MalformedModel(f"{self.what}: {what}: a text that does not end where it should")
        try:
            text = self.reader.data[start : start + count].decode()
        except UnicodeDecodeError:
            raise MalformedModel(f"{self.what}: {what}: a text that is not UTF-8") from None
        return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)

    def _numbers(self, slot: int, form: str, size: int, what: str) -> tuple[int, ...] | None:
        span = self._vector(slot, size, what)
        if span is None:
            return None
        start, count = span
        self.reader.spend(size * count, what)
        return struct.unpack_from(f"<{count}{form}", self.reader.data, start)

    def _vector(self, slot: int, item: int, what: str) -> tuple[int, int] | None:
        place = self.at(slot, 4)
        what = f"{self.what}: {what}"
        return None if place is None else self.reader.span(self.reader.follow(place, what), item, what)
