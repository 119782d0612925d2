"""What a lab remembers between runs: who holds a board now, and which boards were set aside."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from hil.cache import digest
from hil.errors import BoardBusy, StateFailed

_LOOK = 0.05  # seconds between two looks at boards that others hold
_SAY_AGAIN = 5.0
_LONGEST = 65536
_LONGEST_COMMAND = 200


@dataclass(frozen=True)
class Owner:
    """Who holds a board, of which kind. `since`: seconds since 1970."""

    pid: int
    user: str
    command: str
    since: float
    kind: str

    def __str__(self) -> str:
        when = time.strftime("%H:%M:%S", time.localtime(self.since))
        age = max(0, round(time.time() - self.since))
        return f"{self.user}, process {self.pid}, since {when} ({age} s): {self.command}"


@dataclass(frozen=True)
class Quarantine:
    """Why a board was set aside. `build_id`: the image that it did not come to life with."""

    board: str
    reason: str
    build_id: str
    since: float


class State:
    """The folder with both. Boards are named by their identity, which is the same in every lab file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _file(self, what: str, identity: str) -> Path:
        name = re.sub(r"[^A-Za-z0-9]+", "-", identity)[-60:].strip("-")
        return self.folder / what / f"{name}-{digest(identity)[:8]}"

    def folder_of(self, what: str) -> Path:
        """A folder of its own for something else that is remembered. Raises `StateFailed`."""
        try:
            self._make(self.folder / what)
        except OSError as error:
            self._failed(error)
        return self.folder / what

    # -- leases --------------------------------------------------------------------------------------------------------

    def try_lease(self, identity: str, kind: str) -> int | None:
        """An open file that holds the board's lease, or None if somebody else does. The kernel frees it with us."""
        path = self._file("leases", identity)
        try:
            self._make(path.parent)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            self._failed(error)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(OSError):  # who made it has done so
                os.fchmod(handle, self._mode() & 0o666)
            command = " ".join(map(os.path.basename, sys.argv[:1])) + "".join(f" {word}" for word in sys.argv[1:])
            owner = Owner(os.getpid(), user(), command[:_LONGEST_COMMAND], time.time(), kind)
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(asdict(owner)).encode(), 0)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError as error:
            os.close(handle)
            self._failed(error)
        return handle

    def holder(self, identity: str) -> Owner | None:
        """Who holds the board now; None: nobody."""
        return _held(self._file("leases", identity))

    def lease_name(self, identity: str) -> str:
        """What `leases` calls the lease of a board."""
        return self._file("leases", identity).name

    def leases(self) -> tuple[tuple[str, Owner], ...]:
        """Every lease that is held now, by a name that its board's identity gave it, and who holds it."""
        paths = sorted((self.folder / "leases").glob("*"))
        return tuple((path.name, owner) for path in paths if (owner := _held(path)) is not None)

    @contextmanager
    def leased(
        self,
        identities: Callable[[], Sequence[str]],
        limit: float,
        *,
        kind: str,
        what: str,
        say: Callable[[str], None],
    ) -> Iterator[str]:
        """The first of these boards that is free, ours until exit. `identities` is asked again at each look.

        Raises `BoardBusy` after `limit` seconds, with who holds them.
        """
        began = time.monotonic()
        said = -_SAY_AGAIN
        while True:
            wanted = identities()
            for identity in wanted:
                if (handle := self.try_lease(identity, kind)) is not None:
                    try:
                        yield identity
                    finally:
                        os.close(handle)
                    return
            waited = time.monotonic() - began
            holders = "; ".join(str(self.holder(identity) or "just freed") for identity in wanted)
            if waited >= limit:
                raise BoardBusy(f"{what}: waited {limit:g} s; held by {holders}", hint="hil boards")
            if waited - said >= _SAY_AGAIN:
                said = waited
                say(f"waiting for {what}, held by {holders}")
            time.sleep(_LOOK)

    # -- quarantine ----------------------------------------------------------------------------------------------------

    def quarantined(self, identity: str) -> Quarantine | None:
        """Why the board was set aside, or None."""
        return _quarantine(self._file("quarantine", identity))

    def quarantined_with(self, build_id: str) -> Quarantine | None:
        """Another board that was set aside because of the same image, or None."""
        found = (_quarantine(path) for path in sorted((self.folder / "quarantine").glob("*")))
        return next((one for one in found if one is not None and one.build_id == build_id), None)

    def set_aside(self, identity: str, board: str, reason: str, build_id: str) -> None:
        """Quarantine a board until `release`."""
        path = self._file("quarantine", identity)
        try:
            self._make(path.parent)
            scratch = path.with_name(f".{path.name}.{os.getpid()}")
            scratch.write_text(json.dumps(asdict(Quarantine(board, reason, build_id, time.time()))), encoding="utf-8")
            scratch.chmod(self._mode() & 0o666)
            scratch.replace(path)
        except OSError as error:
            self._failed(error)

    def release(self, identity: str) -> bool:
        """Let a board be used again; False if it was not set aside."""
        try:
            self._file("quarantine", identity).unlink()
            path = self._file("released", identity)
            self._make(path.parent)
            path.touch()
            with contextlib.suppress(OSError):  # who made it has done so
                path.chmod(self._mode() & 0o666)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._failed(error)
        return True

    def released_at(self, identity: str) -> float:
        """When the board was last released, in seconds since 1970; 0 for never."""
        try:
            return self._file("released", identity).stat().st_mtime
        except OSError:
            return 0.0

    def _make(self, folder: Path) -> None:
        """A folder for all who may write in the state folder."""
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # who made it has done so
            folder.chmod(self._mode())

    def _mode(self) -> int:
        return self.folder.stat().st_mode & 0o777

    def _failed(self, error: OSError) -> NoReturn:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        hint = (
            f"df -h {self.folder}" if full else "set HIL_STATE_DIR, or state in the lab file, to a folder to write in"
        )
        raise StateFailed(
            f"cannot keep leases and quarantines in {self.folder}: {error.strerror}", hint=hint
        ) from error


def _held(path: Path) -> Owner | None:
    """Who holds a lease; None: nobody."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # nobody ever did
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _owner(os.pread(handle, _LONGEST, 0))
    finally:
        os.close(handle)
    return None


def user() -> str:
    """Whose process this is."""
    with contextlib.suppress(KeyError, OSError):
        return getpass.getuser()
    return f"user {os.getuid()}"


def _object(data: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(data)
        if isinstance(found, dict):
            return found
    return {}


def _owner(data: bytes) -> Owner:
    """What a lease says of its owner, who may be writing it just now."""
    found = _object(data)
    try:
        return Owner(
            int(found["pid"]), str(found["user"]), str(found["command"]), float(found["since"]), str(found["kind"])
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return Owner(0, "somebody", "starting", time.time(), "")


def _quarantine(path: Path) -> Quarantine | None:
    """A file that cannot be read counts as a quarantine too: a person has to look."""
    if path.name.startswith("."):
        return None
    try:
        with path.open("rb") as handle:
            found = _object(handle.read(_LONGEST))
    except FileNotFoundError:
        return None
    except OSError as error:
        return Quarantine(path.name, f"its record cannot be read: {error.strerror}", "", 0.0)
    try:
        return Quarantine(str(found["board"]), str(found["reason"]), str(found["build_id"]), float(found["since"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return Quarantine(path.name, "its record is damaged", "", 0.0)
