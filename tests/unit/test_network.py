"""The firmware's network: nodes whose clock and wires a test plays, over good wires and bad ones."""

from __future__ import annotations

import random
import struct
import zlib

import pytest

from hil.errors import HilError
from hil.link import RunResult, RunState
from hil.link.messages import ENGINE_TEXT
from hil.link.switch import HEADER, Fault
from hil.plan.kernels import Transfer
from hil.plan.program import Receive, Send, Span, encode
from hil.plan.records import Arena
from tests.support.messages import MadeUp, made_up
from tests.support.network import PlayedNetwork

PATIENCE, RETRY = 60_000, 3_000
OK, TIMEOUT, ABORTED, BROKEN = 0, 14, 15, 16
START, CREDIT, DATA, ACK, PROBE, ABORT = range(1, 7)


def load(network: PlayedNetwork, made: MadeUp) -> None:
    for link, data in zip(network.links, made.before, strict=True):
        link.write(0, data)


def begin(network: PlayedNetwork, run: int = 1, *, repeat: int = 1, patience: int = PATIENCE) -> None:
    """Node 0 is asked last."""
    for link in [*network.links[1:], network.links[0]]:
        link.begin_run(run=run, repeat=repeat, patience_us=patience, retry_us=RETRY)


def finish(network: PlayedNetwork) -> list[RunResult | None]:
    """Every node's result; None for one that had to be called back, because it never heard of the run's start."""
    results: list[RunResult | None] = []
    for link, node in zip(network.links, network.nodes, strict=True):
        until = network.now + 4 * PATIENCE
        while not node.console_out and network.now < until:
            network.round()
        found = link.status()
        results.append(found if found.state is RunState.FINISHED else None)
        if results[-1] is None:
            link.abort()
    return results


def right(network: PlayedNetwork, made: MadeUp, node: int) -> bool:
    return network.links[node].read(0, len(made.after[node])) == made.after[node]


def frame(kind: int, source: int, peers: int, payload: bytes = b"", **words: int) -> bytes:
    """A sound frame of any content."""
    names = ("run", "transfer", "sequence", "offset", "total")
    head = HEADER.pack(1, kind, source, 0, peers, len(payload), *(words.get(name, 0) for name in names), 0)
    return head + payload + struct.pack("<I", zlib.crc32(head + payload))


def heard(network: PlayedNetwork, kind: int) -> list[tuple[int, int, tuple[int, ...]]]:
    """The frames of a kind that were sent: when, by whom, the header's fields."""
    found = [(now, source, HEADER.unpack_from(data)) for now, source, data in network.sent]
    return [one for one in found if one[2][1] == kind]


@pytest.mark.parametrize("seed", range(6))
def test_messages_arrive_on_good_wires_and_nothing_is_sent_twice(seed: int) -> None:
    made = made_up(seed, 2 + seed % 4)
    with PlayedNetwork([program.data for program in made.programs], slow=[3, 0, 7, 0, 1]) as network:
        load(network, made)
        begin(network)
        results = finish(network)
        assert [result and result.status for result in results] == [OK] * len(results)
        assert all(right(network, made, node) for node in range(len(results)))
        data = [head for _, _, head in heard(network, DATA)]
        assert len({(head[7], head[9]) for head in data}) == len(data)
        assert not heard(network, PROBE)
        assert not heard(network, ABORT)


def test_the_trace_says_when_each_exchange_was() -> None:
    made = made_up(3, 3, exchanges=4)
    with PlayedNetwork([program.data for program in made.programs]) as network:
        load(network, made)
        begin(network)
        results = finish(network)
        for node, program in enumerate(made.programs):
            count, result = len(program.exchanges()), results[node]
            assert count
            assert result
            assert program.trace_at is not None
            words = struct.unpack(f"<{3 * count}I", network.links[node].read(program.trace_at, 12 * count))
            times = [at for i in range(count) for at in words[3 * i : 3 * i + 2]]
            assert times == sorted(times)
            assert times[-1] <= result.us
            assert all(words[3 * i + 2] <= words[3 * i + 1] - words[3 * i] for i in range(count))


def random_faults(draw: random.Random, nodes: int) -> list[Fault]:
    kinds = ["drop", "damage", "double", "reorder", "delay"]
    rate = draw.choice([0.02, 0.1, 0.3])
    found = [
        Fault(kind, probability=rate, seed=draw.getrandbits(30), microseconds=draw.choice([200, 5_000, 40_000]))  # type: ignore[arg-type]
        for kind in draw.sample(kinds, draw.randint(1, 3))
    ]
    if draw.random() < 0.2:
        found.append(Fault("cut", node=draw.randrange(nodes), first=draw.randrange(30)))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_bad_wires_end_in_the_right_bytes_or_in_a_named_error_and_the_next_run_works(seed: int) -> None:
    draw = random.Random(seed)
    nodes = draw.randint(2, 5)
    made = made_up(seed + 100, nodes)
    faults = random_faults(draw, nodes)
    with PlayedNetwork([program.data for program in made.programs], slow=[0, 2, 5, 0, 3]) as network:
        load(network, made)
        for fault in faults:
            network.switch.install(fault)
        begun = network.now
        begin(network)
        results = finish(network)
        assert network.now - begun < 40 * PATIENCE
        for node, result in enumerate(results):
            if result is None:
                continue
            if result.status == OK:
                assert right(network, made, node), f"node {node} says that all is well"
            else:
                assert result.status in (TIMEOUT, ABORTED)
                assert result.status in ENGINE_TEXT
                assert isinstance(made.programs[node].steps[result.step], Send | Receive)
        if all(fault.kind != "cut" and fault.probability < 0.2 for fault in faults):
            assert [result and result.status for result in results] == [OK] * nodes
        network.switch.clear()
        load(network, made)
        begin(network, run=50)
        assert [result and result.status for result in finish(network)] == [OK] * nodes
        assert all(right(network, made, node) for node in range(nodes))


def test_what_gets_lost_is_asked_for_again() -> None:
    """Faults do happen in the test above, and all three ways to make up for them are gone."""
    made = made_up(7, 4)
    with PlayedNetwork([program.data for program in made.programs]) as network:
        load(network, made)
        network.switch.install(Fault("drop", probability=0.1, seed=1))
        begin(network)
        assert [result and result.status for result in finish(network)] == [OK] * 4
        assert sum(count.dropped for count in network.switch.counts) > 5
        assert heard(network, PROBE)
        assert [head for _, _, head in heard(network, CREDIT) if head[8] > 0]
        data = [(head[7], head[9]) for _, _, head in heard(network, DATA)]
        assert len(set(data)) < len(data)


def pair(size: int = 3000, *, add: bool = False, other: int | None = None) -> list[bytes]:
    """Node 0 sends `size` bytes to node 1, which expects `other`."""
    programs = []
    for node, total in ((0, size), (1, size if other is None else other)):
        record = Transfer(Arena(0), total, total, 1, 1, int(add and node == 1))
        step = Send(0, 0, 1, 7, 2) if node == 0 else Receive(0, 0, 1, 7, 0)
        spans = [Span(0, total)]
        made = encode([record], [step], spans, spans, arena_bytes=total + 12, node=node, nodes=2, trace_at=total)
        programs.append(made.data)
    return programs


def test_what_is_added_is_added_once_whatever_comes_twice() -> None:
    """Every frame comes twice, and once more much later."""
    with PlayedNetwork(pair(3000, add=True)) as network:
        words = [i * 0x01030507 & 0xFFFF_FFFF for i in range(750)]
        network.links[0].write(0, struct.pack("<750I", *words))
        network.links[1].write(0, struct.pack("<750I", *words[::-1]))
        network.switch.install(Fault("double"))
        network.switch.install(Fault("reorder", probability=0.3, seed=1))
        begin(network)
        for _ in range(300):
            network.round()
        again = [data for _, source, data in network.sent if source == 0]
        for data in again:
            network.deliver(1, data, 100)
        assert [result and result.status for result in finish(network)] == [OK, OK]
        expected = [(a + b) & 0xFFFF_FFFF for a, b in zip(words, words[::-1], strict=True)]
        assert struct.unpack("<750I", network.links[1].read(0, 3000)) == tuple(expected)


@pytest.mark.parametrize("kind", [START, CREDIT, DATA, ACK])
def test_the_loss_of_any_first_frame_is_made_up_for(kind: int) -> None:
    """Also of the last ACK, when its sender rests already: it answers the sender's PROBE."""
    with PlayedNetwork(pair()) as network:
        lost = []
        route = network.switch.route

        def lossy(source: int, data: bytes) -> object:
            if data[1] == kind and not lost:
                lost.append(data)
                return []
            return route(source, data)

        network.switch.route = lossy  # type: ignore[method-assign, assignment]
        network.links[0].write(0, bytes(range(250)) * 12)
        begin(network)
        assert [result and result.status for result in finish(network)] == [OK, OK]
        assert network.links[1].read(0, 3000) == bytes(range(250)) * 12
        assert lost


def test_a_peer_that_is_gone_is_named_with_the_step() -> None:
    with PlayedNetwork(pair()) as network:
        begin(network)
        network.halted.add(1)
        began = network.now
        found = None
        while found is None or found.state is RunState.RUNNING:
            found = network.links[0].status()
        assert (found.status, found.step, found.peer) == (TIMEOUT, 0, 1)
        assert PATIENCE <= found.us <= PATIENCE + 2_000
        assert network.now - began < 2 * PATIENCE


def test_a_failure_of_one_node_ends_the_others_soon() -> None:
    """Node 2 is cut off when all have begun; node 0 does not exchange anything with it."""
    made = made_up(11, 4, exchanges=4)
    with PlayedNetwork([program.data for program in made.programs]) as network:
        load(network, made)
        begin(network)
        network.halted.add(3)
        for _ in range(2000):
            network.round()
        heads = heard(network, ABORT)
        assert heads
        ended = [network.links[node].status() for node in range(3)]
        assert all(result.state is RunState.FINISHED for result in ended)
        assert all(result.us < 3 * PATIENCE for result in ended)
        assert any(result.status == TIMEOUT for result in ended)


def test_parts_of_different_deployments_are_told() -> None:
    with PlayedNetwork(pair(3000, other=3100)) as network:
        begin(network)
        results = finish(network)
        assert BROKEN in [result and result.status for result in results]


def test_the_host_gets_a_node_back_that_waits() -> None:
    with PlayedNetwork(pair()) as network:
        waits = network.links[1]
        waits.begin_run(run=5, patience_us=PATIENCE, retry_us=RETRY)
        before = waits.status()
        assert (before.state, before.run) == (RunState.RUNNING, 5)
        assert waits.abort().board == "played"
        begin(network, run=6)
        assert [result and result.status for result in finish(network)] == [OK, OK]


def test_the_host_gets_a_node_back_in_the_middle_of_an_exchange() -> None:
    with PlayedNetwork(pair()) as network:
        network.links[1].hello()
        network.halted.add(1)
        network.links[0].begin_run(run=5, patience_us=1 << 31, retry_us=RETRY)
        for _ in range(50):
            network.round()
        assert network.links[0].status().state is RunState.RUNNING
        assert network.links[0].abort().board == "played"
        network.halted.clear()
        begin(network, run=6)
        assert [result and result.status for result in finish(network)] == [OK, OK]


def test_inferences_follow_each_other_without_the_host() -> None:
    """Each adds once more."""
    with PlayedNetwork(pair(400, add=True)) as network:
        network.links[0].write(0, struct.pack("<100I", *range(100)))
        network.links[1].write(0, bytes(400))
        begin(network, repeat=5)
        assert [result and result.status for result in finish(network)] == [OK, OK]
        assert struct.unpack("<100I", network.links[1].read(0, 400)) == tuple(5 * i for i in range(100))


def test_a_receiver_never_has_more_on_its_way_than_it_granted() -> None:
    """Windows: no data behind what was granted before, and never more than two blocks of it."""
    with PlayedNetwork(pair(30_000)) as network:
        begin(network)
        assert [result and result.status for result in finish(network)] == [OK, OK]
        granted = 0
        for _, _, data in network.sent:
            head = HEADER.unpack_from(data)
            if head[1] == CREDIT:
                granted = head[9] + head[10]
                assert head[10] <= 2 * 2048
            elif head[1] == DATA:
                assert head[9] + head[5] <= granted


def hostile(draw: random.Random, made: MadeUp) -> bytes:
    edges = [0, 1, 3, 4, 511, 512, 513, 2048, 4096, 2**31, 2**32 - 4, 2**32 - 1]
    known = [step for program in made.programs for step in program.steps if isinstance(step, Send | Receive)]
    step = draw.choice(known)
    payload = draw.randbytes(draw.choice([0, 1, 4, 508, 512])) if draw.random() < 0.7 else b""
    made_frame = frame(
        draw.choice([START, CREDIT, DATA, ACK, PROBE, 0, 7]),
        draw.randrange(3), 7, payload, run=draw.choice([0, 1, 1, 1, 2, 2**32 - 1]), sequence=draw.choice(edges),
        transfer=draw.choice([step.transfer, step.transfer, draw.choice(edges)]), offset=draw.choice(edges),
        total=draw.choice([*edges, 512, 2048, len(payload)]),
    )  # fmt: skip
    if draw.random() < 0.2:
        spoilt = bytearray(made_frame)
        spoilt[draw.randrange(len(spoilt))] ^= 1 << draw.randrange(8)
        made_frame = bytes(spoilt[: draw.choice([len(spoilt), draw.randrange(len(spoilt))])])
    return made_frame


@pytest.mark.parametrize("seed", range(4))
def test_hostile_frames_stay_inside_their_memory(seed: int) -> None:
    """Sound frames with impossible content, under sanitizers: every node ends, and lives."""
    draw = random.Random(seed)
    made = made_up(seed + 50, 3)
    with PlayedNetwork([program.data for program in made.programs]) as network:
        load(network, made)
        begin(network)
        for _ in range(400):
            for node in range(3):
                network.deliver(node, hostile(draw, made), draw.randrange(20))
            network.round()
        finish(network)
        load(network, made)
        begin(network, run=900)
        assert [result and result.status for result in finish(network)] == [OK] * 3
        assert all(right(network, made, node) for node in range(3))


def test_a_run_without_messages_needs_no_peers() -> None:
    with PlayedNetwork(pair()) as network:
        with pytest.raises(HilError):
            network.links[1].run(2, 0)
        assert network.links[1].run(1, 0).status == OK  # the empty rest of the steps
