"""Programs whose records lie: each must be refused, or run without leaving its memory."""

from __future__ import annotations

import struct
import zlib
from collections import Counter

import numpy as np
import pytest

from hil.plan.program import Program
from tests.support.engine import run_sanitized, sanitizing_compiler

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
