"""The firmware's link and server on this machine, as a transport for the host's side."""

from __future__ import annotations

import ctypes
import struct
import subprocess
import time
import zlib
from functools import cache
from pathlib import Path

from hil.cache import digest, entry, tree_digest
from hil.image.toolchain import zig
from hil.paths import FIRMWARE

_PORT = Path(__file__).with_name("native_link.c")
_FOLDERS = ("engine", "link", "net", "port", "")
ARENA = 8192
WORK = 2048
"""Bytes of the arena that each step of the test program adds one to."""


def _sources() -> list[Path]:
    engine = [FIRMWARE / "engine" / name for name in ("crc32.c", "load.c", "executor.c", "team.c")]
    return [*engine, *sorted((FIRMWARE / "link").glob("*.c")), _PORT]


def _include() -> list[str]:
    return [f"-I{FIRMWARE / name}" for name in _FOLDERS]


@cache
def library() -> ctypes.CDLL:
    """Built by zig; undefined behaviour ends the process at once."""
    compiler = zig()

    def make(folder: Path) -> None:
        flags = [
            "-O1",
            "-shared",
            "-fPIC",
            "-fstrict-flex-arrays=3",
            "-fsanitize=undefined",
            "-fsanitize-trap=undefined",
            "-std=c11",
            "-g",
        ]
        flags += ["-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow"]
        compiler.run([*flags, *_include(), *_sources(), "-o", folder / "link.so"], what="building the link natively")

    key = digest("link.so/3", compiler.version, tree_digest(FIRMWARE / "engine", FIRMWARE / "link", _PORT))
    return ctypes.CDLL(str(entry("test-link", key, make) / "link.so"))


ALONE = (1 << 8, 0xFFFF_FFFF)
"""Node 0 of 1, no trace."""


def program(steps: int = 4, arena: int = 4096, inputs: int = 1) -> bytes:
    """A program whose every step adds one to the first `WORK` bytes of the arena (see native_link.c)."""
    header_bytes, step_bytes = 64, 24
    steps_at = header_bytes
    inputs_at = steps_at + steps * step_bytes
    outputs_at = inputs_at + 8 * inputs
    operators_at = outputs_at + 8
    record_at = operators_at + 4
    body = struct.pack("<HH5I", 1, 0, 0, 0, 1, 0, 1) * steps
    body += struct.pack("<2I", 0, WORK) * inputs + struct.pack("<2I", 0, WORK)
    body += struct.pack("<I", record_at) + struct.pack("<2I", 8, 2)
    size = header_bytes + len(body)
    rest = struct.pack("<12I", arena, 1, operators_at, steps, steps_at, inputs, inputs_at, 1, outputs_at, 1, *ALONE)
    return struct.pack("<4I", 0x504C4948, 2, size, zlib.crc32(rest + body)) + rest + body


class NativeDevice:
    """The one native device, freshly started; a transport. Reading waits, so that time limits mean what they say."""

    name = "native"

    def __init__(self, image: bytes | None = None, us_a_step: int = 1000) -> None:
        self._lib = library()
        self._lib.device_start.argtypes = (ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint64)
        self._image, self._us = program() if image is None else image, us_a_step
        self.start()

    def start(self) -> None:
        """Power on, again."""
        self._lib.device_start(self._image, len(self._image), self._us)

    def read(self, size: int, timeout: float) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        count = self._lib.device_take(buffer, size)
        if not count:
            time.sleep(max(timeout, 0))
        return buffer.raw[:count]

    def write(self, data: bytes) -> None:
        self._lib.device_feed(data, len(data))

    def close(self) -> None:
        pass


@cache
def _sanitized_program(compiler: str) -> Path:
    """The same code as a program of its own, under the address and undefined-behaviour sanitizers."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    flags = ["-O1", "-g", "-std=c11", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DSTANDALONE"]

    def make(folder: Path) -> None:
        command = [compiler, *flags, *_include(), *map(str, _sources()), "-o", str(folder / "device")]
        subprocess.run(command, check=True, timeout=300)

    key = digest(
        version, *flags, tree_digest(FIRMWARE / "engine", FIRMWARE / "link", FIRMWARE / "port" / "port.h", _PORT)
    )
    return entry("test-link-sanitized", key, make) / "device"


def run_sanitized(compiler: str, image: bytes, stream: bytes) -> bytes:
    """What a freshly started device sends for a stream of bytes; fails on the first access out of bounds."""
    given = struct.pack("<I", len(image)) + image + stream
    done = subprocess.run([_sanitized_program(compiler)], input=given, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    return done.stdout


def decode_on_device(stuffed: bytes) -> bytes:
    """What the firmware's COBS decoder makes of bytes."""
    buffer = ctypes.create_string_buffer(stuffed, len(stuffed) + 1)
    count = library().cobs_decode(buffer, len(stuffed))
    return buffer.raw[:count]
