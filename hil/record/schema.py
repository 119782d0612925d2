"""The tables of the history, and how an older file becomes a newer one. Nothing else knows about versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from hil.errors import StateFailed

_FIRST = """
CREATE TABLE run (
    id        TEXT PRIMARY KEY,
    began     REAL NOT NULL,          -- seconds since 1970
    ended     REAL,                   -- NULL: it still runs, or was killed
    command   TEXT NOT NULL,
    host      TEXT NOT NULL,
    pid       INTEGER NOT NULL,
    version   TEXT NOT NULL,          -- of hil
    revision  TEXT NOT NULL,          -- of git, '' where there is none
    branch    TEXT NOT NULL,
    dirty     INTEGER NOT NULL,
    bench     TEXT NOT NULL,
    verdict   TEXT                    -- 'pass' or 'fail'; NULL while there is none
);
CREATE INDEX run_by_time ON run (began);

CREATE TABLE subject (
    id        INTEGER PRIMARY KEY,
    model     TEXT NOT NULL,
    board     TEXT NOT NULL,
    cores     INTEGER NOT NULL,
    nodes     INTEGER NOT NULL,
    source    TEXT NOT NULL CHECK (source IN ('virtual', 'hardware')),
    link      TEXT NOT NULL,
    objective TEXT NOT NULL,
    toolchain TEXT NOT NULL,
    variant   TEXT NOT NULL,          -- 'ram', 'rtt', 'ram rtt', or ''
    UNIQUE (model, board, cores, nodes, source, link, objective, toolchain, variant)
);

CREATE TABLE profile (
    id           INTEGER PRIMARY KEY,
    run          TEXT NOT NULL REFERENCES run (id),
    subject      INTEGER NOT NULL REFERENCES subject (id),
    at           REAL NOT NULL,
    place        TEXT NOT NULL,       -- which board it was, as the bench names it
    identity     TEXT NOT NULL,       -- what a lab recognises it by, '' of one that starts on demand
    model_sha256 TEXT NOT NULL,
    firmware     TEXT NOT NULL,       -- build ids
    passed       INTEGER NOT NULL,
    record       TEXT NOT NULL        -- the whole hil.profile/1
);
CREATE INDEX profile_by_run ON profile (run);

CREATE TABLE measurement (
    subject INTEGER NOT NULL REFERENCES subject (id),
    name    TEXT NOT NULL,
    at      REAL NOT NULL,
    profile INTEGER NOT NULL REFERENCES profile (id),
    value   REAL NOT NULL,
    exact   INTEGER NOT NULL,
    samples TEXT NOT NULL,            -- JSON list, '' where there are none
    PRIMARY KEY (subject, name, at, profile)
) WITHOUT ROWID;
CREATE INDEX measurement_by_profile ON measurement (profile);

CREATE TABLE test (
    id       INTEGER PRIMARY KEY,
    run      TEXT NOT NULL REFERENCES run (id),
    name     TEXT NOT NULL,           -- pytest's node id
    at       REAL NOT NULL,
    outcome  TEXT NOT NULL CHECK (outcome IN ('passed', 'failed', 'skipped')),
    cause    TEXT NOT NULL,           -- of a failure: 'assertion', 'infrastructure', 'device', 'refused'
    seconds  REAL NOT NULL,
    model    TEXT NOT NULL,
    board    TEXT NOT NULL,
    place    TEXT NOT NULL,
    message  TEXT NOT NULL,
    log      TEXT NOT NULL
);
CREATE INDEX test_by_run ON test (run);

CREATE TABLE usage (
    id      INTEGER PRIMARY KEY,
    run     TEXT NOT NULL REFERENCES run (id),
    at      REAL NOT NULL,
    board   TEXT NOT NULL,            -- its identity: the same whatever a lab file calls it
    name    TEXT NOT NULL,            -- what the lab calls it
    outcome TEXT NOT NULL CHECK (outcome IN ('well', 'infrastructure', 'device')),
    what    TEXT NOT NULL
);
CREATE INDEX usage_by_board ON usage (board, at);
CREATE INDEX usage_by_run ON usage (run);
"""

MIGRATIONS: tuple[str, ...] = (_FIRST,)
"""The n-th makes version n of version n - 1. What was released is never changed: another is added."""
_OURS = 0x48494C31
"""SQLite's application id in our files: 'HIL1'. Another program's database is not to get our tables."""


def migrate(base: sqlite3.Connection, file: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the history to today's version, in one transaction.

    Raises `StateFailed` for one of a newer hil, and for what is no history.
    """
    if _pragma(base, "application_id") == _OURS and _pragma(base, "user_version") == len(migrations):
        return
    base.execute("BEGIN EXCLUSIVE")
    try:
        found = _pragma(base, "user_version")  # another process may have been first
        empty = base.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
        if _pragma(base, "application_id") != _OURS and not empty:
            raise StateFailed(f"{file} is a database of another program", hint="another place: HIL_HISTORY=FILE")
        if found > len(migrations):
            raise StateFailed(
                f"{file} is of version {found} of the history; this hil knows {len(migrations)}",
                hint="pip install -U pytest-hil",
            )
        for script in migrations[found:]:
            for statement in _statements(script):
                base.execute(statement)
        base.execute(f"PRAGMA application_id = {_OURS:d}")
        base.execute(f"PRAGMA user_version = {len(migrations):d}")
        base.execute("COMMIT")
    except BaseException:
        if base.in_transaction:  # sqlite has ended it itself after some errors
            base.execute("ROLLBACK")
        raise


def _pragma(base: sqlite3.Connection, name: str) -> int:
    return int(base.execute(f"PRAGMA {name}").fetchone()[0])


def _statements(script: str) -> list[str]:
    """A script's statements one by one: `executescript` would end the transaction."""
    found, rest = [], ""
    for line in script.splitlines():
        rest += line + "\n"
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found
