"""What a gate looks at and what it says, as data. `hil.record.gate` decides, `hil.report.gate` draws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hil.record.conditions import Scope
from hil.record.history import Result
from hil.record.measurement import MEASURES, Found, Subject


@dataclass(frozen=True)
class Taken:
    """A profile that the gate looks at. `run`: its id, or the file that it was in. `at`: None if nobody knows."""

    found: Found
    run: str
    at: float | None = None
    place: str = ""


@dataclass(frozen=True)
class Inputs:
    """All that the gate looks at. `unended`: runs that still run, or were killed.

    `began`: when the first of the runs did; `branch`: of the first that has one.
    """

    runs: tuple[str, ...] = ()
    profiles: tuple[Taken, ...] = ()
    tests: tuple[tuple[str, Result], ...] = ()
    unended: tuple[str, ...] = ()
    began: float | None = None
    branch: str | None = None

    @property
    def there_is(self) -> str:
        """What was measured, for one who mistyped a name."""
        subjects = sorted({str(one.found.subject) for one in self.profiles})
        if not subjects:
            return "no run measured anything"
        more = len(subjects) - _LISTED
        return "there is " + "; ".join([*subjects[:_LISTED], *([f"and {more} more"] if more > 0 else [])])


_LISTED = 6


@dataclass(frozen=True)
class Finding:
    """One thing that a condition looked at.

    `excess`: how far beyond what is allowed it is, as a part of that; below 0 how far from it. It is for the order.
    `worse`: by how many percent it is worse than its baseline; below 0, better.
    """

    good: bool
    what: str
    said: str
    excess: float = 0.0
    run: str = ""
    place: str = ""
    at: float | None = None
    subject: Subject | None = None
    measure: str = ""
    value: float | None = None
    limit: float | None = None
    baseline: float | None = None
    worse: float | None = None

    @classmethod
    def of(cls, one: Taken, good: bool, said: str, excess: float, **more: Any) -> Finding:
        """About a profile."""
        subject = one.found.subject
        return cls(good, str(subject), said, excess, one.run, one.place, one.at, subject, **more)

    @classmethod
    def nothing(cls, scope: Scope, said: str) -> Finding:
        """There was nothing to look at: that is bad, and nothing is worse."""
        return cls(False, str(scope), said, math.inf)

    @property
    def line(self) -> str:
        """In one line. Where nothing matched, that says itself where it looked."""
        where = ", ".join(filter(None, (self.run, self.place)))
        return (
            f"{self.what}: {self.said}" + (f" [{where}]" if self.subject and where else "") if self.run else self.said
        )


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


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Worst first, and always in the same order."""
    return tuple(sorted(findings, key=lambda one: (one.good, -one.excess, one.what, one.measure, one.run)))


def lacking(name: str, scope: Scope, profiles: Sequence[Taken]) -> Finding:
    """Profiles that are meant, none of which has the measurement."""
    known = sorted({one.name for taken in profiles for one in taken.found.measurements})
    many = f"{len(profiles)} result{'s' * (len(profiles) != 1)}"
    return Finding.nothing(scope, f"none of {many} {scope} has {name}; there is {', '.join(known)}")


def exact(value: float) -> str:
    """A number as it is: whole ones without a point, others with three digits behind it at most."""
    return f"{value:.0f}" if value == int(value) else f"{value:.3f}".rstrip("0").rstrip(".")


def gate_record(verdict: GateVerdict) -> dict[str, Any]:
    """`hil.gate/1`; values in the units of their measurements, times in seconds since 1970."""
    return {
        "schema": "hil.gate/1",
        "gate": verdict.file,
        "runs": list(verdict.runs),
        "baseline": verdict.baseline,
        "at": verdict.now,
        "verdict": _word(verdict.passed),
        "conditions": [
            {
                "name": one.name,
                "check": one.check,
                "why": one.why,
                "verdict": _word(one.passed),
                "findings": [_finding_record(finding) for finding in one.findings],
            }
            for one in verdict.judged
        ],
    }


def _finding_record(finding: Finding) -> dict[str, Any]:
    found: dict[str, Any] = {"verdict": _word(finding.good), "what": finding.what, "said": finding.said}
    if finding.subject is not None:
        found["subject"] = vars(finding.subject)
    if finding.measure:
        found |= {"measure": finding.measure, "unit": MEASURES[finding.measure].unit}
    for name in ("run", "place", "at", "value", "limit", "baseline", "worse"):
        if (value := getattr(finding, name)) not in (None, ""):
            found[name] = value
    return found


def _word(good: bool) -> str:
    return "pass" if good else "fail"
