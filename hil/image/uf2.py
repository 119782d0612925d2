"""UF2 files, the format of USB mass-storage bootloaders: 512-byte blocks that say where their payload goes.

Source: the UF2 specification (github.com/microsoft/uf2); RP2040 data sheet, section 2.8.4.2: payloads of 256 bytes at
addresses that are multiples of 256, all blocks numbered, one family.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

PAYLOAD = 256
_FIRST, _SECOND, _LAST = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_NOT_FLASH, _HAS_FAMILY = 0x00000001, 0x00002000
_BLOCK = 512
_MOST_PAYLOAD = 476


@dataclass(frozen=True)
class Block:
    """One block: number `index` of `count`, whose payload goes to `address`. `family` None: it names none."""

    address: int
    payload: bytes
    index: int
    count: int
    family: int | None


def encode(data: bytes, address: int, family: int) -> bytes:
    """A UF2 file that puts `data` at `address` (a multiple of 256); the last block is filled with 0xFF."""
    if address % PAYLOAD:
        raise ValueError(f"{address:#x} is not a multiple of {PAYLOAD}")
    count = -(-len(data) // PAYLOAD)
    blocks = []
    for index in range(count):
        payload = data[index * PAYLOAD : (index + 1) * PAYLOAD].ljust(PAYLOAD, b"\xff")
        where = address + index * PAYLOAD
        head = struct.pack("<8I", _FIRST, _SECOND, _HAS_FAMILY, where, PAYLOAD, index, count, family)
        blocks.append(head + payload + bytes(476 - PAYLOAD) + struct.pack("<I", _LAST))
    return b"".join(blocks)


def decode(data: bytes) -> tuple[Block, ...]:
    """The blocks of a UF2 file that are for flash. What is no block, at its end too, is left out, as loaders do."""
    found = []
    for at in range(0, len(data) - _BLOCK + 1, _BLOCK):
        first, second, flags, address, size, index, count, family = struct.unpack_from("<8I", data, at)
        (last,) = struct.unpack_from("<I", data, at + _BLOCK - 4)
        if (first, second, last) != (_FIRST, _SECOND, _LAST) or flags & _NOT_FLASH:
            continue
        if not 0 < size <= _MOST_PAYLOAD or index >= count:
            continue
        payload = data[at + 32 : at + 32 + size]
        found.append(Block(address, payload, index, count, family if flags & _HAS_FAMILY else None))
    return tuple(found)
