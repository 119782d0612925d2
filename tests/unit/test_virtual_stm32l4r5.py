"""What is the STM32L4R5's own on its virtual board: clocks, flash by double words, LPUART1; and our loader on it."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from hil import board as boards
from hil.errors import ToolMissing
from hil.flash import loader
from hil.virtual.chip import chips
from hil.virtual.chip.board import Microcontroller
from hil.virtual.chip.native import RAN_IDLE, RAN_TO_LIMIT
from tests.support.virtual_programs import load, store

CHIP = chips.find("stm32l4r5")
FLASH, RESULT, CODE, PAGE = 0x0800_0000, 0x2008_0000, 0x400, 0x0801_0000
FOREVER = 0xE7FE
RCC, PWR, GPIOG, TIM2, LPUART = 0x4002_1000, 0x4000_7000, 0x4800_1800, 0x4000_0000, 0x4000_8000
FLASH_ACR, KEYR, OPTKEYR, SR, CR, OPTR = (0x4002_2000 + at for at in (0, 8, 12, 0x10, 0x14, 0x20))
UNLOCK = [*store(KEYR, 0x4567_0123), *store(KEYR, 0xCDEF_89AB)]
PROGRAM = [*UNLOCK, *store(CR, 1)]
PROGERR, PGAERR, SIZERR, PGSERR = 1 << 3, 1 << 5, 1 << 6, 1 << 7


def image(code: list[int]) -> bytes:
    """Vectors at the start of flash, halfwords `code` at CODE, a HardFault handler behind; the rest is erased."""
    data = bytearray(b"\xff" * 0x4000)
    data[:16] = struct.pack("<4I", 0x200A_0000, FLASH + CODE + 1, FLASH + 0x3001, FLASH + 0x3001)
    for start, halfwords in ((CODE, code), (0x3000, [FOREVER])):
        data[start : start + 2 * len(halfwords)] = struct.pack(f"<{len(halfwords)}H", *halfwords)
    return bytes(data)


def ran(code: list[int]) -> Microcontroller:
    board = Microcontroller(CHIP, image([*code, FOREVER]))
    assert board.run(1 << 24) == RAN_IDLE
    return board


def word(board: Microcontroller, address: int) -> int:
    data = board.read(address, 4)
    if data is not None:
        return int.from_bytes(data, "little")
    value = board.debug_read(0, address)
    assert value is not None
    return value


def words(board: Microcontroller, address: int, count: int) -> list[int]:
    return [word(board, address + 4 * at) for at in range(count)]


# ---- start, clocks ----------------------------------------------------------------------------------------------


def test_it_starts_from_flash_which_is_seen_at_0_too() -> None:
    board = ran(store(RESULT, 7))
    assert word(board, RESULT) == 7
    assert word(board, 4) == word(board, FLASH + 4) == FLASH + CODE + 1
    assert board.state().hz == 4_000_000


def test_a_block_without_a_clock_reads_as_zero_and_ignores_writes() -> None:
    off = ran([*store(TIM2 + 0x28, 3), 0x6802, *load(3, RESULT), 0x601A])  # ldr r2, [r0]; ... str r2, [r3]
    on = ran([*store(RCC + 0x58, 1), *store(TIM2 + 0x28, 3), 0x6802, *load(3, RESULT), 0x601A])
    assert (word(off, RESULT), word(on, RESULT)) == (0, 3)


def clocked(*, boost: bool = True, wait: int = 5, times: int = 60, divider: int = 1) -> Microcontroller:
    """MSI through the PLL; `divider`: of AHB."""
    supply = [*store(RCC + 0x58, 1 << 28), *store(PWR + 0x80, 0 if boost else 1 << 8), *store(FLASH_ACR, wait)]
    pll = [*store(RCC + 0x0C, 1 | times << 8 | 1 << 24), *store(RCC, 0x61 | 1 << 24)]
    return ran([*supply, *pll, *store(RCC + 0x08, 3 | {1: 0, 2: 8}[divider] << 4)])


def test_the_pll_makes_120_mhz_of_msi() -> None:
    board = clocked()
    assert board.state().hz == 120_000_000
    assert not list(board.notes())
    assert clocked(divider=2).state().hz == 60_000_000


@pytest.mark.parametrize("wrong", [{"boost": False}, {"wait": 4}])
def test_what_supply_or_flash_cannot_bear_is_told(wrong: dict[str, int]) -> None:
    assert "120000000 Hz is too fast" in next(clocked(**wrong).notes())


def test_a_pll_out_of_its_range_gives_no_clock() -> None:
    for times, ready in ((86, 1 << 25), (87, 0)):
        board = ran([*store(RCC + 0x0C, 1 | times << 8 | 1 << 24), *store(RCC, 0x61 | 1 << 24)])
        assert word(board, RCC) & 1 << 25 == ready


def test_the_watch_crystal_swings_after_two_seconds() -> None:
    wait = [*load(2, RCC + 0x90), 0x6813, 0x079B, 0xD5FC]  # ldr r3, [r2]; lsls r3, r3, #30; bpl
    board = ran([*store(RCC + 0x58, 1 << 28), *store(PWR, 1 << 9 | 1 << 8), *store(RCC + 0x90, 1), *wait])
    assert 2_000_000_000 <= board.state().nanoseconds < 2_010_000_000


def test_tim2_counts_microseconds_behind_an_update() -> None:
    start = [*store(RCC + 0x58, 1), *store(TIM2 + 0x28, 3), *store(TIM2 + 0x14, 1), *store(TIM2, 1)]
    delay = [0xF641, 0x73FF, 0x3B01, 0xD1FD]  # movw r3, #8191; subs; bne: 16382 instructions at 4 MHz
    board = ran([*start, *delay, *load(0, TIM2 + 0x24), 0x6802, *load(3, RESULT), 0x601A])
    assert 16382 // 4 <= word(board, RESULT) < 16382 // 4 + 5


# ---- flash ------------------------------------------------------------------------------------------------------


def test_locked_flash_takes_no_store() -> None:
    board = ran([*store(CR, 1), *store(PAGE, 0)])
    assert "a write where nothing can be written" in next(board.notes())
    assert word(board, PAGE) == 0xFFFF_FFFF
    wrong = [*store(KEYR, 0xCDEF_89AB), *store(KEYR, 0x4567_0123)]
    assert "a write" in next(ran([*wrong, *store(CR, 1), *store(PAGE, 0)]).notes())


def test_two_words_in_order_are_programmed_and_one_is_not() -> None:
    board = ran([*PROGRAM, *store(PAGE, 1), *store(PAGE + 4, 2), *store(PAGE + 8, 3)])
    assert words(board, PAGE, 4) == [1, 2, 0xFFFF_FFFF, 0xFFFF_FFFF]
    assert word(board, SR) == 0


WRONG = {
    "not erased": ([*store(PAGE, 1), *store(PAGE + 4, 2), *store(PAGE, 0), *store(PAGE + 4, 2)], PROGERR),
    "the second word first": (store(PAGE + 4, 2), PGAERR),
    "the second word elsewhere": ([*store(PAGE, 1), *store(PAGE + 12, 2)], PGAERR),
    "a byte": ([*load(0, PAGE), 0x7001], SIZERR),
    "after an error": ([*store(PAGE + 4, 2), *store(PAGE, 1)], PGAERR | PGSERR),
}


@pytest.mark.parametrize(("code", "error"), WRONG.values(), ids=WRONG.keys())
def test_anything_else_is_an_error(code: list[int], error: int) -> None:
    assert word(ran([*PROGRAM, *code]), SR) == error


def test_zeros_may_be_programmed_over_anything() -> None:
    board = ran([*PROGRAM, *store(PAGE, 1), *store(PAGE + 4, 2), *store(PAGE, 0), *store(PAGE + 4, 0)])
    assert (words(board, PAGE, 2), word(board, SR)) == ([0, 0], 0)


@pytest.mark.parametrize("bank", [0, 1])
def test_a_page_of_either_bank_is_erased(bank: int) -> None:
    at = FLASH + bank * (1 << 20) + 5 * 4096
    both = [*store(at - 8, 1), *store(at - 4, 1), *store(at, 2), *store(at + 4, 2), *store(at + 4096, 3)]
    erase = 1 << 1 | 5 << 3 | bank << 11 | 1 << 16
    board = ran([*PROGRAM, *both, *store(at + 4100, 3), *store(CR, erase)])
    assert [word(board, at + offset) for offset in (-8, -4, 0, 4, 4096, 4100)] == [1, 1, 2**32 - 1, 2**32 - 1, 3, 3]


# ---- LPUART1 ----------------------------------------------------------------------------------------------------

POWER = [*store(RCC + 0x58, 1 << 28), *store(PWR + 4, 1 << 9)]
CLOCKS = [*store(RCC + 0x4C, 1 << 6), *store(RCC + 0x5C, 1)]
PINS = [*store(GPIOG, 0xFFFE_BFFF & ~(1 << 14) | 1 << 15), *store(GPIOG + 0x20, 8 << 28), *store(GPIOG + 0x24, 8)]
ON = [*store(LPUART + 0x0C, 256 * 4_000_000 // 115_200), *store(LPUART, 1 << 3 | 1 << 2 | 1)]
SENDER = [*ON, *store(LPUART + 0x28, 0x41)]


def test_it_sends_and_a_character_takes_its_time() -> None:
    wait = [*load(2, LPUART + 0x1C), 0x6813, 0x065B, 0xD5FC]  # TC: ldr r3, [r2]; lsls r3, r3, #25; bpl
    stamp = [*store(0xE000_EDFC, 1 << 24), *store(0xE000_1000, 1), 0x0005]  # movs r5, r0
    board = ran([*POWER, *CLOCKS, *PINS, *stamp, *SENDER, 0x686E, *wait, 0x686F, 0x1BBF, *load(0, RESULT), 0x6007])
    assert board.take() == b"A"
    assert 347 - 12 <= word(board, RESULT) <= 347 + 6  # 10 bits at 115200 baud and 4 MHz; some went by before


@pytest.mark.parametrize("missing", ["VddIO2", "pins"])
def test_without_supply_or_pins_nothing_leaves_it(missing: str) -> None:
    board = ran([*(POWER if missing != "VddIO2" else []), *CLOCKS, *(PINS if missing != "pins" else []), *SENDER])
    assert board.take() == b""


# ---- our loader -------------------------------------------------------------------------------------------------


def test_a_board_without_a_loader_needs_none_and_one_that_is_not_there_is_named() -> None:
    assert loader.described(boards.load("nrf52840dk")) is None
    missing = replace(boards.load("nucleo-l4r5zi"), loader=boards.Loader("nothing", 4096))
    with pytest.raises(ToolMissing, match=r"no loader nothing\.c for nucleo-l4r5zi"):
        loader.described(missing)


class Loader:
    """The board's loader in RAM of a halted chip, called as a debugger does."""

    DHCSR, DCRSR, DCRDR = 0xE000_EDF0, 0xE000_EDF4, 0xE000_EDF8

    def __init__(self) -> None:
        self.chip = Microcontroller(CHIP, b"")
        described = loader.described(boards.load("nucleo-l4r5zi"))
        assert described is not None
        self.algorithm = described["algorithm"]
        code = self.algorithm["instructions"]
        assert self.chip.write(self.algorithm["load_address"], struct.pack(f"<{len(code)}I", *code))
        self.chip.debug_write(0, self.DHCSR, 0xA05F_0003)

    def call(self, name: str, *values: int) -> int:
        start = self.algorithm["load_address"]
        registers = {**dict(enumerate(values)), 13: self.algorithm["begin_stack"], 14: start | 1, 16: 0x0100_0000}
        for register, value in {**registers, 15: self.algorithm[name]}.items():
            self.chip.debug_write(0, self.DCRDR, value)
            self.chip.debug_write(0, self.DCRSR, 0x1_0000 | register)
        self.chip.debug_write(0, self.DHCSR, 0xA05F_0001)
        assert self.chip.run(1 << 20) != RAN_TO_LIMIT
        self.chip.debug_write(0, self.DCRSR, 15)
        assert word(self.chip, self.DCRDR) == start, "it has come back"
        self.chip.debug_write(0, self.DCRSR, 0)
        return word(self.chip, self.DCRDR)


def test_the_loader_programs_and_erases() -> None:
    ours = Loader()
    data = bytes(range(1, 65))
    ours.chip.write(RESULT, data)
    at = FLASH + (1 << 20) + 7 * 4096
    assert ours.call("pc_init", FLASH, 0, 2) == 0
    assert ours.call("pc_program_page", at, len(data), RESULT) == 0
    assert ours.chip.read(at, len(data)) == data
    assert ours.call("pc_program_page", at, len(data), RESULT) != 0, "it is not erased"
    assert ours.call("pc_erase_sector", at) == 0
    assert ours.chip.read(at, 4096) == b"\xff" * 4096
    assert ours.call("pc_unInit", 2) == 0
    assert word(ours.chip, CR) >> 31 == 1


def test_the_loader_refuses_a_chip_with_one_bank_whose_pages_are_larger() -> None:
    ours = Loader()
    for register, value in ((KEYR, 0x4567_0123), (KEYR, 0xCDEF_89AB), (OPTKEYR, 0x0819_2A3B), (OPTKEYR, 0x4C5D_6E7F)):
        ours.chip.debug_write(0, register, value)
    ours.chip.debug_write(0, OPTR, word(ours.chip, OPTR) & ~(1 << 22))
    assert ours.call("pc_init", FLASH, 0, 1) == 1
