"""Virtual boards: processes that run the real machine code of a board.

    with hil.virtual.start("rp2040", elf) as board:
        serial.serial_for_url(board.uart0_url)
        board.probe.clock()

    with hil.virtual.start_cluster([("rp2040", elf0), ("rp2040", elf1)], hil.wire.wire("uart-3M")) as cluster:
        cluster.boards[0].uart0_url

Everything above this talks to such a board as to a real one, except for the clock and memory probe. This package does
not load the emulator; only the board's own process does.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hil import board as boards
from hil.board import Virtual
from hil.errors import InfrastructureError, UsageError
from hil.virtual.probe import Clock, Probe
from hil.virtual.process import Process
from hil.wire import Wire

if TYPE_CHECKING:
    from hil.virtual.clusters import VirtualCluster

__all__ = ["Clock", "ClusterBoard", "Probe", "VirtualBoard", "debuggable", "names", "prepare", "start", "start_cluster"]


def names() -> tuple[str, ...]:
    """The boards that there are virtual ones of."""
    return tuple(name for name in boards.names() if boards.load(name).virtual is not None)


def prepare(board: str) -> None:
    """Look for, or build, what the virtual `board` runs on: seconds, the first time. Raises `ToolMissing`."""
    runner = described(board).runner
    if runner == "unicorn":
        from hil.virtual.chip import build, chips  # noqa: PLC0415  keeps the compiler out of imports

        build.prepare(chips.find(described(board).machine))
    elif runner == "esp":
        from hil.virtual.chip import build  # noqa: PLC0415

        build.native_library()
    elif runner == "qemu":
        from hil.virtual import qemu  # noqa: PLC0415

        qemu.find(described(board))
    elif runner != "process":
        raise UsageError(f"nothing here can be a virtual {board}: its runner is {runner!r}")


def described(board: str) -> Virtual:
    """What the virtual `board` is. Raises `UsageError` where there is none."""
    if (found := boards.load(board).virtual) is None:
        raise UsageError(f"there is no virtual {board}; there are: {', '.join(names())}")
    return found


def debuggable(board: str) -> bool:
    """Whether a virtual `board` has a debug port, and so can start with erased flash and be flashed through it."""
    found = boards.load(board).virtual
    return found is not None and found.runner == "unicorn"


class VirtualBoard:
    """A running virtual board. Ending its process is unplugging it."""

    def __init__(self, process: Process, board: str, greeting: Mapping[str, Any], limit: float) -> None:
        self._process = process
        self._board = board
        self.pid = process.pid
        ports = greeting.get("uart0"), greeting.get("probe", 0)  # a board without virtual time has no probe
        if not all(type(port) is int for port in ports):
            raise process.missing(f"greeted with {greeting!r:.80}")
        self.uart0_url = f"socket://127.0.0.1:{ports[0]}"
        self._probe = Probe("127.0.0.1", ports[1], limit=limit) if ports[1] else None
        debug = greeting.get("debug")
        self.debug_port = f"127.0.0.1:{debug}" if type(debug) is int else None
        """Where its debug port is, host:port, for pyOCD the probe `hil:HOST:PORT`; None if it has none."""
        usb = greeting.get("usb")
        self.usb_port = usb if isinstance(usb, str) else None
        """The path of its serial port on USB; None if it has none."""
        serial = greeting.get("serial")
        self.serial_url = f"rfc2217://127.0.0.1:{serial}" if type(serial) is int else None
        """UART0 as a serial port whose DTR and RTS reset the board, as flashers do it; None where they lead nowhere."""
        self.loader = f"hil:127.0.0.1:{ports[0]}:{ports[1]}" if type(serial) is int else None
        """The same for `hil.flash.esptool`, by UART0 and the probe: RFC 2217 costs a fifth of a second a request."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether the process runs. One that is being torn down, its sockets closed already, does not."""
        return self._process.alive

    @property
    def probe(self) -> Probe:
        """Its clock and memory probe. Raises `UsageError` for a board without one: its clock is this machine's."""
        if self._probe is None:
            raise UsageError(f"the virtual {self._board} has no probe")
        return self._probe

    def clock_ns(self) -> int:
        """Nanoseconds of the clock that it lives by: virtual time, or where it has none this machine's own."""
        return time.monotonic_ns() if self._probe is None else self._probe.wait_idle().nanoseconds

    def diagnostics(self) -> str:
        """The last lines that the board's process wrote to standard error."""
        return self._process.diagnostics()

    def stop(self) -> None:
        """Unplug it: its process ends, within seconds."""
        if self._probe is not None:
            self._probe.close()
        self._process.stop()


class ClusterBoard(VirtualBoard):
    """One board of several in a process."""

    @property
    def alive(self) -> bool:
        """Whether it is plugged in, and the process runs."""
        return not self.probe.gone and self._process.alive

    def stop(self) -> None:
        """Unplug it. The others go on; their process ends with the cluster."""
        if not self.probe.gone:
            with contextlib.suppress(InfrastructureError):
                self.probe.unplug()
        self.probe.close()


def start(board: str, elf: Path | None = None, *, usb: Path | None = None, limit: float = 60) -> VirtualBoard:
    """Power up a virtual `board` with `elf` in its flash, or with erased flash. `usb`: where its drive is to be in
    BOOTSEL mode; then it has a serial port on USB too. Raises `BoardMissing` if it is not ready in `limit` seconds.
    """
    prepare(board)
    command = [sys.executable, "-m", "hil.virtual", board]
    if elf is not None:
        command += ["--elf", str(elf.resolve())]
    if usb is not None:
        command += ["--usb", str(usb.resolve())]
    if described(board).runner == "process":
        if elf is None or usb is not None:
            raise UsageError(f"the virtual {board} has neither flash that could be empty nor USB")
        command = [str(elf.resolve())]  # which greets, and ends with its owner, itself
    return _started(Process(command, f"the virtual {board}"), board, limit)


def start_cluster(nodes: Sequence[tuple[str, Path | None]], wire: Wire, *, limit: float = 60) -> VirtualCluster:
    """Power up boards, each with what is in its flash, None: erased, all on `wire`; node n is the n-th.

    Raises `UsageError` for boards that cannot be on one network, `BoardMissing` if they are not ready in `limit`
    seconds.
    """
    from hil.virtual import clusters  # noqa: PLC0415  it is made of what is here

    return clusters.start(nodes, wire, limit=limit)


def _started(process: Process, board: str, limit: float) -> VirtualBoard:
    try:
        return VirtualBoard(process, board, process.greeting("hil.virtual/1", limit), limit)
    except BaseException:
        process.stop()
        raise
