"""How well a lab's boards behave: a score of each from its last uses, and quarantine of those that fail too often.

A use is bad if the infrastructure failed in it: the board was gone, deaf, would not be flashed, or had to be brought
back to life. What a device did wrong by itself, and what tests found wrong, never counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hil.bench.lab import HEALTH, Lab
from hil.bench.local import state_of
from hil.bench.state import State
from hil.record import queries
from hil.record.history import History, Usage, Writer

LAST = 20
"""Uses that count."""
_GOOD, _BAD = 9.0, 1.0
"""What is taken for granted of a board that nobody has used: nine good uses and a bad one, a beta distribution.

So with the default threshold of 0.7 a new board is set aside after three bad uses in a row, and one that was well all
the time after nine in its last twenty.
"""


@dataclass(frozen=True)
class Health:
    """A board's last uses. `last_trouble`: what the newest bad one was, or ''."""

    board: str
    name: str
    uses: int
    bad: int
    device: int
    last_trouble: str

    @property
    def score(self) -> float:
        """How likely its next use is to be good: the mean of the beta distribution after its last uses."""
        return (_GOOD + self.uses - self.bad) / (_GOOD + _BAD + self.uses)

    def __str__(self) -> str:
        return f"health {self.score:.2f}, {self.bad} of {self.uses} uses bad"


def health_in(board: str, usages: Sequence[Usage]) -> Health:
    """The health that uses of a board, newest first, speak of."""
    last = usages[:LAST]
    bad = [usage for usage in last if usage.outcome == "infrastructure"]
    return Health(
        board=board,
        name=last[0].name if last else "",
        uses=len(last),
        bad=len(bad),
        device=sum(usage.outcome == "device" for usage in last),
        last_trouble=bad[0].what if bad else "",
    )


def health_of(history: History, board: str, state: State) -> Health:
    """A board's health, by its identity; only uses since it was last released from quarantine count."""
    return health_in(board, queries.usages(history, board, most=LAST, since=state.released_at(board)))


class Guard:
    """Keeps how boards behave, and sets aside those whose health is too poor. `told`: what it had to do."""

    def __init__(self, history: History, writer: Writer, lab: Lab | None) -> None:
        self._history, self._writer = history, writer
        self._state = State(state_of(lab))
        self._least = HEALTH if lab is None else lab.health
        self.told: list[str] = []

    def used(self, usage: Usage) -> None:
        """A use of a board is over. Raises `StateFailed`."""
        self._writer.used(usage)
        if usage.outcome != "infrastructure" or self._state.quarantined(usage.board) is not None:
            return
        health = health_of(self._history, usage.board, self._state)
        if health.score < self._least:
            reason = f"{health}: below {self._least:g}; last: {usage.what}"
            self._state.set_aside(usage.board, usage.name, reason, "")
            self.told.append(f"{usage.name} is set aside: {reason}")
