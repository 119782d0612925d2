"""The tables of the history, and how an older file becomes a newer one. Nothing else knows about versions."""

from __future__ import annotations

import sqlite3
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
    UNIQUE (model, board, cores, nodes, source, link, objective, toolchain)
);

CREATE TABLE profile (
    id           INTEGER PRIMARY KEY,
    run          TEXT NOT NULL REFERENCES run (id),
    subject      INTEGER NOT NULL REFERENCES subject (id),
    at           REAL NOT NULL,
    place        TEXT NOT NULL,       -- which board it was, as the bench names it
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

MIGRATIONS = (_FIRST,)
"""The n-th makes version n of version n - 1. What was released is never changed: another is added."""
VERSION = len(MIGRATIONS)


def migrate(base: sqlite3.Connection, file: Path) -> None:
    """Bring the history to today's version, in one transaction. Raises `StateFailed` for one of a newer hil."""
    if _version(base) == VERSION:
        return
    base.execute("BEGIN EXCLUSIVE")
    try:
        found = _version(base)  # another process may have been first
        if found > VERSION:
            raise StateFailed(
                f"{file} is of version {found} of the history; this hil knows {VERSION}",
                hint="pip install -U pytest-hil",
            )
        for script in MIGRATIONS[found:]:
            for statement in _statements(script):
                base.execute(statement)
        base.execute(f"PRAGMA user_version = {VERSION:d}")
        base.execute("COMMIT")
    except BaseException:
        base.execute("ROLLBACK")
        raise


def _version(base: sqlite3.Connection) -> int:
    return int(base.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> list[str]:
    """A script's statements one by one: `executescript` would end the transaction."""
    found, rest = [], ""
    for line in script.splitlines():
        rest += line + "\n"
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found
