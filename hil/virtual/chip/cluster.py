"""Several virtual microcontrollers on one network, under one clock.

The time that they share is counted in picoseconds. All boards run up to a horizon, one after the other; then the
frames that have become whole at the switch are routed, and the next horizon is chosen. No frame can arrive before the
horizon that would have to leave behind it: what is on a line takes its time, and what has left is delayed by the wire.
So it does not matter in which order, and how fast, boards are run, and the same bytes at the same moments give the
same cycles everywhere. (A core stops at the end of a block of code: it may see a byte that many cycles late.)

When nobody can go on without a byte from a host and no frame is on its way, time stands still.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from hil.errors import UsageError
from hil.link.switch import SHORTEST, Switch
from hil.virtual.chip.board import Microcontroller
from hil.virtual.chip.native import RAN_TO_LIMIT
from hil.wire import Wire

PS_PER_US = 10**6
_LEAST = PS_PER_US // 2
"""Time goes on by at least this, whatever a wire says of itself."""
_ROUND = 10 * PS_PER_US
_MOST_FLYING = 1 << 16


@dataclass
class Node:
    """A board, and what has become of it. `idle`: only a byte or a frame can wake it. `halted`: its cores stand, for
    good. `gone`: unplugged."""

    board: Microcontroller
    idle: bool = False
    halted: bool = False
    gone: bool = False

    @property
    def runs(self) -> bool:
        return not (self.idle or self.halted or self.gone)


@dataclass(order=True)
class _Event:
    """Something at a moment; those of one moment happen in the order in which they were planned."""

    moment: int
    number: int
    node: int = field(compare=False)
    frame: bytes = field(compare=False, default=b"")
    call: Callable[[], None] | None = field(compare=False, default=None)


class Cluster:
    """Boards on `wire`, whose frames `switch` routes. Nothing happens except in `run`."""

    def __init__(self, boards: Sequence[Microcontroller], wire: Wire, switch: Switch | None = None) -> None:
        self.switch = switch or Switch(len(boards))
        if self.switch.nodes != len(boards):
            raise UsageError(f"a switch for {self.switch.nodes} nodes does not fit {len(boards)} boards")
        self.nodes = tuple(Node(board) for board in boards)
        self.moment = 0
        self._delay = round(Fraction(wire.delay_us) * PS_PER_US)
        self._shortest = round(Fraction(wire.byte_us) * SHORTEST * PS_PER_US)
        self._numbers = 0
        self._sent: list[_Event] = []
        self._flying: list[_Event] = []
        self._plans: list[_Event] = []
        for board in boards:
            board.plug_in(wire)

    @property
    def idle(self) -> bool:
        """Whether time stands still until a host sends something."""
        return not (self._sent or self._flying or any(node.runs for node in self.nodes))

    def run(self, picoseconds: int) -> bool:
        """Go on for so long, or until time stands still: then True, and all boards are at that moment."""
        end = self.moment + picoseconds
        while self.moment < end:
            self._act()
            if self.idle:
                self._gather()
                return True
            self._advance(self._horizon(end))
        return False

    # ---- what hosts do ----

    def wake(self, index: int) -> Microcontroller:
        """The board of a node, brought to the present, of which something is wanted or to which it will happen."""
        node = self.nodes[index]
        if node.idle and not (node.halted or node.gone):
            node.board.run_until(self.moment, passing=True)
            node.idle = False
        return node.board

    def reset(self, index: int) -> None:
        """Off and on; halted cores go again."""
        node = self.nodes[index]
        if not node.gone:
            node.board.power_cycle(self.moment)
            node.idle = node.halted = False

    def power_cycle(self) -> None:
        """All boards that are there off and on, together: time begins at 0, what was under way or planned is gone."""
        self.moment = 0
        self._sent.clear()
        self._flying.clear()
        self.forget()
        self.switch.restart()
        for index in range(len(self.nodes)):
            self.reset(index)

    def halt(self, index: int) -> None:
        """Stop the board for good in the middle of whatever it does, as a debugger would; what it has sent goes on."""
        self.wake(index)
        self.nodes[index].halted = True

    def slow(self, index: int, factor: float) -> None:
        """Let its clock run `factor` times slower than the others'."""
        self.wake(index).slow(factor)

    def unplug(self, index: int) -> None:
        """Gone: it does nothing, and gets nothing, any more."""
        self.nodes[index].gone = True

    def plan(self, microseconds: float, call: Callable[[], None]) -> None:
        """Do that so much later. Time that stands still does not go on for it."""
        when = self.moment + round(Fraction(microseconds) * PS_PER_US)
        heapq.heappush(self._plans, _Event(when, self._number(), 0, call=call))

    def forget(self) -> None:
        """Nothing is planned any more."""
        self._plans.clear()

    # ---- time ----

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _act(self) -> None:
        """What was planned for now."""
        while self._plans and self._plans[0].moment <= self.moment:
            call = heapq.heappop(self._plans).call
            assert call is not None
            call()

    def _gather(self) -> None:
        """All clocks agree when time stands still, and what comes next finds all boards in the same state each time:
        it comes on a round moment, in which their timers' ticks are where they always are, and to loops that stand
        where it was seen that they only wait."""
        self.moment += -self.moment % _ROUND
        for node in self.nodes:
            if not (node.halted or node.gone):
                node.board.rest(self.moment)

    def _horizon(self, end: int) -> int:
        """How far every board may run before anything can arrive that has not been sent yet."""
        soonest = [node.board.soonest for node in self.nodes if node.runs]
        soonest += [event.moment for event in self._sent[:1]]
        soonest += [max(event.moment, self.moment) + self._shortest for event in self._flying[:1]]
        horizon = min(end, min(soonest, default=end) + self._delay)
        if self._plans:
            horizon = min(horizon, self._plans[0].moment)
        return max(horizon, self.moment + _LEAST)

    def _advance(self, horizon: int) -> None:
        while self._flying and self._flying[0].moment < horizon:
            self._deliver(heapq.heappop(self._flying))
        for index, node in enumerate(self.nodes):
            if node.runs:
                node.idle = node.board.run_until(horizon) != RAN_TO_LIMIT
                for moment, frame in node.board.collect():
                    # By moment, then by node: whose turn came first does not matter.
                    heapq.heappush(self._sent, _Event(moment, index, index, frame))
        self.moment = horizon
        while self._sent and self._sent[0].moment <= horizon:
            event = heapq.heappop(self._sent)
            for delivery in self.switch.route(event.node, event.frame):
                if len(self._flying) >= _MOST_FLYING:
                    self.switch.counts[delivery.node].dropped += 1
                    continue
                when = event.moment + self._delay + delivery.delay_us * PS_PER_US
                heapq.heappush(self._flying, _Event(when, self._number(), delivery.node, delivery.frame))

    def _deliver(self, event: _Event) -> None:
        node, moment = self.nodes[event.node], max(event.moment, self.moment)
        if node.idle and not (node.halted or node.gone):
            node.board.run_until(moment, passing=True)
            node.idle = False
        if node.gone or not node.board.deliver(moment, event.frame):
            self.switch.counts[event.node].dropped += 1
