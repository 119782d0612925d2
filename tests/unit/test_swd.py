"""Serial Wire Debug as a chip answers it: line, debug ports, access ports."""

from __future__ import annotations

import pytest

from hil.virtual.swd import AP, READ, DebugPort2, DebugPort3, Fault, MemoryPort, NoAnswer, Wire

CSW, TAR, DRW, IDR = 0x00, 0x04, 0x0C, 0xFC
WORDS, HALVES, BYTES = 0x12, 0x11, 0x10


class Ram:
    """4 KiB from 0x1000."""

    def __init__(self) -> None:
        self.bytes = bytearray(4096)

    def read(self, address: int, length: int) -> bytes | None:
        at = address - 0x1000
        return bytes(self.bytes[at : at + length]) if 0 <= at <= 4096 - length else None

    def write(self, address: int, data: bytes) -> bool:
        at = address - 0x1000
        if not 0 <= at <= 4096 - len(data):
            return False
        self.bytes[at : at + len(data)] = data
        return True


@pytest.fixture
def ram() -> Ram:
    return Ram()


@pytest.fixture
def port(ram: Ram) -> MemoryPort:
    return MemoryPort(ram, 0x0477_0031, 0xE00F_F003)


def put(port: MemoryPort, size: int, address: int, *values: int) -> None:
    port.write(CSW, [size])
    port.write(TAR, [address])
    port.write(DRW, values)


def test_words_and_their_parts_lie_in_their_lanes(ram: Ram, port: MemoryPort) -> None:
    put(port, WORDS, 0x1000, 0x0403_0201, 0x0807_0605)
    put(port, BYTES, 0x1001, 0x0000_AA00, 0x00BB_0000)
    put(port, HALVES, 0x1006, 0xCCDD_0000)
    assert ram.bytes[:8] == bytes([1, 0xAA, 0xBB, 4, 5, 6, 0xDD, 0xCC])
    port.write(CSW, [BYTES])
    port.write(TAR, [0x1000])
    assert [value >> 8 * lane for lane, value in enumerate(port.read(DRW, 4))] == [1, 0xAA, 0xBB, 4]


def test_the_address_wraps_at_1024_bytes(ram: Ram, port: MemoryPort) -> None:
    put(port, WORDS, 0x13FC, 1, 2)
    assert ram.bytes[0x3FC] == 1
    assert ram.bytes[0x000] == 2, "the address behind the boundary"
    assert ram.bytes[0x400] == 0
    port.write(TAR, [0x13FC])
    assert port.read(DRW, 2) == [1, 2]


def test_banked_words_leave_the_address_alone(ram: Ram, port: MemoryPort) -> None:
    port.write(TAR, [0x1020])
    port.write(0x14, [7])
    assert ram.bytes[0x24] == 7
    assert port.read(0x14, 1) == [7]
    assert port.read(TAR, 1) == [0x1020]


def test_an_error_sticks_until_it_is_cleared(port: MemoryPort) -> None:
    debug = DebugPort2(0x0BC1_2477, 0x0100_2927, port)
    debug.access(TAR, 1, [0x9000])
    with pytest.raises(Fault):
        debug.access(DRW, 1, None)
    assert debug.read(4) & 0x20
    with pytest.raises(Fault):
        debug.access(TAR, 1, [0x1000])
    debug.write(0, 0x1E)
    debug.access(TAR, 1, [0x1000])
    assert debug.access(DRW, 1, None) == [0]


def test_power_requests_are_acknowledged(port: MemoryPort) -> None:
    debug = DebugPort2(0x0BC1_2477, 0x0100_2927, port)
    debug.write(4, 0x5000_0000)
    assert debug.read(4) >> 28 == 0xF
    debug.write(4, 0x1000_0000)
    assert debug.read(4) >> 28 == 0x3


def test_of_several_ports_targetsel_chooses_one(port: MemoryPort, ram: Ram) -> None:
    other = MemoryPort(ram, 0x0477_0031, 0xE00F_F003)
    wire = Wire([DebugPort2(0x0BC1_2477, 0x0100_2927, port), DebugPort2(0x0BC1_2477, 0x1100_2927, other)])
    with pytest.raises(NoAnswer):
        wire.transfer(READ, 1, ())
    wire.reset_line()
    with pytest.raises(NoAnswer):
        wire.transfer(READ, 1, ())
    wire.select(0x1100_2927)  # not right behind a line reset
    with pytest.raises(NoAnswer):
        wire.transfer(READ, 1, ())
    wire.reset_line()
    wire.select(0x1100_2927)
    wire.transfer(8, 1, (2,))
    assert wire.transfer(READ | 4, 1, ()) == [0x1100_2927]
    wire.reset_line()
    wire.select(0x0100_0927)  # of no chip here
    with pytest.raises(NoAnswer):
        wire.transfer(READ, 1, ())


def test_access_ports_of_adiv6_are_at_addresses(port: MemoryPort, ram: Ram) -> None:
    ports = {0x2000: port, 0x4000: MemoryPort(ram, 0x3477_0008, 3)}
    wire = Wire([DebugPort3(0x4C01_3477, ports, {0x0000: 0x2003, 0x0004: 0x4003})])
    wire.reset_line()
    assert wire.transfer(READ, 1, ()) == [0x4C01_3477]
    wire.transfer(8, 1, (0x0000,))
    assert [wire.transfer(AP | READ | at, 1, ())[0] for at in (0, 4, 8)] == [0x2003, 0x4003, 0]
    wire.transfer(8, 1, (0x4DF0,))
    assert wire.transfer(AP | READ | 0xC, 1, ()) == [0x3477_0008]
    wire.transfer(8, 1, (0x2DF0,))
    assert wire.transfer(AP | READ | 0xC, 1, ()) == [0x0477_0031]
