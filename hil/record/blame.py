"""Since when: the first run of a branch, and its revision, in which a regression is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hil.record import queries
from hil.record.baseline import Compared
from hil.record.compare import Change, worst_first
from hil.record.history import History
from hil.record.measurement import Subject
from hil.record.policy import Policies
from hil.record.steps import first_bad

_RUNS = 200
"""How far back is looked."""


@dataclass(frozen=True)
class Trail:
    """Where is looked: in the runs of a branch, before a moment if one is given. The run compared is among them."""

    history: History
    branch: str
    before: float | None = None


def dated(compared: Compared, trail: Trail, policies: Policies) -> Compared:
    """The same, with every regression's first bad run named, where the trail goes back to a good one."""
    changes = (_dated(one, compared.subject, trail, policies) for one in compared.changes)
    return replace(compared, changes=tuple(worst_first(changes)))


def _dated(change: Change, subject: Subject, trail: Trail, policies: Policies) -> Change:
    if change.kind != "worse" or change.before is None:
        return change
    points = queries.series(trail.history, subject, change.name, most=_RUNS, branch=trail.branch, before=trail.before)
    step = first_bad(points, policies.of(subject, change.name), change.before.value)
    return change if step is None else replace(change, since=step.where)
