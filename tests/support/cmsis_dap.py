"""A CMSIS-DAP v2 probe on a virtual board's debug port, and its place on pyOCD's USB: all of pyOCD's own driver runs.

The packets are those of the CMSIS-DAP documentation (version 2.1.1, "DAP commands"); of sequences on the wire the line
reset and the write to TARGETSEL mean something.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from typing import Any

from hil.virtual.debugport import ANSWER, HEAD, LENGTH, LINE_RESET, RESET_PIN, TARGET_SELECT
from hil.virtual.swd import ADDRESS, AP, FAULT, OK, READ

PACKET = 512
_MATCH_VALUE, _MATCH_MASK = 0x10, 0x20
_TRIES = 1000
_RESET_BITS = (1 << 50) - 1


class Firmware:
    """What the probe's microcontroller does: one packet in, one packet out."""

    def __init__(self, address: str, serial: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        self._mask = 0xFFFF_FFFF
        self.serial = serial
        self.packets = 0

    def close(self) -> None:
        self._socket.close()

    def answer(self, packet: bytes) -> bytes:
        self.packets += 1
        assert len(packet) <= PACKET
        command, rest = packet[0], packet[1:]
        simple = {0x01: b"\0", 0x03: b"\0", 0x04: b"\0", 0x09: b"\0", 0x11: b"\0", 0x13: b"\0"}
        if command in simple:
            return bytes([command]) + simple[command]
        handler = {
            0x00: self._info, 0x02: self._connect, 0x05: self._transfer, 0x06: self._block, 0x08: self._abort,
            0x10: self._pins, 0x12: self._line, 0x1D: self._wire,
        }.get(command)  # fmt: skip
        return bytes([command]) + handler(rest) if handler else b"\xff"

    def _wire_do(self, *parts: bytes) -> tuple[int, list[int]]:
        """Transactions in one message: the last acknowledge, and what was read."""
        message = b"".join(parts)
        self._socket.sendall(LENGTH.pack(len(message)) + message)
        (length,) = LENGTH.unpack(self._take(LENGTH.size))
        answer = self._take(length)
        return ANSWER.unpack_from(answer)[0], list(memoryview(answer)[ANSWER.size :].cast("I"))

    def _take(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self._socket.recv(length - len(data))
            assert part, "the board has gone"
            data += part
        return data

    def _info(self, packet: bytes) -> bytes:
        texts = {1: b"hil", 2: b"Virtual CMSIS-DAP", 3: self.serial.encode(), 4: b"2.1.1", 9: b"1.0"}
        if found := texts.get(packet[0]):
            return bytes([len(found) + 1]) + found + b"\0"
        value = {0xF0: b"\x01", 0xFE: b"\x04", 0xFF: struct.pack("<H", PACKET)}.get(packet[0], b"")
        return bytes([len(value)]) + value

    def _connect(self, packet: bytes) -> bytes:
        return b"\x01" if packet[0] in (0, 1) else b"\0"

    def _abort(self, packet: bytes) -> bytes:
        self._wire_do(HEAD.pack(0, 1) + packet[1:5])
        return b"\0"

    def _pins(self, packet: bytes) -> bytes:
        if packet[1] & 0x80 and not packet[0] & 0x80:
            self._wire_do(HEAD.pack(RESET_PIN, 1) + bytes(4))
        return b"\x80"

    def _line(self, packet: bytes) -> bytes:
        count = packet[0] or 256
        bits = int.from_bytes(packet[1 : 1 + (count + 7) // 8], "little") & ((1 << count) - 1)
        if count >= 50 and bits & _RESET_BITS == _RESET_BITS:
            self._wire_do(HEAD.pack(LINE_RESET, 1) + bytes(4))
        return b"\0"

    def _wire(self, packet: bytes) -> bytes:
        at, read, sent = 1, b"", []
        for _ in range(packet[0]):
            info, count = packet[at], packet[at] & 0x3F or 64
            size, at = (count + 7) // 8, at + 1
            if info & 0x80:
                read += bytes(size)
                continue
            sent.append((count, int.from_bytes(packet[at : at + size], "little")))
            at += size
        if sent[:1] == [(8, 0x99)]:
            self._wire_do(HEAD.pack(TARGET_SELECT, 1) + struct.pack("<I", sent[1][1] & 0xFFFF_FFFF))
        return b"\0" + read

    def _one(self, request: int, value: bytes) -> tuple[int, list[int]]:
        plain = request & (AP | READ | ADDRESS)
        if not request & _MATCH_VALUE:
            return self._wire_do(HEAD.pack(plain, 1) + value)
        wanted = struct.unpack("<I", value)[0]
        for _ in range(_TRIES):
            acknowledge, words = self._wire_do(HEAD.pack(plain, 1))
            if acknowledge != OK or (words[0] ^ wanted) & self._mask == 0:
                return acknowledge, []
        return OK | 0x10, []

    def _transfer(self, packet: bytes) -> bytes:
        at, done, acknowledge, read = 2, 0, OK, b""
        for _ in range(packet[1]):
            request, value = packet[at], b""
            at += 1
            if not request & READ or request & _MATCH_VALUE:
                value = packet[at : at + 4]
                at += 4
            if request & _MATCH_MASK:
                self._mask = struct.unpack("<I", value)[0]
            else:
                acknowledge, words = self._one(request, value)
                read += struct.pack(f"<{len(words)}I", *words)
            if acknowledge != OK:
                break
            done += 1
        return bytes([done, acknowledge]) + read

    def _block(self, packet: bytes) -> bytes:
        count, request = struct.unpack_from("<HB", packet, 1)
        values = b"" if request & READ else packet[4 : 4 + 4 * count]
        acknowledge, words = self._wire_do(HEAD.pack(request & (AP | READ | ADDRESS), count) + values)
        done = count if acknowledge == OK else 0
        assert acknowledge in (OK, FAULT, 7)
        return struct.pack("<HB", done, acknowledge) + struct.pack(f"<{len(words)}I", *words)


def interface(firmware: Firmware | None) -> Any:
    """A class for pyOCD's table of USB back ends, on which `firmware` is plugged in."""
    from pyocd.probe.pydapaccess.interface.interface import Interface

    class Plugged(Interface):  # type: ignore[misc]  # pyOCD has no types
        isAvailable = True  # noqa: N815  pyOCD's name
        is_bulk = True

        def __init__(self) -> None:
            super().__init__()
            assert firmware is not None
            self.vid, self.pid = 0x2E8A, 0x000C
            self.vendor_name, self.product_name, self.serial_number = "hil", "Virtual CMSIS-DAP", firmware.serial
            self._answers: deque[bytes] = deque()

        @staticmethod
        def get_all_connected_interfaces() -> list[Any]:
            return [] if firmware is None else [Plugged()]

        def open(self) -> None:
            """It is."""

        def close(self) -> None:
            """Nothing to let go of."""

        def write(self, data: Any) -> None:
            assert firmware is not None
            self._answers.append(firmware.answer(bytes(data)))

        def read(self) -> bytearray:
            return bytearray(self._answers.popleft())

    return Plugged
