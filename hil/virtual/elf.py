"""The part of an ELF file that a virtual board needs: bytes, and where in the chip's memory they go."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hil.errors import UsageError

_MACHINE_ARM = 40
_PT_LOAD = 1
_MOST_SEGMENTS = 64


@dataclass(frozen=True)
class Segment:
    """`data` belongs at the physical address `address` (where a flasher writes it, not where it may be copied to)."""

    address: int
    data: bytes


def segments(elf: bytes, name: str) -> tuple[Segment, ...]:
    """Every loadable segment with contents; raise `UsageError` naming `name` if this is no 32-bit ARM executable."""
    if len(elf) < 52 or elf[:6] != b"\x7fELF\x01\x01":
        raise UsageError(f"{name} is not a 32-bit little-endian ELF file")
    (machine,) = struct.unpack_from("<H", elf, 18)
    if machine != _MACHINE_ARM:
        raise UsageError(f"{name} is for ELF machine {machine}, the virtual RP2040 runs ARM ({_MACHINE_ARM})")
    (table,) = struct.unpack_from("<I", elf, 28)
    size, count = struct.unpack_from("<HH", elf, 42)
    if size != 32 or count > _MOST_SEGMENTS or table + count * size > len(elf):
        raise UsageError(f"{name} has a damaged program header table")
    found = []
    for index in range(count):
        kind, offset, _, address, length, *_ = struct.unpack_from("<8I", elf, table + index * size)
        if kind != _PT_LOAD or length == 0:
            continue
        if offset + length > len(elf):
            raise UsageError(f"{name} is cut short: segment {index} ends at byte {offset + length} of {len(elf)}")
        found.append(Segment(address, elf[offset : offset + length]))
    if not found:
        raise UsageError(f"{name} has nothing to load")
    return tuple(found)
