"""The stack bound against real code: what zig and gcc make of awkward functions, run and measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hil.cache import digest, entry, tree_digest
from hil.errors import BuildFailed
from hil.image.elf import Elf
from hil.image.stack import worst_stack
from hil.image.thumb import Flow, decode
from hil.image.toolchain import arm_gcc, zig
from hil.paths import FIRMWARE

PROGRAMS = Path(__file__).with_name("programs")
has_gcc = shutil.which("arm-none-eabi-gcc") is not None
VARIANTS = [
    pytest.param(
        toolchain,
        level,
        marks=[] if toolchain == "zig" or has_gcc else pytest.mark.skip(reason="arm-none-eabi-gcc is not installed"),
    )
    for toolchain in ("zig", "gcc")
    for level in ("-Os", "-O2", "-O0")
]


def compiled(toolchain: str, level: str) -> Elf:
    compiler = zig() if toolchain == "zig" else arm_gcc()
    target = (
        ["-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus", "-fno-sanitize=undefined"]
        if toolchain == "zig"
        else ["-mthumb", "-mcpu=cortex-m0plus", "-nostdlib"]
    )
    last = [] if toolchain == "zig" else ["-lgcc"]

    flags = [*target, level, "-ffreestanding", "-std=c11", "-ffunction-sections", "-Wl,--gc-sections", "-g"]

    def make(folder: Path) -> None:
        sources = [PROGRAMS / "stack.c", FIRMWARE / "port" / "memory.c"]
        script = ["-T", PROGRAMS / "stack.ld"]
        compiler.run([*flags, *script, *sources, *last, "-o", folder / "program.elf"], what="building a test program")

    key = digest(compiler.version, toolchain, *flags, tree_digest(PROGRAMS, FIRMWARE / "port" / "memory.c"))
    return Elf(entry("test-stack", key, make) / "program.elf")


def measured(elf: Elf, argument: int) -> int:
    """Bytes of stack that `entry(argument)` really writes to, on an emulated Cortex-M0."""
    import unicorn as u
    from unicorn import arm_const as arm

    top = 0x2000_F000
    machine = u.Uc(u.UC_ARCH_ARM, u.UC_MODE_THUMB)
    machine.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M0)
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
    machine.reg_write(arm.UC_ARM_REG_SP, top)
    machine.reg_write(arm.UC_ARM_REG_R0, argument)
    machine.reg_write(arm.UC_ARM_REG_LR, 0x1000_FFF1)
    machine.emu_start(elf.value("entry") | 1, 0x1000_FFF0, count=1_000_000)
    assert machine.reg_read(arm.UC_ARM_REG_PC) == 0x1000_FFF0
    assert machine.reg_read(arm.UC_ARM_REG_SP) == top
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
