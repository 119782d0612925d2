"""The run of a pytest session in the history: the controller begins and ends it, whoever measures writes to it.

Under xdist the workers get the run's id and the history's file from the controller, and each writes by itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hil.bench import Lab
from hil.errors import HilError, StateFailed
from hil.record.cause import cause_of
from hil.record.health import Guard
from hil.record.history import (
    LONGEST_LOG,
    Cause,
    History,
    Result,
    TestOutcome,
    Usage,
    Verdict,
    Writer,
    history_file,
    storable,
)
from hil.record.origin import here

_HANDED_OVER = "hil_history"
_TOLD = "hil_told"
_OURS = "hil_error"
"""Names on what xdist carries between processes: its workers' inputs and outputs, and reports; and on failures."""
_NOT_RUNS = ("collectonly", "showfixtures", "show_fixtures_per_test", "setupplan")
"""Options of pytest with which no test is run."""


def told(error: HilError, message: str | None = None) -> BaseException:
    """An error of ours as the failure of a test: its message alone, since the traceback would say nothing more."""
    failure: BaseException = pytest.fail.Exception(message or str(error), pytrace=False)
    failure.__dict__[_OURS] = error
    return failure


class Kept:
    """A run of the history, as this process writes to it. `trouble`: the first thing that could not be written."""

    def __init__(self, history: History, writer: Writer, lab: Lab | None) -> None:
        self.history, self.writer = history, writer
        self._guard = Guard(history, writer, lab)
        self.trouble: str | None = None
        self._ended = False

    @property
    def run(self) -> str:
        """The run's id."""
        return self.writer.id

    def profiled(self, record: Mapping[str, Any], place: str, identity: str) -> None:
        """Keep a record. Raises `StateFailed`: the test that measured it fails."""
        self.writer.profiled(record, place=place, identity=identity)

    def used(self, usage: Usage) -> None:
        """Keep how a board behaved; it may be set aside for that."""
        self._noting(lambda: self._guard.used(usage))

    def set_aside(self) -> list[str]:
        """Which boards were set aside since the last call, and why."""
        told, self._guard.told = self._guard.told, []
        return told

    def tested(self, result: Result) -> None:
        """Keep how a test ended."""
        self._noting(lambda: self.writer.tested(result))

    def end(self, verdict: Verdict) -> None:
        """The run is over, unless it was before."""
        if not self._ended:
            self._ended = True
            self.writer.verdict(verdict)
            self._noting(self.writer.end)

    def _noting(self, write: Callable[[], None]) -> None:
        """No test can be blamed if this fails: it is told at the end, and the session fails."""
        try:
            write()
        except StateFailed as error:
            self.trouble = self.trouble or str(error)


def kept_by(config: pytest.Config, lab: Lab | None, benches: Callable[[], str]) -> Kept | None:
    """The run that this process writes to: a new one, or the controller's; None where nothing is kept.

    `benches` says where the boards are. Raises `StateFailed` where nothing can be written, and why.
    """
    handed = getattr(config, "workerinput", {}).get(_HANDED_OVER)
    if hasattr(config, "workerinput"):
        if handed is None:
            return None
        history = History.open(Path(handed["file"]))
        kept = Kept(history, history.writer(handed["run"]), lab)
        config.add_cleanup(history.close)
        config.pluginmanager.register(_Worker(kept), "hil-history")
        return kept
    if config.getoption("hil_no_history") or any(config.getoption(name, False) for name in _NOT_RUNS):
        return None
    history = History.open((config.getoption("hil_history") or history_file()).absolute())
    command = shlex.join(["pytest", *map(str, config.invocation_params.args)])
    try:
        writer = history.begin(here(benches(), folder=config.rootpath, command=command))
    except BaseException:
        history.close()
        raise
    kept = Kept(history, writer, lab)
    config.add_cleanup(history.close)
    config.add_cleanup(lambda: kept.end("fail"))  # first, and only where the session did not get to its end
    config.pluginmanager.register(_Controller(kept), "hil-history")
    return kept


def tell(
    report: pytest.TestReport, call: pytest.CallInfo[None], known: Mapping[str, Any], place: str, said: str
) -> None:
    """Attach to a report what the controller cannot see: of what and where it is, and whose fault a failure was."""
    found = {
        "model": str(known.get("hil.model", "")),
        "board": str(known.get("hil.board", "")),
        "place": place,
        "cause": "",
        "message": "",
        "log": "",
    }
    if report.failed:
        failure = call.excinfo.value if call.excinfo else None
        error = getattr(failure, _OURS, failure)
        ours = isinstance(error, HilError)
        found["cause"] = cause_of(error) if error is not None else "assertion"
        found["message"] = storable(str(failure) if ours else _crash(report, call))
        traceback = [] if ours else [("how it came about", report.longreprtext)]
        parts = [*traceback, *([("the board said", said)] if said else []), *report.sections]
        found["log"] = storable("\n".join(f"--- {title} ---\n{text}" for title, text in parts), LONGEST_LOG)
    report.__dict__[_TOLD] = found


def _crash(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    return call.excinfo.exconly(tryshort=True) if call.excinfo else report.longreprtext


class _Controller:
    """Writes how tests ended, from this process or from xdist's workers, and the run's end."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._open: dict[str, list[pytest.TestReport]] = {}
        """The phases of tests that are not over."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hand the run over to a worker of xdist."""
        node.workerinput[_HANDED_OVER] = {"file": str(self._kept.history.file), "run": self._kept.run}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker is done: it may have had trouble."""
        self._kept.trouble = self._kept.trouble or getattr(node, "workeroutput", {}).get(_HANDED_OVER)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        phases = self._open.setdefault(report.nodeid, [])
        phases.append(report)
        if report.when not in ("setup", "call"):  # after a crash xdist says '???'
            self._kept.tested(_result(self._open.pop(report.nodeid)))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """After all boards are freed and all workers are done, and before anything is drawn."""
        for phases in self._open.values():
            self._kept.tested(_result(phases))
        self._open.clear()
        self._kept.end("pass" if session.exitstatus == pytest.ExitCode.OK else "fail")
        if self._kept.trouble and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._kept.trouble:
            terminalreporter.section("history", sep="=", red=True)
            terminalreporter.write_line(f"this run is not all in the history: {self._kept.trouble}")


class _Worker:
    """Hands a worker's trouble to the controller."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._kept.trouble:
            session.config.workeroutput[_HANDED_OVER] = self._kept.trouble  # type: ignore[attr-defined]


def _result(phases: Sequence[pytest.TestReport]) -> Result:
    """How a test ended: as the first of its phases that did not go well."""
    worst = next((p for p in phases if p.failed), None) or next((p for p in phases if p.skipped), phases[-1])
    known: dict[str, Any] = getattr(worst, _TOLD, {})
    if worst.failed and not known:  # a worker's process that crashed
        known = {"cause": "infrastructure", "message": worst.longreprtext}
    cause: Cause = known.get("cause", "")
    outcome: TestOutcome = "failed" if worst.failed else "skipped" if worst.skipped else "passed"
    began = [p.start for p in phases if getattr(p, "start", 0)]
    return Result(
        name=worst.nodeid,
        outcome=outcome,
        cause=cause,
        seconds=sum(p.duration for p in phases),
        model=known.get("model", ""),
        board=known.get("board", ""),
        place=known.get("place", ""),
        message=known.get("message", "") or _why_skipped(worst),
        log=known.get("log", ""),
        at=min(began, default=0.0),
    )


def _why_skipped(report: pytest.TestReport) -> str:
    """The reason of a skip, without file and line."""
    if report.skipped and isinstance(report.longrepr, tuple):
        return storable(report.longrepr[2].removeprefix("Skipped: "))
    return storable(str(getattr(report, "wasxfail", "")))
