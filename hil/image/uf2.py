"""UF2 files, the format of USB mass-storage bootloaders: 512-byte blocks that say where their payload goes.

Source: the UF2 specification (github.com/microsoft/uf2); RP2040 data sheet, section 2.8.4.2: payloads of 256 bytes at
addresses that are multiples of 256, all blocks numbered, one family.
"""

from __future__ import annotations

import struct

PAYLOAD = 256
_FIRST, _SECOND, _LAST = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_HAS_FAMILY = 0x00002000


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
