"""Frames on the wire: 0x00 | COBS(header | payload | CRC-32) | 0x00. See docs/protocol.md.

The header is eight bytes: version, kind, sequence (2), payload bytes (2), status, zero; all little-endian. The CRC is
zlib's. COBS is Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999): a zero never occurs inside a frame.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

VERSION = 3
MAX_PAYLOAD = 1024
"""No frame may carry more, whatever a device claims in HELLO."""

_HEADER = struct.Struct("<BBHHBB")
_CRC = struct.Struct("<I")
_SHORTEST = _HEADER.size + _CRC.size
_LONGEST = _SHORTEST + MAX_PAYLOAD + MAX_PAYLOAD // 254 + 2


@dataclass(frozen=True)
class Frame:
    """One frame whose CRC and length are right. What the payload means is for `messages`."""

    kind: int
    sequence: int
    payload: bytes
    status: int = 0
    version: int = VERSION

    def encode(self) -> bytes:
        """The bytes to send. The zero in front ends whatever noise the device has collected."""
        head = _HEADER.pack(self.version, self.kind, self.sequence, len(self.payload), self.status, 0)
        body = head + self.payload
        return b"\0" + cobs_encode(body + _CRC.pack(zlib.crc32(body))) + b"\0"


def cobs_encode(data: bytes) -> bytes:
    """`data` without zeros; at most one byte longer for each 254, plus one."""
    out = bytearray()
    parts = data.split(b"\0")
    for index, part in enumerate(parts):
        full, rest = divmod(len(part), 254)
        for group in range(full):
            out += b"\xff" + part[group * 254 : (group + 1) * 254]
        # A full group says "no zero follows": at the very end nothing more is needed.
        if rest or not full or index + 1 < len(parts):
            out.append(rest + 1)
            out += part[full * 254 :]
    return bytes(out)


def cobs_decode(data: bytes) -> bytes | None:
    """The inverse; None if `data` is not an encoding."""
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        if code == 0 or at + code > len(data):
            return None
        out += data[at + 1 : at + code]
        at += code
        if code != 255 and at < len(data):
            out.append(0)
    return bytes(out)


def parse(stuffed: bytes) -> Frame | None:
    """The frame between two zeros, or None if anything about it is wrong."""
    body = cobs_decode(stuffed)
    if body is None or len(body) < _SHORTEST:
        return None
    version, kind, sequence, length, status, reserved = _HEADER.unpack_from(body)
    covered = len(body) - _CRC.size
    if length != covered - _HEADER.size or length > MAX_PAYLOAD or reserved:
        return None
    if _CRC.unpack_from(body, covered)[0] != zlib.crc32(body[:covered]):
        return None
    return Frame(kind, sequence, body[_HEADER.size : covered], status, version)


class Deframer:
    """Finds frames in a stream of bytes; keeps at most one frame's worth of them. Counts what it had to drop."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._too_long = False
        self.dropped = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes, in order."""
        found = []
        *ended, rest = data.split(b"\0")
        for piece in ended:
            self._keep(piece)
            if self._pending or self._too_long:
                frame = None if self._too_long else parse(bytes(self._pending))
                if frame is None:
                    self.dropped += 1
                else:
                    found.append(frame)
            self._pending.clear()
            self._too_long = False
        self._keep(rest)
        return found

    def _keep(self, piece: bytes) -> None:
        if len(self._pending) + len(piece) > _LONGEST:
            self._too_long = True
            self._pending.clear()
        if not self._too_long:
            self._pending += piece
