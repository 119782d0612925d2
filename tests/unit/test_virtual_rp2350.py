"""What is the RP2350's own on its virtual board: the boot ROM's search, counted instructions, faults, both cores."""

from __future__ import annotations

import struct

import pytest

from hil.virtual.chip import chips
from hil.virtual.chip.board import Microcontroller
from hil.virtual.chip.native import RAN_DEAD, RAN_IDLE
from tests.support.virtual_programs import load

CHIP = chips.find("rp2350")
FLASH, RESULT, CODE = 0x1000_0000, 0x2003_0000, 0x1100
BLOCK = (0xFFFFDED3, 0x10210142, 0x000001FF, 0, 0xAB123579)
FOREVER = 0xE7FE


def image(
    code: list[int], *, block: tuple[int, ...] = BLOCK, at: int = 0x200, handler: list[int] | None = None
) -> bytes:
    """Vectors at the start of flash, `block` at byte `at`, halfwords `code` at CODE, a HardFault handler at 0x1800."""
    data = bytearray(0x2000)
    vectors = [0x2008_2000, FLASH + CODE + 1, FLASH + 0x1801, FLASH + 0x1801]
    data[:16] = struct.pack("<4I", *vectors)
    data[at : at + 4 * len(block)] = struct.pack(f"<{len(block)}I", *block)
    for start, halfwords in ((CODE, code), (0x1800, handler or [FOREVER])):
        data[start : start + 2 * len(halfwords)] = struct.pack(f"<{len(halfwords)}H", *halfwords)
    return bytes(data)


def ran(flash: bytes, *, ends: int = RAN_IDLE) -> Microcontroller:
    board = Microcontroller(CHIP, flash)
    assert board.run(1 << 24) == ends
    return board


def word(board: Microcontroller, address: int = RESULT) -> int:
    data = board.read(address, 4)
    assert data is not None
    return int.from_bytes(data, "little")


STORE_7 = [*load(1, RESULT), 0x2007, 0x6008, FOREVER]  # movs r0, #7; str r0, [r1]


@pytest.mark.parametrize("at", [0x10, 0x200, 0x1000 - 20])
def test_the_image_is_found_anywhere_in_the_first_4_kib(at: int) -> None:
    board = ran(image(STORE_7, at=at))
    assert word(board) == 7
    assert board.state().pc[0] not in CHIP.bootsel


WRONG = {
    "none": (),
    "no end": (*BLOCK[:4], 0),
    "for RISC-V": (BLOCK[0], 0x11210142, *BLOCK[2:]),
    "for RP2040": (BLOCK[0], 0x00210142, *BLOCK[2:]),
    "Non-secure": (BLOCK[0], 0x10110142, *BLOCK[2:]),
    "items that do not add up": (*BLOCK[:2], 0x000002FF, *BLOCK[3:]),
    "an item without end": (BLOCK[0], 0x1021FF42, *BLOCK[2:]),
    "an empty item": (BLOCK[0], 0x10210042, *BLOCK[2:]),
}


@pytest.mark.parametrize("block", WRONG.values(), ids=WRONG.keys())
def test_anything_else_stays_in_the_boot_rom(block: tuple[int, ...]) -> None:
    board = ran(image(STORE_7, block=block))
    assert word(board) != 7
    assert board.state().pc[0] in CHIP.bootsel


def test_a_block_behind_the_first_4_kib_is_not_seen() -> None:
    assert ran(image(STORE_7, at=0x1000)).state().pc[0] in CHIP.bootsel


def test_a_block_may_say_where_the_vectors_are() -> None:
    flash = bytearray(image(STORE_7, block=(BLOCK[0], BLOCK[1], 0x00000203, FLASH + 0x400, 0x000003FF, 0, BLOCK[4])))
    flash[0x400:0x410], flash[:16] = flash[:16], bytes(16)
    assert word(ran(bytes(flash))) == 7


def counted(code: list[int]) -> int:
    """How far CYCCNT gets over `code`, from one load of it to the next."""
    enable = [*load(0, 0xE000EDFC), *load(1, 1 << 24), 0x6001, *load(0, 0xE0001000), 0x2101, 0x6001, *load(5, RESULT)]
    return word(ran(image([*enable, 0x6842, *code, 0x6843, 0x1A9B, 0x602B, FOREVER])))  # ldr r2/r3, [r0, #4]; subs; str


WIDE_STORE, WIDE_LOAD, IT_BLOCK = [0xF8C5, 0x1010], [0xF8D5, 0x1010], [0x4285, 0xBF0C, 0x2401, 0x2402]
COUNTED = {
    "nothing": (1, []),
    "nop": (2, [0xBF00]),
    "a wide nop": (2, [0xF3AF, 0x8000]),
    "str.w and ldr.w": (3, [*WIDE_STORE, *WIDE_LOAD]),
    "smlad": (2, [0xFB21, 0x4401]),
    "vadd.f32": (2, [0xEE30, 0x0A20]),
    "cmp, ite and both": (5, IT_BLOCK),
    "udiv": (2, [0xFBB1, 0xF4F1]),
    "an event and wfe": (3, [0xBF40, 0xBF20]),
    "yield.w": (2, [0xF3AF, 0x8001]),
}


@pytest.mark.parametrize(("instructions", "code"), COUNTED.values(), ids=COUNTED.keys())
def test_every_instruction_counts_one(instructions: int, code: list[int]) -> None:
    assert counted(code) == instructions


def test_cycles_are_instructions() -> None:
    board = ran(image([0x2064, 0x3801, 0xD1FD, FOREVER]))  # movs r0, #100; subs; bne
    state = board.state()
    assert state.cycles >= state.instructions[0] > 201


FAULTS = {
    "undefined": ([0xDE00], 1 << 16),
    "undefined, wide": ([0xF7F0, 0xA000], 1 << 16),
    "read of nothing": ([*load(0, 0x6000_0000), 0x6800], 1 << 15 | 1 << 9),
    "write to flash": ([*load(0, FLASH), 0x6000], 1 << 15 | 1 << 9),
}


@pytest.mark.parametrize(("code", "status"), FAULTS.values(), ids=FAULTS.keys())
def test_errors_become_hard_faults_and_cfsr_says_which(code: list[int], status: int) -> None:
    read = [*load(0, 0xE000ED28), 0x6801, *load(2, RESULT), 0x6011, 0x9906, 0x6051, FOREVER]  # CFSR; stacked PC
    board = ran(image([*code, FOREVER], handler=read))
    assert word(board) == status
    last = FLASH + CODE + 2 * (len(code) - (2 if code[-2:-1] == [0xF7F0] else 1))
    assert word(board, RESULT + 4) == last
    assert "HardFault" in next(board.notes())


def test_a_fault_in_the_handler_locks_the_core_up() -> None:
    assert ran(image([0xDE00], handler=[0xDE00]), ends=RAN_DEAD).state().pc[0] == FLASH + 0x1800


def test_unaligned_words_are_read_and_doubles_of_the_fpu_are_not_needed() -> None:
    code = [*load(1, RESULT), *load(0, 0x11223344), 0x6008, *load(0, 0x55667788), 0x6048]
    code += [0xF8D1, 0x0001, 0x6088, FOREVER]  # ldr.w r0, [r1, #1]
    assert word(ran(image(code)), RESULT + 8) == 0x88112233


@pytest.mark.parametrize("access", [0x6814, 0x7814, 0x6010], ids=["ldr", "ldrb", "str"])
def test_the_first_access_to_a_page_may_be_conditional(access: int) -> None:
    """ite ne; movne r0, #1; <access>eq [r2]; movs r5, #1; b .+2: what follows is outside of the IT block."""
    conditional = [0x2000, 0x2800, 0xBF14, 0x2001, access, 0x2501, 0xE7FF]
    code = [*load(1, RESULT), *load(2, 0x2001_0000), *conditional, 0x2307, 0x600B, FOREVER]  # movs r3, #7; str r3, [r1]
    assert word(ran(image(code))) == 7


def test_a_page_of_code_may_begin_in_the_middle_of_an_it_block() -> None:
    """itt ne, with Z set; movne r0, #1; and, at the start of a page, ldrne r4, [r2], of an address where nothing is."""
    before = [*load(1, RESULT), *load(2, 0x6000_0000), 0x2000, 0x2800]
    padding = [0xBF00] * ((0x13FC - CODE) // 2 - len(before))
    code = [*before, *padding, 0xBF1C, 0x2001, 0x6814, 0x2307, 0x600B, FOREVER]  # movs r3, #7; str r3, [r1]
    assert word(ran(image(code))) == 7
