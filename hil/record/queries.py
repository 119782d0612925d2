"""What the history says: runs, what they measured, one measurement over time, how boards behaved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from hil.errors import UsageError
from hil.record.history import History, Result, Usage, Verdict
from hil.record.measurement import Found, Measurement, Subject
from hil.record.origin import Origin, runs_here


@dataclass(frozen=True)
class Run:
    """A run as it is kept. `ended` and `verdict` are None while it runs, and for ever if it was killed."""

    origin: Origin
    ended: float | None
    verdict: Verdict | None

    @property
    def id(self) -> str:
        return self.origin.id


@dataclass(frozen=True)
class Profiled:
    """A profile of a run: its record, what it found, when, and on which board of the bench."""

    id: int
    run: str
    at: float
    place: str
    found: Found
    record: dict[str, Any]
    identity: str = ""


@dataclass(frozen=True)
class Point:
    """One value of a measurement's history."""

    run: str
    at: float
    revision: str
    branch: str
    measurement: Measurement
    place: str
    passed: bool
    model_sha256: str = ""
    identity: str = ""


_RUN = ", ".join(f"run.{field.name}" for field in fields(Origin)) + ", run.ended, run.verdict"
_SUBJECT = ", ".join(f"subject.{field.name}" for field in fields(Subject))


def _run(row: Any) -> Run:
    origin = {field.name: row[field.name] for field in fields(Origin)}
    return Run(Origin(**origin | {"dirty": bool(row["dirty"])}), row["ended"], row["verdict"])


def _subject(row: Any) -> Subject:
    return Subject(**{field.name: row[field.name] for field in fields(Subject)})


def runs(history: History, *, most: int = 50, branch: str | None = None, since: float = 0.0) -> tuple[Run, ...]:
    """The newest runs, newest first; with `most` of -1 all."""
    values: list[object] = [since]
    where = "began >= ?"
    if branch is not None:
        where += " AND branch = ?"
        values += [branch]
    rows = history.rows(f"SELECT {_RUN} FROM run WHERE {where} ORDER BY began DESC, id DESC LIMIT ?", [*values, most])  # noqa: S608
    return tuple(map(_run, rows))


def standing(run: Run) -> Literal["pass", "fail", "running", "no end"]:
    """What a run has come to. One without an end was killed, or runs on another machine."""
    if run.verdict is not None:
        return run.verdict
    return "running" if runs_here(run.origin) else "no end"


def run_of(history: History, run: str) -> Run | None:
    """The run with that id, or None."""
    rows = history.rows(f"SELECT {_RUN} FROM run WHERE id = ?", [run])  # noqa: S608
    return _run(rows[0]) if rows else None


def run_named(history: History, name: str) -> Run:
    """A run by its id, the beginning of one, or 'last' ('last~1': the one before). Raises `UsageError`."""
    word, _, back = name.partition("~")
    if word == "last" and (not back or (back.isdecimal() and len(back) < 10)):
        found = runs(history, most=int(back or 0) + 1)
        if len(found) > int(back or 0):
            return found[-1]
        raise UsageError(f"{history.file} has {len(found)} runs, {name!r} is none of them", hint="hil record list")
    rows = history.rows(
        f"SELECT {_RUN} FROM run WHERE substr(id, 1, ?) = ? ORDER BY id = ? DESC, began LIMIT 2",  # noqa: S608
        [len(name), name, name],
    )
    if not rows or (len(rows) > 1 and rows[0]["id"] != name):
        what = "no run" if not rows else "several runs"
        raise UsageError(f"{history.file} has {what} that begin with {name!r}", hint="hil record list")
    return _run(rows[0])


def profiles(history: History, run: str) -> tuple[Profiled, ...]:
    """All profiles of a run, in the order in which they were made."""
    rows = history.rows(
        f"SELECT profile.*, {_SUBJECT} FROM profile JOIN subject ON subject.id = profile.subject"  # noqa: S608
        " WHERE run = ? ORDER BY profile.at, profile.id",
        [run],
    )
    return tuple(_profiled(history, row) for row in rows)


def _profiled(history: History, row: Any) -> Profiled:
    made = history.rows("SELECT name, value, exact, samples FROM measurement WHERE profile = ?", [row["id"]])
    record = json.loads(row["record"])
    found = Found(
        _subject(row),
        row["model_sha256"],
        row["firmware"],
        bool(row["passed"]),
        tuple(map(_measurement, made)),
        record["outputs"]["inputs"],
    )
    return Profiled(row["id"], row["run"], row["at"], row["place"], found, record, row["identity"])


def inputs_of(history: History, point: Point) -> int:
    """How many input sets a point's profile ran."""
    rows = history.rows(
        "SELECT json_extract(record, '$.outputs.inputs') AS inputs FROM profile WHERE run = ? AND at = ?",
        [point.run, point.at],
    )
    return int(rows[0]["inputs"]) if rows else 0


def _measurement(row: Any) -> Measurement:
    samples = tuple(map(float, json.loads(row["samples"]))) if row["samples"] else ()
    return Measurement(row["name"], row["value"], bool(row["exact"]), samples)


def subjects(history: History) -> tuple[Subject, ...]:
    """Everything that was ever measured."""
    return tuple(map(_subject, history.rows(f"SELECT {_SUBJECT} FROM subject ORDER BY model, board, cores, nodes")))  # noqa: S608


def series(
    history: History,
    subject: Subject,
    name: str,
    *,
    most: int = 200,
    branch: str | None = None,
    before: float | None = None,
    good: bool = False,
) -> tuple[Point, ...]:
    """One measurement of a subject over time, oldest first, the newest `most`.

    `before`: only what was measured before that time. `good`: only what passed, in runs that passed.
    """
    where = [f"subject.{field.name} = ?" for field in fields(Subject)]
    values: list[object] = [getattr(subject, field.name) for field in fields(Subject)]
    where += ["measurement.name = ?"]
    values += [name]
    if branch is not None:
        where += ["run.branch = ?"]
        values += [branch]
    if before is not None:
        where += ["measurement.at < ?"]
        values += [before]
    if good:
        where += ["profile.passed", "run.verdict = 'pass'"]
    rows = history.rows(
        "SELECT measurement.*, profile.run, profile.place, profile.identity, profile.passed, profile.model_sha256,"  # noqa: S608
        " run.revision, run.branch FROM measurement JOIN subject ON subject.id = measurement.subject"
        " JOIN profile ON profile.id = measurement.profile JOIN run ON run.id = profile.run"
        f" WHERE {' AND '.join(where)} ORDER BY measurement.at DESC, measurement.profile DESC LIMIT ?",
        [*values, most],
    )
    points = [
        Point(
            row["run"],
            row["at"],
            row["revision"],
            row["branch"],
            _measurement(row),
            row["place"],
            bool(row["passed"]),
            row["model_sha256"],
            row["identity"],
        )
        for row in rows
    ]
    return tuple(reversed(points))


@dataclass(frozen=True)
class Tally:
    """How much is kept of a run."""

    profiles: int = 0
    tests: int = 0
    failed: int = 0


def tallies(history: History, runs: Sequence[str]) -> dict[str, Tally]:
    """The tally of each of these runs."""
    found = dict.fromkeys(runs, Tally())
    for some in (runs[k : k + 500] for k in range(0, len(runs), 500)):  # as many values as any sqlite takes
        marks = ", ".join("?" * len(some))
        made = history.rows(f"SELECT run, count(*) AS n FROM profile WHERE run IN ({marks}) GROUP BY run", some)  # noqa: S608
        ran = history.rows(
            f"SELECT run, count(*) AS n, sum(outcome = 'failed') AS bad FROM test WHERE run IN ({marks}) GROUP BY run",  # noqa: S608
            some,
        )
        found |= {row["run"]: Tally(profiles=row["n"]) for row in made}
        found |= {row["run"]: replace(found[row["run"]], tests=row["n"], failed=row["bad"]) for row in ran}
    return found


def old_runs(history: History, *, before: float, keep: int = 0) -> tuple[Run, ...]:
    """Runs that began before that time, oldest first, but for the newest `keep` of each branch."""
    rows = history.rows(
        f"SELECT * FROM (SELECT {_RUN}, row_number() OVER (PARTITION BY branch ORDER BY began DESC, id DESC) AS place"  # noqa: S608
        " FROM run) WHERE began < ? AND place > ? ORDER BY began, id",
        [before, keep],
    )
    return tuple(map(_run, rows))


def tests(history: History, run: str) -> tuple[Result, ...]:
    """How the tests of a run ended, in their order."""
    rows = history.rows("SELECT * FROM test WHERE run = ? ORDER BY id", [run])
    return tuple(Result(**{field.name: row[field.name] for field in fields(Result)}) for row in rows)


def outcomes(history: History, run: str) -> Mapping[str, int]:
    """How many tests of a run ended how, so far."""
    rows = history.rows("SELECT outcome, COUNT(*) AS number FROM test WHERE run = ? GROUP BY outcome", [run])
    return {row["outcome"]: row["number"] for row in rows}


def last_test(history: History, run: str) -> Result | None:
    """The test that ended last."""
    rows = history.rows("SELECT * FROM test WHERE run = ? ORDER BY id DESC LIMIT 1", [run])
    return Result(**{field.name: rows[0][field.name] for field in fields(Result)}) if rows else None


def usages(history: History, board: str, *, most: int = 50, since: float = 0.0) -> tuple[Usage, ...]:
    """The last uses of a board, newest first."""
    rows = history.rows(
        "SELECT * FROM usage WHERE board = ? AND at >= ? ORDER BY at DESC, id DESC LIMIT ?", [board, since, most]
    )
    return tuple(map(_usage, rows))


def usages_of(history: History, run: str) -> tuple[Usage, ...]:
    """How boards behaved in a run, in order."""
    return tuple(map(_usage, history.rows("SELECT * FROM usage WHERE run = ? ORDER BY id", [run])))


def used_boards(history: History) -> Sequence[str]:
    """Identities of all boards that were ever used."""
    return [row["board"] for row in history.rows("SELECT DISTINCT board FROM usage ORDER BY board")]


def _usage(row: Any) -> Usage:
    return Usage(**{field.name: row[field.name] for field in fields(Usage)})
