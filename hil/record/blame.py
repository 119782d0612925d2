"""Since when: the first run of a branch, and its revision, in which a regression is seen."""

from __future__ import annotations

from dataclasses import replace

from hil.record import queries
from hil.record.baseline import Compared
from hil.record.compare import Change, worst_first
from hil.record.history import History
from hil.record.policy import Policies
from hil.record.steps import first_bad

_RUNS = 200
"""How far back is looked."""


def dated(compared: Compared, history: History, branch: str, policies: Policies) -> Compared:
    """The same, with every regression's first bad run named, where the history of the branch goes back to a good one.

    The run that was compared is in the history already.
    """
    changes = (_dated(one, compared, history, branch, policies) for one in compared.changes)
    return replace(compared, changes=tuple(worst_first(changes)))


def _dated(change: Change, compared: Compared, history: History, branch: str, policies: Policies) -> Change:
    if change.kind != "worse" or change.before is None:
        return change
    points = queries.series(history, compared.subject, change.name, most=_RUNS, branch=branch)
    step = first_bad(points, policies.of(compared.subject, change.name), change.before.value)
    return change if step is None else replace(change, since=step.where)
