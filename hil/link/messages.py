"""What frames mean: typed values on the host's side of `firmware/link/protocol.h`. All integers little-endian.

A device is not trusted: every `decode` checks length and range, and raises `BadMessage`, which the client turns into
an error that names the port and the request.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from hil.link.framing import MAX_PAYLOAD, VERSION

ANSWER = 0x80
_MAX_TENSORS = 4096
_MAX_CORES = 64
_MAX_NODES = 16
_HELLO_BYTES = 108
_RESULT = struct.Struct("<IIIIQQI")
_NO_PEER = 0xFFFF_FFFF


class BadMessage(Exception):
    """A payload that contradicts the protocol."""


class Kind(IntEnum):
    """Requests (the answer is the number + 0x80), and events that the device sends unasked."""

    HELLO = 1
    TENSORS = 2
    WRITE = 3
    READ = 4
    PAINT = 5
    RUN = 6
    STATUS = 7
    MEMORY = 8
    TIME = 9
    ECHO = 10
    DONE = 0x40
    LOG = 0x41
    FAULT = 0x42


class Answer(IntEnum):
    """The status in an answer's header."""

    OK = 0
    UNKNOWN = 1
    LENGTH = 2
    RANGE = 3
    NO_PROGRAM = 4
    NO_SESSION = 5
    VERSION_DIFFERS = 6


ANSWER_TEXT: dict[int, str] = {
    Answer.UNKNOWN: "the firmware does not know this request",
    Answer.LENGTH: "the payload has the wrong length",
    Answer.RANGE: "the request reaches outside the arena, the tensors or the steps",
    Answer.NO_PROGRAM: "the engine refused the program in the image",
    Answer.NO_SESSION: "the device restarted since HELLO",
    Answer.VERSION_DIFFERS: f"the firmware speaks another protocol version than {VERSION}",
}

ENGINE_TEXT = {
    0: "ok",
    1: "no program was loaded",
    2: "the program does not start with its magic number",
    3: "the program has a format version that the engine does not know",
    4: "the program's size is wrong",
    5: "the program's CRC is wrong",
    6: "a table lies outside the program",
    7: "an operator that the engine does not have",
    8: "an operator's values contradict each other or reach outside their memory",
    9: "a step is wrong",
    10: "the program needs a larger arena than the board has",
    11: "a wrong argument",
    12: "the program is for more cores than the board has",
    13: "the program is for several nodes, and the firmware has no network for so many, or its port does not answer",
    14: "nothing moved on the network for too long",
    15: "the run was given up, by the host or by a peer",
    16: "a peer said what the network's protocol does not allow: do all nodes have parts of one deployment?",
}


class RunState(IntEnum):
    """What a run's result says."""

    NEVER_RAN = 0
    RUNNING = 1
    FINISHED = 2


@dataclass(frozen=True)
class Span:
    """A tensor's place in the arena, in bytes."""

    offset: int
    bytes: int


@dataclass(frozen=True)
class Hello:
    """What the device is. Sizes in bytes."""

    mtu: int
    clock_hz: int
    tick_mask: int
    cores: int
    load_status: int
    """0, or why the engine refused the program (`ENGINE_TEXT`)."""
    load_step: int
    program_bytes: int
    program_crc: int
    arena_needed: int
    arena_room: int
    steps: int
    input_count: int
    output_count: int
    program_cores: int
    """Cores that the program is for; 0 if it was refused."""
    build_id: str
    """32 hex digits; `Image.build_id` has the same."""
    board: str
    inputs: tuple[Span, ...] = ()
    outputs: tuple[Span, ...] = ()

    @property
    def loaded(self) -> bool:
        return self.load_status == 0


@dataclass(frozen=True)
class RunResult:
    """One run of steps. `us` and `cycles` are the device's own, around the engine alone."""

    state: RunState
    run: int
    status: int
    """0, or what went wrong (`ENGINE_TEXT`)."""
    step: int
    us: int
    cycles: int
    peer: int | None = None
    """The node that a failure on the network is about."""


@dataclass(frozen=True)
class StackUse:
    """One core's stack: its size, and the most that was used since it was painted, in bytes."""

    size: int
    used: int


@dataclass(frozen=True)
class Memory:
    """RAM use. `arena_used` is the end of the highest arena byte that differs from the paint."""

    static: int
    arena_used: int
    paint: int
    stacks: tuple[StackUse, ...]


@dataclass(frozen=True)
class Time:
    """The device's clocks: microseconds since start, and its wrapping cycle counter."""

    us: int
    ticks: int


@dataclass(frozen=True)
class Fault:
    """What a fault handler saw: reason 1 hard fault, 2 NMI, 3 another exception."""

    reason: int
    core: int
    step: int
    sp: int
    r0: int
    r1: int
    r2: int
    r3: int
    r12: int
    lr: int
    pc: int
    xpsr: int
    exc_return: int

    @property
    def name(self) -> str:
        return {1: "hard fault", 2: "NMI"}.get(self.reason, f"exception {self.xpsr & 0x3F}")


def u32(*values: int) -> bytes:
    """Unsigned 32-bit words."""
    return struct.pack(f"<{len(values)}I", *values)


def words(payload: bytes, count: int) -> tuple[int, ...]:
    """Exactly `count` unsigned 32-bit words."""
    if len(payload) != 4 * count:
        raise BadMessage(f"{len(payload)} bytes where {4 * count} belong")
    return struct.unpack(f"<{count}I", payload)


def decode_hello(payload: bytes) -> Hello:
    """HELLO's answer, without the tensors."""
    if len(payload) != _HELLO_BYTES:
        raise BadMessage(f"HELLO has {len(payload)} bytes, not {_HELLO_BYTES}")
    version, *w = words(payload[:60], 15)
    if version != VERSION:
        raise BadMessage(f"protocol version {version}, not {VERSION}")
    mtu, clock_hz, tick_mask, cores, load_status, load_step, size, crc, needed, room, steps, inputs, outputs, team = w
    name = payload[76:108].rstrip(b"\0")
    if not 64 <= mtu <= MAX_PAYLOAD or clock_hz == 0 or not 1 <= cores <= _MAX_CORES:
        raise BadMessage(f"mtu {mtu}, clock {clock_hz} Hz, {cores} cores")
    if tick_mask == 0 or tick_mask & (tick_mask + 1):
        raise BadMessage(f"tick mask {tick_mask:#x}")
    if team > cores or (load_status == 0) != (team > 0):
        raise BadMessage(f"a program for {team} of {cores} cores, load status {load_status}")
    if max(inputs, outputs) > _MAX_TENSORS or (load_status == 0 and needed > room):
        raise BadMessage(f"{inputs} inputs, {outputs} outputs, arena {needed} of {room}")
    if not name or not name.isascii() or not name.decode("ascii").isprintable():
        raise BadMessage("a board's name that is not text")
    return Hello(
        mtu, clock_hz, tick_mask, cores, load_status, load_step, size, crc, needed, room, steps, inputs, outputs,
        team, payload[60:76].hex(), name.decode("ascii"),
    )  # fmt: skip


def decode_tensors(payload: bytes, expected: int, arena: int) -> tuple[Span, ...]:
    """A part of the table of inputs or outputs; `expected` is the total that HELLO announced."""
    if len(payload) < 4 or len(payload) % 8 != 4:
        raise BadMessage(f"a table of {len(payload)} bytes")
    total, *rest = words(payload, len(payload) // 4)
    if total != expected:
        raise BadMessage(f"{total} tensors where HELLO announced {expected}")
    spans = tuple(Span(offset, size) for offset, size in zip(rest[::2], rest[1::2], strict=True))
    for span in spans:
        if span.offset + span.bytes > arena:
            raise BadMessage(f"a tensor at {span.offset} with {span.bytes} bytes in an arena of {arena}")
    return spans


def decode_result(payload: bytes) -> RunResult:
    """DONE's payload, or STATUS's answer."""
    if len(payload) != _RESULT.size:
        raise BadMessage(f"a run's result of {len(payload)} bytes")
    state, run, status, step, us, cycles, peer = _RESULT.unpack(payload)
    if state not in iter(RunState):
        raise BadMessage(f"run state {state}")
    if peer >= _MAX_NODES and peer != _NO_PEER:
        raise BadMessage(f"a failure that is about node {peer}")
    return RunResult(RunState(state), run, status, step, us, cycles, None if peer == _NO_PEER else peer)


def decode_memory(payload: bytes, cores: int, arena_room: int) -> Memory:
    """MEMORY's answer."""
    static, high, paint, *stacks = words(payload, 3 + 2 * cores)
    uses = tuple(StackUse(size, used) for size, used in zip(stacks[::2], stacks[1::2], strict=True))
    if paint > 255 or high > arena_room or any(use.used > use.size for use in uses):
        raise BadMessage(f"memory use that exceeds the memory: arena {high} of {arena_room}, stacks {uses}")
    return Memory(static, high, paint, uses)


def decode_time(payload: bytes) -> Time:
    """TIME's answer."""
    if len(payload) != 12:
        raise BadMessage(f"a time of {len(payload)} bytes")
    return Time(*struct.unpack("<QI", payload))


def decode_fault(payload: bytes) -> Fault:
    """FAULT's payload."""
    return Fault(*words(payload, 13))


def decode_log(payload: bytes) -> str:
    """A log line, with everything that a terminal could act on replaced."""
    return "".join(c if c.isprintable() else "?" for c in payload.decode("utf-8", "replace"))
