"""Program bytes: what is written is read back, and damage is refused by the host's reader and by the engine."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import PlanError
from hil.plan.interpreter import Interpreter
from hil.plan.kernels.lookup import Lookup
from hil.plan.lower import lower
from hil.plan.program import Barrier, Program, Span, Step, decode, encode
from hil.plan.records import Act, Arena, Blob, Box, Const
from tests.support.engine import NativeEngine
from tests.support.fakes import planned

HEADER = 64
LOADED = 0
BAD_TABLE, BAD_STEP = 6, 9
STRUCTURE = ("magic", "version", "size", "crc", "arena", "operators", "operators_at", "steps", "steps_at", "inputs",
             "inputs_at", "outputs", "outputs_at", "cores", "place", "trace_at")  # fmt: skip


def small() -> Program:
    """Two tables over 4 x 3 elements, the second in place; some hundred bytes with shared constants."""
    table = bytes(np.arange(-128, 128, dtype=np.int8)[::-1])
    first = Lookup(input=Arena(0), out=Arena(12), table=Blob(table), rows=4, channels=3)
    second = replace(first, input=Arena(12))
    boxes = [Step(0, Box(0, 2, 0, 3)), Step(0, Box(2, 4, 0, 3)), Step(1, Box(0, 4, 0, 3))]
    return encode([first, second], boxes, [Span(0, 12)], [Span(12, 12)], arena_bytes=24)


PROGRAM = small()


def resealed(data: bytes, **header: int) -> bytes:
    """`data` with header words replaced, and a CRC that is right."""
    words = list(struct.unpack_from("<16I", data))
    for name, value in header.items():
        words[STRUCTURE.index(name)] = value
    rest = struct.pack("<12I", *words[4:]) + data[HEADER:]
    return struct.pack("<4I", *words[:3], zlib.crc32(rest)) + rest


def native(data: bytes, arena: int = 64) -> int:
    return int(NativeEngine(data, arena).status)


def test_what_is_written_is_read_back() -> None:
    assert decode(PROGRAM.data) == PROGRAM
    assert PROGRAM.inputs == (Span(0, 12),)
    assert PROGRAM.outputs == (Span(12, 12),)
    assert [s.box for s in PROGRAM.steps if isinstance(s, Step)] == [Box(0, 2, 0, 3), Box(2, 4, 0, 3), Box(0, 4, 0, 3)]
    assert [(r.input, r.out) for r in PROGRAM.operators if isinstance(r, Lookup)] == [
        (Arena(0), Arena(12)),
        (Arena(12), Arena(12)),
    ]
    assert native(PROGRAM.data) == LOADED


def test_a_real_plan_is_read_back() -> None:
    program = planned().plan.program
    assert decode(program.data) == program
    assert native(program.data, program.arena_bytes) == LOADED


def test_numbers_are_read_back_as_they_were_lowered() -> None:
    """Negative ones too: zero points, and the bounds of activations."""
    made = planned()
    jobs = lower(made.graph).jobs
    signed = 0
    for job, record in zip(jobs, made.plan.program.operators, strict=True):
        for name, value in vars(job.record).items():
            if not isinstance(value, Act | Blob):
                assert getattr(record, name) == value, name
                signed += isinstance(value, int) and value < 0
    assert signed > 0


def test_equal_constants_are_stored_once() -> None:
    places = {record.table for record in PROGRAM.operators if isinstance(record, Lookup)}
    assert len(places) == 1
    (place,) = places
    assert isinstance(place, Const)
    assert len(PROGRAM.data) < HEADER + 2 * 256


def test_the_same_plan_gives_the_same_bytes() -> None:
    assert small().data == PROGRAM.data
    assert planned().plan.program.data == planned().plan.program.data


spans = st.builds(Span, st.integers(0, 12), st.integers(0, 12))


@given(st.data())
def test_any_program_of_tables_is_read_back(data: st.DataObject) -> None:
    rows, channels = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    table = data.draw(st.binary(min_size=256, max_size=256))
    record = Lookup(Arena(0), Arena(28), Blob(table), rows, channels)
    count = data.draw(st.integers(1, 3))
    boxes: list[Step | Barrier] = []
    for _ in range(data.draw(st.integers(0, 4))):
        if data.draw(st.booleans()):
            boxes.append(Barrier())
        r0, c0 = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, channels - 1))
        box = Box(r0, data.draw(st.integers(r0 + 1, rows)), c0, data.draw(st.integers(c0 + 1, channels)))
        boxes.append(Step(data.draw(st.integers(0, count - 1)), box, core=data.draw(st.integers(0, 1))))
    inputs, outputs = (data.draw(st.lists(spans, max_size=3)) for _ in range(2))
    program = encode([record] * count, boxes, inputs, outputs, arena_bytes=56, cores=2)
    assert decode(program.data) == program
    assert (program.steps, program.inputs, program.outputs) == (tuple(boxes), tuple(inputs), tuple(outputs))
    assert (program.cores, program.arena_bytes) == (2, 56)
    assert len(program.data) % 4 == 0


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF], ids=hex)
def test_every_damaged_byte_is_refused_by_both_readers(flip: int) -> None:
    accepted = []
    for at in range(len(PROGRAM.data)):
        damaged = bytearray(PROGRAM.data)
        damaged[at] ^= flip
        try:
            decode(bytes(damaged))
        except PlanError:
            pass
        else:
            accepted.append(("host", at))
        if native(bytes(damaged)) == LOADED:
            accepted.append(("engine", at))
    assert accepted == []


def test_every_truncation_is_refused_by_both_readers() -> None:
    for size in range(len(PROGRAM.data)):
        with pytest.raises(PlanError):
            decode(PROGRAM.data[:size])
        assert native(PROGRAM.data[:size]) != LOADED, size


@pytest.mark.parametrize(
    "header",
    [
        {"operators_at": len(PROGRAM.data)}, {"operators_at": 65}, {"operators_at": 0xFFFF_FFFC}, {"operators_at": 0},
        {"operators": 0x4000_0000}, {"steps": 0xFFFF_FFFF}, {"steps": 1000}, {"steps_at": 0xFFFF_FFFC},
        {"inputs": 0x2000_0000}, {"inputs_at": 66}, {"outputs": 99}, {"outputs_at": len(PROGRAM.data) - 4},
        {"arena": 23}, {"arena": 0}, {"cores": 0}, {"steps": 0, "steps_at": 0}, {"inputs": 0, "inputs_at": 32},
    ],
    ids=lambda h: "-".join(f"{k}={v:#x}" for k, v in h.items()),
)  # fmt: skip
def test_a_sealed_lie_in_the_header_is_refused_by_both_readers(header: dict[str, int]) -> None:
    """The CRC is right, so only checking the tables finds these."""
    data = resealed(PROGRAM.data, **header)
    with pytest.raises(PlanError):
        decode(data)
    assert native(data) != LOADED


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((2, 0, 0, 4, 0, 3), BAD_STEP),  # a step of an unknown kind
        ((1, 2, 0, 4, 0, 3), BAD_STEP),  # an operator that is not there
        ((1, 0, 2, 2, 0, 3), BAD_STEP),  # no rows
        ((1, 0, 3, 2, 0, 3), BAD_STEP),  # less than none
        ((1, 0, 0, 5, 0, 3), BAD_STEP),  # a row too many
        ((1, 0, 0, 4, 0, 4), BAD_STEP),  # a channel too many
        ((1, 0, 0, 4, 2, 2), BAD_STEP),  # no channels
        ((1, 0, 0, 0xFFFF_FFFF, 0, 3), BAD_STEP),
        ((1 | 1 << 16, 0, 0, 4, 0, 3), BAD_STEP),  # a core that is not there
        ((2 | 1 << 16, 0, 0, 0, 0, 0), BAD_STEP),  # barriers have no core, no operator and no box
        ((2, 1, 0, 0, 0, 0), BAD_STEP),
        ((2, 0, 0, 1, 0, 1), BAD_STEP),
        ((5, 0, 0, 4, 0, 3), BAD_STEP),
        ((3, 0, 0, 4, 0, 2), BAD_STEP),  # a message of what is no transfer
    ],
    ids=str,
)
def test_a_sealed_lie_in_a_step_is_refused_by_both_readers(words: tuple[int, ...], status: int) -> None:
    at = struct.unpack_from("<16I", PROGRAM.data)[STRUCTURE.index("steps_at")]
    data = resealed(PROGRAM.data[:at] + struct.pack("<6I", *words) + PROGRAM.data[at + 24 :])
    with pytest.raises(PlanError, match=r"^step 0 "):
        decode(data)
    assert native(data) == status


@given(st.integers(4, len(PROGRAM.data) // 4 - 1), st.one_of(st.integers(0, 64), st.integers(0, 0xFFFF_FFFF)))
def test_a_sealed_program_with_any_word_is_read_or_refused(word: int, value: int) -> None:
    """Never anything but a program or a `PlanError`; and what the host's reader refuses, the engine refuses."""
    data = resealed(PROGRAM.data[: 4 * word] + value.to_bytes(4, "little") + PROGRAM.data[4 * word + 4 :])
    status = native(data)
    try:
        decode(data)
    except PlanError:
        assert status != LOADED


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PlanError):
        decode(data)
    assert native(data) != LOADED


# -- what is ours to get right before bytes are written ----------------------------------------------------------------


def test_a_value_without_a_place_is_not_encoded() -> None:
    record = Lookup(Act(0), Arena(0), Blob(bytes(256)), 1, 1)
    with pytest.raises(PlanError, match="has no place"):
        encode([record], [], [], [], arena_bytes=4)


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31) - 1])
def test_a_number_beyond_32_bits_is_not_encoded(value: int) -> None:
    record = Lookup(Arena(0), Arena(0), Blob(bytes(256)), value, 1)
    with pytest.raises(PlanError, match=r"Lookup\.rows = .* does not fit in 32 bits"):
        encode([record], [], [], [], arena_bytes=4)


# -- the interpreter ---------------------------------------------------------------------------------------------------


def test_the_interpreter_runs_the_bytes() -> None:
    value = np.arange(-6, 6, dtype=np.int8)
    (output,) = Interpreter(PROGRAM).run([value])
    assert np.frombuffer(output, np.int8).tolist() == value.tolist(), "reversed twice"
    assert NativeEngine(PROGRAM.data, 24).run([value]) == (output,)


def test_the_interpreter_shows_what_nobody_wrote() -> None:
    interpreter = Interpreter(PROGRAM)
    assert interpreter.read(Span(12, 12)) == b"\xa5" * 12


def race(*, barrier: bool) -> Program:
    """Core 0 reads what core 1 writes, with or without a barrier between them."""
    table = Blob(bytes((i + 1) % 256 for i in range(256)))
    first, second = Lookup(Arena(0), Arena(4), table, 1, 4), Lookup(Arena(4), Arena(8), table, 1, 4)
    whole = Box(0, 1, 0, 4)
    steps = [Step(0, whole, core=1), *([Barrier()] if barrier else []), Step(1, whole, core=0)]
    return encode([first, second], steps, [Span(0, 4)], [Span(8, 4)], arena_bytes=12, cores=2)


@pytest.mark.parametrize("barrier", [False, True])
def test_the_interpreter_runs_cores_in_any_order_and_shows_what_lacks_a_barrier(barrier: bool) -> None:
    program = race(barrier=barrier)
    value = np.zeros(4, np.int8)
    results = {Interpreter(program, order=order).run([value]) for order in (None, (0, 1), (1, 0))}
    assert len(results) == (1 if barrier else 2)


@pytest.mark.parametrize("order", [(), (0,), (0, 0), (1, 2), (0, 1, 2)])
def test_an_order_names_every_core_once(order: tuple[int, ...]) -> None:
    with pytest.raises(PlanError, match="is no order of 2 cores"):
        Interpreter(race(barrier=True), order=order)


@pytest.mark.parametrize("size", [0, 11, 13])
def test_an_input_of_the_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(PlanError, match=f"input 0 takes 12 bytes, not {size}"):
        Interpreter(PROGRAM).write(0, bytes(size))


@pytest.mark.parametrize(("field", "value"), [("input", Arena(20)), ("out", Arena(20)), ("table", Const(1 << 20)),
                                              ("out", Const(0))])  # fmt: skip
def test_the_interpreter_stays_inside_its_memories(field: str, value: Any) -> None:
    record = replace(PROGRAM.operators[0], **{field: value})
    program = replace(PROGRAM, operators=(record, PROGRAM.operators[1]))
    with pytest.raises(PlanError, match=r"outside of|is not a place in the arena"):
        Interpreter(program).run([np.zeros(12, np.int8)])
