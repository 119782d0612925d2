"""From a board and a program to an image. Firmware is compiled once for a board; a program costs one link.

sources + board + toolchain --> objects (cached) --+
program bytes ---------------> program object -----+--> ELF --> checksum --> BIN, UF2 (cached)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hil.board import Board
from hil.cache import digest, entry, tree_digest
from hil.errors import BuildFailed, DoesNotFit, ToolMissing, UsageError
from hil.image import boot2, uf2
from hil.image.elf import Elf, flat
from hil.image.frames import worst_frames
from hil.image.stack import StackBound, worst_stack
from hil.image.toolchain import Compiler, arm_gcc, host_compiler, zig
from hil.paths import FIRMWARE
from hil.wire import Wire

TOOLCHAINS = ("zig", "gcc")
SANITIZERS = ("asan", "tsan")
"""gcc or clang with the address and undefined-behaviour sanitizers, or the thread sanitizer, for this host."""

_WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow")
_COMMON = ("-std=c11", "-ffreestanding", "-fno-common", "-ffunction-sections", "-fdata-sections", "-g", *_WARNINGS)
# How the engine is optimised, by measurement on Cortex-M0+ (code bytes; Mcycles of DS-CNN, ResNet8, MobileNetV1):
#   zig  -O2 28912; 59.7 172.7 137.1   -Os 18192; 44.8 142.5 110.1   -Os without LSR 18256; 42.1 126.0 104.7
#   gcc  -Os 19216; 57.4 189.0 145.7   -O2 21616; 43.0 131.9 100.5   -O3 25200; 42.4 130.5 102.4
# LSR, loop strength reduction, trades the one index of a loop for several pointers: more than eight low registers hold.
_KERNELS = {"zig": ("-Os", "-mllvm", "-disable-lsr")}
_OTHER_KERNELS = ("-O2",)
# Files of firmware/port that only the driver of one network port needs. HIL_NET_ROOM of a port that stops its peer.
_SHARED_DRIVERS = {"w5500.c": "ethernet"}
# And those that only one console needs, in place of the port's own.
_SHARED_CONSOLES = {"rtt.c": "rtt"}
_RTT_BLOCK = "_SEGGER_RTT"
_HOLDS_BACK = 0xFFFF_FFFF
_MOST_NODES = 16

Progress = Callable[[str], None]


@dataclass(frozen=True)
class InRam:
    """Where an image lies that runs from RAM, and its vector table: the first stack pointer, and where it starts."""

    address: int
    vectors: int


@dataclass(frozen=True)
class Image:
    """Firmware plus program, ready to flash. All sizes in bytes."""

    board: str
    build_id: str
    """32 hex digits that name firmware, toolchain and program; HELLO reports the same."""
    elf: Path
    bin: Path | None
    """What is in flash, from its start; None for a program of this machine's own system."""
    uf2: Path | None
    code: int
    """Flash of the firmware: boot stage, code, constants, initial data."""
    program: int
    flash: int
    """From the start of flash to the last byte used."""
    static_ram: int
    arena_room: int
    """RAM that is left for a program's arena."""
    in_ram: InRam | None = None
    """Of an image that a debugger writes to RAM: `flash` is what it takes there, beside data, arena and stacks."""

    rtt: int | None = None
    """Where the control block of its console is, if that is buffers in RAM that a debugger reads and writes."""

    def stack_bound(self, leave_out: Iterable[str] = (), *, core: int = 0) -> StackBound:
        """The deepest that a core's stack can get, without the functions in `leave_out` (kernels that do not run).

        Fault handlers come on top of it, but only after a failure: they are not part of the bound.
        """
        return worst_stack(Elf(self.elf), "hil_worker" if core else "hil_reset", frozenset(leave_out))

    def symbolize(self, address: int) -> str:
        """`function+offset` of a code address, for fault reports."""
        return Elf(self.elf).symbolize(address)


@dataclass(frozen=True)
class _Build:
    """Everything that the objects of a board depend on, and how to make them."""

    board: Board
    compiler: Compiler
    flags: tuple[str, ...]
    link_flags: tuple[str, ...]
    network: str | None
    """The network port that the firmware drives; None for a lone node: nothing of networks is compiled then."""

    @property
    def sources(self) -> tuple[Path, ...]:
        port = FIRMWARE / "port" / self.board.port
        found = [*FIRMWARE.glob("engine/**/*.c"), *FIRMWARE.glob("link/*.c"), FIRMWARE / "main.c"]
        own = [file for file in (*port.glob("*.c"), *port.glob("*.S")) if not file.name.startswith("net_")]
        if self.board.console in _SHARED_CONSOLES.values():
            own = [file for file in own if file.name != "console.c"]
        taken = {file.name for file in own}  # a port's own file stands in for one that ports share
        made_for, wanted = _SHARED_DRIVERS | _SHARED_CONSOLES, {None, self.network, self.board.console}
        shared = (file for file in FIRMWARE.glob("port/*.c") if file.name not in taken)
        found += [*own, *(file for file in shared if made_for.get(file.name) in wanted)]
        if self.network is not None:
            found += [*FIRMWARE.glob("net/*.c"), port / f"net_{self.network}.c"]
        return tuple(sorted(found))

    @property
    def speed(self) -> tuple[str, ...]:
        return _KERNELS.get(self.compiler.name, _OTHER_KERNELS)

    def compile_args(self, source: Path, target: Path) -> list[str]:
        # Kernels are where the time goes; everything else is run once a request.
        speed = self.speed if FIRMWARE / "engine" in source.parents else ("-Os",)
        return [*self.flags, *speed, "-c", str(source), "-o", str(target)]

    def objects_key(self) -> str:
        """What names the objects: an image in RAM is linked from the same ones as that in flash."""
        flags = [flag.replace(str(FIRMWARE), "") for flag in (*self.flags, *self.speed)]
        return digest(
            tree_digest(FIRMWARE),
            self.compiler.name,
            self.compiler.version,
            self.network or "",
            self.board.console,
            *flags,
        )

    def key(self) -> str:
        linker = (FIRMWARE / "port" / self.board.port / "link.ld").read_bytes()
        flags = [flag.replace(str(FIRMWARE), "") for flag in self.link_flags]
        return digest(self.objects_key(), linker, _memory_block(self.board), *flags)


def build(
    board: Board,
    program: bytes,
    *,
    toolchain: str = "zig",
    progress: Progress | None = None,
    network: Wire | None = None,
    nodes: int = 1,
) -> Image:
    """The image of `program` for `board`; from the cache if it was built before.

    With `nodes` above 1 the firmware speaks to the other nodes over the board's port of the wire `network`.

    Raises `BuildFailed` with the compiler's words, `ToolMissing`, `DoesNotFit` when flash or RAM overflow.
    """
    say = progress or (lambda _: None)
    plan = _build_for(board, toolchain, network, nodes)
    key = plan.key()
    objects = entry("firmware", plan.objects_key(), lambda place: _compile(plan, place, say))
    build_id = digest(key, program)[:32]
    place = entry("image", build_id, lambda place: _link(plan, objects, program, place, say))
    return (
        _describe_hosted(plan, build_id, objects, place)
        if board.hosted
        else _describe(board, build_id, len(program), place)
    )


def compile_commands(
    board: Board, *, toolchain: str = "zig", network: Wire | None = None, nodes: int = 1
) -> list[dict[str, object]]:
    """The entries of a `compile_commands.json` for editors and analysers: one for each source file."""
    plan = _build_for(board, toolchain, network, nodes)
    return [
        {
            "directory": str(FIRMWARE),
            "file": str(source),
            "arguments": [*plan.compiler.argv, *plan.compile_args(source, Path(source.name + ".o"))],
        }
        for source in plan.sources
    ]


def _build_for(board: Board, toolchain: str, network: Wire | None, nodes: int) -> _Build:
    if not (FIRMWARE / "main.c").is_file():
        raise UsageError(f"HIL_FIRMWARE: no firmware in {FIRMWARE}: main.c is missing", hint="unset HIL_FIRMWARE")
    if toolchain not in (*TOOLCHAINS, *SANITIZERS):
        raise UsageError(f"no toolchain is called {toolchain!r}; known: {', '.join((*TOOLCHAINS, *SANITIZERS))}")
    if toolchain not in board.build:
        raise UsageError(f"{toolchain} cannot build for {board.name}: it is not in the board's [build] table")
    if board.hosted and sys.platform != "linux":
        raise ToolMissing(f"{board.name} is a Linux program, this is {sys.platform}", hint="hil boards")
    compiler = zig() if toolchain == "zig" else host_compiler() if board.hosted else arm_gcc()
    target = board.build[toolchain]
    ram = board.ram.bytes + (board.flash.bytes if board.image_in == "ram" else 0)
    link = [*target]
    if toolchain != "zig" and not board.hosted:
        link += ["-nostdlib", "-Wl,--no-warn-rwx-segments"]
    folders = ("engine", "link", "net", "port", f"port/{board.port}", "")
    defines = {
        "HIL_BOARD": f'"{board.name}"',
        "HIL_CLOCK_HZ": f"{board.clock_hz}u",
        "HIL_BAUD": f"{board.baud}u",
        "HIL_STACK_BYTES": f"{board.stack_per_core}u",
        "HIL_CORES": f"{board.cores}u",
        "HIL_RAM_BYTES": f"{ram}u",
    }
    defines |= _networked(board, network, nodes)
    flags = [*target, *_COMMON]
    flags += [f"-I{FIRMWARE / folder}" for folder in folders] + [f"-D{k}={v}" for k, v in defines.items()]
    port = network.port if network is not None and nodes > 1 else None
    return _Build(board, compiler, tuple(flags), (*link, "-Wl,--gc-sections"), port)


def _networked(board: Board, network: Wire | None, nodes: int) -> dict[str, str]:
    """What the compiler is told about the network; nothing for a lone node. Raises `UsageError` for a wrong wire."""
    if not 1 <= nodes <= _MOST_NODES:
        raise UsageError(f"firmware for {nodes} nodes; there can be 1 to {_MOST_NODES}")
    if nodes == 1:
        return {}
    if network is None or not board.accepts(network):
        ports = ", ".join(f"{name} up to {port.most_bps} bits a second" for name, port in board.network.items())
        wanted = network.name if network is not None else "a wire"
        raise UsageError(
            f"{board.name} cannot be one of {nodes} nodes on {wanted}; its network ports: {ports or 'none'}"
        )
    room = {"HIL_NET_ROOM": f"{_HOLDS_BACK}u"} if network.port == "uart" else {}
    return {"HIL_NODES": f"{nodes}u", "HIL_NET_BAUD": f"{round(network.bits_per_second)}u", **room}


def _compile(plan: _Build, place: Path, say: Progress) -> None:
    sources = plan.sources

    def one(source: Path) -> None:
        # The path, flattened: two folders may have files of one name.
        name = source.relative_to(FIRMWARE).as_posix().replace("/", "_") + ".o"
        plan.compiler.run(plan.compile_args(source, place / name), what=f"compiling firmware/{source.name}")
        say(f"compiled {source.relative_to(FIRMWARE).as_posix()} for {plan.board.name} ({len(sources)} files)")

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for future in [pool.submit(one, source) for source in sources]:
            future.result()


def _memory_block(board: Board) -> str:
    """The linker's MEMORY block, from the board's description: one stack region for each core, core 0's on top.

    Empty where the system decides where memory is.
    """
    if board.hosted:
        return ""
    rows = [f"    FLASH (rx) : ORIGIN = {board.flash.address:#x}, LENGTH = {board.flash.bytes:#x}"]
    rows += [f"    RAM (rwx) : ORIGIN = {board.ram.address:#x}, LENGTH = {board.ram.bytes:#x}"]
    for core in range(board.cores):
        low = board.stack.end - (core + 1) * board.stack_per_core
        rows += [f"    STACK{core} (rw) : ORIGIN = {low:#x}, LENGTH = {board.stack_per_core:#x}"]
    return "\n".join(["MEMORY", "{", *rows, "}", ""])


def _link(plan: _Build, objects: Path, program: bytes, place: Path, say: Progress) -> None:
    board = plan.board
    say(f"linking a program of {len(program)} bytes for {board.name}")
    (place / "program.bin").write_bytes(program)
    build_id = digest(plan.key(), program)[:32]
    (place / "program.S").write_text(_program_source(build_id), encoding="ascii")
    script = _memory_block(board) + (FIRMWARE / "port" / board.port / "link.ld").read_text(encoding="ascii")
    (place / "link.ld").write_text(script, encoding="ascii")
    plan.compiler.run(
        [*plan.flags, f"-I{place}", "-c", place / "program.S", "-o", place / "program.o"], what="assembling the program"
    )
    parts = sorted(objects.glob("*.o"))
    last = [] if plan.compiler.name == "zig" or board.hosted else ["-lgcc"]
    elf = place / "firmware.elf"
    try:
        plan.compiler.run(
            [*plan.link_flags, "-T", place / "link.ld", *parts, place / "program.o", *last, "-o", elf],
            what=f"linking for {board.name}",
        )
    except BuildFailed as error:
        raise _explained(error, board, len(program)) from error
    if board.hosted:
        return
    boot2.seal(elf)
    data = flat(Elf(elf).segments, board.flash.address)
    (place / "firmware.bin").write_bytes(data)
    if board.uf2_family is not None and board.image_in == "flash":
        (place / "firmware.uf2").write_bytes(uf2.encode(data, board.flash.address, board.uf2_family))


def _program_source(build_id: str) -> str:
    """Assembler text that carries the program and the build id; the id makes the text differ when the program does."""
    numbers = ", ".join(f"0x{byte:02x}" for byte in bytes.fromhex(build_id))
    return (
        '.section .program, "a"\n.balign 16\n.incbin "program.bin"\n.balign 4, 0xff\n'
        '.section .rodata.hil_build_id, "a"\n.global hil_build_id\n.type hil_build_id, %object\n'
        f"hil_build_id: .byte {numbers}\n.size hil_build_id, 16\n"
    )


def _explained(error: BuildFailed, board: Board, program: int) -> BuildFailed | DoesNotFit:
    """A linker's complaint about a full region, as what it means."""
    if "FLASH" in error.message and "overflow" in error.message:
        return DoesNotFit(
            f"{board.name}: firmware and a program of {program} bytes do not fit in {board.flash.bytes} bytes of flash",
            needed=program,
            available=board.flash.bytes,
            operator="",
            tensor="",
        )
    return error


def _describe(board: Board, build_id: str, program: int, place: Path) -> Image:
    elf = Elf(place / "firmware.elf")
    static = elf.value("__hil_data_end") - elf.value("__hil_data_start")
    static += elf.value("__hil_bss_end") - elf.value("__hil_bss_start")
    flash = max(s.physical + len(s.data) for s in elf.segments) - board.flash.address
    uf2_file = place / "firmware.uf2"
    return Image(
        board=board.name,
        build_id=build_id,
        elf=elf.path,
        bin=place / "firmware.bin",
        uf2=uf2_file if uf2_file.exists() else None,
        code=flash - (elf.value("__hil_program_end") - elf.value("__hil_program_start")),
        program=program,
        flash=flash,
        static_ram=static,
        arena_room=elf.value("__hil_arena_end") - elf.value("__hil_arena_start"),
        rtt=elf.value(_RTT_BLOCK) if board.console == "rtt" else None,
        in_ram=InRam(board.flash.address, elf.value("__hil_vectors")) if board.image_in == "ram" else None,
    )


@dataclass(frozen=True)
class _HostedImage(Image):
    """An image whose machine code is not read for what its stacks take."""

    objects: tuple[Path, ...] = ()
    """Object files that say what frames take; empty where the compiler does not write that down."""
    stack_declared: int = 0
    """Bytes that each stack has: the bound where nothing says what frames take."""

    def stack_bound(self, leave_out: Iterable[str] = (), *, core: int = 0) -> StackBound:
        """The deepest that a core's stack can get; see `Image`, and `hil.image.frames` for how it is known."""
        if not self.objects:
            return StackBound(self.stack_declared, ("declared by the board's file",))
        return worst_frames(self.objects, "hil_worker" if core else "hil_reset", frozenset(leave_out))


def _describe_hosted(plan: _Build, build_id: str, objects: Path, place: Path) -> Image:
    """A program of this machine's system. Only the firmware's own parts count, not those of the C library."""
    elf = Elf(place / "firmware.elf")

    def span(part: str) -> int:
        return elf.value(f"__hil_{part}_end") - elf.value(f"__hil_{part}_start")

    static = span("data") + span("bss")
    code = span("text") + span("rodata") + span("data")
    return _HostedImage(
        board=plan.board.name,
        build_id=build_id,
        elf=elf.path,
        bin=None,
        uf2=None,
        code=code,
        program=span("program"),
        flash=code + span("program"),
        static_ram=static,
        arena_room=plan.board.ram.bytes - static,
        objects=tuple(sorted(objects.glob("*.o"))) if plan.compiler.name == "zig" else (),
        stack_declared=plan.board.stack_per_core,
    )
