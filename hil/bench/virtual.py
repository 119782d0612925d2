"""The virtual bench: a process per board, started when it is needed and ended when it is not.

Boards get their image as real ones do where there is a way: they start with erased flash, and the tool that their TOML
names first writes it through their debug port. Then their power is cycled, so that what runs has the state, and counts
the cycles, of a board that had its image all along. Others start with the image in place, `DIRECT`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from hil import board as boards
from hil import flash as flashing
from hil import virtual
from hil.bench.station import DIRECT, Rack, Say, Source, Station, Wires, silent
from hil.errors import HilError
from hil.flash.rtt import RttConsole
from hil.flash.together import Order, flash_together
from hil.image.build import Image
from hil.wire import Wire

_DEBUGGERS = ("pyocd",)
"""The tools of `hil.flash` that reach a board through its debug port."""


class VirtualStation:
    """A virtual board that runs an image."""

    source: Source = "virtual"

    def __init__(
        self, board: str, machine: virtual.VirtualBoard, flashed: str = DIRECT, url: str | None = None
    ) -> None:
        self._machine = machine
        self.url = url or machine.uart0_url
        self.place = f"virtual {board} at {self.url}"
        self.flashed = flashed
        self.pid = machine.pid

    def clock_ns(self) -> int:
        """Virtual nanoseconds, counted from cycles, once the board waits for the host; or this machine's, see there."""
        return self._machine.clock_ns()

    def alive(self) -> bool:
        return self._machine.alive

    def diagnostics(self) -> str:
        return self._machine.diagnostics()


class BreakableStation(VirtualStation):
    """A virtual board of a cluster whose time is counted: it can be made to fail at a moment."""

    def reset(self, after_us: float = 0) -> None:
        self._machine.probe.reset(after=after_us)

    def halt(self, after_us: float = 0) -> None:
        self._machine.probe.halt(after=after_us)

    def slow(self, factor: float, after_us: float = 0) -> None:
        self._machine.probe.slow(factor, after=after_us)

    def unplug(self, after_us: float = 0) -> None:
        self._machine.probe.unplug(after=after_us)


def _station(board: str, machine: virtual.VirtualBoard, flashed: str) -> VirtualStation:
    kind = BreakableStation if boards.load(board).counted else VirtualStation
    return kind(board, machine, flashed)


class VirtualRack:
    """Virtual boards that live by one clock, and the modelled wires between them."""

    def __init__(self, stations: Sequence[Station], wires: Wires) -> None:
        self.stations = tuple(stations)
        self.wires: Wires | None = wires


class _Spares:
    """Boards that were flashed, ran well and are free, one of a kind, while somebody keeps them.

    Their next user gets them as the next user of a lab gets a real one: with an old image in its flash.
    """

    def __init__(self) -> None:
        self._boards: dict[str, virtual.VirtualBoard] = {}
        self._keepers = 0

    @contextmanager
    def kept(self) -> Iterator[None]:
        self._keepers += 1
        try:
            yield
        finally:
            self._keepers -= 1
            if not self._keepers:
                self.drop()

    def take(self, kind: str) -> virtual.VirtualBoard:
        """A spare, or a new one with erased flash."""
        found = self._boards.pop(kind, None)
        if found is not None and not found.alive:
            found.stop()
            found = None
        return found or virtual.start(kind)

    @contextmanager
    def lent(self, kind: str) -> Iterator[virtual.VirtualBoard]:
        """A board for one use. It is kept for the next one if this went well."""
        machine = self.take(kind)
        try:
            yield machine
        except BaseException:
            machine.stop()
            raise
        self.give(kind, machine)

    def give(self, kind: str, machine: virtual.VirtualBoard) -> None:
        """It ran well and is free."""
        if not self._keepers or kind in self._boards or not machine.alive:
            machine.stop()
        else:
            self._boards[kind] = machine

    def drop(self) -> None:
        while self._boards:
            self._boards.popitem()[1].stop()


_SPARES = _Spares()


def keeping_boards() -> AbstractContextManager[None]:
    """Until its end boards that are flashed do not end with their use: the next of a kind saves starting it anew."""
    return _SPARES.kept()


def drop_boards() -> None:
    """End those that are kept and free: something was wrong."""
    _SPARES.drop()


class VirtualBench:
    """Virtual boards on this machine. `direct`: every image is put in place before its board is powered."""

    source: Source = "virtual"
    title = "virtual bench"

    def __init__(self, *, direct: bool = False) -> None:
        self._direct = direct

    def way(self, board: str) -> str:
        """How an image comes onto such a board: by the tool of that name, or `DIRECT`."""
        tool = next(iter(boards.load(board).flash_tools), None)
        if self._direct or tool not in _DEBUGGERS or not virtual.debuggable(board):
            return DIRECT
        return tool

    @contextmanager
    def start(self, board: str, image: Image, *, say: Say = silent) -> Iterator[Station]:
        kind, way = boards.load(board), self.way(board)
        with ExitStack() as held:
            if image.in_ram is not None:
                machine = held.enter_context(virtual.start(board))
                way = _DEBUGGERS[0]
                flashing.flash(f"hil:{machine.debug_port}", image, kind, way, say)
            elif way == DIRECT:
                machine = held.enter_context(virtual.start(board, image.elf))
            else:
                flashing.prepare(way)
                machine = held.enter_context(_SPARES.lent(board))
                flashing.flash(f"hil:{machine.debug_port}", image, kind, way, say)
                machine.probe.reset()
            url = None
            if image.rtt is not None:
                url = held.enter_context(RttConsole(f"hil:{machine.debug_port}", image, kind)).url
            yield VirtualStation(board, machine, way, url)

    @contextmanager
    def start_cluster(self, nodes: Sequence[tuple[str, Image]], wire: Wire, *, say: Say = silent) -> Iterator[Rack]:
        ways = [self.way(name) for name, _ in nodes]
        for way in {*ways} - {DIRECT}:
            flashing.prepare(way)
        given = [(name, image.elf if way == DIRECT else None) for (name, image), way in zip(nodes, ways, strict=True)]
        cluster = virtual.start_cluster(given, wire)
        try:
            orders = [
                Order(f"hil:{board.debug_port}", image, boards.load(name))
                for (name, image), board, way in zip(nodes, cluster.boards, ways, strict=True)
                if way != DIRECT
            ]
            for found in flash_together(orders, say=say):
                if isinstance(found, HilError):
                    raise found
            if orders:
                cluster.power_cycle()
            stations = [
                _station(name, board, way) for (name, _), board, way in zip(nodes, cluster.boards, ways, strict=True)
            ]
            yield VirtualRack(stations, cluster.wires)
        finally:
            cluster.stop()
