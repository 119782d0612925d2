"""Nodes on their networks, whole: firmware, ports, wires or sockets, and the host's links."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from hil import board as boards
from hil.image.build import build
from hil.link import Link, RunResult
from hil.link.hub import UdpHub
from hil.link.switch import Fault, Switch
from hil.plan.kernels import Transfer
from hil.plan.program import Receive, Send, Span, encode
from hil.plan.records import Arena
from hil.virtual import start_cluster
from hil.virtual.clusters import VirtualCluster
from hil.wire import wire

SIZE = 5000
PATIENCE = 400_000


def everybody_to_all(node: int, nodes: int) -> bytes:
    """Block i of the arena goes from node i to all others."""
    records = [Transfer(Arena(i * SIZE), SIZE, SIZE, 1, 1, 0) for i in range(nodes)]
    others = (1 << nodes) - 1 & ~(1 << node)
    steps = [Send(i, 0, 1, i, others) if i == node else Receive(i, 0, 1, i, i) for i in range(nodes)]
    spans = [Span(0, nodes * SIZE)]
    return encode(
        records, steps, spans, spans, arena_bytes=nodes * SIZE + 12, node=node, nodes=nodes, trace_at=nodes * SIZE
    ).data


def images(names: Sequence[str], network: str) -> list[Path]:
    count = len(names)
    return [
        build(boards.load(name), everybody_to_all(node, count), network=wire(network), nodes=count).elf
        for node, name in enumerate(names)
    ]


def run(links: Sequence[Link], number: int) -> list[RunResult]:
    """Give each node its block, run, and see that all have all of them if they say so."""
    draw = random.Random(number)
    blocks = [draw.randbytes(SIZE) for _ in links]
    for node, link in enumerate(links):
        link.write(0, bytes(len(links) * SIZE))
        link.write(node * SIZE, blocks[node])
    for link in [*links[1:], links[0]]:
        link.begin_run(run=number, patience_us=PATIENCE)
    results = [link.end_run() for link in links]
    for link, result in zip(links, results, strict=True):
        if result.status == 0:
            assert link.read(0, len(links) * SIZE) == b"".join(blocks)
    return results


@contextmanager
def cluster(names: Sequence[str], network: str) -> Iterator[tuple[VirtualCluster, list[Link]]]:
    with ExitStack() as stack:
        found = stack.enter_context(start_cluster(list(zip(names, images(names, network), strict=True)), wire(network)))
        yield found, [stack.enter_context(Link.open(board.uart0_url)) for board in found.boards]


@pytest.mark.parametrize(
    ("names", "network", "most_ms"),
    [(["rp2040"] * 2, "uart-3M", 22), (["rp2350", "rp2040", "rp2040"], "uart-3M", 42), (["rp2040"] * 2, "spi-20M", 7)],
)
def test_boards_exchange_at_nearly_the_lines_rate_and_always_in_the_same_time(
    names: list[str], network: str, most_ms: float
) -> None:
    times = []
    for _ in range(2):
        with cluster(names, network) as (_, links):
            results = run(links, 1)
        assert [result.status for result in results] == [0] * len(names)
        times.append([(result.us, result.cycles) for result in results])
    assert times[0] == times[1]
    line_ms = (len(names) - 1) * SIZE * wire(network).byte_us / 1000
    assert all(line_ms < us / 1000 < most_ms for us, _ in times[0])


def test_faults_on_the_wire_cost_time_and_nothing_else() -> None:
    with cluster(["rp2040", "rp2040"], "uart-3M") as (found, links):
        good = run(links, 1)
        for fault in (Fault("drop", probability=0.1, seed=3), Fault("damage", probability=0.1, seed=4),
                      Fault("double", probability=0.1, seed=5), Fault("reorder", probability=0.1, seed=6)):  # fmt: skip
            found.wires.fault(fault)
        bad = run(links, 2)
        assert [result.status for result in bad] == [0, 0]
        assert bad[0].us > good[0].us + 10_000
        found.wires.clear()
        assert run(links, 3)[0].us < good[0].us + 100


def test_a_board_that_hangs_is_named_within_the_patience() -> None:
    with cluster(["rp2040", "rp2040"], "uart-3M") as (found, links):
        for link in links:
            link.hello()
        links[1].begin_run(run=1, patience_us=PATIENCE)
        found.boards[1].probe.halt()
        links[0].begin_run(run=1, patience_us=PATIENCE)
        result = links[0].end_run()
        assert (result.status, result.peer) == (14, 1)
        assert PATIENCE <= result.us < PATIENCE + 5_000


@contextmanager
def processes(count: int) -> Iterator[tuple[UdpHub, list[Link]]]:
    """Nodes that are processes of this machine, on real sockets."""
    with ExitStack() as stack:
        hub = stack.enter_context(UdpHub(Switch(count)))
        links = []
        for elf in images(["native"] * count, "loopback"):
            process = stack.enter_context(
                subprocess.Popen(
                    [elf], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "HIL_NETWORK": hub.address}
                )
            )
            assert process.stdin
            assert process.stdout
            stack.callback(process.kill)
            port = json.loads(process.stdout.readline())["uart0"]
            links.append(stack.enter_context(Link.open(f"socket://127.0.0.1:{port}")))
        yield hub, links


def test_processes_exchange_datagrams_also_when_some_are_lost() -> None:
    with processes(3) as (hub, links):
        assert [result.status for result in run(links, 1)] == [0, 0, 0]
        hub.fault(Fault("drop", probability=0.1, seed=3), Fault("double", probability=0.1, seed=5))
        assert [result.status for result in run(links, 2)] == [0, 0, 0]
        assert sum(count.dropped for count in hub.counts()) > 0
        trace = struct.unpack("<3I", links[0].read(3 * SIZE, 12))
        assert 0 <= trace[2] <= trace[1] - trace[0]


def test_a_process_without_a_switch_says_that_it_has_no_network() -> None:
    elf = images(["native"] * 2, "loopback")[0]
    clean = {key: value for key, value in os.environ.items() if key != "HIL_NETWORK"}
    with subprocess.Popen([elf], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean) as process:
        assert process.stdout
        with Link.open(f"socket://127.0.0.1:{json.loads(process.stdout.readline())['uart0']}") as link:
            assert link.hello().load_status == 13
        process.kill()
