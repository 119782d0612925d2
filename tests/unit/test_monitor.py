"""`hil monitor`: whatever comes over a console is shown as harmless lines; nothing is sent, and the board is held."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil import cli
from hil.bench.state import State
from hil.link.framing import Frame
from hil.link.messages import ANSWER, Kind
from hil.link.monitor import Lines
from hil.paths import state_root

SENT = b"boot: \x1b[31mstarting\r\n" + Frame(Kind.LOG, 3, b"ready").encode() + b"\xff\xfe noise"


@contextmanager
def console(*parts: bytes, stay: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """A port that says this to whom it is opened; its URL, and what was sent to it."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                for part in parts:
                    link.sendall(part)
                if stay:
                    heard.append(link.recv(100))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}", heard
        thread.join(30)


def test_lines_and_frames_are_shown_and_the_end_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with console(SENT) as (url, _):
        assert cli.main(["monitor", url]) == 4
    out, err = capsys.readouterr()
    assert [line[11:] for line in out.splitlines()] == [
        "boot: \N{REPLACEMENT CHARACTER}[31mstarting", "frame: LOG, sequence 3, ready", "\\xff\\xfe noise",
    ]  # fmt: skip
    assert "the other end closed the connection" in err


def test_nothing_is_sent_and_json_is_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with console(b"one\n", b"two\n", stay=True) as (url, heard):
        assert cli.main(["monitor", url, "--seconds", "1", "--board", "rp2040", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["schema"], record["port"]) == ("hil.monitor/1", url)
    assert [line["text"] for line in record["lines"]] == ["one", "two"]
    assert heard == [b""]


def test_a_port_that_somebody_holds_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    url = "socket://127.0.0.1:9"
    handle = State(state_root()).try_lease(f"port {url}", "rp2040")
    assert handle is not None
    try:
        assert cli.main(["monitor", url]) == 4
    finally:
        os.close(handle)
    assert f"process {os.getpid()}" in capsys.readouterr().err


def test_what_is_no_port_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text('schema = 1\n[board.pico-a]\nkind = "rp2040"\nserial = "A"\n')
    assert cli.main(["monitor", "pico-b", "--bench", str(lab)]) == 2
    assert "there are: pico-a" in capsys.readouterr().err
    assert cli.main(["monitor", "pico-a", "--bench", str(lab)]) == 4
    assert "no port carries serial A" in capsys.readouterr().err


def test_frames_say_what_they_are() -> None:
    lines = Lines()
    answer = Frame(Kind.HELLO | ANSWER, 7, bytes(range(40)), status=2).encode()
    (line,) = lines.feed(answer[:10]) + lines.feed(answer[10:])
    assert line.startswith("frame: answer to HELLO, sequence 7, status 2, 40 bytes: 00 01 02")
    assert line.endswith(" ...")
    assert lines.feed(Frame(0x3F, 1, b"").encode()) == ["frame: kind 0x3f, sequence 1, 0 bytes"]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_any_bytes_become_lines_of_bounded_length(parts: list[bytes]) -> None:
    lines = Lines()
    found = [line for part in parts for line in lines.feed(part)] + lines.rest()
    assert all(0 < len(line) < 4 * 5000 for line in found)
    assert all("\n" not in line for line in found)
    assert lines.rest() == []
