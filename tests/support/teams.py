"""Programs for several cores that a missing barrier, a lost wake-up or a stale read would break."""

from __future__ import annotations

import numpy as np

from hil.plan.kernels.lookup import Lookup
from hil.plan.program import Barrier, Program, Span, Step, encode
from hil.plan.records import Arena, Blob, Box, Record

_ADD_ONE = Blob(bytes((i + 1) % 256 for i in range(256)))


def relay(cores: int, rounds: int, *, size: int = 8, barrier: bool = True, idle: int = -1) -> Program:
    """Two buffers of one row a core, `size` bytes each; each round copies one into the other plus one, rotated: core k
    writes row k from the row that core k + 1 wrote in the round before. The result is the input plus `rounds`,
    rotated by `rounds` rows. Without a barrier between the rounds, it is not.
    Core `idle` has nothing to do.
    """
    whole = cores * size

    def row(buffer: int, core: int) -> Arena:
        return Arena(buffer * whole + core % cores * size)

    records: list[Record] = []
    steps: list[Step | Barrier] = []
    for turn in range(rounds):
        for core in range(cores):
            records.append(Lookup(row(turn % 2, core + 1), row((turn + 1) % 2, core), _ADD_ONE, 1, size))
            if core != idle:
                steps.append(Step(len(records) - 1, Box(0, 1, 0, size), core))
        if barrier and turn < rounds - 1:
            steps.append(Barrier())
    result = Span(rounds % 2 * whole, whole)
    return encode(records, steps, [Span(0, whole)], [result], arena_bytes=2 * whole, cores=cores)


def relayed(data: bytes, cores: int, rounds: int) -> bytes:
    """What `relay` makes of its input; lookup tables start at -128, so the first round also flips the sign."""
    rows = np.frombuffer(data, np.uint8).reshape(cores, -1)
    for _ in range(rounds):
        rows = np.roll(rows, -1, axis=0) ^ 0x80
        rows = (rows.astype(np.int32) + 1).astype(np.uint8)
    return rows.tobytes()
