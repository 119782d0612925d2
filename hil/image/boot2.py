"""The checksum of an RP2040's second boot stage (data sheet, section 2.8.1.3.1).

CRC-32 with polynomial 0x04C11DB7, most significant bit first, start value 0xFFFFFFFF, nothing reflected, no final XOR,
over the first 252 bytes of flash; stored little-endian in the four bytes behind them. The ROM refuses to start without.
"""

from __future__ import annotations

import struct
from pathlib import Path

from hil.errors import BuildFailed
from hil.image.elf import Elf

_COVERED = 252


def crc32_mpeg2(data: bytes) -> int:
    """The CRC that the boot ROM computes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7) & 0xFFFFFFFF if crc & 0x80000000 else crc << 1
    return crc


def seal(elf: Path) -> None:
    """Write the checksum into the section `.boot2` of a linked ELF; do nothing to an image without that section."""
    parsed = Elf(elf)
    for section in parsed.sections:
        if section.name != ".boot2":
            continue
        stage = parsed.contents(section)
        if len(stage) != _COVERED + 4:
            raise BuildFailed(f"{elf.name}: the second boot stage has {len(stage)} bytes, not 256")
        with elf.open("r+b") as handle:
            handle.seek(section.offset + _COVERED)
            handle.write(struct.pack("<I", crc32_mpeg2(stage[:_COVERED])))
