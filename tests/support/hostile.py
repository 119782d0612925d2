"""Programs whose records lie: each must be refused, or run without leaving its memory."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from hil.model.graph import Graph
from hil.plan.lower import Lowered
from hil.plan.program import Program
from hil.plan.records import CONST_BIT, RANK, Arena, Const, Ref
from tests.support.engine import NativeEngine, run_sanitized, sanitizing_compiler
from tests.support.single import build

_OPERATORS_AT = 6  # word of the header
_EDGES = (0, 1, 2, 3, 127, 128, 0xFFFF, 1 << 28, (1 << 28) + 1, (1 << 31) - 1, 1 << 31, 0xFFFF_FFFF, 0xFFFF_FF80)
OK, BAD_RECORD, BAD_STEP = 0, 8, 9


def mutant(program: Program, rng: np.random.Generator) -> bytes:
    """The program with one to three words of its first record changed, and the CRC made right again."""
    data = bytearray(program.data)
    (table,) = struct.unpack_from("<I", data, 4 * _OPERATORS_AT)
    (at,) = struct.unpack_from("<I", data, table)
    (words,) = struct.unpack_from("<I", data, at + 4)
    for _ in range(int(rng.integers(1, 4))):
        place = at + 4 * int(rng.integers(2, words))
        (old,) = struct.unpack_from("<I", data, place)
        choices = (*_EDGES, old + 1, old - 1, 2 * old, old ^ 0x8000_0000, int(rng.integers(0, 1 << 32)))
        struct.pack_into("<I", data, place, choices[int(rng.integers(len(choices)))] & 0xFFFF_FFFF)
    struct.pack_into("<I", data, 12, zlib.crc32(bytes(data[16:])))
    return bytes(data)


def assert_survives(program: Program, seed: int, mutants: int = 60) -> None:
    """Run mutants under address and undefined-behaviour sanitizers; some must be refused and some must run."""
    if sanitizing_compiler() is None:
        pytest.skip("neither gcc nor clang is installed to build the sanitized runner")
    rng = np.random.default_rng(seed)
    inputs = bytes(rng.integers(0, 256, sum(span.bytes for span in program.inputs), np.uint8))
    seen: Counter[int] = Counter()
    for _ in range(mutants):
        status, _, _ = run_sanitized(mutant(program, rng), program.arena_bytes, inputs)
        assert status in (OK, BAD_RECORD, BAD_STEP)
        seen[status] += 1
    assert {OK, BAD_RECORD} <= set(seen), f"the mutants show too little: {seen}"


def assert_bounds(graph: Graph, lowered: Lowered, sizes: Mapping[str, int]) -> None:
    """Every reference of the first record may end where its memory ends, and not one element later.

    `sizes`: bytes behind each field. A field of the arena is moved to the arena's end, a constant to the program's.
    """
    program = build(graph, lowered)
    record = program.operators[0]
    assert set(sizes) == set(record.refs())
    for name, size in sizes.items():
        ref = record.refs()[name]
        step = 4 if name == "params" else 1
        if isinstance(ref, Arena):
            end = program.arena_bytes - size
            places: list[Ref] = [Arena(end), Arena(end + step)]
        else:
            end = len(program.data) - size
            places = [Const(end), Const(end + step)]
        statuses = [NativeEngine(_patched(program, name, place), program.arena_bytes).status for place in places]
        assert statuses == [OK, BAD_RECORD], f"{name}, {size} bytes: {statuses}"


def assert_refused(program: Program, **changes: int | tuple[int, ...]) -> None:
    """The first record with these fields changed is refused."""
    data = program.data
    for name, value in changes.items():
        data = _patched(program, name, value, data)
    assert NativeEngine(data, program.arena_bytes).status == BAD_RECORD


def _patched(program: Program, name: str, value: Ref | int | tuple[int, ...], data: bytes | None = None) -> bytes:
    """The program's bytes with a field of its first record replaced."""
    record = program.operators[0]
    names = [field.name for field in dataclasses.fields(record)]
    before = sum(RANK if isinstance(getattr(record, n), tuple) else 1 for n in names[: names.index(name)])
    (table,) = struct.unpack_from("<I", program.data, 4 * _OPERATORS_AT)
    (at,) = struct.unpack_from("<I", program.data, table)
    changed = bytearray(program.data if data is None else data)
    words = (
        [value.offset | (CONST_BIT if isinstance(value, Const) else 0)]
        if isinstance(value, Arena | Const)
        else list(value)
        if isinstance(value, tuple)
        else [value]
    )
    for index, word in enumerate(words):
        assert isinstance(word, int)
        struct.pack_into("<I", changed, at + 8 + 4 * (before + index), word & 0xFFFF_FFFF)
    struct.pack_into("<I", changed, 12, zlib.crc32(bytes(changed[16:])))
    return bytes(changed)
