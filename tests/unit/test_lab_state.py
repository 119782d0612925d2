"""Leases and quarantines: one user of a board at a time, whatever becomes of its process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hil.bench.state import State
from hil.errors import BoardBusy, StateFailed
from hil.paths import state_root

HOLD = """
import sys
from pathlib import Path
from hil.bench.state import State
assert State(Path(sys.argv[1])).try_lease(sys.argv[2], "rp2040") is not None
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


def holding(state: State, board: str) -> subprocess.Popen[bytes]:
    """Another process that holds a board's lease until its standard input ends."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state.folder), board], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    return other


def test_one_at_a_time(state: State) -> None:
    first = state.try_lease("serial 1", "rp2040")
    assert first is not None
    assert state.try_lease("serial 1", "rp2040") is None
    other = state.try_lease("serial 2", "rp2040")
    assert other is not None
    owner = state.holder("serial 1")
    assert owner is not None
    assert (owner.pid, owner.kind) == (os.getpid(), "rp2040")
    os.close(first)
    os.close(other)
    assert state.holder("serial 1") is None
    assert state.holder("serial 3") is None, "nobody ever did"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None])
def test_a_lease_ends_with_its_owner(end: signal.Signals | None, state: State) -> None:
    with holding(state, "serial 1") as other:
        owner = state.holder("serial 1")
        assert owner is not None
        assert owner.pid == other.pid
        assert f"process {other.pid}, since " in str(owner)
        assert state.try_lease("serial 1", "rp2040") is None
        if end is not None:
            other.send_signal(end)
        elif other.stdin is not None:
            other.stdin.close()
        other.wait(timeout=10)
        handle = state.try_lease("serial 1", "rp2040")
        assert handle is not None
        os.close(handle)


def test_waiting_has_a_limit_and_says_who_holds_it(state: State) -> None:
    said: list[str] = []
    with holding(state, "serial 1") as other:
        with (
            pytest.raises(BoardBusy) as caught,
            state.leased(lambda: ["serial 1"], 0.2, kind="rp2040", what="a rp2040", say=said.append),
        ):
            raise AssertionError("it is held")
        assert f"process {other.pid}" in caught.value.message
        assert caught.value.message.startswith("a rp2040: waited 0.2 s; held by ")
        assert f"process {other.pid}" in said[0]
        assert said[0].startswith("waiting for a rp2040, held by ")
        other.kill()


def test_who_waits_gets_it_when_it_is_free(state: State) -> None:
    held = state.try_lease("serial 1", "rp2040")
    assert held is not None
    waiting = threading.Event()
    got: list[str] = []

    def wait() -> None:
        with state.leased(lambda: ["serial 1"], 30, kind="rp2040", what="it", say=lambda _: waiting.set()) as found:
            got.append(found)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(10)
    assert not got
    os.close(held)
    thread.join(10)
    assert got == ["serial 1"]


def test_the_next_free_board_of_several(state: State) -> None:
    boards: Callable[[], list[str]] = lambda: ["a", "b"]  # noqa: E731
    with state.leased(boards, 0, kind="k", what="it", say=print) as first:
        with state.leased(boards, 0, kind="k", what="it", say=print) as second:
            assert (first, second) == ("a", "b")
            with pytest.raises(BoardBusy), state.leased(boards, 0, kind="k", what="it", say=print):
                raise AssertionError("there is no third")
        with state.leased(boards, 0, kind="k", what="it", say=print) as again:
            assert again == "b"


def test_a_lease_that_is_being_written_is_still_a_lease(state: State) -> None:
    handle = state.try_lease("serial 1", "rp2040")
    assert handle is not None
    os.ftruncate(handle, 0)
    assert "somebody" in str(state.holder("serial 1"))
    os.pwrite(handle, b'{"pid": "x"}', 0)
    assert "somebody" in str(state.holder("serial 1"))
    os.close(handle)


def test_quarantine_lasts_until_release(state: State) -> None:
    state.set_aside("serial 1", "pico-a", "flash: nothing", "b" * 32)
    again = State(state.folder)
    found = again.quarantined("serial 1")
    assert found is not None
    assert (found.board, found.reason) == ("pico-a", "flash: nothing")
    assert again.quarantined("serial 2") is None
    assert again.quarantined_with("b" * 32) == found
    assert again.quarantined_with("c" * 32) is None
    assert again.release("serial 1")
    assert state.quarantined("serial 1") is None
    assert not again.release("serial 1"), "it is not there any more"


def test_a_damaged_quarantine_is_one(state: State) -> None:
    state.set_aside("serial 1", "pico-a", "why", "b")
    (path,) = (state.folder / "quarantine").iterdir()
    path.write_bytes(b"\0")
    found = state.quarantined("serial 1")
    assert found is not None
    assert found.reason == "its record is damaged"
    assert state.release("serial 1")


@pytest.mark.parametrize(("number", "hint"), [(errno.ENOSPC, "df -h "), (errno.EACCES, "set HIL_STATE_DIR, or state")])
def test_a_full_or_forbidden_folder_says_so(
    number: int, hint: str, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(StateFailed, match=os.strerror(number)) as caught:
        state.try_lease("serial 1", "rp2040")
    assert str(caught.value.hint).startswith(hint)
    monkeypatch.undo()
    handle = state.try_lease("serial 1", "rp2040")
    assert handle is not None, "a lease that could not be written down is not held"
    os.close(handle)
    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(StateFailed, match=os.strerror(number)):
        state.set_aside("serial 1", "pico-a", "why", "b")
    assert state.quarantined("serial 1") is None


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o700])
def test_whoever_may_write_in_the_folder_may_take_boards(mode: int, state: State) -> None:
    """Files that another user has made would stop a second one, who shares the bench."""
    state.folder.mkdir()
    state.folder.chmod(mode)
    handle = state.try_lease("serial 1", "rp2040")
    assert handle is not None
    os.close(handle)
    state.set_aside("serial 1", "a", "why", "b")
    made = list(state.folder.rglob("*"))
    assert len(made) == 4
    assert all(path.stat().st_mode & 0o777 == (mode if path.is_dir() else mode & 0o666) for path in made)


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path))
    assert state_root() == tmp_path
    monkeypatch.delenv("HIL_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_root() == tmp_path / "hil"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_root() == tmp_path / ".local" / "state" / "hil"
