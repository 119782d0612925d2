"""Baselines in a pytest session: what its measurements are held against, and writing them anew at its end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hil.errors import HilError, UsageError
from hil.pytest_history import Kept
from hil.record.baseline import Baseline, Compared, FileBaseline, HistoryBaseline, held_against, last_good
from hil.record.blame import Trail, dated
from hil.record.compare import change_record
from hil.record.measurement import found_in
from hil.record.policy import Policies, effects_in, effects_of_lines
from hil.record.queries import run_named

FOLDER = "baselines"
GATE = "gate.toml"
_CHANGES, _RECORD = "hil_changes", "hil_baseline_record"
"""Names on reports, which xdist carries to the controller."""


class Held:
    """What this session holds its measurements against. `why_not`: why there is no baseline."""

    def __init__(self, baseline: Baseline | None, policies: Policies, kept: Kept | None, *, update: bool) -> None:
        self.baseline, self.policies, self.update = baseline, policies, update
        self._kept = kept
        self.why_not = (
            "baselines are written anew (--hil-update-baseline)"
            if update
            else f"no baseline: there is no folder {FOLDER}; --hil-update-baseline makes it"
        )

    def against(self, record: Mapping[str, Any]) -> Compared | None:
        """What changed since the baseline; None where there is none. `record` is in the history by now."""
        if self.baseline is None:
            return None
        found = held_against(found_in(record), self.baseline, self.policies)
        if self._kept is None:
            return found
        branch = run_named(self._kept.history, self._kept.run).origin.branch
        return dated(found, Trail(self._kept.history, branch), self.policies)


def held_by(config: pytest.Config, kept: Kept | None) -> Held:
    """What the options say. Raises `UsageError`, `GateFileError`, `StateFailed`."""
    what, update = config.getoption("hil_baseline"), config.getoption("hil_update_baseline")
    folder = config.rootpath / (FOLDER if what == "auto" else what)
    policies = Policies(_effects(config))
    last = last_good(what, "--hil-baseline")
    if update:
        if last or what == "none":
            raise UsageError(f"--hil-update-baseline writes a folder, not {what!r}", hint="--hil-baseline FOLDER")
        baseline = FileBaseline(folder, _shown(folder, config.rootpath))
        if not hasattr(config, "workerinput"):
            config.pluginmanager.register(_Update(baseline, policies), "hil-update-baseline")
        return Held(None, policies, kept, update=True)
    if what == "none" or (what == "auto" and not folder.is_dir()) or _nothing_runs(config, kept):
        return Held(None, policies, kept, update=False)
    return Held(_baseline(what, folder, config, kept, last), policies, kept, update=False)


def _nothing_runs(config: pytest.Config, kept: Kept | None) -> bool:
    """Whether tests are only listed: there is no run in the history then, though there could be one."""
    return kept is None and not config.getoption("hil_no_history")


def _baseline(
    what: str, folder: Path, config: pytest.Config, kept: Kept | None, last: tuple[int, str | None] | None
) -> Baseline:
    if last is None:
        if not folder.is_dir():
            raise UsageError(
                f"--hil-baseline {what}: no folder {folder}",
                hint=f"pytest --board=... --hil-baseline {what} --hil-update-baseline",
            )
        return FileBaseline(folder, _shown(folder, config.rootpath))
    if kept is None:
        raise UsageError(f"--hil-baseline {what} needs the history", hint="leave --hil-no-history out")
    run = run_named(kept.history, kept.run)
    count, named = last
    branch = run.origin.branch if named is None else named
    return HistoryBaseline(kept.history, branch, count, before=run.origin.began)


def _effects(config: pytest.Config) -> Any:
    """Of `gate.toml`, where there is one, and then of the ini file, which has the last word."""
    file = config.rootpath / GATE
    ini = str(config.inipath or "the ini file")
    lines = [line for line in config.getini("hil_effects") if line.strip()]
    return (*(effects_in(file) if file.is_file() else ()), *effects_of_lines(lines, f"{ini}: hil_effects"))


def _shown(folder: Path, root: Path) -> str:
    return str(folder.relative_to(root)) if folder.is_relative_to(root) else str(folder)


def attach(report: pytest.TestReport, compared: Compared | None, record: Mapping[str, Any] | None) -> None:
    """Put on a report what the controller draws, and what it writes into baselines."""
    if compared is not None:
        report.__dict__[_CHANGES] = {
            "baseline": compared.title,
            "known": compared.known,
            "notes": list(compared.notes),
            "changes": [change_record(change) for change in compared.changes],
        }
    if record is not None:
        report.__dict__[_RECORD] = json.dumps(record, allow_nan=False)


def attached(report: pytest.TestReport) -> Mapping[str, Any] | None:
    """The changes that a report carries."""
    found: Mapping[str, Any] | None = getattr(report, _CHANGES, None)
    return found


def properties(compared: Compared) -> dict[str, str]:
    """What changed, as JUnit properties: one for each change."""
    found = {"hil.baseline": compared.title, "hil.regressions": str(len(compared.worse))}
    if compared.notes:
        found["hil.baseline_notes"] = "; ".join(compared.notes)
    changed = [change for change in compared.changes if change.kind != "same" and compared.known]
    return found | {f"hil.change.{change.name}": str(change).removeprefix(f"{change.name} ") for change in changed}


class _Update:
    """Gathers what was measured, by this process or by xdist's workers, and writes it once the session was good."""

    def __init__(self, baseline: FileBaseline, policies: Policies) -> None:
        self._baseline, self._policies = baseline, policies
        self._records: dict[str, Mapping[str, Any]] = {}
        self._lines: list[str] = []
        self._failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (text := getattr(report, _RECORD, None)) is not None:
            record = json.loads(text)
            self._records[str(found_in(record).subject)] = record

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Before the history is told how it ended."""
        if session.exitstatus != pytest.ExitCode.OK:
            self._lines = [f"{self._baseline.title} is as it was: the session did not pass"]
            return
        try:
            found = [found_in(record) for _, record in sorted(self._records.items())]
            self._lines = list(_told(self._baseline.title, self._baseline.updated(found, self._policies), len(found)))
        except HilError as error:
            self._lines, self._failed = [f"{self._baseline.title} is not written: {error}"], True
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("baseline", sep="=", red=self._failed)
        for line in self._lines:
            terminalreporter.write_line(line)


def _told(title: str, changed: Sequence[Compared], measured: int) -> Sequence[str]:
    """What an update changed, line by line."""
    lines = [f"{title}: {len(changed)} of {measured} deployments changed"]
    for one in changed:
        if not one.known:
            lines.append(f"  {one.subject}: new, {len(one.changes)} measurements")
            continue
        lines.append(f"  {one.subject}")
        lines += [f"    {change}" for change in one.changes if change.kind != "same"]
        lines += [f"    {note}" for note in one.notes]
    return lines
