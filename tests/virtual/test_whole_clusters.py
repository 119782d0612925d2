"""From the command line to the verdict on clusters of virtual boards, and what happens when a node fails on the way."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil import api
from hil.cluster import Cluster
from hil.errors import NodeFailed, NodeLost, WireFailed
from hil.link.switch import Fault
from hil.model import inputs as input_sets
from hil.paths import ZOO

DIGITS = ZOO / "digits" / "digits.tflite"
DSCNN = ZOO / "dscnn" / "dscnn.tflite"
REQUEST = api.Request("rp2040", nodes=2, inputs=2)


def hil(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hil", *map(str, args)], capture_output=True, text=True, timeout=300, check=False
    )


def test_a_profile_is_right_and_the_same_twice() -> None:
    words = ("profile", DIGITS, "--board", "rp2040", "--nodes", "2", "--json", "-")
    first, second = hil(*words), hil(*words)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == second.stdout
    record = json.loads(first.stdout)
    assert (record["verdict"], record["nodes"], record["link"]) == ("pass", 2, "uart-3M")
    assert record["outputs"]["mismatches"] == 0
    assert abs(record["latency"]["prediction_error"]) < 0.1
    for node in record["per_node"]:
        memory = node["memory"]
        assert 0.9 * memory["ram_predicted"] <= memory["ram_peak"] <= memory["ram_predicted"]
        times = node["latency"]
        assert times["compute"] + times["wait"] + times["wire"] == times["total"]
    assert sum(node["macs"] for node in record["per_node"]) >= record["model"]["macs"]
    assert sum(node["bytes_received"] for node in record["per_node"]) > 0


@pytest.mark.parametrize("board", ["rp2040*2,rp2350", "native*2"])
def test_other_clusters(board: str) -> None:
    done = hil("profile", DSCNN, "--board", board, "--inputs", "1", "--json", "-")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["verdict"], record["outputs"]["mismatches"]) == ("pass", 0)


def test_more_inferences_a_second_than_one_after_the_other() -> None:
    done = hil("profile", DSCNN, "--board", "rp2040*2", "--inputs", "1", "--throughput", "6", "--json", "-")
    record = json.loads(done.stdout)
    assert record["verdict"] == "pass"
    assert record["throughput"]["per_second"] > 1.2e6 / record["latency"]["median"]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with api.running_cluster(api.prepare_cluster(DIGITS, REQUEST)) as running:
        yield running


def test_a_wire_that_is_cut_is_told_and_mended(cluster: Cluster) -> None:
    values = input_sets.generate(cluster.deployment.graph, 1, 0)[0]
    right = cluster.infer(values).outputs[0].tobytes()
    assert cluster.rack.wires is not None
    cluster.rack.wires.fault(Fault("cut", node=1))
    with pytest.raises(WireFailed, match=r"^node \d .*step \d.*nothing came from node"):
        cluster.infer(values)
    cluster.rack.wires.clear()
    assert cluster.usable
    assert cluster.infer(values).outputs[0].tobytes() == right


def test_a_node_that_restarts_is_told_and_goes_on(cluster: Cluster) -> None:
    values = input_sets.generate(cluster.deployment.graph, 1, 0)[0]
    right = cluster.infer(values).outputs[0].tobytes()
    station = cluster.duts[1].station
    with pytest.raises(NodeFailed, match=r"^node 1 .*restarted"):
        cluster.infer(values, armed=lambda: station.reset(4000))  # type: ignore[attr-defined]
    assert cluster.usable
    assert cluster.infer(values).outputs[0].tobytes() == right


def test_a_node_that_is_unplugged_is_told_and_missed(cluster: Cluster) -> None:
    values = input_sets.generate(cluster.deployment.graph, 1, 0)[0]
    station = cluster.duts[1].station
    with pytest.raises(NodeLost, match=r"^node 1 .*vanished"):
        cluster.infer(values, armed=lambda: station.unplug(4000))  # type: ignore[attr-defined]
    assert not cluster.usable


def test_ctrl_c_frees_all_boards() -> None:
    api.prepare_cluster(DSCNN, REQUEST)  # so that the process below goes straight to running
    command = [sys.executable, "-m", "hil", "profile", str(DSCNN), "--board", "rp2040*2", "--repeats", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 120
            while not (boards := _boards(process.pid)):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert said == "hil: interrupted; boards are freed\n"
    assert all(map(_ends, boards))


def _ends(pid: int) -> bool:
    """Whether a process is gone, or goes at once: one that was only being started sees that its owner has gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


def _boards(pid: int) -> list[int]:
    """Processes of virtual boards that `pid` started."""
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    found = []
    for child in map(int, done.stdout.split()):
        line = Path(f"/proc/{child}/cmdline")
        if line.exists() and b"hil.virtual" in line.read_bytes():
            found.append(child)
    return found


def test_one_board_and_several_in_one_run() -> None:
    suite = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "hil.suite", "--board=rp2040"]
    chosen = ["--hil-no-zoo", f"--hil-model={DIGITS}", "--hil-nodes=1,2", "--hil-inputs=1"]
    few = ["-k", "back_to_back or split_out"]
    done = subprocess.run([*suite, *chosen, *few], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
