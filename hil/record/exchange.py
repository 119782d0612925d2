"""Runs as JSON Lines, a run a line, to carry them from one machine's history to another's.

{"schema": "hil.run/1", "run": {...}, "profiles": [...], "tests": [...], "usages": [...]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import IO, Any

from hil.errors import MalformedRecord
from hil.record.history import Cause, History, Result, TestOutcome, Usage, UsageOutcome, Verdict, one_of
from hil.record.measurement import found_in
from hil.record.origin import Origin
from hil.record.queries import Run, profiles, tests, usages_of

SCHEMA = "hil.run/1"
LONGEST_LINE = 1 << 26


def exported(history: History, runs: Iterable[Run]) -> Iterator[str]:
    """A line for each run, its end of line included."""
    for run in runs:
        line = {
            "schema": SCHEMA,
            "run": asdict(run.origin) | {"ended": run.ended, "verdict": run.verdict},
            "profiles": [{"at": p.at, "place": p.place, "record": p.record} for p in profiles(history, run.id)],
            "tests": [asdict(test) for test in tests(history, run.id)],
            "usages": [asdict(usage) for usage in usages_of(history, run.id)],
        }
        yield json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"


def imported(history: History, lines: IO[bytes], name: str) -> tuple[int, int]:
    """Take runs in: how many are new, and how many were there already. `name`: of the file, for messages.

    A run comes in whole or not at all. Raises `MalformedRecord` with file and line.
    """
    new = known = number = 0
    while line := lines.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise MalformedRecord(f"{name}: line {number} is longer than {LONGEST_LINE} bytes")
        if not line.strip():
            continue
        try:
            added = _take(history, _parsed(json.loads(line)))
        except (ValueError, KeyError, TypeError, RecursionError, MalformedRecord) as error:
            why = error.message if isinstance(error, MalformedRecord) else f"{type(error).__name__}: {error}"
            raise MalformedRecord(
                f"{name}: line {number} is no {SCHEMA}: {why}", hint="hil record export makes such files"
            ) from error
        new, known = new + added, known + (not added)
    return new, known


@dataclass(frozen=True)
class _Line:
    """A parsed line: nothing in it is of the wrong type any more."""

    origin: Origin
    ended: float | None
    verdict: Verdict | None
    profiles: tuple[tuple[Mapping[str, Any], str, float], ...]
    results: tuple[Result, ...]
    usages: tuple[Usage, ...]


def _parsed(line: Any) -> _Line:
    """Everything is looked at before anything is written."""
    if not isinstance(line, dict) or line.get("schema") != SCHEMA:
        raise ValueError(f"schema is not {SCHEMA}")
    ended, verdict = line["run"]["ended"], line["run"]["verdict"]
    if ended is not None:
        ended, verdict = _typed("ended", "float", ended), one_of(Verdict, verdict)
    found = _Line(
        _made(Origin, line["run"]),
        ended,
        verdict,
        tuple(
            (p["record"], _typed("place", "str", p["place"]), _typed("at", "float", p["at"])) for p in line["profiles"]
        ),
        tuple(_made(Result, row) for row in line["tests"]),
        tuple(_made(Usage, row) for row in line["usages"]),
    )
    for result in found.results:
        one_of(TestOutcome, result.outcome)
        one_of(Cause, result.cause)
    for usage in found.usages:
        one_of(UsageOutcome, usage.outcome)
    for record, _, _ in found.profiles:
        found_in(record)
    return found


def _take(history: History, line: _Line) -> bool:
    """One run; False if it was there."""
    with history.changing():
        if history.rows("SELECT 1 FROM run WHERE id = ?", [line.origin.id]):
            return False
        writer = history.begin(line.origin)
        for record, place, at in line.profiles:
            writer.profiled(record, place=place, at=at)
        for result in line.results:
            writer.tested(result)
        for usage in line.usages:
            writer.used(usage)
        if line.ended is not None and line.verdict is not None:
            writer.verdict(line.verdict)
            writer.end(line.ended)
    return True


def _made(kind: Any, row: Any) -> Any:
    """A dataclass from a JSON object, every field of the right type."""
    if not isinstance(row, dict):
        raise TypeError(f"{row!r:.40} is no object")
    return kind(**{field.name: _typed(field.name, field.type, row[field.name]) for field in fields(kind)})


def _typed(name: str, kind: Any, value: Any) -> Any:
    """`value`, if it is what the annotation says; what is none of these is one of a few words, thus text."""
    want: Any = {"float": int | float, "int": int, "bool": bool}.get(str(kind), str)
    if not isinstance(value, want) or (isinstance(value, bool) and want is not bool):
        raise TypeError(f"{name} is {value!r:.40}")
    return float(value) if str(kind) == "float" else value
