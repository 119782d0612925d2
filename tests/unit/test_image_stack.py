"""The stack bound against real code: what zig and gcc make of awkward functions, run and measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hil import board as boards
from hil.cache import digest, entry, tree_digest
from hil.errors import BuildFailed
from hil.image import riscv
from hil.image.elf import RISCV, Elf
from hil.image.instruction import Flow
from hil.image.stack import worst_stack
from hil.image.thumb import decode
from hil.image.toolchain import arm_gcc, zig
from hil.paths import FIRMWARE

PROGRAMS = Path(__file__).with_name("programs")
has_gcc = shutil.which("arm-none-eabi-gcc") is not None
VARIANTS = [
    pytest.param(
        toolchain,
        level,
        marks=[] if "zig" in toolchain or has_gcc else pytest.mark.skip(reason="arm-none-eabi-gcc is not installed"),
    )
    for toolchain in ("zig", "gcc", "zig-m33", "gcc-m33")
    for level in ("-Os", "-O2", "-O0")
] + [("riscv", level) for level in ("-Os", "-O2", "-O0")]
TARGETS = {
    "zig": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus", "-fno-sanitize=undefined"),
    "gcc": ("-mthumb", "-mcpu=cortex-m0plus", "-nostdlib"),
    "zig-m33": boards.load("rp2350").build["zig"],
    "gcc-m33": (*boards.load("rp2350").build["gcc"], "-nostdlib"),
    "riscv": boards.load("riscv-virt").build["zig"],
}


def compiled(toolchain: str, level: str) -> Elf:
    compiler = arm_gcc() if "gcc" in toolchain else zig()
    last = ["-lgcc"] if "gcc" in toolchain else []

    flags = [*TARGETS[toolchain], level, "-ffreestanding", "-std=c11", "-ffunction-sections", "-Wl,--gc-sections", "-g"]

    def make(folder: Path) -> None:
        sources = [PROGRAMS / "stack.c", FIRMWARE / "port" / "memory.c"]
        script = ["-T", PROGRAMS / "stack.ld"]
        compiler.run([*flags, *script, *sources, *last, "-o", folder / "program.elf"], what="building a test program")

    key = digest(compiler.version, toolchain, *flags, tree_digest(PROGRAMS, FIRMWARE / "port" / "memory.c"))
    return Elf(entry("test-stack", key, make) / "program.elf")


def measured(elf: Elf, argument: int) -> int:
    """Bytes of stack that `entry(argument)` really writes to, on an emulated Cortex-M33 (ARMv6-M too) or RV32."""
    import unicorn as u
    from unicorn import arm_const as arm
    from unicorn import riscv_const as riscv

    top = 0x2000_F000
    if elf.machine == RISCV:
        machine = u.Uc(u.UC_ARCH_RISCV, u.UC_MODE_RISCV32)
        sp, first, link, pc = (getattr(riscv, f"UC_RISCV_REG_{name}") for name in ("SP", "A0", "RA", "PC"))
        thumb = 0
    else:
        machine = u.Uc(u.UC_ARCH_ARM, u.UC_MODE_THUMB)
        machine.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M33)
        sp, first, link, pc = (getattr(arm, f"UC_ARM_REG_{name}") for name in ("SP", "R0", "LR", "PC"))
        thumb = 1
    machine.mem_map(0x1000_0000, 0x10000)
    machine.mem_map(0x2000_0000, 0x10000)
    for segment in elf.segments:
        machine.mem_write(segment.virtual, segment.data)
    lowest = top
    machine.mem_write(top - 0x4000, b"\xa5" * 0x4000)

    def written(_machine: object, _kind: int, address: int, _size: int, _value: int, _data: object) -> None:
        nonlocal lowest
        if top - 0x4000 <= address < top:
            lowest = min(lowest, address)

    machine.hook_add(u.UC_HOOK_MEM_WRITE, written)
    machine.reg_write(sp, top)
    machine.reg_write(first, argument)
    machine.reg_write(link, 0x1000_FFF0 | thumb)
    machine.emu_start(elf.value("entry") | thumb, 0x1000_FFF0, count=1_000_000)
    assert machine.reg_read(pc) == 0x1000_FFF0
    assert machine.reg_read(sp) == top
    return top - lowest


@pytest.mark.parametrize(("toolchain", "level"), VARIANTS)
def test_the_bound_holds_and_is_tight(toolchain: str, level: str) -> None:
    elf = compiled(toolchain, level)
    bound = worst_stack(elf, "entry")
    deepest = max(measured(elf, n) for n in range(8))
    assert deepest <= bound.bytes
    # A frame may hold bytes that no path writes; nothing else may come between.
    assert bound.bytes <= deepest + 32
    assert bound.path[:2] == ("entry", "chooses")
    assert "large" in bound.path


@pytest.mark.parametrize(("toolchain", "level"), VARIANTS)
def test_what_is_left_out_does_not_count(toolchain: str, level: str) -> None:
    elf = compiled(toolchain, level)
    without = worst_stack(elf, "entry", leave_out={"large"})
    assert without.bytes < worst_stack(elf, "entry").bytes - 1700
    assert max(measured(elf, n) for n in (0, 2, 3, 4)) <= without.bytes


@pytest.mark.parametrize(("toolchain", "level"), VARIANTS)
def test_what_has_no_bound_is_refused(toolchain: str, level: str) -> None:
    elf = compiled(toolchain, level)
    with pytest.raises(BuildFailed, match="recursion has no bound: recurses -> recurses"):
        worst_stack(elf, "recurses")
    with pytest.raises(BuildFailed, match="points calls through a register"):
        worst_stack(elf, "points")
    declared = worst_stack(elf, "points", indirect={"points": ["small"]})
    assert declared.path[:2] == ("points", "small")
    with pytest.raises(BuildFailed, match="has no symbol nowhere"):
        worst_stack(elf, "nowhere")


@pytest.mark.parametrize(
    ("first", "second", "flow", "grow", "target"),
    [
        (0xB5F0, 0, Flow.NEXT, 20, 0),  # push {r4-r7, lr}
        (0xBDF0, 0, Flow.RETURN, -20, 0),  # pop {r4-r7, pc}
        (0xBC70, 0, Flow.NEXT, -12, 0),  # pop {r4-r6}
        (0xB082, 0, Flow.NEXT, 8, 0),  # sub sp, #8
        (0xB002, 0, Flow.NEXT, -8, 0),  # add sp, #8
        (0xD0FE, 0, Flow.MAYBE, 0, 0x1000),  # beq .
        (0xDE00, 0, Flow.STOP, 0, 0),  # udf #0
        (0xDF01, 0, Flow.NEXT, 0, 0),  # svc #1
        (0xE7FE, 0, Flow.BRANCH, 0, 0x1000),  # b .
        (0x4770, 0, Flow.RETURN, 0, 0),  # bx lr
        (0x4718, 0, Flow.JUMP_REGISTER, 0, 0),  # bx r3
        (0x4798, 0, Flow.CALL_REGISTER, 0, 0),  # blx r3
        (0x4687, 0, Flow.TABLE, 0, 0),  # mov pc, r0
        (0x46F7, 0, Flow.RETURN, 0, 0),  # mov pc, lr
        (0x448F, 0, Flow.TABLE, 0, 0),  # add pc, r1
        (0x4601, 0, Flow.NEXT, 0, 0),  # mov r1, r0
        (0xF000, 0xF801, Flow.CALL, 0, 0x1006),  # bl .+6
        (0xF7FF, 0xFFFE, Flow.CALL, 0, 0x1000),  # bl .
        (0xF381, 0x8808, Flow.NEXT, 0, 0),  # msr msp, r1
    ],
)
def test_instructions(first: int, second: int, flow: Flow, grow: int, target: int) -> None:
    one = decode(0x1000, first, second)
    assert (one.flow, one.grow, one.target) == (flow, grow, target)


@pytest.mark.parametrize(
    ("words", "size", "flow", "grow", "target"),
    [
        ((0x7139,), 2, Flow.NEXT, 64, 0),  # c.addi16sp sp, -64
        ((0x1141,), 2, Flow.NEXT, 16, 0),  # c.addi sp, -16
        ((0x0141,), 2, Flow.NEXT, -16, 0),  # c.addi sp, 16
        ((0x0113, 0x8301), 4, Flow.NEXT, 2000, 0),  # addi sp, sp, -2000
        ((0x0113, 0xFE04), 4, Flow.NEXT, 0, 0),  # addi sp, s0, -32
        ((0xDE06,), 2, Flow.NEXT, 0, 0),  # c.swsp ra, 60(sp)
        ((0x8082,), 2, Flow.RETURN, 0, 0),  # ret
        ((0x8782,), 2, Flow.JUMP_REGISTER, 0, 0),  # c.jr a5
        ((0x9782,), 2, Flow.CALL_REGISTER, 0, 0),  # c.jalr a5
        ((0x8067, 0x0007), 4, Flow.JUMP_REGISTER, 0, 0),  # jalr zero, 0(a4)
        ((0xA001,), 2, Flow.BRANCH, 0, 0x1000),  # c.j .
        ((0xBFFD,), 2, Flow.BRANCH, 0, 0x0FFE),  # c.j .-2
        ((0x2001,), 2, Flow.CALL, 0, 0x1000),  # c.jal .
        ((0xC111,), 2, Flow.MAYBE, 0, 0x1004),  # c.beqz a0, .+4
        ((0xFD7D,), 2, Flow.MAYBE, 0, 0x0FFE),  # c.bnez a0, .-2
        ((0x00EF, 0x0080), 4, Flow.CALL, 0, 0x1008),  # jal ra, .+8
        ((0xF06F, 0xFFDF), 4, Flow.BRANCH, 0, 0x0FFC),  # j .-4
        ((0x0463, 0x00B5), 4, Flow.MAYBE, 0, 0x1008),  # beq a0, a1, .+8
        ((0x1097, 0x0000, 0x80E7, 0x0140), 8, Flow.CALL, 0, 0x2014),  # auipc ra, 1; jalr ra, 20(ra)
        ((0xF317, 0xFFFF, 0x0067, 0xFFC3), 8, Flow.BRANCH, 0, 0xFFFF_FFFC),  # auipc t1, -1; jr -4(t1)
        ((0x0000,), 2, Flow.STOP, 0, 0),  # unimp
        ((0x9002,), 2, Flow.STOP, 0, 0),  # c.ebreak
        ((0x1073, 0xC000), 4, Flow.STOP, 0, 0),  # unimp
    ],
)
def test_riscv_instructions(words: tuple[int, ...], size: int, flow: Flow, grow: int, target: int) -> None:
    one = riscv.decode(0x1000, lambda at: (*words, 0, 0, 0, 0)[(at - 0x1000) // 2])
    assert (one.size, one.flow, one.grow, one.target) == (size, flow, grow, target)
