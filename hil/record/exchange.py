"""Runs as JSON Lines, a run a line, to carry them from one machine's history to another's.

{"schema": "hil.run/1", "run": {...}, "profiles": [...], "tests": [...], "usages": [...]}

What comes in may have been made by anybody: everything is looked at before anything is written.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import IO, Any, NoReturn

from hil.errors import MalformedRecord
from hil.record.history import Cause, History, Result, TestOutcome, Usage, UsageOutcome, Verdict, one_of
from hil.record.measurement import found_in
from hil.record.origin import Origin
from hil.record.queries import Run, profiles, run_of, tests, usages_of

SCHEMA = "hil.run/1"
PROFILE = "hil.profile/1"
LONGEST_LINE = 1 << 26
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_LATEST = 1e11  # seconds since 1970: times up to there have a year of four digits
_LARGEST = 1 << 53


def exported(history: History, runs: Iterable[Run]) -> Iterator[str]:
    """A line for each run, its end of line included."""
    for run in runs:
        yield json.dumps(run_record(history, run), separators=(",", ":"), allow_nan=False) + "\n"


def run_record(history: History, run: Run) -> dict[str, Any]:
    """`hil.run/1`: a run with all that is kept of it."""
    return {
        "schema": SCHEMA,
        "run": asdict(run.origin) | {"ended": run.ended, "verdict": run.verdict},
        "profiles": [
            {"at": p.at, "place": p.place, "identity": p.identity, "record": p.record}
            for p in profiles(history, run.id)
        ],
        "tests": [asdict(test) for test in tests(history, run.id)],
        "usages": [asdict(usage) for usage in usages_of(history, run.id)],
    }


def imported(history: History, lines: IO[bytes], name: str, *, at: float | None = None) -> tuple[int, int]:
    """Take runs in: how many are new, and how many were there already. `name`: of the file, for messages.

    A file may also be a `hil.profile/1`, which becomes a run of its own. It does not say when it was made: `at` does
    (seconds since 1970; default: now). A run comes in whole or not at all; one that is there without an end, and now
    has one, takes its place. Raises `MalformedRecord` with file and line.
    """
    when = time.time() if at is None else at
    new = known = number = 0
    while line := lines.readline(LONGEST_LINE + 1):
        number += 1
        if number == 1 and line.strip() == b"{":  # JSON over several lines, as `--json` writes it
            line += lines.read(LONGEST_LINE + 1)
        with _explained(f"{name}: line {number}"):
            if len(line) > LONGEST_LINE:
                raise ValueError(f"longer than {LONGEST_LINE} bytes")
            if not line.strip():
                continue
            added = _take(history, _parsed(_json(line), name, when))
        new, known = new + added, known + (not added)
    return new, known


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """What is wrong with a line, as `MalformedRecord`: all that parsing one can raise."""
    try:
        yield
    except (MalformedRecord, ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        why = error.message if isinstance(error, MalformedRecord) else f"{type(error).__name__}: {error}"
        raise MalformedRecord(
            f"{where} is neither a {SCHEMA} nor a {PROFILE}: {why:.500}",
            hint="hil record export and hil profile --json make such files",
        ) from error


@dataclass(frozen=True)
class _Profile:
    """A profile of a line."""

    at: float
    place: str
    identity: str
    record: Mapping[str, Any]


@dataclass(frozen=True)
class _Line:
    """A parsed line: nothing in it is of the wrong type any more."""

    origin: Origin
    ended: float | None
    verdict: Verdict | None
    profiles: tuple[_Profile, ...]
    results: tuple[Result, ...]
    usages: tuple[Usage, ...]


def _json(line: bytes) -> Any:
    def refused(word: str) -> NoReturn:
        raise ValueError(f"{word} is no number")

    return json.loads(line.decode(), parse_constant=refused)


def _parsed(line: Any, name: str, at: float) -> _Line:
    """A line of either schema."""
    schema = line.get("schema") if isinstance(line, dict) else None
    if schema == PROFILE:
        return _profile(line, name, at)
    if schema != SCHEMA:
        raise ValueError(f"its schema is {schema!r:.40}")
    ended, verdict = line["run"]["ended"], line["run"]["verdict"]
    if ended is not None:
        ended, verdict = _typed("ended", "float", ended), one_of(Verdict, verdict)
    elif verdict is not None:
        raise ValueError("a verdict, and no end")
    found = _Line(
        _made(Origin, line["run"]),
        ended,
        verdict,
        tuple(map(_profile_of, _list(line["profiles"]))),
        tuple(_made(Result, row) for row in _list(line["tests"])),
        tuple(_made(Usage, row) for row in _list(line["usages"])),
    )
    if not _ID.match(found.origin.id):
        raise ValueError(f"id {found.origin.id!r:.40}")
    for result in found.results:
        one_of(TestOutcome, result.outcome)
        one_of(Cause, result.cause)
    for usage in found.usages:
        one_of(UsageOutcome, usage.outcome)
    for profile in found.profiles:
        found_in(profile.record)
    return found


def _profile_of(row: Any) -> _Profile:
    return _Profile(
        _typed("at", "float", row["at"]),
        _typed("place", "str", row["place"]),
        _typed("identity", "str", row["identity"]),
        row["record"],
    )


def _profile(record: Mapping[str, Any], name: str, at: float) -> _Line:
    """A single profile as a run: the same record from the same moment is the same run."""
    found = found_in(record)
    text = json.dumps(record, sort_keys=True, allow_nan=False)
    number = sha256(f"{at!r} {text}".encode()).hexdigest()[:8]
    origin = Origin(
        id=f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(at))}-{number}",
        began=at,
        command=f"hil record import {name}",
        host="",
        pid=0,
        version="",
        revision="",
        branch="",
        dirty=False,
        bench=f"{found.subject.source} bench",
    )
    return _Line(origin, at, "pass" if found.passed else "fail", (_Profile(at, "", "", record),), (), ())


def _take(history: History, line: _Line) -> bool:
    """One run; False if it was there."""
    with history.changing():
        there = run_of(history, line.origin.id)
        if there is not None:
            if there.ended is not None or line.ended is None:
                return False
            history.forget([there.id])
        writer = history.begin(line.origin)
        for one in line.profiles:
            writer.profiled(one.record, place=one.place, identity=one.identity, at=one.at)
        for result in line.results:
            writer.tested(result)
        for usage in line.usages:
            writer.used(usage)
        if line.ended is not None and line.verdict is not None:
            writer.verdict(line.verdict)
            writer.end(line.ended)
    return True


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.40} is no list")
    return value


def _made(kind: Callable[..., Any], row: Any) -> Any:
    """A dataclass from a JSON object, every field of the right type."""
    if not isinstance(row, dict):
        raise TypeError(f"{row!r:.40} is no object")
    known: Any = kind
    return kind(**{field.name: _typed(field.name, field.type, row[field.name]) for field in fields(known)})


def _typed(name: str, kind: Any, value: Any) -> Any:
    """`value`, if it is what the annotation says; what is none of these is one of a few words, thus text."""
    want: Any = {"float": int | float, "int": int, "bool": bool}.get(str(kind), str)
    if not isinstance(value, want) or (isinstance(value, bool) and want is not bool):
        raise TypeError(f"{name} is {value!r:.40}")
    if str(kind) == "int" and not 0 <= value < _LARGEST:
        raise ValueError(f"{name} is {value!r:.40}")
    if str(kind) == "float":
        if not (math.isfinite(value) and 0 <= value <= _LATEST):  # all of them are times
            raise ValueError(f"{name} is {value!r:.40}")
        return float(value)
    return value
