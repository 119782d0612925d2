"""When everything happens: the course of an inference over all nodes, frame by frame, from costs and wire."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

from hil.board import Board
from hil.plan.split.compose import Stretch
from hil.plan.split.nodes import Move
from hil.wire import Wire

FRAME_BYTES = 512
"""Payload of a frame, at most."""
HEADER_BYTES = 36
"""Header and CRC of a frame."""
_UART_EXTRA = 3
"""Delimiters of a frame on a UART, and its first code; one more code for every 254 bytes."""
_ETHERNET_EXTRA = 66
"""UDP, IP and Ethernet headers, check sequence, preamble and gap of a frame (RFC 768, RFC 791, IEEE 802.3)."""


@dataclass(frozen=True)
class Course:
    """One node's part of an inference, in microseconds: computing, frames moving, and waiting for others."""

    compute: float
    wire: float
    wait: float


@dataclass(frozen=True)
class Timing:
    """The predicted latency, in microseconds; the parts are those of node 0, whose clock measures it."""

    total_us: float
    compute_us: float
    wire_us: float
    wait_us: float
    per_node: tuple[Course, ...]


class _Transfer:
    """A message on its way: who has granted, who has it all, who has acknowledged it."""

    def __init__(self, move: Move, source: int) -> None:
        self.number = move.transfer
        self.bytes = move.bytes
        self.source = source
        self.peers = [node for node in range(16) if move.peers >> node & 1]
        self.granted: set[int] = set()
        self.left = dict.fromkeys(self.peers, -(-move.bytes // FRAME_BYTES))
        self.unacknowledged = set(self.peers)
        self.begun = False


class _Simulation:
    def __init__(self, boards: Sequence[Board], courses: Sequence[Sequence[Stretch]], wire: Wire) -> None:
        self._boards, self._courses, self._wire = boards, courses, wire
        nodes = range(len(boards))
        self._at = [0 for _ in nodes]
        self._ready: list[float | None] = [None for _ in nodes]
        self._up, self._down, self._cpu = ([0.0 for _ in nodes] for _ in range(3))
        self.end = [0.0 for _ in nodes]
        self.compute, self.wire, self.wait = ([0.0 for _ in nodes] for _ in range(3))
        self._busy = [0.0 for _ in nodes]
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._transfers = {
            move.transfer: _Transfer(move, node)
            for node, course in enumerate(courses)
            for stretch in course
            for move in stretch.moves
            if move.sends
        }
        self._open: list[set[int]] = [set() for _ in nodes]

    def _later(self, when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    def run(self) -> None:
        # Node 0's clock begins when START is on its way; the others begin when it has come to them.
        self._compute(0, 0.0)
        self._up[0] = left = self._line(0)
        for node in range(1, len(self._boards)):
            self._later(self._arrive(node, 0, left), partial(self._compute, node))
        while self._events:
            when, _, what = heapq.heappop(self._events)
            what(when)

    def _compute(self, node: int, now: float) -> None:
        stretch = self._courses[node][self._at[node]]
        took = stretch.cycles * 1e6 / self._boards[node].clock_hz
        self.compute[node] += took
        if stretch.moves:
            self._later(now + took, lambda when: self._enter(node, when))
        else:
            self.end[node] = now + took

    def _enter(self, node: int, now: float) -> None:
        """A node comes to an exchange: it grants all that it receives, and sends what it was granted."""
        self._ready[node] = now
        self._busy[node] = 0.0
        moves = self._courses[node][self._at[node]].moves
        self._open[node] = {move.transfer for move in moves}
        for move in moves:
            if not move.sends:
                self._frame(node, move.peers.bit_length() - 1, 0, now, self._grant(move.transfer, node))
        for move in moves:
            if move.sends:
                self._start(self._transfers[move.transfer], now)

    def _grant(self, transfer: int, node: int) -> Callable[[float], None]:
        def arrived(when: float) -> None:
            found = self._transfers[transfer]
            found.granted.add(node)
            self._start(found, when)

        return arrived

    def _start(self, transfer: _Transfer, now: float) -> None:
        """Send, once all receivers have granted and the sender is there."""
        here = self._ready[transfer.source] is not None and transfer.number in self._open[transfer.source]
        if transfer.begun or not here or len(transfer.granted) < len(transfer.peers):
            return
        transfer.begun = True
        left = transfer.bytes
        while left > 0:
            size = min(left, FRAME_BYTES)
            self._multicast(transfer, size, now)
            left -= size

    def _line(self, size: int) -> float:
        """Microseconds of a frame with `size` bytes of payload on a line."""
        whole = HEADER_BYTES + size
        extra = _UART_EXTRA + whole // 254 if self._wire.port == "uart" else _ETHERNET_EXTRA
        return (whole + extra) * self._wire.byte_us

    def _cost(self, node: int, size: int) -> float:
        """Microseconds of CPU that a frame takes of a node."""
        board = self._boards[node]
        port = board.network.get(self._wire.port)
        if port is None:
            return 0.0
        each = port.frame if size else port.word
        return (each + port.byte * (HEADER_BYTES + size)) * 1e6 / board.clock_hz

    def _leave(self, node: int, size: int, now: float) -> float:
        """When a frame has left its sender."""
        start = max(now, self._up[node], self._cpu[node])
        line, cost = self._line(size), self._cost(node, size)
        if self._wire.port == "uart":  # bytes are fed to the line while it carries them
            self._up[node] = start + max(line, cost)
        else:
            self._cpu[node] = start + cost
            self._up[node] = max(self._up[node], start + cost) + line
        self._busy[node] += max(line, cost)
        return self._up[node]

    def _arrive(self, node: int, size: int, now: float) -> float:
        """When a frame that is at the switch `now` has been taken by its receiver."""
        start = max(now + self._wire.delay_us, self._down[node])
        line, cost = self._line(size), self._cost(node, size)
        if self._wire.port == "uart":
            self._down[node] = start + max(line, cost)
            end = self._down[node]
        else:
            self._down[node] = start + line
            end = self._cpu[node] = max(self._down[node], self._cpu[node]) + cost
        return end

    def _frame(self, source: int, target: int, size: int, now: float, arrived: Callable[[float], None]) -> None:
        out = self._leave(source, size, now)
        self._later(out, lambda when: self._later(self._arrive(target, size, when), arrived))

    def _multicast(self, transfer: _Transfer, size: int, now: float) -> None:
        out = self._leave(transfer.source, size, now)
        for peer in transfer.peers:
            self._later(out, self._to(transfer, peer, size))

    def _to(self, transfer: _Transfer, peer: int, size: int) -> Callable[[float], None]:
        def at_switch(when: float) -> None:
            def taken(end: float) -> None:
                transfer.left[peer] -= 1
                if transfer.left[peer] == 0:
                    self._close(peer, transfer.number, end)
                    self._frame(peer, transfer.source, 0, end, self._acknowledged(transfer, peer))

            self._later(self._arrive(peer, size, when), taken)

        return at_switch

    def _acknowledged(self, transfer: _Transfer, peer: int) -> Callable[[float], None]:
        def arrived(when: float) -> None:
            transfer.unacknowledged.discard(peer)
            if not transfer.unacknowledged:
                self._close(transfer.source, transfer.number, when)

        return arrived

    def _close(self, node: int, number: int, now: float) -> None:
        """One of a node's transfers is done; with the last one the exchange is."""
        self._open[node].discard(number)
        ready = self._ready[node]
        if self._open[node] or ready is None:
            return
        took = now - ready
        moving = min(took, self._busy[node])
        self.wire[node] += moving
        self.wait[node] += took - moving
        self._ready[node] = None
        self._at[node] += 1
        self._compute(node, now)


def predict(boards: Sequence[Board], courses: Sequence[Sequence[Stretch]], wire: Wire) -> Timing:
    """The timing of one inference without faults."""
    made = _Simulation(boards, courses, wire)
    made.run()
    each = tuple(Course(*parts) for parts in zip(made.compute, made.wire, made.wait, strict=True))
    return Timing(made.end[0], each[0].compute, each[0].wire, each[0].wait, each)
