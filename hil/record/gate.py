"""The gate: conditions held against what runs found. What it says is data; `hil.report.gate` draws it.

A condition that matched nothing fails: a gate that looked at nothing has not been passed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hil.record.conditions import Condition, Limit, NoRegression, ResultRequired, Scope, TestsPass
from hil.record.gatefile import Gate
from hil.record.history import Result
from hil.record.measurement import Found, Measurement, Subject

_AHEAD = 300.0
"""Seconds that another machine's clock may be ahead."""
_LISTED = 6


@dataclass(frozen=True)
class Taken:
    """A profile that the gate looks at. `run`: its id, or the file that it was in. `at`: None if nobody knows."""

    found: Found
    run: str
    at: float | None = None
    place: str = ""


@dataclass(frozen=True)
class Inputs:
    """All that the gate looks at. `unended`: runs that still run, or were killed."""

    runs: tuple[str, ...] = ()
    profiles: tuple[Taken, ...] = ()
    tests: tuple[tuple[str, Result], ...] = ()
    unended: tuple[str, ...] = ()


@dataclass(frozen=True)
class Against:
    """A measurement beside its baseline. `worse`: by how many percent, below 0 for better.

    `regressed`: it is worse by more than may be, and not by noise. `why`: how that is known.
    """

    baseline: float
    worse: float
    regressed: bool
    why: str


Compared = Callable[[Taken, Measurement, NoRegression], Against | None]
"""Hold a measurement against its baseline; None where it has none."""


@dataclass(frozen=True)
class Finding:
    """One thing that a condition looked at. `excess`: how far beyond the limit it is, as a part of it; for order."""

    good: bool
    what: str
    said: str
    excess: float = 0.0
    run: str = ""
    place: str = ""
    subject: Subject | None = None
    measure: str = ""
    value: float | None = None
    limit: float | None = None
    baseline: float | None = None
    worse: float | None = None
    at: float | None = None


@dataclass(frozen=True)
class Judged:
    """A condition with all that it looked at, worst first; never empty."""

    name: str
    check: str
    why: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        return all(finding.good for finding in self.findings)

    @property
    def bad(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if not finding.good)


@dataclass(frozen=True)
class GateVerdict:
    """All conditions, worst first. `now`: when it was decided, in seconds since 1970."""

    file: str
    runs: tuple[str, ...]
    judged: tuple[Judged, ...]
    now: float
    baseline: str = ""

    @property
    def passed(self) -> bool:
        return all(one.passed for one in self.judged)


def evaluate(
    gate: Gate,
    inputs: Inputs,
    compared: Compared,
    *,
    now: float,
    baseline: str = "",
    more: Iterable[Judged] = (),
    say: Callable[[str], None] = lambda _: None,
) -> GateVerdict:
    """Hold every condition against `inputs`. `more`: what was judged elsewhere, and counts as much."""
    judged = [_ended(inputs)] if inputs.runs else []
    for condition in gate.conditions:
        say(f"judging {condition.name}")
        judged.append(
            Judged(condition.name, condition.text, condition.why, _ordered(_judge(condition, inputs, compared, now)))
        )
    ordered = sorted([*judged, *more], key=lambda one: (one.passed, -one.findings[0].excess, one.name))
    return GateVerdict(str(gate.file), inputs.runs, tuple(ordered), now, baseline)


def _ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda one: (one.good, -one.excess, one.what, one.measure, one.run)))


def _ended(inputs: Inputs) -> Judged:
    """A run that was killed may have measured the half of it that is good."""
    bad = "it has not ended: it still runs, or was killed"
    found = [
        Finding(run not in inputs.unended, run, bad if run in inputs.unended else "ended", run=run)
        for run in inputs.runs
    ]
    return Judged("runs ended", "every run has ended", "", _ordered(found))


def _judge(condition: Condition, inputs: Inputs, compared: Compared, now: float) -> Iterator[Finding]:
    for scope in condition.scope.parts():
        if isinstance(condition.check, TestsPass):
            yield from _tests(scope, inputs)
            continue
        meant = [one for one in inputs.profiles if scope.covers(one.found.subject)]
        fresh = [one for one in meant if _fresh(one, scope, now)]
        if not meant:
            yield _nothing(scope, f"nothing was measured {scope}; {_there_is(inputs)}")
        elif not fresh:
            yield _nothing(scope, f"nothing fresh was measured {scope}: {_newest(meant, now)}, {_age(scope)} is allowed")
        elif isinstance(condition.check, ResultRequired):
            yield from (_present(one, now) for one in fresh)
        elif isinstance(condition.check, Limit):
            yield from _limits(condition.check, scope, fresh)
        else:
            yield from _regressions(condition.check, scope, fresh, compared)


def _nothing(scope: Scope, said: str) -> Finding:
    return Finding(False, str(scope), said, math.inf)


def _there_is(inputs: Inputs) -> str:
    """What there was, for one who mistyped a name."""
    subjects = sorted({str(one.found.subject) for one in inputs.profiles})
    if not subjects:
        return "no run measured anything" if inputs.runs else "there is no run"
    more = len(subjects) - _LISTED
    return "there is " + "; ".join([*subjects[:_LISTED], *([f"and {more} more"] if more > 0 else [])])


def _fresh(one: Taken, scope: Scope, now: float) -> bool:
    if scope.age_s is None:
        return True
    return one.at is not None and -_AHEAD <= now - one.at <= scope.age_s


def _newest(meant: Sequence[Taken], now: float) -> str:
    ages = [now - one.at for one in meant if one.at is not None]
    if not ages:
        return "a record in a file of its own does not tell when it was made (hil record export does)"
    age = min(ages, key=abs)
    return f"the newest is from {-age / 3600:.1f} h in the future" if age < 0 else f"the newest is {_hours(age)} old"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h"


def _age(scope: Scope) -> str:
    assert scope.age_s is not None
    return _hours(scope.age_s)


def _finding(one: Taken, good: bool, said: str, excess: float, **more: object) -> Finding:
    return Finding(
        good, str(one.found.subject), said, excess, one.run, one.place, one.found.subject, at=one.at, **more  # type: ignore[arg-type]
    )


def _present(one: Taken, now: float) -> Finding:
    when = "" if one.at is None else f", {_hours(max(now - one.at, 0))} ago"
    return _finding(one, True, f"measured{when}", -1.0)


def _limits(check: Limit, scope: Scope, fresh: Sequence[Taken]) -> Iterator[Finding]:
    name, unit = check.measure.name, check.measure.unit
    any_yet = False
    for one in fresh:
        if (made := one.found.get(name)) is None:
            continue
        any_yet = True
        good = check.holds(made.value)
        said = f"{exact(made.value)} {unit}, {'as' if good else 'not'} {check.operator} {exact(check.number)} {unit}"
        excess = _excess(check, made.value, good)
        yield _finding(one, good, said, excess, measure=name, value=made.value, limit=check.number)
    if not any_yet:
        yield _nothing(scope, _lacking(name, scope, fresh))


def _lacking(name: str, scope: Scope, fresh: Sequence[Taken]) -> str:
    known = sorted({one.name for taken in fresh for one in taken.found.measurements})
    many = f"{len(fresh)} result{'s' * (len(fresh) != 1)}"
    return f"none of {many} {scope} has {name}; there is {', '.join(known)}"


def _excess(check: Limit, value: float, good: bool) -> float:
    """How far beyond the limit, as a part of it; of what is good how far from it, below 0."""
    distance = abs(value - check.number)
    part = distance / abs(check.number) if check.number else (math.inf if distance else 0.0)
    return -part if good else part


def _regressions(
    check: NoRegression, scope: Scope, fresh: Sequence[Taken], compared: Compared
) -> Iterator[Finding]:
    looked_at = [
        (one, made)
        for one in fresh
        for made in one.found.measurements
        if check.measure is None or made.name == check.measure.name
    ]
    if not looked_at:
        yield _nothing(scope, _lacking(check.measure.name if check.measure else "anything", scope, fresh))
    for one, made in looked_at:
        against = compared(one, made, check)
        named = {"measure": made.name, "value": made.value, "limit": check.percent}
        if against is None:
            why = f"{made.name} has no baseline to be held against (hil baseline update makes one)"
            yield _finding(one, False, why, math.inf, **named)
            continue
        said = (
            f"{made.name} {exact(made.value)} {made.measure.unit}, baseline {exact(against.baseline)}: "
            f"{_change(against.worse)}; {against.why}"
        )
        allowed = (check.percent or 0.0) / 100
        excess = max(against.worse / 100 - allowed, 0.0) if against.regressed else min(against.worse / 100 - allowed, 0)
        named |= {"baseline": against.baseline, "worse": against.worse if math.isfinite(against.worse) else None}
        yield _finding(one, not against.regressed, said, excess, **named)


def _change(worse: float) -> str:
    if worse == 0:
        return "the same"
    if not math.isfinite(worse):
        return "worse, from nothing" if worse > 0 else "better, to nothing"
    return f"{abs(worse):.2f} % {'worse' if worse > 0 else 'better'}"


def _tests(scope: Scope, inputs: Inputs) -> Iterator[Finding]:
    """Tests and the verdicts of profiles. What was skipped has shown nothing."""
    bare = Subject("", "", 1, 1, "")
    found = []
    skipped = 0
    for run, test in inputs.tests:
        subject = Subject(test.model, test.board, 1, 1, "")
        if not scope.covers(subject) and (subject != bare or str(scope) != "anywhere"):
            continue
        skipped += test.outcome == "skipped"
        if test.outcome == "skipped":
            continue
        good = test.outcome == "passed"
        said = "passed" if good else f"{test.cause or 'failed'}: {_first(test.message)}"
        found.append(Finding(good, test.name, said, 0.0 if good else 1.0, run, test.place, at=test.at or None))
    found += [
        _finding(one, one.found.passed, f"its verdict is {'pass' if one.found.passed else 'fail'}", 1.0)
        for one in inputs.profiles
        if scope.covers(one.found.subject)
    ]
    if not found:
        why = f"all {skipped} tests of it were skipped" if skipped else _there_is(inputs)
        found = [_nothing(scope, f"nothing was tested {scope}; {why}")]
    yield from found


def _first(message: str) -> str:
    """The first line of a message that says anything."""
    return next((line.strip()[:200] for line in message.splitlines() if line.strip()), "no message")


def exact(value: float) -> str:
    """A number as it is: whole ones without a point, others with three digits behind it at most."""
    return f"{value:.0f}" if value == int(value) else f"{value:.3f}".rstrip("0").rstrip(".")
