"""What is the nRF52840's own on its virtual board: flash that code stores to, its UART, clocks, and control port."""

from __future__ import annotations

import struct

import pytest

from hil.virtual.chip import chips, debug
from hil.virtual.chip.board import Microcontroller
from hil.virtual.chip.native import RAN_DEAD, RAN_IDLE, RAN_TO_LIMIT
from hil.virtual.swd import AP, READ, Wire
from tests.support.virtual_programs import load, store

CHIP = chips.find("nrf52840")
RESULT, CODE, HANDLER, PAGE = 0x2003_0000, 0x400, 0x1000, 0x1_0000
FOREVER = 0xE7FE
HFCLKSTART, HFCLKSTARTED, HFCLKSTAT = 0x4000_0000, 0x4000_0100, 0x4000_040C
UART, TIMER = 0x4000_2000, 0x4000_8000
NVMC_READY, NVMC_CONFIG, NVMC_ERASEPAGE, NVMC_ERASEALL = 0x4001_E400, 0x4001_E504, 0x4001_E508, 0x4001_E50C
UICR = 0x1000_1000


def image(code: list[int], handler: list[int] | None = None) -> bytes:
    """Vectors at 0, halfwords `code` at CODE, a HardFault handler at HANDLER; what is behind is erased."""
    data = bytearray(b"\xff" * 0x2000)
    data[:16] = struct.pack("<4I", 0x2004_0000, CODE + 1, HANDLER + 1, HANDLER + 1)
    for start, halfwords in ((CODE, code), (HANDLER, handler or [FOREVER])):
        data[start : start + 2 * len(halfwords)] = struct.pack(f"<{len(halfwords)}H", *halfwords)
    return bytes(data)


def ran(code: list[int], *, ends: int = RAN_IDLE, handler: list[int] | None = None) -> Microcontroller:
    board = Microcontroller(CHIP, image([*code, FOREVER], handler))
    assert board.run(1 << 22) == ends
    return board


def word(board: Microcontroller, address: int) -> int:
    data = board.read(address, 4)
    if data is not None:
        return int.from_bytes(data, "little")
    value = board.debug_read(0, address)
    assert value is not None
    return value


@pytest.fixture
def board() -> Microcontroller:
    """One that does nothing."""
    return ran([])


# ---- start, faults ----------------------------------------------------------------------------------------------


def test_it_starts_from_the_vectors_at_the_start_of_flash() -> None:
    board = ran(store(RESULT, 0x1234_5678))
    assert word(board, RESULT) == 0x1234_5678
    assert board.state().hz == 64_000_000


def test_erased_flash_locks_it_up_and_a_debugger_halts_that() -> None:
    board = Microcontroller(CHIP, b"")
    assert board.run(1 << 20) == RAN_DEAD
    assert "lockup" in list(board.notes())[-1]
    dhcsr, halted, locked = 0xE000_EDF0, 1 << 17, 1 << 19
    assert word(board, dhcsr) & (halted | locked) == locked
    board.debug_write(0, dhcsr, 0xA05F_0003)
    assert word(board, dhcsr) & (halted | locked) == halted, "entering Debug state ends a lockup"


def test_a_fault_whose_handler_is_where_no_code_can_be_locks_it_up() -> None:
    flash = bytearray(image([0xDE00]))
    flash[12:16] = b"\xff" * 4  # not the code of an exception return either, to which it looks alike
    board = Microcontroller(CHIP, bytes(flash))
    assert board.run(1 << 20) == RAN_DEAD


def test_it_has_one_core_and_a_floating_point_unit() -> None:
    enable = [*load(0, 0xE000_ED88), *load(1, 0xF << 20), 0x6001, 0xF3BF, 0x8F4F]
    one, two = load(2, 0x3F80_0000), load(3, 0x4000_0000)
    # vmov s0, r2; vmov s1, r3; vadd.f32 s0, s0, s1; vmov r4, s0
    add = [0xEE00, 0x2A10, 0xEE00, 0x3A90, 0xEE30, 0x0A20, 0xEE10, 0x4A10]
    board = ran([*enable, *one, *two, *add, *load(0, RESULT), 0x6004])
    assert word(board, RESULT) == 0x4040_0000
    assert board.state().instructions[1] == 0


# ---- flash ------------------------------------------------------------------------------------------------------


def test_a_store_to_flash_faults_unless_the_controller_is_open_for_it() -> None:
    board = ran(store(PAGE, 0))
    assert "a write where nothing can be written" in next(board.notes())
    assert word(board, PAGE) == 0xFFFF_FFFF
    assert word(ran([*store(NVMC_CONFIG, 2), *store(PAGE, 0)]), PAGE) == 0xFFFF_FFFF, "open for erasing is not open"


def test_programming_makes_zeros_and_erasing_ones_of_a_page() -> None:
    stores = [*store(NVMC_CONFIG, 1), *store(PAGE, 0xFFFF_0F0F), *store(PAGE, 0x00FF_FFFF), *store(PAGE + 0x1004, 5)]
    board = ran([*stores, *store(NVMC_CONFIG, 0)])
    assert (word(board, PAGE), word(board, PAGE + 4), word(board, PAGE + 0x1004)) == (0x00FF_0F0F, 0xFFFF_FFFF, 5)
    board = ran([*stores, *store(NVMC_CONFIG, 2), *store(NVMC_ERASEPAGE, PAGE), *store(NVMC_CONFIG, 0)])
    assert (word(board, PAGE), word(board, PAGE + 0x1004)) == (0xFFFF_FFFF, 5)
    assert word(board, NVMC_READY) == 1


def test_what_was_programmed_is_read_at_once_and_by_code_too() -> None:
    stores = [*store(NVMC_CONFIG, 1), *store(PAGE, 0x1234_5678)]
    board = ran([*stores, 0x6802, *load(0, RESULT), 0x6002])  # ldr r2, [r0]; ... str r2, [r0]
    assert word(board, RESULT) == 0x1234_5678


def test_less_than_a_word_is_not_programmed() -> None:
    board = ran([*store(NVMC_CONFIG, 1), *load(0, PAGE), 0x2100, 0x7001, 0x8001])  # strb, strh
    assert word(board, PAGE) == 0xFFFF_FFFF
    assert "cannot be erased or programmed so" in next(board.notes())


def test_code_that_is_programmed_anew_runs_anew() -> None:
    """A function at PAGE returns 1, then is programmed over (zeros alone) and returns 0."""
    call = [*load(4, PAGE + 1), 0x47A0]  # blx r4
    function = 0x4770_2001  # movs r0, #1; bx lr
    twice = [*store(NVMC_CONFIG, 1), *store(PAGE, function), *call, *load(5, RESULT), 0x6028]  # str r0, [r5]
    again = [*store(PAGE, 0x4770_2000), *call, 0x6068]  # str r0, [r5, #4]
    board = ran([*twice, *again])
    assert (word(board, RESULT), word(board, RESULT + 4)) == (1, 0)


def test_the_settings_beside_flash_live_through_reset_and_power(board: Microcontroller) -> None:
    board.debug_write(0, UICR + 0x208, 0)
    assert word(board, UICR + 0x208) == 0xFFFF_FFFF, "the controller is closed"
    board.debug_write(0, NVMC_CONFIG, 1)
    board.debug_write(0, UICR + 0x208, 0xFFFF_FF5A)
    board.reset()
    assert (word(board, UICR + 0x208), word(board, NVMC_CONFIG)) == (0xFFFF_FF5A, 0)
    board.power_cycle()
    assert word(board, UICR + 0x208) == 0xFFFF_FF5A


# ---- the debug port ---------------------------------------------------------------------------------------------


def selected(wire: Wire, port: int, register: int, value: int | None = None) -> int:
    wire.transfer(0x08, 1, [port << 24 | register & 0xF0])
    if value is not None:
        wire.transfer(AP | register & 0xC, 1, [value])
        return 0
    return wire.transfer(AP | READ | register & 0xC, 1, [])[0]


def test_the_control_port_erases_all_of_it_and_resets_it(board: Microcontroller) -> None:
    board.debug_write(0, NVMC_CONFIG, 1)
    board.debug_write(0, UICR, 7)
    wire = debug.wire(board)
    wire.reset_line()
    assert selected(wire, 0, 0xFC) == 0x2477_0011
    assert selected(wire, 1, 0xFC) == 0x0288_0000
    assert (selected(wire, 1, 0x0C), selected(wire, 1, 0x08), selected(wire, 2, 0xFC)) == (1, 0, 0)
    selected(wire, 1, 0x04, 1)
    assert (word(board, 0), word(board, UICR)) == (0xFFFF_FFFF, 0xFFFF_FFFF)
    assert not any("reset" in text for text in board.notes())
    selected(wire, 1, 0x00, 1)
    selected(wire, 1, 0x00, 0)
    assert any("reset of the chip" in text for text in board.notes())


def test_the_memory_ports_address_counts_up_to_4_kib(board: Microcontroller) -> None:
    wire = debug.wire(board)
    wire.reset_line()
    selected(wire, 0, 0x00, 0x2300_0052)
    selected(wire, 0, 0x04, RESULT + 0x7FC)
    wire.transfer(AP | 0xC, 3, [1, 2, 3])
    assert [word(board, RESULT + at) for at in (0x7FC, 0x800, 0x804)] == [1, 2, 3]
    selected(wire, 0, 0x04, RESULT + 0xFFC)
    wire.transfer(AP | 0xC, 2, [4, 5])
    assert [word(board, RESULT + at) for at in (0xFFC, 0)] == [4, 5]


# ---- clocks and UART --------------------------------------------------------------------------------------------


def test_the_crystal_takes_its_time_and_the_timer_counts_microseconds() -> None:
    wait = [*load(2, HFCLKSTARTED), 0x6813, 0x2B00, 0xD0FC]  # ldr r3, [r2]; cmp r3, #0; beq
    start = [*store(TIMER + 0x508, 3), *store(TIMER, 1), *store(HFCLKSTART, 1)]
    board = ran([*start, *wait, *store(TIMER + 0x40, 1)])
    assert 360 <= word(board, TIMER + 0x540) <= 361
    assert word(board, HFCLKSTAT) == 0x1_0001


def slow_reader(*, flow: bool) -> Microcontroller:
    """UART0 at 1 Mbaud, and code that looks once in 1400 instructions, in which two come; it keeps them at RESULT."""
    pins = [*store(UART + 0x508, 5), *store(UART + 0x50C, 6), *store(UART + 0x514, 8)]
    setting = [*store(UART + 0x524, 0x1000_0000), *store(UART + 0x56C, int(flow)), *store(UART + 0x500, 4)]
    begin = [*load(2, UART + 0x108), *load(5, UART + 0x518), *load(4, RESULT)]
    delay = [0xF240, 0x23BC, 0x3B01, 0xD1FD]  # movw r3, #700; subs r3, #1; bne
    look = [0x6811, 0x2900, 0xD0F8]  # ldr r1, [r2]; cmp r1, #0; beq delay
    # The event off; ldr r1, [r5]; strb r1, [r4]; adds r4, #1; b delay
    keep = [0x2100, 0x6011, 0x6829, 0x7021, 0x3401, 0xE7F2]
    return ran([*pins, *setting, *store(UART, 1), *begin, *delay, *look, *keep], ends=RAN_TO_LIMIT)


def read_slowly(board: Microcontroller) -> bytes:
    assert board.give(bytes(range(100))) == 100
    board.run(1 << 20)
    data = board.read(RESULT, 100)
    assert data is not None
    return data


def test_rts_stops_the_host_while_the_program_is_slow() -> None:
    board = slow_reader(flow=True)
    assert read_slowly(board) == bytes(range(100))
    assert list(board.notes()) == []
    assert word(board, UART + 0x480) == 0


def test_without_flow_control_characters_are_lost() -> None:
    board = slow_reader(flow=False)
    assert read_slowly(board)[:7] == bytes(range(7)), "six wait, and one was read by then"
    assert read_slowly(board) != bytes(range(100))
    assert any("receive overrun" in text for text in board.notes())
    assert word(board, UART + 0x480) == 1


def test_characters_take_ten_bits_each_and_one_too_early_is_lost() -> None:
    pins = [*store(UART + 0x50C, 6), *store(UART + 0x524, 0x1000_0000), *store(UART + 0x500, 4), *store(UART + 8, 1)]
    count = [*store(0xE000_EDFC, 1 << 24), *store(0xE000_1000, 1), 0x0005]  # movs r5, r0
    send = [*load(0, UART + 0x51C), *load(2, UART + 0x11C), 0x686E, 0x2141, 0x6001]  # ldr r6, [r5, #4]; str 'A'
    wait = [0x6813, 0x2B00, 0xD0FC, 0x686F, 0x1BBF]  # until it has left; ldr r7, [r5, #4]; subs r7, r6
    board = ran([*pins, *count, *send, *wait, *load(0, RESULT), 0x6007])
    assert board.take() == b"A"
    assert 640 <= word(board, RESULT) < 640 + 10
    board = ran([*pins, *count, *send, 0x2142, 0x6001, *wait])
    assert board.take() == b"A"
    assert any("it is lost" in text for text in board.notes())
