"""Make what the virtual RP2040 runs on: the native library for this machine, and the boot ROM for that one.

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

_HERE = Path(__file__).resolve().parent
_NATIVE = _HERE.parent / "native"
_BOOTROM = _HERE / "bootrom"
ROM_BYTES = 0x4000

_STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-fno-sanitize=all")
# baseline: a cache may be shared by hosts whose processors differ
_NATIVE_FLAGS = ("-shared", "-fPIC", "-O2", "-mcpu=baseline", *_STRICT)
_ROM_FLAGS = (
    *("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus", "-Os", "-ffreestanding", "-nostdlib"),
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
            what="the virtual RP2040's native library",
        )

    return cache.entry("virtual-native", key, make) / "machine.so"


def boot_rom() -> bytes:
    """The boot ROM's 16 KiB; built at first use."""
    compiler = zig()
    key = cache.digest(cache.tree_digest(_BOOTROM), compiler.version, repr(_ROM_FLAGS))

    def make(folder: Path) -> None:
        elf = folder / "rom.elf"
        script = f"-Wl,-T,{_BOOTROM / 'rom.ld'}"
        compiler.run(
            [*_ROM_FLAGS, _BOOTROM / "rom.S", _BOOTROM / "rom.c", script, "-o", elf], what="the RP2040 boot ROM"
        )
        rom = flat(Elf(elf).segments, 0)
        if len(rom) > ROM_BYTES:
            raise BuildFailed(f"the RP2040 boot ROM is {len(rom)} bytes, there is room for {ROM_BYTES}")
        (folder / "rom.bin").write_bytes(rom.ljust(ROM_BYTES, b"\0"))

    return (cache.entry("virtual-rom", key, make) / "rom.bin").read_bytes()


def prepare() -> None:
    """Build whatever is not in the cache yet."""
    native_library()
    boot_rom()
