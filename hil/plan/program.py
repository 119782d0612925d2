"""Program bytes: written once by the planner, read by engine (`firmware/engine/hil_program.h`) and interpreter."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from hil.errors import PlanError
from hil.plan.kernels import KERNELS
from hil.plan.records import Arena, Blob, Box, Const, Record, Ref

MAGIC = 0x504C_4948
VERSION = 1
_HEADER = struct.Struct("<16I")
_STEP = struct.Struct("<HH5I")
_BOX = 1
_BARRIER = 2
_CRC_FROM = 16


@dataclass(frozen=True)
class Span:
    """A part of the arena, in bytes."""

    offset: int
    bytes: int


@dataclass(frozen=True)
class Step:
    """Run one box of operator `operator` (an index into the program's operators) on `core`."""

    operator: int
    box: Box
    core: int = 0


@dataclass(frozen=True)
class Barrier:
    """All cores of the program wait for each other; what any wrote before it, all see after it."""


@dataclass(frozen=True)
class Program:
    """A decoded program: what one node computes, step by step.

    Every core walks all steps, runs those of its own in their order, and meets the others at barriers and at the end.
    """

    arena_bytes: int
    operators: tuple[Record, ...]
    steps: tuple[Step | Barrier, ...]
    inputs: tuple[Span, ...]
    outputs: tuple[Span, ...]
    cores: int
    data: bytes

    @property
    def crc(self) -> int:
        return int.from_bytes(self.data[12:16], "little")


class _Constants:
    """The constants of a program; equal ones are stored once. Offsets count from the start of the program."""

    def __init__(self, at: int) -> None:
        self.start = at
        self.data = bytearray()
        self.known: dict[bytes, int] = {}

    def place(self, data: bytes) -> Const:
        if data not in self.known:
            self.known[data] = self.start + len(self.data)
            self.data += data + bytes(-len(data) % 4)
        return Const(self.known[data])


def encode(
    records: Sequence[Record],
    steps: Sequence[Step | Barrier],
    inputs: Sequence[Span],
    outputs: Sequence[Span],
    *,
    arena_bytes: int,
    cores: int = 1,
) -> Program:
    """Program bytes from records whose activations are placed; constants are placed here."""
    tables = _HEADER.size + len(steps) * _STEP.size + 8 * (len(inputs) + len(outputs)) + 4 * len(records)
    offsets, at = [], tables
    for record in records:
        offsets.append(at)
        at += 8 + 4 * _words(record)
    constants = _Constants(at)

    def place(ref: Ref) -> Arena | Const:
        if isinstance(ref, Blob):
            return constants.place(ref.data)
        if not isinstance(ref, Arena | Const):
            raise PlanError(f"{ref} has no place in the arena")
        return ref

    placed = [record.placed(place) for record in records]
    steps_at = _HEADER.size
    inputs_at = steps_at + len(steps) * _STEP.size
    outputs_at = inputs_at + 8 * len(inputs)
    operators_at = outputs_at + 8 * len(outputs)
    body = b"".join(
        [
            *(_pack_step(step) for step in steps),
            *(struct.pack("<2I", span.offset, span.bytes) for span in (*inputs, *outputs)),
            struct.pack(f"<{len(offsets)}I", *offsets),
            *(record.pack() for record in placed),
            bytes(constants.data),
        ]
    )
    size = _HEADER.size + len(body)
    words = (arena_bytes, len(records), operators_at, len(steps), steps_at, len(inputs), inputs_at)
    header = _HEADER.pack(MAGIC, VERSION, size, 0, *words, len(outputs), outputs_at, cores, 0, 0)
    crc = zlib.crc32(header[_CRC_FROM:] + body)
    data = header[:12] + crc.to_bytes(4, "little") + header[16:] + body
    return decode(data)


def _pack_step(step: Step | Barrier) -> bytes:
    if isinstance(step, Barrier):
        return _STEP.pack(_BARRIER, 0, 0, 0, 0, 0, 0)
    box = step.box
    return _STEP.pack(_BOX, step.core, step.operator, box.r0, box.r1, box.c0, box.c1)


def _words(record: Record) -> int:
    # Placing does not change the length; any place will do to measure it.
    return len(record.placed(lambda _: Arena(0)).pack()) // 4 - 2


def decode(data: bytes) -> Program:
    """Read program bytes back. Raises `PlanError` for damage, and for tables, spans or steps that the engine refuses.

    What a record's own values mean is checked by the engine's kernel alone.
    """
    if len(data) < _HEADER.size:
        raise PlanError("the program is shorter than its header")
    magic, version, size, crc, arena, *rest = _HEADER.unpack_from(data)
    n_ops, ops_at, n_steps, steps_at, n_in, in_at, n_out, out_at, cores, _, _ = rest
    if (magic, version, size) != (MAGIC, VERSION, len(data)) or zlib.crc32(data[_CRC_FROM:]) != crc:
        raise PlanError("not a program: magic, version, size or CRC is wrong")

    def words(at: int, count: int) -> tuple[int, ...]:
        if at % 4 or at < _HEADER.size or at + 4 * count > size:
            raise PlanError(f"a table at {at} with {count} words lies outside of {size} bytes")
        return struct.unpack_from(f"<{count}I", data, at)

    def spans(at: int, count: int) -> tuple[Span, ...]:
        flat = words(at, 2 * count)
        found = tuple(Span(flat[i], flat[i + 1]) for i in range(0, len(flat), 2))
        for span in found:
            if span.offset + span.bytes > arena:
                raise PlanError(f"{span} lies outside of the arena of {arena} bytes")
        return found

    if not cores:
        raise PlanError("the program is for no core")
    records = []
    for at in words(ops_at, n_ops):
        kind, length = words(at, 2)
        if kind not in KERNELS:
            raise PlanError(f"kind {kind} is no kernel of this engine")
        records.append(KERNELS[kind].unpack(words(at, length)[2:]))
    words(steps_at, n_steps * _STEP.size // 4)
    steps: list[Step | Barrier] = []
    for i in range(n_steps):
        kind, core, operator, r0, r1, c0, c1 = _STEP.unpack_from(data, steps_at + i * _STEP.size)
        if (kind, core, operator, r0, r1, c0, c1) == (_BARRIER, 0, 0, 0, 0, 0, 0):
            steps.append(Barrier())
            continue
        if kind != _BOX or operator >= n_ops or core >= cores:
            raise PlanError(f"step {i} is of kind {kind}, operator {operator}, core {core}")
        if not records[operator].extent().contains(box := Box(r0, r1, c0, c1)):
            raise PlanError(f"step {i} runs {box}, outside of operator {operator}'s {records[operator].extent()}")
        steps.append(Step(operator, box, core))
    return Program(arena, tuple(records), tuple(steps), spans(in_at, n_in), spans(out_at, n_out), cores, data)
