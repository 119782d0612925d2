"""Serial Wire Debug as a chip answers it: debug port and access ports, transaction by transaction.

Three kinds of debug port, as the chips have: version 1 of ADIv5, alone on the wire, with access ports by number;
version 2, several on one wire, of which TARGETSEL chooses one (one for each core); and version 3 of ADIv6, one, with
access ports at addresses (one for each core). Sources: ARM IHI 0031 (ADIv5.2) and IHI 0074 (ADIv6), chapters B2 and C2;
the numbers of a chip are in `hil.virtual.chip.debug`.

Nothing here knows of sockets or of a probe; what is behind an access port is a `Bus`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

# A transaction's request, as in CMSIS-DAP's DAP_Transfer; A is an address 0, 4, 8 or 12.
AP, READ, ADDRESS = 0x01, 0x02, 0x0C
OK, FAULT, NO_ACK = 1, 4, 7

_ABORT, _CONTROL, _SELECT, _RDBUFF = 0, 4, 8, 12
_CLEARS = 0x1E
_STICKY_ERROR = 0x20
_POWER = 0x5000_0000
"""CSYSPWRUPREQ and CDBGPWRUPREQ; the acknowledgements are the bits above them."""
_WRAP = 0x400
"""TAR's low bits alone count up, to this boundary (C2.2.2: at least 10 bits)."""


class Fault(Exception):
    """The answer FAULT: an error is sticky, or the bus said no."""


class NoAnswer(Exception):
    """Nobody answers: no debug port is selected."""


class Bus(Protocol):
    """What an access port to memory reads and writes. Addresses are aligned to the access, which is 1 to 4 bytes."""

    def read(self, address: int, length: int) -> bytes | None:
        """Up to a KiB; None where nobody answers."""

    def write(self, address: int, data: bytes) -> bool:
        """False where nobody answers."""


class AccessPort(Protocol):
    """What a debug port leads to: registers by offset."""

    def read(self, register: int, count: int) -> list[int]:
        """`count` times the register at that offset."""

    def write(self, register: int, values: Sequence[int]) -> None:
        """All `values` to the register at that offset, one after the other."""


class MemoryPort:
    """A MEM-AP: control (CSW), address (TAR), data (DRW, and four banked words behind TAR)."""

    def __init__(self, bus: Bus, idr: int, base: int, *, wrap: int = _WRAP) -> None:
        self._bus, self._idr, self._base, self._wrap = bus, idr, base, wrap
        self._csw = 0x2300_0052
        self._tar = 0

    def read(self, register: int, count: int) -> list[int]:
        """`count` times the register at that offset."""
        if register == 0x0C:
            return self._load(count)
        if 0x10 <= register < 0x20:
            return [self._word((self._tar & ~0xF) + (register & 0xC))] * count
        fixed = {0x00: self._csw | 0x40, 0x04: self._tar, 0xF8: self._base, 0xFC: self._idr}
        return [fixed.get(register, 0)] * count

    def write(self, register: int, values: Sequence[int]) -> None:
        """All `values` to the register at that offset, one after the other."""
        if register == 0x0C:
            self._store(values)
        elif register == 0x00:
            self._csw = values[-1] & 0x7F00_0037
        elif register == 0x04:
            self._tar = values[-1]
        elif 0x10 <= register < 0x20:
            for value in values:
                self._put((self._tar & ~0xF) + (register & 0xC), value.to_bytes(4, "little"))

    def _advance(self, count: int) -> None:
        if self._csw & 0x30:
            self._tar = self._tar & ~(self._wrap - 1) | (self._tar + count) & (self._wrap - 1)

    def _whole(self, count: int) -> bool:
        """Whether `count` words in a row, up to the wrap at most, are wanted."""
        return self._csw & 0x37 == 0x12 and not self._tar & 3 and self._tar % self._wrap + 4 * count <= self._wrap

    def _load(self, count: int) -> list[int]:
        if self._whole(count) and (data := self._bus.read(self._tar, 4 * count)) is not None:
            self._advance(4 * count)
            return list(memoryview(data).cast("I"))
        words, size = [], self._size()
        for _ in range(count):
            words.append(self._word(self._tar, size) << 8 * (self._tar & 3))
            self._advance(size)
        return words

    def _store(self, values: Sequence[int]) -> None:
        if len(values) > 1 and self._whole(len(values)):
            self._put(self._tar, b"".join(value.to_bytes(4, "little") for value in values))
            self._advance(4 * len(values))
            return
        size = self._size()
        for value in values:
            lane = value >> 8 * (self._tar & 3) & (1 << 8 * size) - 1
            self._put(self._tar, lane.to_bytes(size, "little"))
            self._advance(size)

    def _size(self) -> int:
        size = 1 << (self._csw & 7)
        if size > 4 or self._tar % size:
            raise Fault
        return size

    def _word(self, address: int, size: int = 4) -> int:
        data = self._bus.read(address, size)
        if data is None:
            raise Fault
        return int.from_bytes(data, "little")

    def _put(self, address: int, data: bytes) -> None:
        if not self._bus.write(address, data):
            raise Fault


class DebugPort:
    """What is common to debug ports: control and status, sticky errors, the way to access ports."""

    def __init__(self, idr: int) -> None:
        self._idr = idr
        self.select = 0
        self._control = 0
        self._sticky = False

    def reset_line(self) -> None:
        """A line reset: which bank and access port are selected is unknown after it; here, the first."""
        self.select = 0

    def read(self, address: int) -> int:
        """A register of the port itself."""
        bank = self.select & 0xF
        if address == _CONTROL and bank == 0:
            return self._control | (self._control & _POWER) << 1 | (_STICKY_ERROR if self._sticky else 0)
        return self.bank(address, bank)

    def bank(self, address: int, bank: int) -> int:
        """A register other than CTRL/STAT."""
        return self._idr if address == 0 and bank == 0 else 0

    def write(self, address: int, value: int) -> None:
        """Likewise, written."""
        if address == _ABORT and value & _CLEARS:
            self._sticky = False
        elif address == _CONTROL and self.select & 0xF == 0:
            self._control = value & (_POWER | 0xF01)
        elif address == _SELECT:
            self.select = value

    def access(self, address: int, count: int, values: Sequence[int] | None) -> list[int]:
        """`count` reads of, or the `values` written to, a register of the selected access port."""
        if self._sticky:
            raise Fault
        try:
            return self.reach(address, count, values)
        except Fault:
            self._sticky = True
            raise

    def reach(self, address: int, count: int, values: Sequence[int] | None) -> list[int]:
        """What `access` does when no error is sticky."""
        raise NotImplementedError


class DebugPort1(DebugPort):
    """SW-DPv1 with access ports by number, from 0."""

    def __init__(self, idr: int, ports: Sequence[AccessPort]) -> None:
        super().__init__(idr)
        self._ports = ports

    def bank(self, address: int, bank: int) -> int:
        del bank  # there is one
        return self._idr if address == 0 else 0

    def reach(self, address: int, count: int, values: Sequence[int] | None) -> list[int]:
        number, register = self.select >> 24, self.select & 0xF0 | address
        if number >= len(self._ports):
            return [0] * count if values is None else []
        if values is None:
            return self._ports[number].read(register, count)
        self._ports[number].write(register, values)
        return []


class DebugPort2(DebugPort):
    """SW-DPv2 with one access port, number 0."""

    def __init__(self, idr: int, target: int, port: MemoryPort) -> None:
        super().__init__(idr)
        self.target = target
        self._port = port

    def bank(self, address: int, bank: int) -> int:
        if address == 0:
            return self._idr
        if address == _CONTROL:
            return {2: self.target, 3: self.target & 0xF000_0000 | 1}.get(bank, 0)  # TARGETID, DLPIDR
        return 0

    def reach(self, address: int, count: int, values: Sequence[int] | None) -> list[int]:
        if self.select >> 24:
            return [0] * count if values is None else []
        register = self.select & 0xF0 | address
        if values is None:
            return self._port.read(register, count)
        self._port.write(register, values)
        return []


_REGISTERS = 0xD00
"""Where the registers of an APv2 begin in its 4 KiB."""


class DebugPort3(DebugPort):
    """SW-DPv3: access ports at 4 KiB addresses, and words between them (ROM table, component ids)."""

    def __init__(self, idr: int, ports: Mapping[int, MemoryPort], words: Mapping[int, int]) -> None:
        super().__init__(idr)
        self._ports, self._words = ports, words

    def bank(self, address: int, bank: int) -> int:
        if address == 0:
            return {0: self._idr, 1: 0x20, 2: 1}.get(bank, 0)  # DPIDR, DPIDR1: 32 bits of address, BASEPTR0: 0
        return 0

    def reach(self, address: int, count: int, values: Sequence[int] | None) -> list[int]:
        where = self.select & ~0xF | address
        port, register = self._ports.get(where & ~0xFFF), (where & 0xFFF) - _REGISTERS
        if port is not None and 0 <= register < 0x100:
            if values is None:
                return port.read(register, count)
            port.write(register, values)
            return []
        return [self._words.get(where, 0)] * count if values is None else []


class Wire:
    """The wire that all debug ports of a chip are on."""

    def __init__(self, ports: Sequence[DebugPort]) -> None:
        self._ports = ports
        self._selected: DebugPort | None = None
        self._listening = False

    def reset_line(self) -> None:
        """50 or more clocks with the line high: a lone port is selected, one of several after TARGETSEL only."""
        self._listening = True
        self._selected = self._ports[0] if not isinstance(self._ports[0], DebugPort2) else None
        for port in self._ports:
            port.reset_line()

    def select(self, target: int) -> None:
        """A write to TARGETSEL, which counts right after a line reset. No port acknowledges it."""
        if self._listening:
            found = (port for port in self._ports if isinstance(port, DebugPort2) and port.target == target)
            self._selected = next(found, None)
        self._listening = False

    def transfer(self, request: int, count: int, values: Sequence[int]) -> list[int]:
        """One transaction, `count` times: what it read. Raises `Fault`, `NoAnswer`."""
        self._listening = False
        if self._selected is None:
            raise NoAnswer
        address = request & ADDRESS
        if request & AP:
            return self._selected.access(address, count, None if request & READ else values)
        if request & READ:
            return [self._selected.read(address) for _ in range(count)]
        for value in values:
            self._selected.write(address, value)
        return []
