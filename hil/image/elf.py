"""A small typed reader of little-endian ELF files: loadable segments, sections, symbols, relocations.

Source: System V ABI, chapters "ELF header", "Sections", "Symbol table", "Relocation", "Program header". A damaged file
raises `BuildFailed`, since only a toolchain makes these files.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from hil.errors import BuildFailed

RISCV = 243
"""`Elf.machine` of RISC-V."""

_PT_LOAD = 1
_SHT_SYMTAB = 2
_SHT_RELA = 4
_SHT_NOBITS = 8
_FUNCTION = 2
_MAX_BYTES = 256 << 20


@dataclass(frozen=True)
class _Layout:
    """How a class of files is laid out, as `struct` formats, with fields in the order of the 32-bit class."""

    header: str
    segment: str
    segment_order: tuple[int, ...]
    section: str
    symbol: str
    symbol_order: tuple[int, ...]
    rela: str
    rela_symbol: int
    """Bits by which a relocation's info is shifted to give its symbol."""


_LAYOUTS = {
    1: _Layout("<HHIIIIIHHHHHH", "<IIIII", (0, 1, 2, 3, 4), "<IIIIIIIIII", "<IIIBBH", (0, 1, 2, 3, 4, 5), "<IIi", 8),
    2: _Layout("<HHIQQQIHHHHHH", "<IIQQQQ", (0, 2, 3, 4, 5), "<IIQQQQIIQQ", "<IBBHQQ", (0, 4, 5, 1, 2, 3), "<QQq", 32),
}


@dataclass(frozen=True)
class Segment:
    """Bytes to load: `physical` is where they lie in flash, `virtual` where the program sees them."""

    physical: int
    virtual: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Section:
    """A named part of the file. `bits` is False for sections that take memory but no bytes in the file."""

    name: str
    kind: int
    address: int
    offset: int
    size: int
    link: int
    info: int

    @property
    def bits(self) -> bool:
        return self.kind != _SHT_NOBITS


@dataclass(frozen=True)
class Symbol:
    """A name, its value (bit 0 set for Thumb functions), its size in bytes and the index of its section (0: elsewhere).

    `local`: other files do not see it.
    """

    name: str
    value: int
    size: int
    function: bool
    section: int
    local: bool


@dataclass(frozen=True)
class Relocation:
    """A place that the linker fills in: which section it is in, and what it refers to."""

    section: int
    symbol: Symbol
    addend: int


class Elf:
    """One file, read whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as handle:
                self._data = handle.read(_MAX_BYTES + 1)
        except OSError as error:
            raise BuildFailed(f"{path.name}: cannot be read: {error}") from error
        if len(self._data) > _MAX_BYTES:
            self._fail("is too large")
        if self._data[:4] != b"\x7fELF" or self._data[5:6] != b"\x01" or self._data[4] not in _LAYOUTS:
            self._fail("is not a 32-bit or 64-bit little-endian ELF file")
        self._layout = _LAYOUTS[self._data[4]]
        self._header = self._unpack(self._layout.header, 16)

    def _fail(self, why: str) -> NoReturn:
        raise BuildFailed(f"{self.path.name}: {why}")

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        if offset + struct.calcsize(layout) > len(self._data):
            self._fail(f"ends before offset {offset}")
        return struct.unpack_from(layout, self._data, offset)

    def _bytes(self, offset: int, size: int) -> bytes:
        if offset + size > len(self._data):
            self._fail(f"ends before offset {offset + size}")
        return self._data[offset : offset + size]

    def _text(self, table: bytes, offset: int) -> str:
        end = table.find(b"\0", offset)
        if end < 0:
            self._fail("has a name without an end")
        return table[offset:end].decode("utf-8", "replace")

    @property
    def machine(self) -> int:
        """The processor that it is for, as the ABI numbers them."""
        return self._header[1]

    @property
    def entry(self) -> int:
        """The address where a debugger would start."""
        return self._header[3]

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """Loadable segments with bytes in the file, by physical address."""
        found = []
        for index in range(self._header[9]):
            raw = self._unpack(self._layout.segment, self._header[4] + index * self._header[8])
            kind, offset, virtual, physical, size = (raw[i] for i in self._layout.segment_order)
            if kind == _PT_LOAD and size:
                found.append(Segment(physical, virtual, offset, self._bytes(offset, size)))
        return tuple(sorted(found, key=lambda segment: segment.physical))

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """All sections, in the file's order."""
        layout, at, each, count = self._layout.section, self._header[5], self._header[10], self._header[11]
        raw = [self._unpack(layout, at + i * each) for i in range(count)]
        if self._header[12] >= len(raw):
            self._fail("has no section names")
        names = self._bytes(raw[self._header[12]][4], raw[self._header[12]][5])
        return tuple(Section(self._text(names, r[0]), r[1], r[3], r[4], r[5], r[6], r[7]) for r in raw)

    def contents(self, section: Section) -> bytes:
        """The bytes of a section; empty if it has none in the file."""
        return self._bytes(section.offset, section.size) if section.bits else b""

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """All named symbols, in the file's order."""
        return tuple(symbol for symbol in self._all_symbols if symbol.name)

    @cached_property
    def _all_symbols(self) -> tuple[Symbol, ...]:
        """Those of sections too, which have no name."""
        found = []
        layout = self._layout
        for table in self.sections:
            if table.kind != _SHT_SYMTAB:
                continue
            if table.link >= len(self.sections):
                self._fail("has symbols without names")
            names = self.contents(self.sections[table.link])
            for offset in range(table.offset, table.offset + table.size, struct.calcsize(layout.symbol)):
                raw = self._unpack(layout.symbol, offset)
                name, value, size, info, _, index = (raw[i] for i in layout.symbol_order)
                text = self._text(names, name) if name else ""
                found.append(Symbol(text, value, size, info & 15 == _FUNCTION, index, info >> 4 == 0))
        return tuple(found)

    @cached_property
    def relocations(self) -> tuple[Relocation, ...]:
        """All places that a linker has still to fill in, in the file's order."""
        found = []
        for table in self.sections:
            if table.kind != _SHT_RELA:
                continue
            for offset in range(table.offset, table.offset + table.size, struct.calcsize(self._layout.rela)):
                _, info, addend = self._unpack(self._layout.rela, offset)
                index = info >> self._layout.rela_symbol
                if index >= len(self._all_symbols):
                    self._fail("has a relocation that refers to no symbol")
                found.append(Relocation(table.info, self._all_symbols[index], addend))
        return tuple(found)

    @cached_property
    def _by_name(self) -> dict[str, Symbol]:
        return {symbol.name: symbol for symbol in self.symbols}

    def has(self, name: str) -> bool:
        return name in self._by_name

    def value(self, name: str) -> int:
        """The value of the symbol `name`. Raises `BuildFailed` if there is none."""
        if name not in self._by_name:
            self._fail(f"has no symbol {name}")
        return self._by_name[name].value

    def symbolize(self, address: int) -> str:
        """`function+offset` for a code address, or the bare address where no function is."""
        for symbol in self.symbols:
            start = symbol.value & ~1
            if symbol.function and start <= address & ~1 < start + max(symbol.size, 2):
                return f"{symbol.name}+{(address & ~1) - start:#x}"
        return f"{address:#010x}"


def flat(segments: tuple[Segment, ...], base: int) -> bytes:
    """The bytes of flash from `base` on, gaps filled with 0xFF (erased flash). Raises `BuildFailed` on overlap."""
    out = bytearray()
    for segment in segments:
        gap = segment.physical - base - len(out)
        if gap < 0:
            raise BuildFailed(f"a segment at {segment.physical:#x} overlaps another, or lies below {base:#x}")
        out += b"\xff" * gap + segment.data
    return bytes(out)
