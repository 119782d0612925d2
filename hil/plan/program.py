"""Program bytes: written once by the planner, read by engine (`firmware/engine/hil_program.h`) and interpreter."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from hil.errors import PlanError
from hil.plan.kernels import KERNELS, Transfer
from hil.plan.records import Arena, Blob, Box, Const, Record, Ref

MAGIC = 0x504C_4948
VERSION = 2
_HEADER = struct.Struct("<16I")
_STEP = struct.Struct("<HH5I")
_BOX = 1
_BARRIER = 2
_SEND = 3
_RECEIVE = 4
_CRC_FROM = 16
_NO_TRACE = 0xFFFF_FFFF

MAX_NODES = 16
MAX_EXCHANGE = 48
"""SENDs and RECEIVEs of one exchange, at most."""
TRACE_BYTES = 12
"""What each exchange writes into the trace: three words."""


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
class Send:
    """Runs [first, end) of operator `operator`, a `Transfer`, go to every node of the bit mask `peers`.

    `transfer` numbers the message: it is unique in a whole deployment, and rises from step to step of a program.
    """

    operator: int
    first: int
    end: int
    transfer: int
    peers: int


@dataclass(frozen=True)
class Receive:
    """Runs [first, end) of operator `operator`, a `Transfer`, come from node `peer` as message `transfer`."""

    operator: int
    first: int
    end: int
    transfer: int
    peer: int


AnyStep = Step | Barrier | Send | Receive


@dataclass(frozen=True)
class Program:
    """A decoded program: what one node computes, step by step.

    Every core walks all steps, runs those of its own in their order, and meets the others at barriers and at the end.
    A run of neighbouring SENDs and RECEIVEs is an exchange: all its transfers proceed together, and core 0 goes on when
    all are done. `trace_at` is where in the arena each exchange leaves its times; None for no trace.
    """

    arena_bytes: int
    operators: tuple[Record, ...]
    steps: tuple[AnyStep, ...]
    inputs: tuple[Span, ...]
    outputs: tuple[Span, ...]
    cores: int
    data: bytes
    node: int = 0
    nodes: int = 1
    trace_at: int | None = None

    @property
    def crc(self) -> int:
        return int.from_bytes(self.data[12:16], "little")

    def exchanges(self) -> tuple[tuple[int, int], ...]:
        """The exchanges in order, each as its steps [first, end)."""
        return exchanges(self.steps)


def exchanges(steps: Sequence[AnyStep]) -> tuple[tuple[int, int], ...]:
    """The runs of neighbouring SENDs and RECEIVEs, each as its steps [first, end)."""
    found: list[tuple[int, int]] = []
    for index, step in enumerate(steps):
        if isinstance(step, Send | Receive):
            joined = found and found[-1][1] == index
            found.append((found.pop()[0] if joined else index, index + 1))
    return tuple(found)


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
    steps: Sequence[AnyStep],
    inputs: Sequence[Span],
    outputs: Sequence[Span],
    *,
    arena_bytes: int,
    cores: int = 1,
    node: int = 0,
    nodes: int = 1,
    trace_at: int | None = None,
) -> Program:
    """Program bytes from records whose activations are placed; constants are placed here.

    The program is that of node `node` of `nodes`. Raises `PlanError` for what `decode` refuses.
    """
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
    place_word = node | nodes << 8
    trace = _NO_TRACE if trace_at is None else trace_at
    header = _HEADER.pack(MAGIC, VERSION, size, 0, *words, len(outputs), outputs_at, cores, place_word, trace)
    crc = zlib.crc32(header[_CRC_FROM:] + body)
    data = header[:12] + crc.to_bytes(4, "little") + header[16:] + body
    return decode(data)


def _pack_step(step: AnyStep) -> bytes:
    if isinstance(step, Barrier):
        return _STEP.pack(_BARRIER, 0, 0, 0, 0, 0, 0)
    if isinstance(step, Send):
        return _STEP.pack(_SEND, 0, step.operator, step.first, step.end, step.transfer, step.peers)
    if isinstance(step, Receive):
        return _STEP.pack(_RECEIVE, 0, step.operator, step.first, step.end, step.transfer, 1 << step.peer)
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
    n_ops, ops_at, n_steps, steps_at, n_in, in_at, n_out, out_at, cores, place, trace = rest
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
    node, nodes = place & 0xFF, place >> 8
    if not node < nodes <= MAX_NODES:
        raise PlanError(f"there is no node {node} of {nodes} (at most {MAX_NODES})")
    records = []
    for at in words(ops_at, n_ops):
        kind, length = words(at, 2)
        if kind not in KERNELS:
            raise PlanError(f"kind {kind} is no kernel of this engine")
        records.append(KERNELS[kind].unpack(words(at, length)[2:]))
    words(steps_at, n_steps * _STEP.size // 4)
    reader = _StepReader(records, cores, node, nodes)
    steps = tuple(reader.read(i, data, steps_at + i * _STEP.size) for i in range(n_steps))
    _check_exchanges(steps, trace, nodes, arena)
    return Program(
        arena, tuple(records), steps, spans(in_at, n_in), spans(out_at, n_out), cores, data,
        node, nodes, None if trace == _NO_TRACE else trace,
    )  # fmt: skip


class _StepReader:
    """Reads steps one after the other and checks each: against its operator, and its message against those before."""

    def __init__(self, records: Sequence[Record], cores: int, node: int, nodes: int) -> None:
        self.records, self.cores, self.node, self.nodes = records, cores, node, nodes
        self.next_transfer = 0

    def read(self, index: int, data: bytes, at: int) -> AnyStep:
        """The step at `at`. Raises `PlanError` naming `index` for one that the engine refuses."""
        kind, core, operator, r0, r1, c0, c1 = _STEP.unpack_from(data, at)
        if (kind, core, operator, r0, r1, c0, c1) == (_BARRIER, 0, 0, 0, 0, 0, 0):
            return Barrier()
        known = kind in (_BOX, _SEND, _RECEIVE)
        if not known or operator >= len(self.records) or core >= self.cores:
            raise PlanError(f"step {index} is of kind {kind}, operator {operator}, core {core}")
        record = self.records[operator]
        if kind == _BOX:
            if not record.extent().contains(box := Box(r0, r1, c0, c1)):
                raise PlanError(f"step {index} runs {box}, outside of operator {operator}'s {record.extent()}")
            return Step(operator, box, core)
        if core or not isinstance(record, Transfer) or not record.contains(r0, r1):
            raise PlanError(f"step {index} moves runs [{r0}, {r1}) of operator {operator}, {record}, on core {core}")
        if c0 < self.next_transfer:
            raise PlanError(f"step {index} is of transfer {c0}, which must be at least {self.next_transfer}")
        self.next_transfer = c0 + 1
        single = c1.bit_count() == 1
        if not c1 or c1 >> self.nodes or c1 >> self.node & 1 or (kind == _RECEIVE and not single):
            raise PlanError(f"step {index} has peers {c1:#x}; this is node {self.node} of {self.nodes}")
        return Send(operator, r0, r1, c0, c1) if kind == _SEND else Receive(operator, r0, r1, c0, c1.bit_length() - 1)


def _check_exchanges(steps: Sequence[AnyStep], trace: int, nodes: int, arena: int) -> None:
    found = exchanges(steps)
    for first, end in found:
        if end - first > MAX_EXCHANGE:
            raise PlanError(f"step {first} begins an exchange of {end - first} transfers (at most {MAX_EXCHANGE})")
    if trace != _NO_TRACE and (nodes == 1 or trace % 4 or trace + TRACE_BYTES * len(found) > arena):
        raise PlanError(f"a trace of {len(found)} exchanges at {trace} is not for {nodes} nodes with {arena} bytes")
