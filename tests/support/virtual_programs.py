"""Small programs for the virtual board: built from C by zig, or from hand-assembled halfwords."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from hil import cache
from hil.image.elf import Elf, flat
from hil.image.toolchain import zig
from hil.virtual.chip import chips
from hil.virtual.chip.board import Microcontroller
from hil.virtual.chip.native import RAN_TO_LIMIT

PROGRAMS = Path(__file__).resolve().parent.parent / "virtual" / "programs"
FLASH = 0x1000_0000
STACK = 0x2004_0800
RESULT = 0x2003_0000
_FLAGS = (
    *("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus", "-O2", "-ffreestanding"),
    *("-fno-sanitize=all", "-fno-unwind-tables", "-Wall", "-Wextra", "-Werror", "-Wno-main"),
)
# ldr r0, =0x10000100; ldr r1, =VTOR; str r0, [r1]; ldm r0!, {r1, r2}; msr msp, r1; bx r2
_STAGE = struct.pack("<8H2I", 0x4803, 0x4904, 0x6008, 0xC806, 0xF381, 0x8808, 0x4710, 0x46C0, FLASH + 0x100, 0xE000ED08)


class Rp2040(Microcontroller):
    """A virtual RP2040."""

    def __init__(self, flash: bytes, *, skip: bool = True) -> None:
        super().__init__(chips.find("rp2040"), flash, skip=skip)


def crc32_mpeg2(data: bytes) -> int:
    """The second stage's checksum: polynomial 0x04C11DB7 from all ones, not reflected, not inverted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def with_checksum(stage: bytes) -> bytes:
    """256 bytes: `stage`, zeros, and the checksum that the boot ROM wants."""
    body = stage[:252].ljust(252, b"\0")
    return body + struct.pack("<I", crc32_mpeg2(body))


def assembled(code: Sequence[int], handlers: Mapping[int, Sequence[int]] | None = None) -> bytes:
    """A flash image that runs the halfwords `code` from 0x10000200; `handlers`: exception number to code.

    Handlers lie at 0x10000800 + 256 * number. Vectors without one lead to a loop at 0x100001fe.
    """
    table = [STACK, FLASH + 0x201] + [FLASH + 0x1FF] * 14
    image = bytearray(0x2000)
    image[:0x100] = with_checksum(_STAGE)
    image[0x1FE:0x200] = struct.pack("<H", 0xE7FE)
    image[0x200 : 0x200 + 2 * len(code)] = struct.pack(f"<{len(code)}H", *code)
    for number, handler in (handlers or {}).items():
        at = 0x800 + 0x100 * number
        table[number] = FLASH + at + 1
        image[at : at + 2 * len(handler)] = struct.pack(f"<{len(handler)}H", *handler)
    image[0x100:0x140] = struct.pack("<16I", *table)
    return bytes(image)


def load(register: int, value: int) -> list[int]:
    """MOVW and MOVT, which ARMv6-M lacks."""
    halves = []
    for opcode, part in ((0xF240, value & 0xFFFF), (0xF2C0, value >> 16)):
        halves += [opcode | part >> 12 | (part >> 11 & 1) << 10, (part >> 8 & 7) << 12 | register << 8 | part & 0xFF]
    return halves


def store(address: int, value: int) -> list[int]:
    """str r1, [r0]."""
    return [*load(0, address), *load(1, value), 0x6001]


def compiled(name: str, *more: str | Path, inputs: Path | None = None) -> Elf:
    """Program NAME.c, linked; `more`: further flags and sources, which are or depend on files below `inputs`."""
    compiler = zig()
    trees = (PROGRAMS, inputs) if inputs else (PROGRAMS,)
    texts = [str(part.relative_to(inputs)) if inputs and isinstance(part, Path) else str(part) for part in more]
    key = cache.digest(cache.tree_digest(*trees), name, compiler.version, repr(_FLAGS), *texts)

    def make(folder: Path) -> None:
        script = f"-Wl,-T,{PROGRAMS / 'program.ld'}"
        sources = (PROGRAMS / "start.S", PROGRAMS / f"{name}.c")
        compiler.run([*_FLAGS, *more, *sources, script, "-o", folder / "program.elf"], what=f"test program {name}")

    return Elf(cache.entry("test-programs", key, make) / "program.elf")


def flashed(program: Elf) -> bytes:
    """The flash image of `program`, with the second stage's checksum."""
    image = flat(program.segments, FLASH)
    return with_checksum(image[:252]) + image[256:]


def built(name: str) -> bytes:
    """The flash image of tests/virtual/programs/NAME.c."""
    return flashed(compiled(name))


def elf(image: bytes, address: int = FLASH) -> bytes:
    """An ELF file with one segment."""
    size = len(image)
    header = struct.pack(
        "<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 40, 1, address, 52, 0, 0x05000000, 52, 32, 1, 0, 0, 0
    )
    return header + struct.pack("<8I", 1, 84, address, address, size, size, 5, 4) + image


DONE = 0xD03E


def words(board: Rp2040, count: int) -> list[int]:
    """The first `count` words at RESULT."""
    data = board.read(RESULT, 4 * count)
    assert data is not None
    return list(struct.unpack(f"<{count}I", data))


def results(name: str, count: int, *, skip: bool = True) -> list[int]:
    """Run program NAME until the last of `count` result words says that it is done."""
    board = Rp2040(built(name), skip=skip)
    for _ in range(200):
        ran = board.run(1 << 20)
        found = words(board, count)
        if found[-1] == DONE:
            return found[:-1]
        assert ran == RAN_TO_LIMIT, f"{name} stopped at {board.state()}: {list(board.notes())}"
    raise AssertionError(f"{name} is not done: {board.state()}")
