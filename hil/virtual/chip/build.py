"""Make what a virtual microcontroller runs on: the native library for this machine, and a boot ROM for that one.

Both come from sources in this package and lie in the cache; unicorn is found, never imported, here.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
from pathlib import Path

from hil import cache
from hil.errors import BuildFailed, ToolMissing
from hil.image.elf import Elf, flat
from hil.image.toolchain import zig
from hil.virtual.chip.chips import Chip

_HERE = Path(__file__).resolve().parent
_NATIVE = _HERE.parent / "native"
_BOOTROM = _HERE / "bootrom"

_STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-fno-sanitize=all")
# baseline: a cache may be shared by hosts whose processors differ
_NATIVE_FLAGS = ("-shared", "-fPIC", "-O2", "-mcpu=baseline", *_STRICT)
_ROM_FLAGS = (
    *("-target", "thumb-freestanding-eabi", "-Os", "-ffreestanding", "-nostdlib"),
    *("-ffunction-sections", "-fno-unwind-tables", *_STRICT),
)


def unicorn_home() -> Path:
    """The folder of the installed `unicorn` package."""
    spec = importlib.util.find_spec("unicorn")
    if spec is None or spec.origin is None:
        raise ToolMissing("the emulator unicorn is not installed in this environment", hint="pip install unicorn")
    return Path(spec.origin).parent


def unicorn_library() -> Path:
    """unicorn's own shared library, which the native library links to."""
    folder = unicorn_home() / "lib"
    names = ("libunicorn.2.dylib",) if sys.platform == "darwin" else ("libunicorn.so.2",)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ToolMissing(f"{folder} has no {names[0]}", hint="pip install --force-reinstall unicorn")


def native_library() -> Path:
    """The compiled `native/*.c`; built at first use."""
    compiler = zig()
    version = importlib.metadata.version("unicorn")
    host = f"{sys.platform} {platform.machine()}"
    key = cache.digest(cache.tree_digest(_NATIVE), compiler.version, version, host, repr(_NATIVE_FLAGS))
    library = unicorn_library()

    def make(folder: Path) -> None:
        sources = sorted(_NATIVE.glob("*.c"))
        include = ("-isystem", unicorn_home() / "include")
        compiler.run(
            [*_NATIVE_FLAGS, *include, *sources, library, "-o", folder / "machine.so"],
            what="the native library of virtual microcontrollers",
        )

    return cache.entry("virtual-native", key, make) / "machine.so"


def boot_rom(chip: Chip) -> bytes:
    """The whole ROM of `chip`; built at first use."""
    if chip.words:
        rom = bytearray(b"\xff" * chip.rom_bytes)
        for address, word in chip.words:
            at = address - chip.rom_base
            rom[at : at + 4] = word.to_bytes(4, "little")
        return bytes(rom)
    compiler = zig()
    source = _BOOTROM / chip.name
    flags = (*_ROM_FLAGS, f"-mcpu={chip.cpu}", f"-I{_BOOTROM}")
    shared = cache.tree_digest(_BOOTROM)
    key = cache.digest(shared, chip.name, compiler.version, repr((*_ROM_FLAGS, chip.cpu)))

    def make(folder: Path) -> None:
        elf = folder / "rom.elf"
        script = f"-Wl,-T,{source / 'rom.ld'}"
        parts = (source / "rom.S", source / "rom.c", *sorted(_BOOTROM.glob("*.c")))
        compiler.run([*flags, *parts, script, "-o", elf], what=f"the boot ROM of the virtual {chip.name}")
        rom = flat(Elf(elf).segments, 0)
        if len(rom) > chip.rom_bytes:
            raise BuildFailed(
                f"the boot ROM of the virtual {chip.name} is {len(rom)} bytes, there is room for {chip.rom_bytes}"
            )
        (folder / "rom.bin").write_bytes(rom.ljust(chip.rom_bytes, b"\0"))

    return (cache.entry("virtual-rom", key, make) / "rom.bin").read_bytes()


def prepare(chip: Chip) -> None:
    """Build whatever is not in the cache yet."""
    native_library()
    boot_rom(chip)
