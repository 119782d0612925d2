"""The server that forks a child for each job: what is one child's is no other's, and nothing outlives its owner."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.flash.warm import MOST, Warm, warm
from hil.paths import ZOO

JOB = "tests.support.warm_job"
LIMIT = 60.0


@pytest.fixture
def server() -> Iterator[Warm]:
    made = Warm(JOB)
    yield made
    made.stop()


def begun(server: Warm, word: str, log: Path) -> tuple[socket.socket, dict[str, Any]]:
    """A job, and its first answer; empty if it ended without one."""
    with log.open("ab") as kept:
        connection = server.job(kept)
    connection.settimeout(LIMIT)
    with contextlib.suppress(BrokenPipeError):  # a server that has an answer for every job does not wait for the word
        connection.sendall(word.encode() + b"\n")
    return connection, answered(connection)


def answered(connection: socket.socket) -> dict[str, Any]:
    with connection.makefile("rb") as lines:
        line = lines.readline()
    return json.loads(line) if line else {}


def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether there is no such process, or only its remains."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_jobs_are_processes_of_their_own_that_share_no_memory(server: Warm, tmp_path: Path) -> None:
    first, a = begun(server, "one", tmp_path / "a")
    second, b = begun(server, "two", tmp_path / "b")
    assert len({a["pid"], b["pid"], server.pid, os.getpid()}) == 4
    assert a["server"] == b["server"] == server.pid
    assert (a["seen"], b["seen"]) == (["one"], ["two"])
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("did one\n", "did two\n")
    first.close()
    eventually(lambda: gone(a["pid"]))
    second.sendall(b"go on\n")
    assert second.recv(1) == b"", "it ended by itself"
    second.close()


def test_a_job_that_hangs_ends_with_its_connection_and_one_that_dies_hangs_up(server: Warm, tmp_path: Path) -> None:
    hung, answer = begun(server, "hang", tmp_path / "log")
    died, nothing = begun(server, "die", tmp_path / "log")
    assert nothing == {}, "seen although the other job was forked while it lived"
    died.close()
    assert not gone(answer["pid"])
    hung.close()
    eventually(lambda: gone(answer["pid"]))


def test_more_jobs_than_children_wait_for_their_turn(server: Warm, tmp_path: Path) -> None:
    running = [begun(server, "hang", tmp_path / "log")[0] for _ in range(MOST)]
    with (tmp_path / "log").open("ab") as kept:
        late = server.job(kept)
    late.sendall(b"late\n")
    late.settimeout(0.3)
    with pytest.raises(TimeoutError):
        late.recv(1)
    running[3].close()
    late.settimeout(LIMIT)
    assert answered(late)["seen"] == ["late"]
    for connection in (*running, late):
        connection.close()


def test_a_server_that_is_killed_takes_its_children_with_it_and_another_is_started(
    server: Warm, tmp_path: Path
) -> None:
    hung, answer = begun(server, "hang", tmp_path / "log")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert hung.recv(1) == b""
    eventually(lambda: gone(answer["pid"]))
    again, other = begun(server, "one", tmp_path / "log")
    assert other["server"] == server.pid != answer["server"]
    for connection in (hung, again):
        connection.close()


def test_a_module_that_cannot_be_loaded_is_every_jobs_answer(tmp_path: Path) -> None:
    server = Warm("hil.flash.absent")
    for _ in range(2):
        _, answer = begun(server, "one", tmp_path / "log")
        assert "hil.flash.absent cannot be loaded" in answer["error"]
        assert answer["again"] is False
    server.stop()
    assert server.pid is None


def test_there_is_one_server_for_a_module() -> None:
    assert warm(JOB) is warm(JOB)
    assert warm(JOB) is not warm("json")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_the_owner_however_it_ends(how: signal.Signals, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from hil.flash.warm import Warm\n"
        "from tests.unit.test_flash_warm import begun\n"
        f"server = Warm({JOB!r})\n"
        f"job, answer = begun(server, 'hang', pathlib.Path({str(tmp_path / 'log')!r}))\n"
        "print(server.pid, answer['pid'], flush=True)\n"
        "job.settimeout(None)\n"
        "job.recv(1)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ZOO.parent
    ) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        try:
            assert len(pids) == 2
            owner.send_signal(how)
            owner.wait(LIMIT)
        finally:
            owner.kill()
    for pid in pids:
        eventually(lambda pid=pid: gone(pid))  # type: ignore[misc]
