"""`hil lab`, and what `hil boards` says of a lab."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from hil import cli
from hil.bench import discover
from hil.bench.ports import UsbPort
from hil.bench.state import State

LAB = """
schema = 1
state = "{state}"
[board.a]
kind = "rp2040"
port = "loop://"
[board.b]
kind = "rp2040"
port = "{state}/absent"
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    path = tmp_path / "lab.toml"
    path.write_text(LAB.format(state=tmp_path / "state"))
    return path


def run(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    status = cli.main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize("words", [["lab"], ["lab", "suggest"], ["lab", "check"], ["lab", "release"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([*words, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: hil {' '.join(words)} ")


def test_boards_shows_where_who_and_how_it_is(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = State(lab.parent / "state")
    handle = state.try_lease("port loop://", "rp2040")
    assert handle is not None
    state.set_aside(f"port {lab.parent}/state/absent", "b", "flash: nothing", "x")
    status, out, err = run(capsys, "boards", "--bench", lab, "--json", "-")
    os.close(handle)
    assert (status, err) == (0, "")
    found = next(board for board in json.loads(out)["boards"] if board["name"] == "rp2040")["reachable"]
    a, b, virtual = found
    assert (a["bench"], a["where"], a["health"]) == ("hardware", "a at port loop://", "well")
    assert f"process {os.getpid()}" in a["held_by"]
    assert b["held_by"] is None
    assert b["health"] == "set aside (flash: nothing): hil lab release b"
    assert virtual["bench"] == "virtual"
    status, out, _ = run(capsys, "boards", "--bench", lab, "--require-hardware", "--json", "-")
    assert not any(place["bench"] == "virtual" for board in json.loads(out)["boards"] for place in board["reachable"])


def test_check_says_what_is_there(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    status, out, err = run(capsys, "lab", "check", "--bench", lab, "--json", "-")
    assert (status, err) == (4, "")
    a, b = json.loads(out)["boards"]
    assert (a["name"], a["port"], a["problem"]) == ("a", "loop://", "")
    assert "there is no port" in b["problem"]
    assert "2 boards, 1 well and there" in run(capsys, "lab", "check", "--bench", lab)[1]


def test_release(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    State(lab.parent / "state").set_aside("port loop://", "a", "flash: nothing", "x")
    assert run(capsys, "lab", "release", "a", "b", "--bench", lab)[1] == "a: released\nb: was not set aside\n"
    status, _, err = run(capsys, "lab", "release", "c", "--bench", lab)
    assert status == 2
    assert "has no board 'c'; it has: a, b" in err


def test_without_a_lab_file(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hil.bench.choose.SYSTEM", Path("/absent"))
    status, _, err = run(capsys, "lab", "check")
    assert status == 2
    assert "hil lab suggest > ~/.config/hil/lab.toml" in err


def test_what_suggest_prints_is_a_lab_file(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """However narrow the terminal is."""
    monkeypatch.setenv("COLUMNS", "40")
    port = UsbPort("/dev/ttyACM0", "E" * 60, "1-1:1.0", 0x2E8A, 0x000C, "Debug Probe")
    monkeypatch.setattr(discover, "usb_ports", lambda: (port,))
    monkeypatch.setattr(discover, "ask", lambda _: "rp2040")
    monkeypatch.setattr(discover, "probes", lambda: ())
    monkeypatch.setattr(discover, "drives", lambda: (discover.Drive(Path("/media/x"), "rp2040", "RPI-RP2"),))
    status, out, _ = run(capsys, "lab", "suggest")
    assert status == 0
    (board,) = tomllib.loads(out)["board"].values()
    assert board == {"kind": "rp2040", "serial": "E" * 60}
    assert "# /media/x: a board that waits for a UF2 (RPI-RP2)" in out
