"""Conditions on regressions: measurements held against a baseline, for the gate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hil.record.baseline import Baseline, Compared, held_against
from hil.record.blame import Trail, dated
from hil.record.compare import Change
from hil.record.conditions import NoRegression, Scope
from hil.record.findings import Finding, Taken, exact, lacking
from hil.record.history import History
from hil.record.measurement import MEASURES
from hil.record.policy import DEFAULT, Policies

_ROUNDING = 1e-9
"""Of a percentage: 1.02 - 1 is not 0.02."""


@dataclass(frozen=True)
class Standard:
    """What regressions are told by. `baseline` None: there is none, and every condition on regressions fails.

    `history`: where the first bad run of each is looked for.
    """

    baseline: Baseline | None
    policies: Policies = DEFAULT
    history: History | None = None

    def compared(self, one: Taken, baseline: Baseline, policies: Policies) -> Compared:
        """A profile held against a baseline, regressions with their first bad run where the history has it."""
        found = held_against(one.found, baseline, policies)
        if self.history is None or one.at is None or not found.worse:
            return found
        kept = self.history.rows("SELECT branch FROM run WHERE id = ?", [one.run])
        if not kept:
            return found
        return dated(found, Trail(self.history, kept[0]["branch"], math.nextafter(one.at, math.inf)), policies)


def regressions(check: NoRegression, scope: Scope, profiles: Sequence[Taken], standard: Standard) -> Iterator[Finding]:
    """A finding for each measurement that is meant."""
    if standard.baseline is None:
        yield Finding.nothing(scope, "there is no baseline to hold it against: --baseline names one")
        return
    some = False
    for one in profiles:
        compared = standard.compared(one, standard.baseline, _policies(check, standard.policies))
        for change in compared.changes:
            if check.measure is None or change.name == check.measure.name:
                some = True
                yield _finding(check, one, change, compared)
    if not some:
        yield lacking(check.measure.name if check.measure else "any measurement", scope, profiles)


def _policies(check: NoRegression, policies: Policies) -> Policies:
    """A condition's own percentage stands above what effects say of the smallest change that matters."""
    if check.percent is None:
        return policies
    least = check.percent / 100
    effects = tuple(replace(effect, least=None) for effect in policies.effects)
    return Policies(effects, replace(policies.default, least=least, counted=least))


def _finding(check: NoRegression, one: Taken, change: Change, compared: Compared) -> Finding:
    named = {"measure": change.name, "value": change.after.value, "limit": check.percent}
    if change.before is None:
        said = f"{change.name} has no baseline in {compared.title}: pytest --hil-update-baseline writes one"
        return Finding.of(one, False, said, math.inf, **named)
    worse = 100 * change.effect * (1 if _to_the_bad(change) else -1)
    regressed = _regressed(check, change, worse)
    said = (
        f"{change.name} {exact(change.after.value)} {MEASURES[change.name].unit}, baseline "
        f"{exact(change.before.value)}: {_in_words(worse)} ({'; '.join([change.why, *compared.notes])})"
    ) + (f", since {change.since}" if change.since else "")
    beyond = (worse - (check.percent or 0.0)) / 100
    named |= {"baseline": change.before.value, "worse": round(worse, 6) if math.isfinite(worse) else None}
    return Finding.of(one, not regressed, said, max(beyond, 0.0) if regressed else min(beyond, 0.0), **named)


def _regressed(check: NoRegression, change: Change, worse: float) -> bool:
    """Whether it is a regression; a change to the bad of which nobody can tell whether it is noise counts as one."""
    if change.kind not in ("worse", "changed") or worse <= 0:
        return False
    if check.percent is None:
        return True
    return worse > check.percent + _ROUNDING or (check.strict and worse > check.percent - _ROUNDING)


def _to_the_bad(change: Change) -> bool:
    assert change.before is not None
    if change.before.value == change.after.value:
        return False
    return (change.after.value > change.before.value) == (MEASURES[change.name].better != "higher")


def _in_words(worse: float) -> str:
    if worse == 0:
        return "the same"
    side = "worse" if worse > 0 else "better"
    return f"{abs(worse):.2f} % {side}" if math.isfinite(worse) else f"{side}, where one of the two is 0"
