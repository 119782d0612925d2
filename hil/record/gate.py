"""The gate: conditions held against what runs found.

A condition that matched nothing fails: a gate that looked at nothing has not been passed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from hil.record.conditions import Condition, Limit, NoRegression, ResultRequired, Scope
from hil.record.findings import Finding, GateVerdict, Inputs, Judged, Taken, exact, lacking, ordered
from hil.record.gate_changes import Standard, regressions
from hil.record.gatefile import Gate
from hil.record.history import Result

_AHEAD = 300.0
"""Seconds that another machine's clock may be ahead."""


def evaluate(
    gate: Gate,
    inputs: Inputs,
    standard: Standard,
    *,
    now: float,
    more: Iterable[Judged] = (),
    say: Callable[[str], None] = lambda _: None,
) -> GateVerdict:
    """Hold every condition against `inputs`. `more`: what was judged elsewhere, and counts as much.

    `now`: in seconds since 1970.
    """
    judged = [_ended(inputs), *more]
    for condition in gate.conditions:
        say(f"judging {condition.name}")
        findings = ordered(_judge(condition, inputs, standard, now))
        judged.append(Judged(condition.name, condition.text, condition.why, findings))
    worst_first = sorted(judged, key=lambda one: (one.passed, -one.findings[0].excess, one.name))
    title = standard.baseline.title if standard.baseline else ""
    return GateVerdict(str(gate.file), inputs.runs, tuple(worst_first), now, title)


def _ended(inputs: Inputs) -> Judged:
    """Every run is over: one that was killed may have measured the half of it that is good."""
    found = [Finding(True, run, "ended", -1.0, run) for run in inputs.runs if run not in inputs.unended]
    found += [
        Finding(False, run, "it has not ended: it still runs, or was killed", math.inf, run) for run in inputs.unended
    ]
    if not found:
        found = [Finding(False, "runs", "there is none to look at", math.inf)]
    return Judged("runs ended", "there are runs, and all have ended", "", ordered(found))


def _judge(condition: Condition, inputs: Inputs, standard: Standard, now: float) -> Iterator[Finding]:
    """Each board and model that the condition names has to be there, not one of them alone."""
    for scope in condition.scope.parts():
        if isinstance(condition.check, Limit | NoRegression | ResultRequired):
            meant = [one for one in inputs.profiles if scope.covers(one.found.subject)]
            fresh = [one for one in meant if _fresh(one, scope, now)]
            if not fresh:
                yield _missing(meant, scope, inputs, now)
            elif isinstance(condition.check, ResultRequired):
                yield from (_present(one, now) for one in fresh)
            elif isinstance(condition.check, Limit):
                yield from _limits(condition.check, scope, fresh)
            else:
                yield from regressions(condition.check, scope, fresh, standard)
        else:
            yield from _tests(scope, inputs)


def _fresh(one: Taken, scope: Scope, now: float) -> bool:
    if scope.age_s is None:
        return True
    return one.at is not None and -_AHEAD <= now - one.at <= scope.age_s


def _missing(meant: Sequence[Taken], scope: Scope, inputs: Inputs, now: float) -> Finding:
    if not meant:
        return Finding.nothing(scope, f"nothing was measured {scope}; {inputs.there_is}")
    ages = [now - one.at for one in meant if one.at is not None]
    assert scope.age_s is not None, "without a limit of age everything is fresh"
    if not ages:
        newest = "a record in a file of its own does not tell when it was made; hil record export does"
    elif (age := min(ages, key=abs)) < 0:
        newest = f"the newest is from {-age / 3600:.1f} h in the future"
    else:
        newest = f"the newest is {age / 3600:.1f} h old"
    said = f"nothing that is at most {scope.age_s / 3600:g} h old was measured {scope}: {newest}"
    return Finding.nothing(scope, said)


def _present(one: Taken, now: float) -> Finding:
    when = "" if one.at is None else f" {max(now - one.at, 0) / 3600:.1f} h ago"
    return Finding.of(one, True, f"measured{when}", -1.0)


def _limits(check: Limit, scope: Scope, profiles: Sequence[Taken]) -> Iterator[Finding]:
    name, unit = check.measure.name, check.measure.unit
    made = [(one, found.value) for one in profiles if (found := one.found.get(name)) is not None]
    if not made:
        yield lacking(name, scope, profiles)
    for one, value in made:
        good = check.holds(value)
        said = f"{name} is {exact(value)} {unit}, {'' if good else 'not '}{check.operator} {exact(check.number)}"
        yield Finding.of(one, good, said, _excess(check, value, good), measure=name, value=value, limit=check.number)


def _excess(check: Limit, value: float, good: bool) -> float:
    distance = abs(value - check.number)
    part = distance / abs(check.number) if check.number else math.inf * distance if distance else 0.0
    return -part if good else part


def _tests(scope: Scope, inputs: Inputs) -> Iterator[Finding]:
    """Tests, and the verdicts of profiles. What was skipped has shown nothing."""
    tests = [(run, test) for run, test in inputs.tests if scope.covers_test(test.board, test.model)]
    profiles = [one for one in inputs.profiles if scope.covers(one.found.subject)]
    ran = [(run, test) for run, test in tests if test.outcome != "skipped"]
    yield from (_test(run, test) for run, test in ran)
    for one in profiles:
        good = one.found.passed
        yield Finding.of(one, good, f"its verdict is {'pass' if good else 'fail'}", -1.0 if good else 1.0)
    if not ran and not profiles:
        skipped = f"all {len(tests)} tests of it were skipped" if tests else inputs.there_is
        yield Finding.nothing(scope, f"nothing was tested {scope}; {skipped}")


def _test(run: str, test: Result) -> Finding:
    good = test.outcome == "passed"
    first = next((line.strip()[:200] for line in test.message.splitlines() if line.strip()), "no message")
    said = "passed" if good else f"{test.cause or 'failed'}: {first}"
    return Finding(good, test.name, said, -1.0 if good else 1.0, run, test.place, test.at or None)
