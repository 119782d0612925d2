"""The serial loader in the ESP32-C3's boot ROM, as esptool meets it on UART0 when GPIO 9 is low at reset.

Frames between 0xC0 bytes (SLIP, RFC 1055), a request or an answer each. A flasher stub that is uploaded is not run:
once it is started, the loader goes on in its role. Flash is erased by sectors of 4 KiB and programmed by clearing bits;
both take no virtual time. Registers are a small store, with as much of SPI1 as it takes to ask the flash who it is.

Source: Espressif's documentation of esptool, "Serial Protocol"; addresses: ESP32-C3 Technical Reference Manual. What
the documentation leaves open is as esptool 5.6 is satisfied; none of it was compared with a chip.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from mmap import mmap

SECTOR = 4096
LONGEST = 1 << 16  # bytes of a frame; esptool's are of 16 KiB and some
_END, _ESCAPE = 0xC0, 0xDB
_CHIP_ID = 5
_JEDEC = 0x1640C8  # GD25Q32: 4 MiB
_SYNCED = 0x2012_0707  # anything but 0, which a stub answers
_SPI1 = 0x6000_2000
_SPI_COMMAND, _SPI_USER2, _SPI_DATA = _SPI1, _SPI1 + 0x20, _SPI1 + 0x58
_SPI_GO = 1 << 18
_EFUSES = 0x6000_8800
_FROM_START = {
    0x6000_0014: 347,  # UART0's divider: 40 MHz / 115200
    _EFUSES + 0x44: 0x4155_2D01,  # MAC, low half; then high half; then revision 0.3, from which on direct boot works
    _EFUSES + 0x48: 0x0000_0200,
    _EFUSES + 0x50: 3 << 18,
}
INVALID, FAILED, BAD_CHECKSUM, FLASH_WRITE, FLASH_READ, DEFLATE = 5, 6, 7, 8, 9, 11


class _Refused(Exception):
    """A request that cannot be; `status` goes into the answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class _Writing:
    """What a BEGIN has announced, and how far it has got."""

    at: int
    end: int
    block: int
    inflate: zlib._Decompress | None = None
    sequence: int = 0


@dataclass(frozen=True)
class _Answer:
    value: int = 0
    data: bytes = b""


class RomLoader:
    """The loader and the `flash` that it writes. `reset` starts it; `receive` takes bytes and gives its answers."""

    def __init__(self, flash: mmap) -> None:
        self._flash = flash
        self._handlers: dict[int, Callable[[bytes], _Answer | None]] = {
            0x02: self._flash_begin,
            0x03: self._flash_data,
            0x04: self._finish,
            0x05: self._memory_begin,
            0x06: self._memory_end,
            0x07: self._memory_data,
            0x08: self._sync,
            0x09: self._write_register,
            0x0A: self._read_register,
            0x0B: self._nothing,  # SPI_SET_PARAMS
            0x0D: self._nothing,  # SPI_ATTACH
            0x0F: self._nothing,  # CHANGE_BAUDRATE: the wire carries every rate
            0x10: self._deflate_begin,
            0x11: self._deflate_data,
            0x12: self._finish,
            0x13: self._digest,
            0x14: self._security,
        }
        self._of_stub: dict[int, Callable[[bytes], _Answer | None]] = {
            0xD0: self._erase_all,
            0xD1: self._erase_region,
            0xD2: self._read_flash,
        }
        self.reset()

    def reset(self) -> None:
        """As after power-on: the ROM itself listens."""
        self._frame: bytearray | None = None
        self._escaped = False
        self._stub = False
        self._last = 0x08
        self._registers = dict(_FROM_START)
        self._writing: _Writing | None = None
        self._uploading: tuple[int, int] | None = None  # block size and blocks still to come
        self._out = bytearray()

    def receive(self, data: bytes) -> bytes:
        """Bytes from the host, and what the loader sends then."""
        for frame in self._frames(data):
            self._handle(frame)
        answers, self._out = bytes(self._out), bytearray()
        return answers

    # ---- frames ----

    def _frames(self, data: bytes) -> Iterator[bytes]:
        """Whole frames; noise between them, and frames that are too long, are dropped."""
        for byte in data:
            if byte == _END:
                if self._frame:
                    yield bytes(self._frame)
                    self._frame = None
                else:
                    self._frame = bytearray()  # one END may close a frame and another open the next
                self._escaped = False
            elif self._frame is None:
                continue
            elif self._escaped:
                self._frame.append({0xDC: _END, 0xDD: _ESCAPE}.get(byte, byte))
                self._escaped = False
            elif byte == _ESCAPE:
                self._escaped = True
            else:
                self._frame.append(byte)
            if self._frame is not None and len(self._frame) > LONGEST:
                self._frame = None

    def _send(self, frame: bytes) -> None:
        self._out += b"\xc0" + frame.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"

    def _answer(self, command: int, answer: _Answer, status: int = 0) -> None:
        """The ROM's status is four bytes long, a stub's two."""
        tail = bytes([status != 0, status]) + (b"" if self._stub else b"\0\0")
        data = answer.data + tail
        self._send(struct.pack("<BBHI", 1, command, len(data), answer.value) + data)

    def _handle(self, frame: bytes) -> None:
        if len(frame) < 8 or frame[0] != 0:
            return
        _, command, length, check = struct.unpack_from("<BBHI", frame)
        data = frame[8:]
        handler = self._handlers.get(command) or (self._of_stub.get(command) if self._stub else None)
        if handler is None or length != len(data):
            self._answer(self._last, _Answer(), INVALID)  # the ROM answers with the command before
            return
        self._last = command
        try:
            if command in (0x03, 0x07, 0x11):
                self._check(data, check)
            answer = handler(data)
        except struct.error:
            self._answer(command, _Answer(), INVALID)
        except _Refused as error:
            self._answer(command, _Answer(), error.status)
        else:
            if answer is not None:
                self._answer(command, answer)

    @staticmethod
    def _check(data: bytes, check: int) -> None:
        """The payload behind four words: its bytes, and 0xEF, added without carry."""
        length = struct.unpack_from("<I", data)[0]
        if len(data) != 16 + length:
            raise _Refused(INVALID)
        total = 0xEF
        for byte in data[16:]:
            total ^= byte
        if total != check:
            raise _Refused(BAD_CHECKSUM)

    # ---- registers and chip ----

    def _nothing(self, data: bytes) -> _Answer:
        del data
        return _Answer()

    def _sync(self, data: bytes) -> None:
        if data[:4] != b"\x07\x07\x12\x20":
            raise _Refused(INVALID)
        for _ in range(8):
            self._answer(0x08, _Answer(0 if self._stub else _SYNCED))

    def _read_register(self, data: bytes) -> _Answer:
        return _Answer(self._registers.get(struct.unpack_from("<I", data)[0], 0))

    def _write_register(self, data: bytes) -> _Answer:
        """Address, value, mask, delay; esptool may send several at once."""
        for address, value, mask, _ in struct.iter_unpack("<4I", data[: len(data) // 16 * 16]):
            merged = self._registers.get(address, 0) & ~mask | value & mask
            if address == _SPI_COMMAND and merged & _SPI_GO:
                asked = self._registers.get(_SPI_USER2, 0) & 0xFF
                self._registers[_SPI_DATA] = {0x9F: _JEDEC, 0x35: 2}.get(asked, 0)
                merged = 0
            if len(self._registers) < 4096:
                self._registers[address] = merged
        return _Answer()

    def _security(self, data: bytes) -> _Answer:
        del data
        return _Answer(data=struct.pack("<IB7BII", 0, 0, *[0] * 7, _CHIP_ID, 3))

    # ---- a stub ----

    def _memory_begin(self, data: bytes) -> _Answer:
        _, blocks, size, _ = struct.unpack_from("<4I", data)
        if size > LONGEST:
            raise _Refused(FAILED)
        self._uploading = size, blocks
        return _Answer()

    def _memory_data(self, data: bytes) -> _Answer:
        if self._uploading is None or self._uploading[1] == 0 or len(data) - 16 > self._uploading[0]:
            raise _Refused(FAILED)
        self._uploading = self._uploading[0], self._uploading[1] - 1
        return _Answer()

    def _memory_end(self, data: bytes) -> _Answer | None:
        stay, _entry = struct.unpack_from("<2I", data)
        if self._uploading is None or self._uploading[1]:
            raise _Refused(FAILED)
        if stay:
            return _Answer()
        self._answer(0x06, _Answer())
        self._stub = True
        self._send(b"OHAI")
        return None

    # ---- flash ----

    def _span(self, at: int, length: int, status: int) -> None:
        if at + length > len(self._flash):
            raise _Refused(status)

    def _erase(self, at: int, length: int) -> None:
        start, end = at - at % SECTOR, at + length + -(at + length) % SECTOR
        self._flash[start:end] = b"\xff" * (end - start)

    def _program(self, writing: _Writing, data: bytes) -> None:
        at = writing.at
        if at + len(data) > writing.end:
            raise _Refused(FLASH_WRITE)
        old = int.from_bytes(self._flash[at : at + len(data)], "little")
        self._flash[at : at + len(data)] = (old & int.from_bytes(data, "little")).to_bytes(len(data), "little")
        writing.at += len(data)

    def _begin(self, data: bytes, inflate: zlib._Decompress | None) -> _Answer:
        size, blocks, block, at = struct.unpack_from("<4I", data)
        self._span(at, size, FLASH_WRITE)
        if block > LONGEST:
            raise _Refused(FAILED)
        self._erase(at, size)
        # Without compression the last block may be filled up.
        end = at + size if inflate else max(at + size, at + blocks * block)
        self._writing = _Writing(at, min(end, len(self._flash)), block, inflate)
        return _Answer()

    def _flash_begin(self, data: bytes) -> _Answer:
        return self._begin(data, None)

    def _deflate_begin(self, data: bytes) -> _Answer:
        return self._begin(data, zlib.decompressobj())

    def _next(self, data: bytes, *, deflated: bool) -> tuple[_Writing, bytes] | None:
        """The block that is due, or None for one that was sent again."""
        writing, sequence = self._writing, struct.unpack_from("<2I", data)[1]
        if writing is None or (writing.inflate is not None) != deflated:
            raise _Refused(FAILED)
        if sequence + 1 == writing.sequence:
            return None
        if sequence != writing.sequence:
            raise _Refused(FAILED)
        writing.sequence += 1
        return writing, data[16:]

    def _flash_data(self, data: bytes) -> _Answer:
        if (due := self._next(data, deflated=False)) is not None:
            self._program(*due)
        return _Answer()

    def _deflate_data(self, data: bytes) -> _Answer:
        if (due := self._next(data, deflated=True)) is not None:
            writing, block = due
            assert writing.inflate is not None
            try:
                plain = writing.inflate.decompress(block, writing.end - writing.at + 1)
            except zlib.error as error:
                raise _Refused(DEFLATE) from error
            self._program(writing, plain)
        return _Answer()

    def _finish(self, data: bytes) -> _Answer | None:
        """0: start again; from a stub that is a soft reset, which keeps the strap: it ends in the ROM's loader."""
        stay = struct.unpack_from("<I", data)[0]
        self._writing = None
        if not stay:
            self._answer(self._last, _Answer())
            out = self._out
            self.reset()
            self._out = out
            return None
        return _Answer()

    def _digest(self, data: bytes) -> _Answer:
        at, length = struct.unpack_from("<2I", data)
        self._span(at, length, FLASH_READ)
        digest = hashlib.md5(self._flash[at : at + length], usedforsecurity=False)
        return _Answer(data=digest.digest() if self._stub else digest.hexdigest().encode())

    def _erase_all(self, data: bytes) -> _Answer:
        del data
        self._erase(0, len(self._flash))
        return _Answer()

    def _erase_region(self, data: bytes) -> _Answer:
        at, length = struct.unpack_from("<2I", data)
        self._span(at, length, FLASH_WRITE)
        self._erase(at, length)
        return _Answer()

    def _read_flash(self, data: bytes) -> None:
        """Everything at once, whatever window was asked for, then its digest; the host's counts are no requests."""
        at, length, block, _window = struct.unpack_from("<4I", data)
        self._span(at, length, FLASH_READ)
        if not 0 < block <= LONGEST:
            raise _Refused(FAILED)
        self._answer(0xD2, _Answer())
        plain = self._flash[at : at + length]
        for start in range(0, length, block):
            self._send(plain[start : start + block])
        self._send(hashlib.md5(plain, usedforsecurity=False).digest())
