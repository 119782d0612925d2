"""Programs for several nodes: messages are written and read back, lies are refused, failed exchanges end every core."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import PlanError
from hil.plan.interpreter import Interpreter
from hil.plan.kernels import Lookup, Transfer
from hil.plan.program import AnyStep, Barrier, Program, Receive, Send, Span, Step, decode, encode
from hil.plan.records import Arena, Blob, Box, Record
from tests.support.engine import NativeEngine, exchanging
from tests.support.nodes import NativeNodes

OK, BAD_TABLE, BAD_KIND, BAD_STEP, NO_NODES, TIMEOUT = 0, 6, 7, 9, 13, 14
HEADER = 64
PLACE, TRACE_AT = 14, 15  # words of the header
_ADD_ONE = Blob(bytes((i + 1) % 256 for i in range(256)))
WHOLE = Box(0, 1, 0, 8)


def operators() -> list[Record]:
    """A table of bytes 0 to 8 into 8 to 16, the place of messages there, and one of two runs in a ring of one."""
    return [
        Lookup(Arena(0), Arena(8), _ADD_ONE, 1, 8),
        Transfer(Arena(8), 4, 4, 2, 2, add=0),
        Transfer(Arena(16), 4, 4, 1, 2, add=0),
    ]


STEPS: tuple[AnyStep, ...] = (
    Step(0, WHOLE), Receive(1, 0, 2, 3, 0), Send(1, 1, 2, 5, 0b1001), Step(0, WHOLE), Send(2, 1, 2, 9, 0b0100),
)  # fmt: skip


def program(steps: Sequence[AnyStep] = STEPS, *, node: int = 1, nodes: int = 4, **more: Any) -> Program:
    return encode(operators(), steps, [Span(0, 8)], [Span(8, 8)], arena_bytes=48, node=node, nodes=nodes, **more)


def status(data: bytes) -> int:
    return int(NativeEngine(data, 48).status)


def test_messages_are_read_back() -> None:
    made = program(trace_at=24)
    assert decode(made.data) == made
    assert (made.steps, made.node, made.nodes, made.trace_at) == (STEPS, 1, 4, 24)
    assert made.exchanges() == ((1, 3), (4, 5))
    assert status(made.data) == OK
    alone = program([Step(0, WHOLE)], node=0, nodes=1)
    assert (alone.node, alone.nodes, alone.trace_at, alone.exchanges()) == (0, 1, None, ())
    assert struct.unpack_from("<16I", alone.data)[PLACE:] == (1 << 8, 0xFFFF_FFFF)


def test_the_engine_knows_its_place() -> None:
    native = NativeEngine(program(node=15, nodes=16).data, 48)
    assert (native.engine.node, native.engine.nodes) == (15, 16)


def resealed(data: bytes, words: dict[int, int]) -> bytes:
    """`data` with words of the header replaced, and a CRC that is right."""
    header = list(struct.unpack_from("<16I", data))
    for index, value in words.items():
        header[index] = value
    rest = struct.pack("<12I", *header[4:]) + data[HEADER:]
    return struct.pack("<4I", *header[:3], zlib.crc32(rest)) + rest


@pytest.mark.parametrize(
    ("nodes", "words", "refused"),
    [
        (4, {PLACE: 1 | 4 << 8}, OK), (4, {PLACE: 4 | 4 << 8}, NO_NODES), (4, {PLACE: 0}, NO_NODES),
        (4, {PLACE: 1 | 17 << 8}, NO_NODES), (4, {PLACE: 1 | 4 << 8 | 1 << 31}, NO_NODES),
        (4, {PLACE: 1 | 2 << 8}, BAD_STEP), (4, {PLACE: 0 | 4 << 8}, BAD_STEP), (4, {PLACE: 0 | 1 << 8}, BAD_STEP),
        (4, {TRACE_AT: 24}, OK), (4, {TRACE_AT: 28}, BAD_TABLE), (4, {TRACE_AT: 22}, BAD_TABLE),
        (4, {TRACE_AT: 0xFFFF_FFFC}, BAD_TABLE), (1, {TRACE_AT: 0}, BAD_TABLE), (1, {TRACE_AT: 48}, BAD_TABLE),
    ],
    ids=str,
)  # fmt: skip
def test_a_sealed_lie_in_the_header_is_refused_by_both_readers(nodes: int, words: dict[int, int], refused: int) -> None:
    made = program() if nodes > 1 else program([Step(0, WHOLE)], node=0, nodes=1)
    data = resealed(made.data, words)
    assert status(data) == refused
    if refused == OK:
        decode(data)
        return
    with pytest.raises(PlanError):
        decode(data)


@pytest.mark.parametrize(
    "words",
    [
        (3, 0, 0, 2, 5, 1),  # what it moves is a table
        (3, 3, 0, 2, 5, 1),  # an operator that is not there
        (3 | 1 << 16, 1, 0, 2, 5, 1),  # not core 0
        (3, 1, 1, 1, 5, 1),  # no runs
        (3, 1, 2, 1, 5, 1),
        (3, 1, 0, 3, 5, 1),  # a run too many
        (3, 2, 0, 2, 5, 1),  # two runs that are in one place
        (3, 1, 0, 2, 5, 0),  # to nobody
        (3, 1, 0, 2, 5, 0b10),  # to itself
        (3, 1, 0, 2, 5, 0b11),
        (3, 1, 0, 2, 5, 0x10),  # to a node that is not there
        (3, 1, 0, 2, 5, 0x8000_0001),
        (4, 1, 0, 2, 5, 0b101),  # from two
        (4, 1, 0, 2, 5, 0),
        (4, 1, 0, 2, 5, 0b10),
        (3, 1, 0, 2, 3, 1),  # numbered as the one before it
        (4, 1, 0, 2, 2, 1),  # numbered before it
        (3, 1, 0, 2, 9, 1),  # numbered as the next one
        (1, 1, 0, 1, 0, 1),  # a box of a message's place
        (5, 1, 0, 2, 5, 1),  # no kind of step
    ],
    ids=str,
)
def test_a_sealed_lie_in_a_message_is_refused_by_both_readers(words: tuple[int, ...]) -> None:
    data = program().data
    at = HEADER + 2 * 24  # the first SEND
    assert struct.unpack_from("<6I", data, at) == (3, 1, 1, 2, 5, 0b1001)
    data = resealed(data[:at] + struct.pack("<6I", *words) + data[at + 24 :], {})
    with pytest.raises(PlanError, match=r"^step [24] "):
        decode(data)
    native = NativeEngine(data, 48)
    assert native.status == BAD_STEP
    assert native.engine.mates[0].step in (2, 4)


@pytest.mark.parametrize(("count", "refused"), [(48, OK), (49, BAD_STEP)])
def test_an_exchange_has_at_most_48_transfers(count: int, refused: int) -> None:
    moves = [Receive(1, 0, 2, k, 0) for k in range(count)]
    if refused == OK:
        assert status(program(moves).data) == OK
        return
    with pytest.raises(PlanError, match="begins an exchange of 49 transfers"):
        program(moves)
    made = program([*moves[:48], Barrier()])
    at = HEADER + 48 * 24
    last = struct.pack("<6I", 4, 1, 0, 2, 48, 1)
    assert status(resealed(made.data[:at] + last + made.data[at + 24 :], {})) == BAD_STEP


@given(st.integers(4, 95), st.one_of(st.integers(0, 64), st.integers(0, 0xFFFF_FFFF)))
def test_what_the_hosts_reader_refuses_the_engine_refuses(word: int, value: int) -> None:
    data = program().data
    data = resealed(data[: 4 * word] + value.to_bytes(4, "little") + data[4 * word + 4 :], {})
    refused = status(data)
    try:
        decode(data)
    except PlanError:
        assert refused != OK


def test_one_node_alone_has_no_messages() -> None:
    interpreter = Interpreter(program())
    interpreter.step(0)
    with pytest.raises(PlanError, match="step 1 is a message between nodes: Receive"):
        interpreter.step(1)
    with pytest.raises(PlanError, match="step 1 is a message"):
        Interpreter(program(), order=(0,)).run([np.zeros(8, np.int8)])


def test_firmware_without_a_network_refuses_several_nodes_and_their_operators() -> None:
    """Built for one node, as it is where nothing else is said."""
    assert NativeEngine(program([Step(0, WHOLE)], node=0, nodes=2).data, 48, nodes=1).status == NO_NODES
    assert NativeEngine(program([Step(0, WHOLE)], node=1, nodes=4).data, 48, nodes=1).status == NO_NODES
    table = operators()[:1]
    alone = encode(table, [Step(0, WHOLE)], [Span(0, 8)], [Span(8, 8)], arena_bytes=48)
    assert NativeEngine(alone.data, 48, nodes=1).status == OK
    with_place = encode(operators(), [Step(0, WHOLE)], [Span(0, 8)], [Span(8, 8)], arena_bytes=48)
    assert NativeEngine(with_place.data, 48, nodes=1).status == BAD_KIND
    send = struct.pack("<6I", 3, 0, 0, 1, 0, 2)
    data = resealed(alone.data[:HEADER] + send + alone.data[HEADER + 24 :], {})
    assert NativeEngine(data, 48, nodes=1).status == BAD_STEP


# -- the engine's walk -------------------------------------------------------------------------------------------------


def ring_of_nodes(nodes: int, cores: int, rounds: int) -> list[Program]:
    """In each round every core of every node adds one to its 8 bytes, and each node's bytes go to the next node."""
    size = 8 * cores
    transfer = Transfer(Arena(0), 8, 8, cores, cores, add=0)
    incoming = replace(transfer, out=Arena(size))
    made = []
    for node in range(nodes):
        add = [Lookup(Arena(8 * core), Arena(8 * core), _ADD_ONE, 1, 8) for core in range(cores)]
        back = [Lookup(Arena(size + 8 * core), Arena(8 * core), _ADD_ONE, 1, 8) for core in range(cores)]
        steps: list[AnyStep] = []
        for turn in range(rounds):
            steps += [Step((0 if turn == 0 else cores) + core, WHOLE, core) for core in range(cores)]
            steps.append(Barrier())
            moves: list[Send | Receive] = [
                Send(2 * cores, 0, cores, turn * nodes + node, 1 << (node + 1) % nodes),
                Receive(2 * cores + 1, 0, cores, turn * nodes + (node - 1) % nodes, (node - 1) % nodes),
            ]
            steps += sorted(moves, key=lambda move: move.transfer)
            steps.append(Barrier())
        operators = [*add, *back, transfer, incoming]
        made.append(encode(operators, steps, [], [], arena_bytes=2 * size, cores=cores, node=node, nodes=nodes))
    return made


def added(data: bytes, rounds: int) -> bytes:
    """Tables start at -128, so each round also flips the sign."""
    for _ in range(rounds):
        data = bytes(((b ^ 0x80) + 1) % 256 for b in data)
    return data


@pytest.mark.parametrize(("nodes", "cores"), [(2, 1), (3, 2), (4, 1), (2, 4)])
def test_exchanges_are_done_by_core_0_between_the_boxes(nodes: int, cores: int) -> None:
    rounds, size = 4, 8 * cores
    programs = ring_of_nodes(nodes, cores, rounds)
    for jitter in range(4):
        cluster = NativeNodes(programs)
        for node in range(nodes):
            cluster.write(node, bytes([node] * size))
        assert [found for found, _ in cluster.run(jitter)] == [OK] * nodes
        for node in range(nodes):
            assert cluster.read(node, size, size) == added(bytes([(node - rounds) % nodes] * size), rounds)
        spans = {node: [(a, b) for n, a, b in cluster.exchanges if n == node] for node in range(nodes)}
        assert all(spans[node] == list(programs[node].exchanges()) for node in range(nodes))


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_a_failed_exchange_ends_every_core_and_names_its_step(cores: int) -> None:
    """Nothing behind the failure is computed or sent, nobody hangs, and the next run is whole again."""
    programs = ring_of_nodes(1 + 1, cores, 3)
    size = 8 * cores
    for turn, (first, end) in enumerate(programs[1].exchanges()):
        for jitter in range(3):
            cluster = NativeNodes(programs[1:])
            failing = LoneNode(cluster, fail_at=first)
            cluster.write(0, bytes(range(size)))
            cluster.write(0, bytes(size), size)
            assert failing.run(jitter) == (TIMEOUT, end - 1)
            assert failing.seen == [first for first, _ in programs[1].exchanges()[: turn + 1]]
            assert cluster.read(0, 0, size) == added(bytes(range(size)) if turn == 0 else bytes(size), 1)
            again = LoneNode(cluster, fail_at=-1)
            assert again.run(jitter) == (OK, len(programs[1].steps) - 1)
            assert len(again.seen) == 3


class LoneNode:
    """One engine whose exchanges all succeed at once, but for the one that begins at step `fail_at`."""

    def __init__(self, nodes: NativeNodes, fail_at: int) -> None:
        self.engine, self.fail_at = nodes.engines[0], fail_at
        self.seen: list[int] = []

    def run(self, jitter: int) -> tuple[int, int]:
        with exchanging(self._exchange):
            return self.engine.run_status(jitter)

    def _exchange(self, _address: int, first: int, end: int) -> int:
        self.seen.append(first)
        if first != self.fail_at:
            return OK
        self.engine.engine.mates[0].step = end - 1
        return TIMEOUT


def test_a_part_of_one_core_moves_no_message() -> None:
    """Where core 0 runs the boxes of one core alone, to time them."""
    (first, _) = ring_of_nodes(2, 2, 2)
    cluster = NativeNodes([first])
    lone = LoneNode(cluster, fail_at=0)
    assert cluster.engines[0].part(0, 0, 0) == OK
    assert cluster.engines[0].part(0, 0, 1) == OK
    assert lone.seen == []
