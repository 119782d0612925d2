"""The engine built for this machine: in process (fast, for properties) and as a sanitized program (for bounds)."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from hil.cache import digest, entry, tree_digest
from hil.image.toolchain import zig
from hil.paths import FIRMWARE

ENGINE = FIRMWARE / "engine"
_RUNNER = Path(__file__).with_name("native_runner.c")
_FLAGS = ["-std=c11", "-g", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", f"-I{ENGINE}"]


def sources() -> list[Path]:
    return sorted(ENGINE.rglob("*.c"))


class _Engine(ctypes.Structure):
    _fields_ = (
        ("program", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        *((name, ctypes.c_uint32) for name in ("size", "arena_size", "crc", "steps", "inputs", "outputs", "step")),
        ("loaded", ctypes.c_bool),
    )


class _Span(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint32), ("bytes", ctypes.c_uint32))


@cache
def library() -> ctypes.CDLL:
    """The engine as a shared library, built by zig; undefined behaviour ends the process at once."""
    compiler = zig()

    def make(folder: Path) -> None:
        flags = ["-O1", "-shared", "-fPIC", "-fsanitize=undefined", "-fsanitize-trap=undefined"]
        compiler.run([*flags, *_FLAGS, *sources(), "-o", folder / "engine.so"], what="building the engine natively")

    key = digest("engine.so/1", compiler.version, tree_digest(ENGINE))
    return ctypes.CDLL(str(entry("test-engine", key, make) / "engine.so"))


class NativeEngine:
    """One loaded program on this machine, with an arena and a program copy of exactly the needed size."""

    def __init__(self, program: bytes, arena_bytes: int) -> None:
        self.lib = library()
        self.engine = _Engine()
        self.program = ctypes.create_string_buffer(program, max(len(program), 1))
        self.arena = (ctypes.c_uint8 * max(arena_bytes, 1))(*[0xA5] * max(arena_bytes, 1))
        self.status = self.lib.hil_engine_load(
            ctypes.byref(self.engine), self.program, len(program), self.arena, arena_bytes
        )

    def _span(self, function: str, index: int) -> _Span:
        span = _Span()
        assert getattr(self.lib, function)(ctypes.byref(self.engine), index, ctypes.byref(span)) == 0
        return span

    def run(self, inputs: Sequence[np.ndarray]) -> tuple[bytes, ...]:
        """One inference; gives the outputs' bytes."""
        assert self.status == 0, f"load status {self.status} at {self.engine.step}"
        for index, value in enumerate(inputs):
            span, data = self._span("hil_engine_input", index), value.tobytes()
            assert span.bytes == len(data)
            ctypes.memmove(ctypes.addressof(self.arena) + span.offset, data, len(data))
        assert self.lib.hil_engine_run(ctypes.byref(self.engine), 0, 0) == 0
        spans = [self._span("hil_engine_output", k) for k in range(self.engine.outputs)]
        return tuple(bytes(self.arena[s.offset : s.offset + s.bytes]) for s in spans)


def sanitizing_compiler() -> str | None:
    """A compiler with the address sanitizer's runtime: gcc or clang, where installed."""
    return shutil.which("gcc") or shutil.which("clang")


@cache
def _sanitized_runner() -> Path:
    compiler = sanitizing_compiler()
    assert compiler
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout

    def make(folder: Path) -> None:
        flags = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        subprocess.run(
            [compiler, *flags, *_FLAGS, *map(str, sources()), str(_RUNNER), "-o", str(folder / "runner")], check=True
        )

    return entry("test-runner", digest("runner/1", version, tree_digest(ENGINE, _RUNNER)), make) / "runner"


def run_sanitized(program: bytes, arena_bytes: int, inputs: bytes) -> tuple[int, int, bytes]:
    """Status, failing step and arena after a run under address and undefined-behaviour sanitizers."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("program", "inputs", "out")]
        paths[0].write_bytes(program)
        paths[1].write_bytes(inputs)
        done = subprocess.run(
            [_sanitized_runner(), *paths, str(arena_bytes)], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stderr[-3000:]}"
        result = paths[2].read_bytes()
    status, step = struct.unpack_from("<2I", result)
    return status, step, result[8:]


if sys.byteorder != "little":  # the program is little-endian, and so is every board
    raise RuntimeError("these tests run on little-endian machines only")
