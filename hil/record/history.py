"""The history of runs: one SQLite file that many processes write at once, and that a killed one cannot spoil.

    history = History.open()
    with history.run(here("virtual bench")) as run:
        run.profiled(record, place="virtual rp2040")
        run.verdict("pass")

Every call is a transaction of its own: what has returned is on the disk. `hil.record.queries` reads.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args

from hil.errors import MalformedRecord, StateFailed, UsageError
from hil.paths import state_root
from hil.record.measurement import Found, found_in
from hil.record.origin import Origin
from hil.record.schema import migrate

Verdict = Literal["pass", "fail"]
TestOutcome = Literal["passed", "failed", "skipped"]
Cause = Literal["", "assertion", "infrastructure", "device", "refused"]
UsageOutcome = Literal["well", "infrastructure", "device"]

PATIENCE = 60.0
"""Seconds to wait for other writers; a transaction of theirs takes milliseconds."""
LONGEST_MESSAGE = 4096
LONGEST_LOG = 1 << 16
_LONGEST_RECORD = 1 << 24
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@dataclass(frozen=True)
class Result:
    """How one test ended. `cause` of a failure: whose fault it was. `log`: what device and bench said."""

    name: str
    outcome: TestOutcome
    cause: Cause = ""
    seconds: float = 0.0
    model: str = ""
    board: str = ""
    place: str = ""
    message: str = ""
    log: str = ""
    at: float = 0.0


@dataclass(frozen=True)
class Usage:
    """One use of a board of a bench, and whether it was well. `board`: its identity; `name`: what the lab calls it."""

    board: str
    name: str
    outcome: UsageOutcome
    what: str = ""
    at: float = 0.0


def history_file() -> Path:
    """`$HIL_HISTORY`, else `history.sqlite` in the state folder."""
    explicit = os.environ.get("HIL_HISTORY")
    return Path(explicit) if explicit else state_root() / "history.sqlite"


class History:
    """An open history; a connection for each process. `with` closes it."""

    def __init__(self, file: Path, base: sqlite3.Connection) -> None:
        self.file, self._base = file, base

    @classmethod
    def open(cls, file: Path | None = None, *, make: bool = True) -> History:
        """Open the history, and make it if there is none and `make` says so.

        Raises `StateFailed` where that is impossible, and says why; `UsageError` where there is none.
        """
        place = file or history_file()
        if not make and not place.is_file():
            raise UsageError(
                f"there is no history at {place}", hint="hil profile or pytest --board begin one; or --history FILE"
            )
        with failing(place):
            _make(place)
            base = sqlite3.connect(place, timeout=PATIENCE, isolation_level=None)
            try:
                base.execute("PRAGMA journal_mode = WAL")
                base.execute("PRAGMA synchronous = FULL")
                base.execute("PRAGMA foreign_keys = ON")
                migrate(base, place)
            except BaseException:
                base.close()
                raise
        return cls(place, base)

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go."""
        self._base.close()

    # -- writing -------------------------------------------------------------------------------------------------------

    def begin(self, origin: Origin) -> Writer:
        """Note that a run has begun; gives what writes about it."""
        with self.changing():
            self._insert("run", origin)
        return Writer(self, origin.id)

    @contextmanager
    def run(self, origin: Origin) -> Iterator[Writer]:
        """A run from its beginning to its end. Without a verdict by then it counts as failed."""
        writer = self.begin(origin)
        try:
            yield writer
        finally:
            writer.end()

    def writer(self, run: str) -> Writer:
        """What writes about a run that another process began: a worker of pytest-xdist, say."""
        return Writer(self, run)

    def add(self, run: str, row: Result | Usage, table: Literal["test", "usage"]) -> None:
        """A row of a table that has the columns of the dataclass."""
        with self.changing():
            self._insert(table, row, run=run)

    def add_profile(self, run: str, record: Mapping[str, Any], place: str, at: float, identity: str = "") -> Found:
        """A profile with its measurements. Raises `MalformedRecord`."""
        found = found_in(record)
        text = json.dumps(record, separators=(",", ":"), allow_nan=False)
        if len(text) > _LONGEST_RECORD:
            raise MalformedRecord(f"a record of {len(text)} bytes is longer than {_LONGEST_RECORD}")
        with self.changing():
            subject = self._subject(found)
            profile = self._base.execute(
                "INSERT INTO profile (run, subject, at, place, identity, model_sha256, firmware, passed, record)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run,
                    subject,
                    at,
                    storable(place),
                    storable(identity),
                    found.model_sha256,
                    found.firmware,
                    found.passed,
                    text,
                ),
            ).lastrowid
            self._base.executemany(
                "INSERT INTO measurement (subject, name, at, profile, value, exact, samples)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        subject,
                        one.name,
                        at,
                        profile,
                        one.value,
                        one.exact,
                        json.dumps(one.samples) if one.samples else "",
                    )
                    for one in found.measurements
                ],
            )
        return found

    def end(self, run: str, verdict: Verdict, at: float) -> None:
        """A run has ended; nothing more is added to it."""
        with self.changing():
            self._base.execute("UPDATE run SET ended = ?, verdict = ? WHERE id = ?", (at, verdict, run))

    def forget(self, runs: Sequence[str]) -> None:
        """Delete runs with all that was kept of them."""
        with self.changing() as base:
            marks = [(run,) for run in runs]
            base.executemany(
                "DELETE FROM measurement WHERE profile IN (SELECT id FROM profile WHERE run = ?)",
                marks,
            )
            for table in ("profile", "test", "usage"):
                base.executemany(f"DELETE FROM {table} WHERE run = ?", marks)  # noqa: S608
            base.executemany("DELETE FROM run WHERE id = ?", marks)

    def shrink(self) -> None:
        """Give the room of what was forgotten back to the disk."""
        with failing(self.file):
            self._base.execute("VACUUM")
            self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _subject(self, found: Found) -> int:
        names = [field.name for field in fields(found.subject)]
        values = astuple(found.subject)
        where = " AND ".join(f"{name} = ?" for name in names)
        marks = ", ".join("?" * len(names))
        self._base.execute(f"INSERT OR IGNORE INTO subject ({', '.join(names)}) VALUES ({marks})", values)  # noqa: S608
        return int(self._base.execute(f"SELECT id FROM subject WHERE {where}", values).fetchone()[0])  # noqa: S608

    def _insert(self, table: str, row: Origin | Result | Usage, **more: str) -> None:
        values = {**more, **{field.name: getattr(row, field.name) for field in fields(row)}}
        if not values.get("at", 1):
            values["at"] = time.time()
        limits = {"log": LONGEST_LOG}
        cells = [
            storable(value, limits.get(name, LONGEST_MESSAGE)) if isinstance(value, str) else value
            for name, value in values.items()
        ]
        marks = ", ".join("?" * len(values))
        # Names of columns are those of our own dataclasses.
        self._base.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", cells)  # noqa: S608

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is written, or nothing. Others wait for it, and it for others.

        One within another is part of that.
        """
        with failing(self.file):
            if self._base.in_transaction:
                yield self._base
                return
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
                self._base.execute("COMMIT")
            except BaseException:
                self._rolled_back()
                raise

    def _rolled_back(self) -> None:
        if self._base.in_transaction:  # sqlite has done it itself after some errors
            self._base.execute("ROLLBACK")

    # -- reading, for hil.record.queries -------------------------------------------------------------------------------

    def rows(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """What a query gives."""
        with failing(self.file), closing(self._base.cursor()) as cursor:
            cursor.row_factory = sqlite3.Row
            return cursor.execute(query, tuple(values)).fetchall()


def _make(file: Path) -> None:
    """An empty file, unless there is one: for all who may write in its folder, and so are the logs beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(handle, file.parent.stat().st_mode & 0o666)
        finally:
            os.close(handle)


class Writer:
    """Writes about one run."""

    def __init__(self, history: History, run: str) -> None:
        self._history, self.id = history, run
        self._verdict: Verdict = "fail"

    def profiled(
        self, record: Mapping[str, Any], *, place: str = "", identity: str = "", at: float | None = None
    ) -> Found:
        """Keep a `hil.profile/1` record and its measurements.

        `place`: the board, as its bench names it; `identity`: what a lab recognises it by, '' of a virtual one that
        started on demand.
        """
        return self._history.add_profile(self.id, record, place, time.time() if at is None else at, identity)

    def tested(self, test: Result) -> None:
        """Keep how a test ended."""
        self._history.add(self.id, test, "test")

    def used(self, usage: Usage) -> None:
        """Keep how a board behaved."""
        self._history.add(self.id, usage, "usage")

    def verdict(self, verdict: Verdict) -> None:
        """What the run's end will say."""
        self._verdict = verdict

    def end(self, at: float | None = None) -> None:
        """The run is over."""
        self._history.end(self.id, self._verdict, time.time() if at is None else at)


def storable(text: str, most: int = LONGEST_MESSAGE) -> str:
    """Text that any reader can take: no lone surrogates, no NUL, and of what is too long the beginning and the end."""
    clean = text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(clean) <= most:
        return clean
    note = f"\n[... {len(clean) - most} characters left out ...]\n"
    head = (most - len(note)) // 4
    return clean[:head] + note + clean[len(clean) - (most - len(note) - head) :]


def one_of(kinds: Any, value: object) -> Any:
    """`value`, if it is one of a Literal's. Raises `ValueError`."""
    if value not in get_args(kinds):
        raise ValueError(f"{value!r:.40} is not one of {', '.join(get_args(kinds))}")
    return cast(Any, value)


@contextmanager
def failing(file: Path) -> Iterator[None]:
    """What sqlite and the file system say, as `StateFailed` with the file and the next command."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        code = getattr(error, "sqlite_errorcode", None)
        primary = code & 0xFF if code is not None else None
        if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            # With what belongs to it: a log without its database would be taken for that of the next one.
            hint = f"mkdir {file.parent}/damaged && mv {file}* {file.parent}/damaged"
        elif primary in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR} or getattr(error, "errno", 0) in _NO_ROOM:
            hint = f"df -h {file.parent}; or another place: HIL_HISTORY=FILE"
        elif primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            hint = f"fuser -v {file}"
        else:
            hint = f"ls -ld {file.parent} {file}; or another place: HIL_HISTORY=FILE"
        raise StateFailed(f"the history {file}: {why}", hint=hint) from error
