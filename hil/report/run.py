"""What the page of a run shows, from the history. Verdicts, changes and steps are those of `hil.record`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hil.record import queries
from hil.record.baseline import Baseline, Compared, HistoryBaseline, held_against
from hil.record.blame import Trail, dated
from hil.record.compare import Change, worst_first
from hil.record.history import History, Result
from hil.record.measurement import MEASURES
from hil.record.parts import Parts, parts_of
from hil.record.policy import DEFAULT, Policies
from hil.record.queries import Profiled, Run
from hil.record.repeat import repeat_command
from hil.record.steps import Step, first_bad, steps
from hil.report.numbers import value_of

LAST_GOOD = 5
POINTS = 100
"""Points of a history that are drawn."""
_HISTORIES = ("latency", "ram_peak", "flash", "throughput")
_CASES, _FAILURES = 200, 100
"""What a page shows of each, worst first."""
_LOG = 1 << 14
_WORD = 40
_LOGS = 1 << 20
"""Characters of one log, and of all logs, that a page shows; the history has more."""


@dataclass(frozen=True)
class Series:
    """One measurement over time, oldest first, and where it stepped."""

    name: str
    unit: str
    points: tuple[queries.Point, ...]
    steps: tuple[Step, ...]
    bad: Step | None
    """The step to the bad that has not been mended since."""

    def step_at(self, point: queries.Point) -> Step | None:
        """The step that begins with a point."""
        return next((step for step in self.steps if step.first == point), None)


@dataclass(frozen=True)
class Case:
    """A profile of the run. `anchor`: its id in the page; `changes`: worst first."""

    anchor: str
    profiled: Profiled
    compared: Compared
    history: tuple[Series, ...]
    parts: Parts

    @property
    def record(self) -> Mapping[str, Any]:
        return self.profiled.record

    @property
    def passed(self) -> bool:
        return self.profiled.found.passed

    @property
    def title(self) -> str:
        return str(self.profiled.found.subject)

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(c for c in self.compared.changes if c.kind not in ("same", "new"))

    def get(self, name: str) -> float | None:
        """A measurement's value."""
        found = self.profiled.found.get(name)
        return None if found is None else found.value

    @property
    def latency_change(self) -> Change | None:
        return next((change for change in self.changes if change.name == "latency"), None)

    @property
    def reasons(self) -> list[str]:
        """Why it did not pass."""
        found = self.record.get("reasons")
        return [str(reason) for reason in found] if isinstance(found, list) else []

    @property
    def samples(self) -> tuple[float, ...]:
        """Microseconds of each repeat."""
        latency = self.profiled.found.get("latency")
        return latency.samples if latency else ()

    @property
    def timed(self) -> bool:
        """Whether the repeats have a distribution."""
        return not self.counted and len(set(self.samples)) > 1

    @property
    def counted(self) -> bool:
        """Whether time was counted: then repeats differ by where in a microsecond they began, if at all."""
        latency = self.profiled.found.get("latency")
        return latency is None or latency.exact

    @property
    def unit(self) -> str:
        """Of the board's fine counter."""
        return str(self.record["latency"].get("counts", "cycles"))[:_WORD]

    @property
    def order(self) -> tuple[int, float, str]:
        """Worst first."""
        rank = 0 if not self.passed else 1 if self.compared.worse else 2
        return rank, -max((c.effect for c in self.compared.worse), default=0.0), self.title


@dataclass(frozen=True)
class Failure:
    """A test that failed, with the command that runs it alone. `log`: its end, `left_out` characters before it."""

    result: Result
    command: str
    log: str
    left_out: int


@dataclass(frozen=True)
class RunView:
    """Everything that the page of a run shows."""

    run: Run
    cases: tuple[Case, ...]
    cases_left_out: int
    results: tuple[Result, ...]
    failures: tuple[Failure, ...]
    failures_left_out: int
    baseline: str

    @property
    def word(self) -> str:
        """The verdict, or that there is none yet."""
        return self.run.verdict or "no verdict"

    @property
    def outcomes(self) -> Mapping[str, int]:
        return Counter(result.outcome for result in self.results)

    @property
    def causes(self) -> Mapping[str, int]:
        """Failed tests by whose fault they were."""
        return Counter(result.cause or "unknown" for result in self.results if result.outcome == "failed")

    @property
    def changed(self) -> list[tuple[Case, Change]]:
        """All changes of all cases, worst first."""
        of = {id(change): case for case in self.cases for change in case.changes}
        return [(of[id(change)], change) for change in worst_first(c for case in self.cases for c in case.changes)]

    @property
    def unmended(self) -> list[tuple[Case, Series, Step]]:
        """Regressions of earlier runs that last, newest first: the baseline may have moved on with them."""
        known = {(id(case), change.name) for case, change in self.changed if change.kind == "worse"}
        found = [
            (case, series, series.bad)
            for case in self.cases
            for series in case.history
            if series.bad is not None and (id(case), series.name) not in known
        ]
        return sorted(found, key=lambda one: -one[2].first.at)

    def kinds(self, kind: str) -> int:
        """How many changes are of a kind."""
        return sum(change.kind == kind for _, change in self.changed)

    @property
    def sources(self) -> list[str]:
        return sorted({case.profiled.found.subject.source for case in self.cases})


def run_view(history: History, run: Run, *, baseline: Baseline | None = None, policies: Policies = DEFAULT) -> RunView:
    """Read a run. Without a baseline it is held against the last good runs of its branch before it."""
    before = baseline or HistoryBaseline(history, run.origin.branch or None, LAST_GOOD, before=run.origin.began)
    found = [
        Case(
            "",
            one,
            _compared(history, run, one, before, policies),
            _history(history, run, one, policies),
            parts_of(one.record),
        )
        for one in queries.profiles(history, run.id)
    ]
    found.sort(key=lambda case: case.order)
    results = queries.tests(history, run.id)
    failed = [result for result in results if result.outcome == "failed"]
    return RunView(
        run,
        tuple(replace(c, anchor=f"case-{k}") for k, c in enumerate(found[:_CASES], 1)),
        max(0, len(found) - _CASES),
        results,
        _failures(run, failed[:_FAILURES]),
        max(0, len(failed) - _FAILURES),
        before.title,
    )


def _compared(history: History, run: Run, one: Profiled, baseline: Baseline, policies: Policies) -> Compared:
    """Held against a baseline, regressions with their first bad run."""
    found = held_against(one.found, baseline, policies)
    if not found.worse:
        return found
    return dated(found, Trail(history, run.origin.branch, math.nextafter(one.at, math.inf)), policies)


def _history(history: History, run: Run, one: Profiled, policies: Policies) -> tuple[Series, ...]:
    """Until this profile; later runs are no business of this page."""
    subject, until = one.found.subject, math.nextafter(one.at, math.inf)
    made = []
    for name in _HISTORIES:
        points = queries.series(history, subject, name, most=POINTS, branch=run.origin.branch or None, before=until)
        if points:
            policy = policies.of(subject, name)
            made.append(Series(name, MEASURES[name].unit, points, steps(points, policy), first_bad(points, policy)))
    return tuple(made)


def _failures(run: Run, failed: Sequence[Result]) -> tuple[Failure, ...]:
    left = _LOGS
    found = []
    for result in failed:
        most = min(_LOG, left)
        log = result.log[-most:] if most else ""
        left -= len(log)
        found.append(Failure(result, repeat_command(run.origin.command, result.name), log, len(result.log) - len(log)))
    return tuple(found)


def headline(view: RunView) -> list[str]:
    """The verdict in sentences, for who reads one line only."""
    said = []
    if view.results:
        said.append(_tests_said(view))
    if view.cases:
        bad = sum(not case.passed for case in view.cases)
        of = len(view.cases) + view.cases_left_out
        said.append(f"{bad} of {of} measurements failed." if bad else f"{of} measured, all right.")
    if view.kinds("worse"):
        said.append(f"{view.kinds('worse')} worse than {view.baseline}.")
    if lasting := len(view.unmended):
        said.append("A regression of an earlier run lasts." if lasting == 1 else f"{lasting} of earlier runs last.")
    return said or ["Nothing was tested or measured."]


def _tests_said(view: RunView) -> str:
    tests, failed, skipped = len(view.results), view.outcomes.get("failed", 0), view.outcomes.get("skipped", 0)
    if failed:
        causes = ", ".join(f"{number} {cause}" for cause, number in sorted(view.causes.items()))
        return f"{failed} of {tests} tests failed ({causes})."
    if skipped:
        return f"No test failed; {skipped} of {tests} {'was' if skipped == 1 else 'were'} skipped."
    return f"All {tests} tests are well." if tests > 1 else "The only test is well."


def changed_text(change: Change) -> tuple[str, str]:
    """Before and after, as people read them."""
    unit = MEASURES[change.name].unit
    return ("-" if change.before is None else value_of(change.before.value, unit)), value_of(change.after.value, unit)
