"""Every instruction class costs what the Cortex-M0+ manual says, measured by the program itself with SysTick."""

from __future__ import annotations

import struct

import pytest

from hil.virtual.chip.native import RAN_IDLE
from tests.support.virtual_programs import FLASH, RESULT, Rp2040, assembled, words

SCRATCH = 0x2002_0000
SIO, UART0, SYSTICK = 0xD000_0000, 0x4003_4000, 0xE000_E010
CODE = FLASH + 0x200 + 32  # where the measured code begins
POOL = 0x180  # halfwords from the program's start to its literals


def program(code: list[int], registers: dict[int, int]) -> list[int]:
    """Load r0-r5, read SysTick into r6, run `code`, read SysTick again, store the difference at RESULT."""
    literals: list[int] = []
    out: list[int] = []

    def load(register: int, value: int) -> None:
        literals.append(value)
        pool = 2 * POOL + 4 * (len(literals) - 1)
        out.append(0x4800 | register << 8 | (pool - ((2 * len(out) + 4) & ~3)) // 4)

    load(7, SYSTICK)
    load(0, 0xFFFFFF)
    out.extend([0x6078, 0x60B8, 0x2005, 0x6038])  # str r0,[r7,#4]; str r0,[r7,#8]; movs r0,#5; str r0,[r7]
    for register in range(6):
        load(register, registers.get(register, 0))
    out.extend([0xBF00] * (15 - len(out)))
    out.append(0x68BE)  # ldr r6, [r7, #8]
    assert len(out) == 16
    out.extend(code)
    out.append(0x68BF)  # ldr r7, [r7, #8]
    out.append(0x1BF6)  # subs r6, r6, r7
    load(5, RESULT)
    out.extend([0x602E, 0xE7FE])  # str r6, [r5]; b .
    out.extend([0xBF00] * (POOL - len(out)))
    for value in literals:
        out.extend(struct.unpack("<2H", struct.pack("<I", value)))
    return out


def cost(code: list[int], registers: dict[int, int] | None = None) -> int:
    """Cycles that `code` takes between two loads of SysTick."""
    board = Rp2040(assembled(program(code, registers or {})))
    assert board.run(1 << 22) == RAN_IDLE
    assert list(board.notes()) == []
    return words(board, 1)[0] - 2  # one of the loads itself


AFTER = CODE + 4 | 1  # the code after two halfwords, as a branch target

CASES: list[tuple[str, int, list[int], dict[int, int]]] = [
    ("nothing", 0, [], {}),
    ("nop", 1, [0xBF00], {}),
    ("adds", 1, [0x1840], {}),
    ("muls", 1, [0x4348], {0: 7, 1: 9}),
    ("lsls register", 1, [0x4088], {1: 3}),
    ("mov high", 1, [0x4680], {}),
    ("add high", 1, [0x4480], {}),
    ("cmp", 1, [0x4288], {}),
    ("sxtb", 1, [0xB240], {}),
    ("rev", 1, [0xBA00], {}),
    ("adr", 1, [0xA000], {}),
    ("cpsid", 1, [0xB672], {}),
    ("sev", 1, [0xBF40], {}),
    ("yield", 1, [0xBF10], {}),
    ("wfe with an event", 3, [0xBF40, 0xBF20], {}),
    ("ldr", 2, [0x6828], {5: SCRATCH}),
    ("ldrb", 2, [0x7828], {5: SCRATCH}),
    ("ldrh", 2, [0x8828], {5: SCRATCH}),
    ("ldrsb", 2, [0x5628], {5: SCRATCH}),
    ("ldr literal", 2, [0x4801], {}),
    ("ldr sp", 2, [0x9800], {}),
    ("str", 2, [0x6028], {5: SCRATCH}),
    ("strb", 2, [0x7028], {5: SCRATCH}),
    ("strh register", 2, [0x5228], {5: SCRATCH}),
    ("str sp", 2, [0x9001], {}),
    ("ldm 1", 2, [0xCD01], {5: SCRATCH}),
    ("ldm 3", 4, [0xCD07], {5: SCRATCH}),
    ("stm 3", 4, [0xC507], {5: SCRATCH}),
    ("push 1", 2, [0xB401], {}),
    ("push 2 and lr", 4, [0xB503], {}),
    ("push 2, pop 2", 3 + 3, [0xB403, 0xBC03], {}),
    ("push 1, pop pc", 2 + 4, [0xB401, 0xBD00], {0: AFTER}),
    ("push 3, pop 2 and pc", 4 + 6, [0xB407, 0xBD03], {2: AFTER}),
    ("b", 2, [0xE7FF], {}),
    ("b forward, back, and on", 6, [0xE001, 0xE001, 0xBF00, 0xE7FC], {}),
    ("bne not taken", 2, [0x4280, 0xD1FF], {}),
    ("beq taken", 3, [0x4280, 0xD000, 0xBF00], {}),
    ("bl", 3, [0xF000, 0xF800], {}),
    ("bx", 3, [0xBF00, 0x4700], {0: AFTER}),
    ("blx", 3, [0xBF00, 0x4780], {0: AFTER}),
    ("mov to pc", 3, [0xBF00, 0x4687], {0: AFTER}),
    ("add to pc", 3, [0xBF00, 0x4487], {0: 0xFFFF_FFFE}),
    ("mrs", 3, [0xF3EF, 0x8010], {}),
    ("msr", 3, [0xF380, 0x8810], {}),
    ("dsb", 3, [0xF3BF, 0x8F4F], {}),
    ("dmb", 3, [0xF3BF, 0x8F5F], {}),
    ("isb", 3, [0xF3BF, 0x8F6F], {}),
    ("ldr from SIO", 1, [0x6820], {4: SIO}),
    ("str to SIO", 1, [0x6120], {4: SIO}),
    ("ldr from APB", 4, [0x69A0], {4: UART0}),
    ("str to APB", 5, [0x6260], {4: UART0}),
    ("ldr from the core's own", 2, [0x6920], {4: SYSTICK - 0x10}),
    ("two from APB in one block", 8, [0x69A0, 0x69A0], {4: UART0}),
]


@pytest.mark.parametrize(("cycles", "code", "registers"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_instruction(cycles: int, code: list[int], registers: dict[int, int]) -> None:
    assert cost(code, registers) == cycles


# Each reads SysTick with its last instruction, into r1; r0 holds SysTick - 0x10 and r5 an address in RAM.
DATED: list[tuple[str, int, list[int]]] = [
    ("at once", 0, [0x6981]),
    ("after a load through another register", 2, [0x69A9, 0x6981]),
    ("after another access to the same", 2, [0x6982, 0x6981]),
    ("after the same instruction on RAM", 3, [0x6992, 0x4602, 0x6991]),
    ("after a multiple load of it", 5, [0xBF00, 0xC80C, 0x3808, 0x6981]),
    ("by a multiple load", 4, [0xBF00, 0x3018, 0xBF00, 0xBF00, 0xC802, 0xBF00][:5]),
]


@pytest.mark.parametrize(("cycles", "code"), [case[1:] for case in DATED], ids=[case[0] for case in DATED])
def test_a_device_sees_an_access_when_its_own_instruction_begins(cycles: int, code: list[int]) -> None:
    registers = {0: SYSTICK - 0x10, 2: SCRATCH, 4: RESULT + 8, 5: SCRATCH}
    # subs r1, r6, r1; str r1, [r4]
    board = Rp2040(assembled(program([*code, 0x1A71, 0x6021], registers)))
    assert board.run(1 << 22) == RAN_IDLE
    assert words(board, 3)[2] - 2 == cycles


@pytest.mark.parametrize("times", [1, 2, 100, 70_000])
def test_loop_of_a_taken_branch(times: int) -> None:
    # subs r0, #1 (1); bne (2, the last 1)
    assert cost([0x3801, 0xD1FD], {0: times}) == 3 * times - 1


def test_a_fault_costs_its_entry_and_not_the_rest_of_its_block() -> None:
    # SVC into a handler that is BX LR: 1 + 15 in, 2 + 13 out
    code = program([0xDF00], {})
    board = Rp2040(assembled(code, {11: [0x4770]}))
    assert board.run(1 << 22) == RAN_IDLE
    assert words(board, 1)[0] - 2 == 1 + 15 + 2 + 13
