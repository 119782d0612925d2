"""What a gate looks at: runs of the history, runs that other machines exported, and records of single profiles."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from hil.errors import MalformedRecord, UsageError
from hil.record.baseline import Baseline, FileBaseline, HistoryBaseline, RunBaseline, last_good
from hil.record.exchange import imported
from hil.record.findings import Inputs, Taken
from hil.record.history import History, Result
from hil.record.measurement import found_in
from hil.record.queries import Run, profiles, run_named, runs, tests

_LONGEST = 1 << 28
_MOST_RUNS = 10_000


def gathered(names: Sequence[str], history: Callable[[], History], say: Callable[[str], None]) -> Inputs:
    """All that `names` name: ids of runs (or the beginning of one, or 'last'), and files, each once.

    `history` opens the history; it is asked only where a run of it is named. Raises `UsageError`, `MalformedRecord`.
    """
    found: dict[str, _Part] = {}
    for name in names:
        say(f"reading {name}")
        file = Path(name)
        if file.is_file():
            found |= {part.run: part for part in _of_file(file) if part.run not in found}
        elif "/" in name or file.suffix in (".json", ".jsonl"):
            raise UsageError(f"no file at {name}", hint="hil record export RUN > FILE")
        else:
            with history() as open_history:
                run = run_named(open_history, name)
                found.setdefault(run.id, _of_run(open_history, run))
    return Inputs(
        runs=tuple(found),
        profiles=tuple(one for part in found.values() for one in part.profiles),
        tests=tuple((part.run, test) for part in found.values() for test in part.tests),
        unended=tuple(part.run for part in found.values() if not part.ended),
        began=min((part.began for part in found.values() if part.began is not None), default=None),
        branch=next((part.branch for part in found.values() if part.branch is not None), None),
    )


def baseline_named(name: str, inputs: Inputs, history: Callable[[], History]) -> Baseline:
    """A baseline: a folder of `hil.baseline/1` files, 'last:N' or 'last:N@BRANCH' good runs before, or another run.

    Raises `UsageError`, `GateFileError`, `MalformedRecord`. The history is left open: the baseline asks it.
    """
    if last := last_good(name, "--baseline"):
        count, branch = last
        return HistoryBaseline(history(), branch or inputs.branch, count, before=inputs.began)
    if Path(name).is_dir():
        return FileBaseline(Path(name))
    other = gathered([name], history, lambda _: None)
    return RunBaseline(f"run {other.runs[0]}", [one.found for one in other.profiles])


@dataclass(frozen=True)
class _Part:
    """One run, or one file of a single profile."""

    run: str
    profiles: tuple[Taken, ...]
    tests: tuple[Result, ...] = ()
    ended: bool = True
    began: float | None = None
    branch: str | None = None


def _of_run(history: History, run: Run) -> _Part:
    return _Part(
        run.id,
        tuple(Taken(one.found, run.id, one.at, one.place) for one in profiles(history, run.id)),
        tests(history, run.id),
        run.ended is not None,
        run.origin.began,
        run.origin.branch or None,
    )


def _of_file(file: Path) -> Iterator[_Part]:
    """A `hil.profile/1`, or `hil.run/1` lines."""
    try:
        with file.open("rb") as handle:
            data = handle.read(_LONGEST + 1)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    if len(data) > _LONGEST:
        raise MalformedRecord(f"{file} is longer than {_LONGEST} bytes")
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        whole = None  # several lines, or nothing that JSON knows: the next reader says which line
    if isinstance(whole, dict) and whole.get("schema") == "hil.profile/1":
        try:
            yield _Part(str(file), (Taken(found_in(whole), str(file)),))
        except MalformedRecord as error:
            raise MalformedRecord(f"{file}: {error.message}", hint=error.hint) from error
        return
    # Read as the history reads: nothing gets to the gate by a way of its own.
    with TemporaryDirectory(prefix="hil-gate-") as folder, History.open(Path(folder) / "history.sqlite") as apart:
        new, _ = imported(apart, BytesIO(data), str(file))
        if not new:
            raise MalformedRecord(f"{file} holds no run", hint="hil record export RUN > FILE")
        for run in reversed(runs(apart, most=_MOST_RUNS)):
            yield _of_run(apart, run)
