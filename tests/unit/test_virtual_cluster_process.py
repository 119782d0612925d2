"""A virtual cluster as a process: consoles, probes and wires on ports, determinism, faults, and its end."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import hil.virtual
from hil.errors import BoardMissing, LinkLost, UsageError
from hil.link.switch import Counts, Fault
from hil.virtual.clusters import VirtualCluster
from hil.virtual.debugport import HEAD, LENGTH, LINE_RESET, TARGET_SELECT
from hil.virtual.swd import READ
from hil.wire import wire
from tests.support.virtual_programs import FLASH, RESULT, compiled, elf, flashed
from tests.unit.test_virtual_process import exactly, gone, plug

LIMIT = 20.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("cluster")
    for name in ("net_ping", "net_pong"):
        (folder / name).write_bytes(elf(flashed(compiled(name))))
    return [("rp2040", folder / "net_ping"), ("rp2040", folder / "net_pong")]


@pytest.fixture
def cluster(files: list[tuple[str, Path]]) -> Iterator[VirtualCluster]:
    with hil.virtual.start_cluster(files, wire("uart-3M"), limit=LIMIT) as started:
        yield started


def ask(cluster: VirtualCluster, link: socket.socket, size: int) -> hil.virtual.Clock:
    """Let the first board send a frame and wait for it to come back."""
    cluster.boards[0].probe.wait_idle()
    link.sendall(bytes([size]))
    assert exactly(link, 1) == bytes([size + 1])
    return cluster.boards[0].probe.wait_idle()


def tell(cluster: VirtualCluster, link: socket.socket, size: int) -> None:
    """Let the first board send a frame, and see that it does."""
    probe = cluster.boards[0].probe
    before = probe.wait_idle().cycles
    link.sendall(bytes([size]))
    while probe.clock().cycles == before:
        pass


def test_two_boards_exchange_frames(cluster: VirtualCluster) -> None:
    with plug(cluster.boards[0]) as link:
        clock = ask(cluster, link, 100)
    other = cluster.boards[1].probe.clock()
    assert clock.idle
    assert other.idle
    assert abs(clock.nanoseconds - other.nanoseconds) < 1000
    assert cluster.boards[1].probe.read(RESULT, 8) == (1).to_bytes(4, "little") + (136).to_bytes(4, "little")
    assert cluster.wires.counts() == (Counts(1, 136, 1, 136), Counts(1, 136, 1, 136))
    assert len({board.pid for board in cluster.boards}) == 1


def test_the_same_requests_take_the_same_cycles_in_every_process(files: list[tuple[str, Path]]) -> None:
    def run() -> list[object]:
        seen: list[object] = []
        with hil.virtual.start_cluster(files, wire("uart-3M"), limit=LIMIT) as cluster:
            cluster.wires.fault(Fault("delay", node=0, probability=0.5, seed=4, microseconds=111))
            with plug(cluster.boards[0]) as link:
                for size in (1, 90, 7, 199):
                    seen.append(ask(cluster, link, size))
                    seen.append(cluster.boards[1].probe.clock())
        return seen

    assert run() == run()


def test_after_a_power_cycle_the_cluster_is_as_when_it_was_started(cluster: VirtualCluster) -> None:
    def run() -> list[object]:
        with plug(cluster.boards[0]) as link:
            seen: list[object] = [ask(cluster, link, size) for size in (1, 90, 7)]
        return [*seen, cluster.boards[1].probe.clock(), cluster.wires.counts()]

    first = run()
    cluster.boards[1].probe.halt()
    cluster.power_cycle()
    assert cluster.wires.counts() == (Counts(), Counts())
    assert run() == first


def eventually_refused(host: str, port: int) -> None:
    """An unplugged board's port closes when its process comes to it."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            socket.create_connection((host, port), timeout=LIMIT).close()
        except ConnectionRefusedError:
            return
        assert time.monotonic() < deadline, "its port is still open"
        time.sleep(0.01)


def test_boards_of_a_cluster_have_debug_ports_and_may_begin_erased(files: list[tuple[str, Path]]) -> None:
    boards: list[tuple[str, Path | None]] = [("rp2040", None), *files[1:]]
    with hil.virtual.start_cluster(boards, wire("uart-3M"), limit=LIMIT) as cluster:
        assert [board.probe.read(FLASH, 4) == b"\xff" * 4 for board in cluster.boards] == [True, False]
        assert len({board.debug_port for board in cluster.boards} - {None}) == 2
        message = HEAD.pack(LINE_RESET, 1) + bytes(4) + HEAD.pack(TARGET_SELECT, 1) + struct.pack("<I", 0x0100_2927)
        for board in cluster.boards:
            assert board.debug_port is not None
            host, _, port = board.debug_port.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=LIMIT) as link:
                link.sendall(LENGTH.pack(len(message) + 4) + message + HEAD.pack(READ, 1))
                assert struct.unpack("<2I", exactly(link, 16)[-8:]) == (3, 0x0BC1_2477)
        cluster.boards[1].stop()
        eventually_refused(host, int(port))


def test_faults_are_installed_and_cleared(cluster: VirtualCluster) -> None:
    cluster.wires.fault(Fault("drop", node=1))
    with plug(cluster.boards[0]) as link:
        tell(cluster, link, 16)
        cluster.boards[0].probe.wait_idle()
        assert cluster.wires.counts()[1].dropped == 1
        cluster.wires.clear()
        cluster.boards[0].probe.reset()
        ask(cluster, link, 16)
    with pytest.raises(UsageError, match="there is no node 7"):
        cluster.wires.fault(Fault("drop", node=7))


def test_halt_and_reset(cluster: VirtualCluster) -> None:
    far = cluster.boards[1].probe
    before = far.wait_idle()
    far.halt()
    with plug(cluster.boards[0]) as link:
        tell(cluster, link, 16)
        cluster.boards[0].probe.wait_idle()
        assert far.clock().cycles == before.cycles
        for board in cluster.boards:
            board.probe.reset()
            assert board.alive
        ask(cluster, link, 16)


def test_what_is_planned_happens_at_its_moment(files: list[tuple[str, Path]]) -> None:
    """The first board stands in the middle of a frame; the second's clock has lost two thirds since it became slow."""

    def run() -> tuple[hil.virtual.Clock, ...]:
        with hil.virtual.start_cluster(files, wire("uart-3M"), limit=LIMIT) as cluster:
            first = cluster.boards[0].probe
            began = first.wait_idle()
            first.halt(after=600)
            cluster.boards[1].probe.slow(3, after=100)
            with plug(cluster.boards[0]) as link:
                tell(cluster, link, 192)
                return began, first.wait_idle(), cluster.boards[1].probe.clock()

    once = run()
    assert once == run()
    began, halted, slow = (clock.nanoseconds for clock in once)
    assert halted - began == pytest.approx(600_000, abs=200)
    assert slow - began == pytest.approx(100_000 + 500_000 / 3, abs=400)


def test_what_was_planned_can_be_forgotten(cluster: VirtualCluster) -> None:
    cluster.boards[0].probe.halt(after=600)
    cluster.wires.clear()
    with plug(cluster.boards[0]) as link:
        ask(cluster, link, 100)


def test_unplugging_one_board_leaves_the_others(cluster: VirtualCluster) -> None:
    first, second = cluster.boards
    with plug(second) as link:
        second.probe.unplug()
        assert link.recv(1) == b""
    assert not second.alive
    assert first.alive
    with pytest.raises(LinkLost):
        second.probe.clock()
    with pytest.raises(OSError, match=r"refused|reset"):
        plug(second)
    first.stop()
    assert not first.alive
    cluster.wires.clear()


def test_a_moment_far_away_leaves_a_board_alone(cluster: VirtualCluster) -> None:
    cluster.boards[1].probe.unplug(after=1e9)
    with plug(cluster.boards[0]) as link:
        ask(cluster, link, 16)
    assert cluster.boards[1].alive


@pytest.mark.parametrize(
    "request_",
    [
        {"op": "slow"},
        {"op": "slow", "factor": 0},
        {"op": "slow", "factor": "x"},
        {"op": "halt", "after": -1},
        {"op": "halt", "after": "soon"},
        {"op": "fly"},
        [],
        None,
    ],
    ids=repr,
)
def test_other_requests_are_refused(cluster: VirtualCluster, request_: object) -> None:
    with socket.create_connection(cluster.boards[0].probe.address, timeout=LIMIT) as raw, raw.makefile("rwb") as lines:
        lines.write(json.dumps(request_).encode() + b"\n")
        lines.flush()
        assert "error" in json.loads(lines.readline())


def test_stop_ends_the_process(files: list[tuple[str, Path]]) -> None:
    cluster = hil.virtual.start_cluster(files, wire("uart-3M"), limit=LIMIT)
    cluster.stop()
    assert not any(board.alive for board in cluster.boards)
    assert gone(cluster.boards[0].pid)
    cluster.stop()


def test_it_never_outlives_its_owner(files: list[tuple[str, Path]]) -> None:
    code = (
        "import pathlib, time, hil.virtual, hil.wire\n"
        f"nodes = [('rp2040', pathlib.Path({str(files[0][1])!r}))] * 2\n"
        "print(hil.virtual.start_cluster(nodes, hil.wire.wire('uart-3M')).boards[0].pid, flush=True)\n"
        "time.sleep(100)"
    )
    owner = subprocess.Popen([sys.executable, "-c", f"cluster = None\n{code}"], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        pid = int(owner.stdout.readline())
        owner.kill()
        owner.wait(timeout=LIMIT)
    assert gone(pid)


def test_what_cannot_share_a_network_is_refused(files: list[tuple[str, Path]]) -> None:
    pico = files[0]
    with pytest.raises(UsageError, match=r"riscv-virt has no network port 'uart'.*none at all"):
        hil.virtual.start_cluster([pico, ("riscv-virt", pico[1])], wire("uart-3M"))
    with pytest.raises(UsageError, match="native has no network port 'uart'"):
        hil.virtual.start_cluster([pico, ("native", pico[1])], wire("uart-3M"))
    with pytest.raises(UsageError, match="rp2040 has no network port 'udp'"):
        hil.virtual.start_cluster([pico, ("native", pico[1])], wire("loopback"))
    with pytest.raises(UsageError, match="without boards"):
        hil.virtual.start_cluster([], wire("uart-3M"))


def test_what_cannot_start_says_why(files: list[tuple[str, Path]], tmp_path: Path) -> None:
    bad = tmp_path / "bad.elf"
    bad.write_bytes(elf(b"1234", FLASH - 8))
    with pytest.raises(BoardMissing, match="not in flash"):
        hil.virtual.start_cluster([files[0], ("rp2040", bad)], wire("uart-3M"), limit=LIMIT)
