"""The virtual bench: a process per board, started when it is needed and ended when it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hil import virtual
from hil.bench.station import Source, Station


class VirtualStation:
    """A virtual board that runs an image."""

    source: Source = "virtual"

    def __init__(self, board: str, machine: virtual.VirtualBoard) -> None:
        self._machine = machine
        self.url = machine.uart0_url
        self.place = f"virtual {board} at {self.url}"
        self.pid = machine.pid

    def clock_ns(self) -> int:
        """Virtual nanoseconds, counted from cycles, once the board waits for the host; or this machine's, see there."""
        return self._machine.clock_ns()

    def alive(self) -> bool:
        return self._machine.alive

    def diagnostics(self) -> str:
        return self._machine.diagnostics()


class VirtualBench:
    """Virtual boards on this machine. Powering one on with an ELF is how it is flashed."""

    source: Source = "virtual"

    @contextmanager
    def start(self, board: str, elf: Path) -> Iterator[Station]:
        machine = virtual.start(board, elf)
        try:
            yield VirtualStation(board, machine)
        finally:
            machine.stop()
