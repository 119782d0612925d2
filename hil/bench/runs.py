"""The names under which runs of this machine hold boards elsewhere, and which of those runs are dead.

A coordinator keeps a board for whoever took it, for ever. So every run has a name of its own, and a record of it in the
state folder that is locked as long as a process of the run lives: the kernel tells who is dead, whatever ended it, and
nobody else's name has a record here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hil.bench.state import State, user

_FOLDER = "runs"


class Run:
    """This process's name for a coordinator. `handle`: what keeps the record locked, for a child to inherit."""

    def __init__(self, state: State, coordinator: str) -> None:
        self.host = _plain(socket.gethostname())
        self.user = f"{_plain(user())}.hil-{os.getpid()}-{secrets.token_hex(4)}"
        self._path = state.folder_of(_FOLDER) / f"{self.user}@{self.host}"
        self.handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        os.pwrite(self.handle, coordinator.encode(), 0)

    @property
    def name(self) -> str:
        """What the coordinator knows it by."""
        return f"{self.host}/{self.user}"

    def end(self) -> None:
        """Everything is given back; forget the name."""
        self._path.unlink(missing_ok=True)
        self.let_go()

    def let_go(self) -> None:
        """Leave the record to whoever cleans up, once nobody has it locked any more."""
        with contextlib.suppress(OSError):
            os.close(self.handle)


@contextmanager
def dead_runs(state: State, coordinator: str) -> Iterator[tuple[str, ...]]:
    """The names of runs of this user on this machine that held boards of a coordinator and are dead.

    On exit without an error they are forgotten: by then nothing may be held in their names. Nobody else is given them
    meanwhile.
    """
    host = _plain(socket.gethostname())
    found: list[tuple[Path, int, str]] = []
    try:
        for path in sorted(state.folder_of(_FOLDER).glob("*")):
            name, _, where = path.name.rpartition("@")
            if where != host or ".hil-" not in name or (handle := _locked(path)) is None:
                continue
            if os.pread(handle, 300, 0) == coordinator.encode():
                found.append((path, handle, f"{host}/{name}"))
            else:
                os.close(handle)
        yield tuple(name for _, _, name in found)
        for path, _, _ in found:
            path.unlink(missing_ok=True)
    finally:
        for _, handle, _ in found:
            os.close(handle)


def _plain(text: str) -> str:
    """A name without what means something to labgrid or to file systems."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", text)[:60] or "x"


def _locked(path: Path) -> int | None:
    """The record, locked, if it is a dead run's that nobody else cleans up after."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
