"""The virtual bench: a process per board, started when it is needed and ended when it is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from hil import board as boards
from hil import flash as flashing
from hil import virtual
from hil.bench.station import Rack, Say, Source, Station, Wires, silent
from hil.flash.rtt import RttConsole
from hil.image.build import Image
from hil.wire import Wire


class VirtualStation:
    """A virtual board that runs an image."""

    source: Source = "virtual"

    def __init__(self, board: str, machine: virtual.VirtualBoard, url: str | None = None) -> None:
        self._machine = machine
        self.url = url or machine.uart0_url
        self.place = f"virtual {board} at {self.url}"
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


def _station(board: str, machine: virtual.VirtualBoard) -> VirtualStation:
    return BreakableStation(board, machine) if boards.load(board).counted else VirtualStation(board, machine)


class VirtualRack:
    """Virtual boards that live by one clock, and the modelled wires between them."""

    def __init__(self, stations: Sequence[Station], wires: Wires) -> None:
        self.stations = tuple(stations)
        self.wires: Wires | None = wires


class VirtualBench:
    """Virtual boards on this machine. Powering one on with an ELF is how it is flashed."""

    source: Source = "virtual"
    title = "virtual bench"

    @contextmanager
    def start(self, board: str, image: Image, *, say: Say = silent) -> Iterator[Station]:
        kind = boards.load(board)
        with virtual.start(board, None if image.in_ram else image.elf) as machine, ExitStack() as held:
            probe, url = f"hil:{machine.debug_port}", None
            if image.in_ram:
                flashing.flash(probe, image, kind, "pyocd", say)
            if image.rtt is not None:
                url = held.enter_context(RttConsole(probe, image, kind)).url
            yield VirtualStation(board, machine, url)

    @contextmanager
    def start_cluster(self, nodes: Sequence[tuple[str, Image]], wire: Wire, *, say: Say = silent) -> Iterator[Rack]:
        del say
        cluster = virtual.start_cluster([(name, image.elf) for name, image in nodes], wire)
        try:
            names = [name for name, _ in nodes]
            stations = [_station(name, board) for name, board in zip(names, cluster.boards, strict=True)]
            yield VirtualRack(stations, cluster.wires)
        finally:
            cluster.stop()
