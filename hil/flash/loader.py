"""Flash algorithms of our own, for chips that pyOCD knows from packs of their maker's alone.

A loader is one file of `firmware/loader`: code without data for a fixed place in RAM, called as CMSIS flash algorithms
are. It is compiled when it is first wanted, and given to pyOCD with its own generic target, `cortex_m`.
"""

from __future__ import annotations

from typing import Any

from hil.board import Board
from hil.cache import digest, entry, tree_digest
from hil.errors import BuildFailed, ToolMissing
from hil.image.elf import Elf, flat
from hil.image.toolchain import zig
from hil.paths import FIRMWARE

_FOLDER = FIRMWARE / "loader"
_STRICT = ("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow")
_FLAGS = ("-std=c11", "-ffreestanding", "-nostdlib", "-g", "-Os", *_STRICT)  # without -g it has no symbols
_FUNCTIONS = {
    "pc_init": "Init",
    "pc_unInit": "UnInit",
    "pc_erase_sector": "EraseSector",
    "pc_program_page": "ProgramPage",
}
# From the start of RAM: the code, the stack below an address, two buffers of a sector each, pyOCD's code for checksums.
_CODE, _STACK, _BUFFERS = 0x1000, 0x2000, 0x2000


def described(board: Board) -> dict[str, Any] | None:
    """The board's loader as pyOCD wants it; None for a board that needs none. Raises `BuildFailed`, `ToolMissing`."""
    loader = board.loader
    if loader is None:
        return None
    source = _FOLDER / f"{loader.source}.c"
    if not source.is_file():
        raise ToolMissing(f"there is no loader {source.name} for {board.name}: see [flash] in boards/{board.name}.toml")
    elf = _built(board, loader.source)
    start = board.ram.address
    code = flat(elf.segments, start)
    if len(code) > _CODE:
        raise BuildFailed(f"the loader {source.name} is {len(code)} bytes; there is room for {_CODE}")
    code += bytes(-len(code) % 4)
    buffers = [start + _BUFFERS, start + _BUFFERS + loader.sector]
    algorithm = {
        "load_address": start,
        "instructions": [int.from_bytes(code[at : at + 4], "little") for at in range(0, len(code), 4)],
        **{key: elf.value(name) | 1 for key, name in _FUNCTIONS.items()},
        "static_base": start,
        "begin_stack": start + _STACK,
        "page_buffers": buffers,
        "min_program_length": loader.sector,
        "analyzer_supported": True,
        "analyzer_address": buffers[-1] + loader.sector,
    }
    return {
        "algorithm": algorithm,
        "flash": [board.flash.address, board.flash.bytes],
        "ram": [board.ram.address, board.ram.bytes],
        "sector": loader.sector,
    }


def _built(board: Board, source: str) -> Elf:
    compiler = zig()
    flags = (*board.build["zig"], *_FLAGS)
    memory = f"MEMORY {{\n    RAM (rwx) : ORIGIN = {board.ram.address:#x}, LENGTH = {_CODE:#x}\n}}\n"
    key = digest(tree_digest(_FOLDER), source, memory, compiler.version, repr(flags))

    def make(folder: Any) -> None:
        script = folder / "link.ld"
        script.write_text(memory + (_FOLDER / "link.ld").read_text(encoding="ascii"), encoding="ascii")
        compiler.run(
            [*flags, "-T", script, _FOLDER / f"{source}.c", "-o", folder / "loader.elf"],
            what=f"compiling firmware/loader/{source}.c",
        )

    return Elf(entry("loader", key, make) / "loader.elf")
