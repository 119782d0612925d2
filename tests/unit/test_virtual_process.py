"""The virtual board as a process: its ports, its probe, its owner, its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import hil.virtual
from hil.errors import BoardMissing, LinkLost, LinkTimeout, UsageError
from hil.virtual.probe import LONGEST_REQUEST, Probe
from tests.support.virtual_programs import FLASH, built, elf

LIMIT = 20.0


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("virtual") / "echo.elf"
    path.write_bytes(elf(built("echo")))
    return path


@pytest.fixture
def board(echo: Path) -> Iterator[hil.virtual.VirtualBoard]:
    with hil.virtual.start("rp2040", echo, limit=LIMIT) as started:
        yield started


def plug(board: hil.virtual.VirtualBoard) -> socket.socket:
    host, _, port = board.uart0_url.removeprefix("socket://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=LIMIT)


def exactly(link: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = link.recv(count - len(data))
        assert part, f"closed after {data!r}"
        data += part
    return data


def gone(pid: int) -> bool:
    """Whether process `pid` ends; it may be nobody's child, so it is watched in /proc."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_names() -> None:
    assert {"native", "riscv-virt", "rp2040"} <= set(hil.virtual.names())
    with pytest.raises(UsageError, match="no board is called 'toaster'"):
        hil.virtual.prepare("toaster")


def test_only_the_process_loads_the_emulator(echo: Path) -> None:
    code = (
        "import sys, pathlib, hil.virtual\n"
        f"with hil.virtual.start('rp2040', pathlib.Path({str(echo)!r})): pass\n"
        "assert not any(name.split('.')[0] == 'unicorn' for name in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_echo_and_clock(board: hil.virtual.VirtualBoard) -> None:
    before = board.probe.wait_idle()
    assert before.idle
    with plug(board) as link:
        link.sendall(bytes(range(50)))
        assert exactly(link, 50) == bytes(range(1, 51))
    after = board.probe.wait_idle()
    assert 50 * 10850 <= after.cycles - before.cycles <= 50 * 10850 + 1000
    assert after.nanoseconds - before.nanoseconds == 8 * (after.cycles - before.cycles)
    assert after.instructions[0] > before.instructions[0]
    assert after.instructions[1] == before.instructions[1]
    assert board.probe.clock() == after


def test_the_same_bytes_take_the_same_cycles_in_every_process(echo: Path) -> None:
    def run() -> list[hil.virtual.Clock]:
        clocks = []
        with hil.virtual.start("rp2040", echo, limit=LIMIT) as board, plug(board) as link:
            clocks.append(board.probe.wait_idle())
            for size in (1, 500, 20):
                link.sendall(bytes(size))
                exactly(link, size)
                clocks.append(board.probe.wait_idle())
        return clocks

    assert run() == run()


def test_a_cable_can_be_plugged_again(board: hil.virtual.VirtualBoard) -> None:
    for text in (b"abc", b"xyz"):
        with plug(board) as link:
            link.sendall(text)
            assert exactly(link, 3) == bytes(byte + 1 for byte in text)


def test_a_board_that_is_never_idle_sends_and_receives(tmp_path: Path) -> None:
    path = tmp_path / "busy.elf"
    path.write_bytes(elf(built("busy")))
    with hil.virtual.start("rp2040", path, limit=LIMIT) as board, plug(board) as link:
        assert exactly(link, 1) == b"."
        link.sendall(b"hello")
        said = b""
        while said.replace(b".", b"") != b"hello":
            said += exactly(link, 1)
            assert len(said) < 1000
        assert not board.probe.clock().idle
        with pytest.raises(LinkTimeout):
            Probe(*board.probe.address, limit=0.3).wait_idle()


def test_bytes_sent_with_nobody_connected_are_lost(board: hil.virtual.VirtualBoard) -> None:
    link = plug(board)
    link.sendall(b"abc")
    link.close()
    board.probe.wait_idle()
    with plug(board) as again:
        again.sendall(b"z")
        assert exactly(again, 1) == b"{"


def test_one_client_at_a_time(board: hil.virtual.VirtualBoard) -> None:
    with plug(board) as first:
        first.sendall(b"a")
        assert exactly(first, 1) == b"b"
        with plug(board) as second:
            assert second.recv(1) == b""
        first.sendall(b"b")
        assert exactly(first, 1) == b"c"


def test_probe_reads_and_resets(board: hil.virtual.VirtualBoard) -> None:
    first = board.probe.wait_idle()
    assert board.probe.read(FLASH + 0x100, 4) == (0x2004_0800).to_bytes(4, "little")
    with pytest.raises(UsageError, match="not all ROM, flash or RAM"):
        board.probe.read(0x4000_0000, 4)
    with plug(board) as link:
        link.sendall(b"a")
        exactly(link, 1)
        board.probe.reset()
        assert board.probe.wait_idle() == first
        link.sendall(b"b")
        assert exactly(link, 1) == b"c"


@pytest.mark.parametrize(
    "request_line",
    [
        b"",
        b"hello",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{}",
        b'{"op": "reset all"}',
        b'{"op": "read"}',
        b'{"op": "read", "address": "0", "length": 1}',
        b'{"op": "read", "address": 0, "length": -1}',
        b'{"op": "read", "address": -4, "length": 4}',
        b'{"op": "read", "address": 0, "length": 99999999999999999999}',
        b"[" * 4000,
    ],
)
def test_probe_answers_a_bad_request(board: hil.virtual.VirtualBoard, request_line: bytes) -> None:
    with raw_probe(board) as link:
        link.sendall(request_line + b'\n{"op": "clock"}\n')
        lines = link.makefile("rb")
        assert "error" in json.loads(lines.readline())
        assert "cycles" in json.loads(lines.readline())


def test_probe_bounds_a_request(board: hil.virtual.VirtualBoard) -> None:
    with raw_probe(board) as link:
        link.sendall(b"x" * (2 * LONGEST_REQUEST))
        with link.makefile("rb") as lines:
            assert "error" in json.loads(lines.readline())
    board.probe.clock()


def raw_probe(board: hil.virtual.VirtualBoard) -> socket.socket:
    return socket.create_connection(board.probe.address, timeout=LIMIT)


def test_stop_ends_the_process(board: hil.virtual.VirtualBoard) -> None:
    board.stop()
    assert not board.alive
    board.stop()


def test_killing_it_is_unplugging_it(board: hil.virtual.VirtualBoard) -> None:
    with plug(board) as link:
        os.kill(board.pid, signal.SIGKILL)
        with contextlib.suppress(ConnectionResetError):  # the other way in which a socket says the same
            assert link.recv(1) == b""
    with pytest.raises(LinkLost):
        board.probe.clock()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(board: hil.virtual.VirtualBoard, number: int) -> None:
    os.kill(board.pid, number)
    assert gone(board.pid)


@pytest.mark.parametrize("program", ["echo", "work"], ids=["waiting", "computing"])
def test_it_never_outlives_its_owner(tmp_path: Path, program: str) -> None:
    path = tmp_path / "program.elf"
    path.write_bytes(elf(built(program)))
    code = (
        "import pathlib, time, hil.virtual\n"
        f"board = hil.virtual.start('rp2040', pathlib.Path({str(path)!r}))\n"
        "print(board.pid, flush=True)\n"
        "time.sleep(100)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        pid = int(owner.stdout.readline())
        owner.kill()
        owner.wait(timeout=LIMIT)
    assert gone(pid)


def test_diagnostics_name_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "blank.elf"
    path.write_bytes(elf(b"\xff" * 1024))
    with hil.virtual.start("rp2040", path, limit=LIMIT) as board:
        board.probe.wait_idle()
        deadline = time.monotonic() + LIMIT
        while "BOOTSEL" not in board.diagnostics() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "BOOTSEL" in board.diagnostics()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "cannot be read"),
        (b"MZ", "not a 32-bit"),
        (elf(b""), "nothing to load"),
        (elf(b"1234", 0x2000_0000), "not in flash"),
        (elf(b"1234", FLASH + 0x20_0000 - 2), "not in flash"),
    ],
    ids=["missing", "not an ELF", "empty", "in RAM", "past the end"],
)
def test_what_cannot_start_says_why(tmp_path: Path, data: bytes | None, why: str) -> None:
    path = tmp_path / "x.elf"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BoardMissing, match=why):
        hil.virtual.start("rp2040", path, limit=LIMIT)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exec sleep 100", "not ready in 0.3 s"),
        ("echo hello; exec sleep 100", "greeted with b'hello"),
        ('echo \'{"schema": "hil.virtual/1", "uart0": "x", "probe": 1}\'; exec sleep 100', "greeted with"),
        ("head -c 100000 /dev/zero; exec sleep 100", "not ready"),
        ("echo oops >&2; exit 7", "status 7; it said:\noops"),
    ],
    ids=["silence", "another greeting", "no port", "no end", "its end"],
)
def test_a_process_that_is_no_board_is_missing(
    tmp_path: Path, echo: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    hil.virtual.prepare("rp2040")  # with the real Python
    monkeypatch.setattr(hil.virtual, "prepare", lambda board: None)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(BoardMissing, match=why):
        hil.virtual.start("rp2040", echo, limit=0.3 if "sleep" in script else LIMIT)


def test_a_probe_that_does_not_answer_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        probe = Probe(host, port, limit=0.2)
        with pytest.raises(LinkTimeout, match="no answer to clock"):
            probe.clock()
        with pytest.raises(LinkLost):
            probe.clock()
    with pytest.raises(LinkLost):
        Probe(host, port, limit=0.2)


@pytest.mark.parametrize("answer", [b"?\n", b"[]\n", b'{"cycles": 1}\n', b'{"cycles": "x", "insns": 3}\n', b"{"])
def test_a_probe_that_talks_nonsense_is_an_error(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        probe = Probe(host, port, limit=LIMIT)
        link, _ = listener.accept()
        with link:
            link.sendall(answer)
            link.shutdown(socket.SHUT_WR)
            with pytest.raises(LinkLost):
                probe.clock()
