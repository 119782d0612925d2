"""A virtual core under a debugger: halting, stepping, registers, breakpoints, vector catch, and flash by the ROM."""

from __future__ import annotations

import random
import socket
import struct

import pytest

import hil.virtual
from hil.virtual.chip.board import Microcontroller
from hil.virtual.chip.native import RAN_DEAD, RAN_IDLE, RAN_TO_LIMIT
from hil.virtual.debugport import HEAD, LENGTH, LINE_RESET, TARGET_SELECT
from hil.virtual.swd import READ
from tests.support.virtual_programs import DONE, FLASH, Rp2040, assembled, built, words

DHCSR, DCRSR, DCRDR, DEMCR, DFSR = 0xE000EDF0, 0xE000EDF4, 0xE000EDF8, 0xE000EDFC, 0xE000ED30
AIRCR, BP_CTRL, BP_COMP = 0xE000ED0C, 0xE0002000, 0xE0002008
KEY, ENABLE, HALT, STEP = 0xA05F0000, 1, 2, 4
S_HALT, S_SLEEP, S_LOCKUP, S_RESET = 1 << 17, 1 << 18, 1 << 19, 1 << 25
HALTED, BKPT, VCATCH = 1, 2, 8
PC = 15
RAM = 0x2000_0000
# movs r0, #0; loop: adds r0, #1; nop; b loop
COUNTING = [0x2000, 0x3001, 0x46C0, 0xE7FC]
LOOP = FLASH + 0x202


def control(board: Microcontroller, bits: int) -> None:
    assert board.debug_write(0, DHCSR, KEY | bits)


def status(board: Microcontroller) -> int:
    value = board.debug_read(0, DHCSR)
    assert value is not None
    return value


def register(board: Microcontroller, number: int, value: int | None = None) -> int:
    if value is not None:
        board.debug_write(0, DCRDR, value)
    board.debug_write(0, DCRSR, number | (1 << 16 if value is not None else 0))
    found = board.debug_read(0, DCRDR)
    assert found is not None
    return found


@pytest.fixture
def counting() -> Rp2040:
    """A board that counts in R0, halted."""
    board = Rp2040(assembled(COUNTING))
    assert board.run(100_000) == RAN_TO_LIMIT
    control(board, ENABLE | HALT)
    return board


def test_a_halted_core_stands_still_and_goes_on_where_it_was(counting: Rp2040) -> None:
    before, count = counting.state().cycles, register(counting, 0)
    assert status(counting) & S_HALT
    assert counting.run(100_000) == RAN_IDLE
    assert (counting.state().cycles, register(counting, 0)) == (before, count)
    assert counting.debug_read(0, DFSR) == HALTED
    control(counting, ENABLE)
    assert not status(counting) & S_HALT
    assert counting.run(6000) == RAN_TO_LIMIT
    control(counting, ENABLE | HALT)
    assert register(counting, 0) - count == pytest.approx(6000 / 4, abs=2)  # 1 + 1 + 2 cycles


def test_a_step_is_one_instruction(counting: Rp2040) -> None:
    seen = []
    for _ in range(7):
        seen.append((register(counting, PC) - LOOP, register(counting, 0)))
        control(counting, ENABLE | STEP)
        assert status(counting) & S_HALT
    where = [at for at, _ in seen]
    start = where[0] // 2
    assert where == [(0, 2, 4)[(start + k) % 3] for k in range(7)]
    counts = [count for _, count in seen]
    assert counts == [counts[0] + sum(at == 0 for at in where[:k]) for k in range(7)]


def test_registers_can_be_changed(counting: Rp2040) -> None:
    register(counting, 0, 1000)
    register(counting, PC, FLASH + 0x200)
    control(counting, ENABLE | STEP)
    assert (register(counting, PC), register(counting, 0)) == (LOOP, 0)
    register(counting, 7, 0x12345678)
    assert register(counting, 7) == 0x12345678
    assert register(counting, 30) == 0, "none of the core's"


def test_a_breakpoint_stops_before_its_instruction(counting: Rp2040) -> None:
    counting.debug_write(0, BP_CTRL, 3)
    counting.debug_write(0, BP_COMP, 2 << 30 | FLASH + 0x200 | 1)  # the upper halfword
    count = register(counting, 0)
    register(counting, PC, FLASH + 0x204)
    control(counting, ENABLE)
    assert counting.run(100_000) == RAN_IDLE
    assert status(counting) & S_HALT
    assert (register(counting, PC), register(counting, 0)) == (LOOP, count)
    assert counting.debug_read(0, DFSR) == HALTED | BKPT
    counting.debug_write(0, BP_COMP, 0)
    control(counting, ENABLE)
    assert counting.run(1000) == RAN_TO_LIMIT


def test_bkpt_halts_with_a_debugger_and_faults_without() -> None:
    alone, watched = Rp2040(assembled([0x2005, 0xBE00])), Rp2040(assembled([0x2005, 0xBE00]))
    control(watched, ENABLE)
    alone.run(100_000)
    assert any("BKPT without a debugger" in line for line in alone.notes())
    assert watched.run(100_000) == RAN_IDLE
    assert (register(watched, PC), register(watched, 0)) == (FLASH + 0x202, 5)
    assert list(watched.notes()) == []


def test_faults_and_resets_are_caught() -> None:
    board = Rp2040(assembled([0xDE00]))
    control(board, ENABLE)
    board.debug_write(0, DEMCR, 1 << 10)
    assert board.run(100_000) == RAN_IDLE
    assert register(board, PC) == FLASH + 0x1FE, "the handler's first instruction"
    assert board.write(RAM, b"kept")
    board.debug_write(0, DFSR, 0xFF)
    board.debug_write(0, DEMCR, 1)
    board.debug_write(0, AIRCR, 0x05FA0004)
    assert status(board) & (S_RESET | S_HALT) == S_RESET | S_HALT
    assert not status(board) & S_RESET, "it is told once"
    assert board.debug_read(0, DFSR) == VCATCH
    rom = board.read(4, 4)
    assert rom is not None
    assert register(board, PC) == struct.unpack("<I", rom)[0] - 1
    assert board.read(RAM, 4) == b"kept"


def test_a_core_that_locked_up_is_halted_and_used_by_a_debugger() -> None:
    """Debug state ends lockup (ARM DDI 0419, C1.6.3): so a board whose flash holds half an image is flashed anew."""
    board = Rp2040(assembled([0xDE01], {3: [0xDE02]}))
    assert board.run(1 << 22) == RAN_DEAD
    assert status(board) & (S_HALT | S_LOCKUP) == S_LOCKUP
    control(board, ENABLE | HALT)
    assert status(board) & (S_HALT | S_LOCKUP) == S_HALT
    register(board, PC, FLASH + 0x200)
    register(board, 0, 7)
    assert (register(board, PC), register(board, 0)) == (FLASH + 0x200, 7)


def test_a_debugger_that_leaves_lets_the_core_go(counting: Rp2040) -> None:
    control(counting, 0)
    assert counting.run(1000) == RAN_TO_LIMIT


def test_one_core_stands_while_the_other_runs(counting: Rp2040) -> None:
    assert counting.debug_read(1, DHCSR) is not None
    other = counting.debug_read(1, DHCSR)
    assert other is not None
    assert other & S_SLEEP, "it waits in the ROM to be launched"
    assert not other & S_HALT


def test_halting_changes_no_result_and_no_cycle() -> None:
    whole, halted = Rp2040(built("loopback")), Rp2040(built("loopback"))
    while whole.run(1 << 20) != RAN_IDLE:
        pass
    for _ in range(10_000):
        ran = halted.run(20_011)
        control(halted, ENABLE | HALT)
        assert status(halted) & S_HALT
        control(halted, ENABLE)
        if ran == RAN_IDLE:
            break
    assert words(halted, 43) == words(whole, 43)
    assert words(whole, 43)[42] == DONE


def test_code_that_the_host_writes_over_is_run_as_it_is_now(counting: Rp2040) -> None:
    """In RAM: movs r0, #1; bkpt, then the same with another number."""
    for number in (1, 2, 3):
        assert counting.write(RAM, struct.pack("<2H", 0x2000 | number, 0xBE00))
        register(counting, PC, RAM)
        control(counting, ENABLE)
        assert counting.run(1000) == RAN_IDLE
        assert (register(counting, PC), register(counting, 0)) == (RAM + 2, number)
    assert not counting.write(FLASH, b"1234"), "flash is no RAM"


def call(board: Rp2040, code: bytes, *arguments: int) -> None:
    """Call a function of the ROM as a flash algorithm does, from its table."""
    rom = board.read(0x14, 6)
    assert rom is not None
    at = struct.unpack("<3H", rom)[0]
    while (entry := board.read(at, 4)) is not None and entry[:2] != code:
        assert entry[:2] != b"\0\0", f"the ROM has no {code!r}"
        at += 4
    assert entry is not None
    for number, value in enumerate(arguments):
        register(board, number, value)
    board.write(RAM + 0x3000, struct.pack("<H", 0xBE00))
    register(board, 14, RAM + 0x3001)
    register(board, PC, struct.unpack("<2xH", entry)[0])
    control(board, ENABLE)
    assert board.run(10_000) == RAN_IDLE
    assert register(board, PC) == RAM + 0x3000


def test_the_rom_erases_sectors_and_programs_zeros(counting: Rp2040) -> None:
    def flash(offset: int) -> bytes:
        found = counting.read(FLASH + offset, 4)
        assert found is not None
        return found

    call(counting, b"RE", 0x10000, 0x2000, 0x10000, 0xD8)
    counting.write(RAM, b"\xf0\x0f\xff\x55" * 64)
    call(counting, b"RP", 0x11000, RAM, 256)
    assert (flash(0x10000), flash(0x11000)) == (b"\xff" * 4, b"\xf0\x0f\xff\x55")
    counting.write(RAM, b"\x0f\xff\x00\xff" * 64)
    call(counting, b"RP", 0x11000, RAM, 256)
    assert flash(0x11000) == b"\x00\x0f\x00\x55", "a zero stays until it is erased"
    assert list(counting.notes()) == []
    call(counting, b"RE", 0x10800, 0x1000, 0x10000, 0xD8)  # not a sector
    call(counting, b"RP", 0x1FFF00, RAM, 512)  # beyond the end
    assert [line for line in counting.notes() if "cannot be erased or programmed so" in line] != []
    assert flash(0x11000) == b"\x00\x0f\x00\x55"


def test_other_code_cannot_reach_flash() -> None:
    """str r1, [r0, #12] from flash to the device of the ROM: nothing happens."""
    code = [0x4802, 0x2101, 0x6041, 0x60C1, 0xE7FE, 0x46C0, 0xF000, 0x3FFF]
    board = Rp2040(assembled(code))
    before = board.read(FLASH, 0x2000)
    board.run(100_000)
    assert board.read(FLASH, 0x2000) == before


# ---- the port --------------------------------------------------------------------------------------------------------


def test_the_debug_port_hangs_up_on_what_is_no_message_and_lives_on() -> None:
    seed = random.Random(5)
    nonsense = [
        LENGTH.pack(0xFFFF_FFFF),
        LENGTH.pack(2) + b"\x02\0",
        LENGTH.pack(4) + HEAD.pack(0x00, 5),
        LENGTH.pack(4) + HEAD.pack(READ, 0),
        LENGTH.pack(8) + HEAD.pack(0x7F, 1) + bytes(4),
        LENGTH.pack(400) + b"".join(HEAD.pack(READ, 0xFFFF) for _ in range(100)),
        *(LENGTH.pack(64) + seed.randbytes(64) for _ in range(50)),
    ]
    with hil.virtual.start("rp2040") as board:
        assert board.debug_port is not None
        host, _, port = board.debug_port.rpartition(":")
        for message in nonsense:
            with socket.create_connection((host, int(port)), timeout=10) as link:
                link.sendall(message)
                link.shutdown(socket.SHUT_WR)
                while link.recv(65536):
                    pass
        assert board.alive
        message = HEAD.pack(LINE_RESET, 1) + bytes(4) + HEAD.pack(TARGET_SELECT, 1) + struct.pack("<I", 0x0100_2927)
        message += HEAD.pack(READ, 1)
        with socket.create_connection((host, int(port)), timeout=10) as link:
            link.sendall(LENGTH.pack(len(message)) + message)
            answer = link.recv(4096)
        assert struct.unpack("<2I", answer[-8:]) == (3, 0x0BC1_2477)
