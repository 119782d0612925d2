"""What a screen in the lab shows: runs that run, boards and who holds them, and the last runs. Read, never written."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hil import board as kinds
from hil.bench import Lab, Where, lab_for
from hil.bench.choose import labgrid_of
from hil.bench.labgrid import Labgrid, seen
from hil.bench.local import state_of
from hil.bench.state import State
from hil.errors import HilError
from hil.record import queries
from hil.record.baseline import HistoryBaseline, held_against
from hil.record.health import health_of
from hil.record.history import History, Result
from hil.record.origin import runs_here
from hil.record.queries import Run
from hil.report.run import LAST_GOOD

RECENT = 86400.0
"""Seconds that a run counts as the last night's, and that one without an end is shown."""
_RUNS = 20
_KNOWN = 200
"""Ended runs whose changes are remembered: they do not change any more."""


@dataclass(frozen=True)
class Live:
    """A run without an end. `there`: whether its process is; None where that is another machine's."""

    run: Run
    outcomes: Mapping[str, int]
    last: Result | None
    there: bool | None

    @property
    def tests(self) -> int:
        return sum(self.outcomes.values())


@dataclass(frozen=True)
class Ended:
    """A run that is over. `worse`: measurements that are, against the last good runs before it."""

    run: Run
    outcomes: Mapping[str, int]
    measured: int
    failed: int
    worse: tuple[str, ...]

    @property
    def order(self) -> tuple[int, float]:
        """Worst first, then the newest."""
        return (0 if self.run.verdict != "pass" else 1 if self.worse else 2, -self.run.origin.began)


@dataclass(frozen=True)
class BoardNow:
    """A board of the lab, or one that somebody holds. `health`: from its last uses; empty where none are known."""

    name: str
    kind: str
    state: str
    what: str
    health: str = ""


@dataclass(frozen=True)
class WallView:
    """Everything on the wall. `trouble`: what could not be read."""

    at: float
    live: tuple[Live, ...]
    boards: tuple[BoardNow, ...]
    night: tuple[Ended, ...]
    trouble: tuple[str, ...]


class Wall:
    """Looks at history and lab. One for a process; `view` is called by one thread at a time."""

    def __init__(self, history: Path, where: Where) -> None:
        self._file, self._where = history, where
        self._ended: dict[str, Ended] = {}

    def view(self) -> WallView:
        """What there is to see now. Nothing is made: without a history there are no runs."""
        trouble: list[str] = []
        live: tuple[Live, ...] = ()
        night: tuple[Ended, ...] = ()
        boards: tuple[BoardNow, ...] = ()
        now = time.time()
        try:
            labgrid = labgrid_of(self._where)
            boards = _places(labgrid) if labgrid is not None else _of_lab(lab_for(self._where), self._file)
        except HilError as error:
            trouble.append(str(error))
        if not self._file.exists():
            trouble.append(f"there is no history yet: {self._file}")
        else:
            try:
                with History.open(self._file) as history:
                    runs = queries.runs(history, most=_RUNS, since=now - RECENT)
                    live = tuple(_live(history, run) for run in runs if run.ended is None)
                    night = tuple(sorted((self._over(history, r) for r in runs if r.ended), key=lambda one: one.order))
            except HilError as error:
                trouble.append(str(error))
        return WallView(now, live, boards, night, tuple(trouble))

    def _over(self, history: History, run: Run) -> Ended:
        if run.id not in self._ended:
            if len(self._ended) >= _KNOWN:
                self._ended.clear()
            self._ended[run.id] = _ended(history, run)
        return self._ended[run.id]


def _of_lab(lab: Lab | None, history: Path) -> tuple[BoardNow, ...]:
    """Of a lab file; and leases of boards that are in none, such as those that were only plugged in."""
    state = State(state_of(lab))
    found, named = [], set()
    for board in lab.boards if lab else ():
        holder, aside = state.holder(board.identity), state.quarantined(board.identity)
        named.add(state.lease_name(board.identity))
        word, what = "free", board.identity
        if aside is not None:
            word, what = "set aside", f"{aside.reason}: hil lab release {board.name}"
        elif holder is not None:
            word, what = "held", str(holder)
        found.append(BoardNow(board.name, board.kind, word, what, _health(history, board.identity, state)))
    others = [(name, owner) for name, owner in state.leases() if name not in named]
    return (*found, *(BoardNow(name, owner.kind, "held", str(owner)) for name, owner in others))


def _health(file: Path, identity: str, state: State) -> str:
    if not file.exists():
        return ""
    with History.open(file) as history:
        health = health_of(history, identity, state)
    return str(health) if health.uses else ""


def _places(where: Labgrid) -> tuple[BoardNow, ...]:
    """Of a labgrid coordinator: its places with boards of kinds that are known here."""
    found = []
    for kind in kinds.names():
        for _, place, owner, health in seen(where, kind):
            name, _, rest = place.partition(" at ")
            word, what = ("held", f"by {owner}; {rest}") if owner else ("free", rest)
            if health != "well":
                word, what = "set aside" if health.startswith("set aside") else "missing", health
            found.append(BoardNow(name, kind, word, what))
    return tuple(found)


def _live(history: History, run: Run) -> Live:
    return Live(run, queries.outcomes(history, run.id), queries.last_test(history, run.id), _there(run))


def _there(run: Run) -> bool | None:
    return runs_here(run.origin) if run.origin.host == platform.node() else None


def _ended(history: History, run: Run) -> Ended:
    found = [one.found for one in queries.profiles(history, run.id)]
    before = HistoryBaseline(history, run.origin.branch or None, LAST_GOOD, before=run.origin.began)
    worse: Sequence[str] = [
        f"{one.subject}: {change.name} {change.percent}".rstrip()
        for one in found
        for change in held_against(one, before).worse
    ]
    failed = sum(not one.passed for one in found)
    return Ended(run, queries.outcomes(history, run.id), len(found), failed, tuple(worse))
