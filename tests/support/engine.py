"""The engine built for this machine: in process (fast, for properties) and as a sanitized program (for bounds)."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from hil.cache import digest, entry, tree_digest
from hil.image.toolchain import zig
from hil.paths import FIRMWARE
from hil.plan.program import Barrier, decode

ENGINE = FIRMWARE / "engine"
_RUNNER = Path(__file__).with_name("native_runner.c")
_TEAM = Path(__file__).with_name("native_team.c")
MAX_CORES = 8
MAX_NODES = 16
_FLAGS = ["-std=c11", "-g", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", f"-I{ENGINE}"]


def sources() -> list[Path]:
    return sorted(ENGINE.rglob("*.c"))


class _Job(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("first", "end", "jitter", "alone"))


class _Mate(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("met", "step"))


class _Engine(ctypes.Structure):
    _fields_ = (
        ("program", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        *((name, ctypes.c_uint32) for name in ("size", "arena_size", "crc", "steps", "inputs", "outputs", "cores")),
        *((name, ctypes.c_uint32) for name in ("node", "nodes", "failed")),
        ("loaded", ctypes.c_bool),
        ("job", _Job),
        ("mates", _Mate * MAX_CORES),
    )


class _Span(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint32), ("bytes", ctypes.c_uint32))


Exchange = Callable[[int, int, int], int]
"""Does the steps [first, end) of the program whose engine is at the given address; gives a status."""
_EXCHANGE = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)


@contextmanager
def exchanging(exchange: Exchange) -> Iterator[None]:
    """What all engines do for their exchanges, called on the thread of core 0."""
    place = ctypes.c_void_p.in_dll(library(), "team_exchange")
    called = _EXCHANGE(exchange)
    place.value = ctypes.cast(called, ctypes.c_void_p).value
    try:
        yield
    finally:
        place.value = None


@cache
def library(nodes: int = MAX_NODES) -> ctypes.CDLL:
    """The engine as a shared library, built by zig; undefined behaviour ends the process at once.

    It takes programs for up to `nodes` nodes.
    """
    compiler = zig()

    def make(folder: Path) -> None:
        flags = ["-O1", "-shared", "-fPIC", "-fsanitize=undefined", "-fsanitize-trap=undefined"]
        made = [f"-DHIL_NODES={nodes}u", "-o", folder / "engine.so"]
        compiler.run([*flags, *_FLAGS, *sources(), _TEAM, *made], what="building the engine natively")

    key = digest("engine.so/3", str(nodes), compiler.version, tree_digest(ENGINE, _TEAM, _TEAM.with_suffix(".h")))
    return ctypes.CDLL(str(entry("test-engine", key, make) / "engine.so"))


class NativeEngine:
    """One loaded program on this machine, with an arena and a program copy of exactly the needed size."""

    def __init__(self, program: bytes, arena_bytes: int, cores: int = MAX_CORES, nodes: int = MAX_NODES) -> None:
        self.lib = library(nodes)
        self.engine = _Engine()
        self.program = ctypes.create_string_buffer(program, max(len(program), 1))
        self.arena = (ctypes.c_uint8 * max(arena_bytes, 1))(*[0xA5] * max(arena_bytes, 1))
        self.status = self.lib.hil_engine_load(
            ctypes.byref(self.engine), self.program, len(program), self.arena, arena_bytes, cores
        )

    def _span(self, function: str, index: int) -> _Span:
        span = _Span()
        assert getattr(self.lib, function)(ctypes.byref(self.engine), index, ctypes.byref(span)) == 0
        return span

    def run(
        self, inputs: Sequence[np.ndarray], *, jitter: int = 0, order: Sequence[int] = (), parts: Sequence[int] = ()
    ) -> tuple[bytes, ...]:
        """One inference; gives the outputs' bytes. Each core is a thread, and `jitter` seeds their delays.

        With `order` there is one thread: between two barriers all steps of core `order[0]` run, then of `order[1]`...
        With `parts` the same, but core 0 runs them all.
        """
        assert self.status == 0, f"load status {self.status} at {self.engine.mates[0].step}"
        for index, value in enumerate(inputs):
            span, data = self._span("hil_engine_input", index), value.tobytes()
            assert span.bytes == len(data)
            ctypes.memmove(ctypes.addressof(self.arena) + span.offset, data, len(data))
        if order or parts:
            self._run_in_order(order, parts)
        else:
            assert self.lib.team_run(ctypes.byref(self.engine), jitter) == 0
        spans = [self._span("hil_engine_output", k) for k in range(self.engine.outputs)]
        return tuple(bytes(self.arena[s.offset : s.offset + s.bytes]) for s in spans)

    @property
    def address(self) -> int:
        """Which engine it is, for `exchanging`."""
        return ctypes.addressof(self.engine)

    def run_status(self, jitter: int = 0) -> tuple[int, int]:
        """Status and step of core 0 after a run with whatever the inputs hold."""
        return int(self.lib.team_run(ctypes.byref(self.engine), jitter)), int(self.engine.mates[0].step)

    def part(self, first: int, count: int, part: int) -> int:
        """Core 0 runs the steps of core `part`; gives the status."""
        return int(self.lib.hil_engine_run(ctypes.byref(self.engine), first, count, 0, part + 1))

    def _run_in_order(self, order: Sequence[int], parts: Sequence[int]) -> None:
        steps = decode(self.program.raw[: self.engine.size]).steps
        barriers = [i for i, step in enumerate(steps) if isinstance(step, Barrier)]
        for first, end in zip([0, *(i + 1 for i in barriers)], [*barriers, len(steps)], strict=True):
            for part in parts if end > first else ():
                assert self.part(first, end - first, part) == 0
            self.engine.job = _Job(first, end, 0, 0)
            for core in order:
                self.lib.hil_engine_walk(ctypes.byref(self.engine), core)


def sanitizing_compiler() -> str | None:
    """A compiler with the address sanitizer's runtime: gcc or clang, where installed."""
    return shutil.which("gcc") or shutil.which("clang")


@cache
def _sanitized_runner() -> Path:
    compiler = sanitizing_compiler()
    assert compiler
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout

    def make(folder: Path) -> None:
        flags = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-pthread", *_FLAGS]
        flags.append(f"-DHIL_NODES={MAX_NODES}u")
        given = [str(source) for source in (*sources(), _TEAM, _RUNNER)]
        subprocess.run([compiler, *flags, *given, "-o", str(folder / "runner")], check=True)

    return entry("test-runner", digest("runner/3", version, tree_digest(ENGINE, _RUNNER, _TEAM)), make) / "runner"


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
