"""How a board at a labgrid place is handled: by what its exporter offers, and by the tags of the place.

| exported resource | is |
| --- | --- |
| NetworkSerialPort, named `console` or the only one | its console, raw or RFC 2217 |
| NetworkSerialPort named `debug`, raw | a virtual board's debug port, for pyOCD |
| NetworkSerialPort named `clock`, raw | a virtual board's clock and memory probe; who has one is virtual |
| NetworkUSBDebugger | its debug probe, where labgrid knows that one and it is not in the console's own device |
| a power switch that labgrid has a driver for | its power |

A board of hardware is flashed by pyOCD on the exporter's machine, by the unique id of the probe in the tag `probe`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from hil import board as boards
from hil import flash as flashing
from hil.bench.coordinator import SWITCHES, Coordinator, PlaceInfo, Port
from hil.bench.hands import FLASH_LIMIT, Say
from hil.bench.station import Source
from hil.errors import BoardMissing, FlashFailed, InfrastructureError, UsageError
from hil.flash.log import log_file
from hil.image.build import Image
from hil.virtual.probe import Probe

_SERIAL, _DEBUGGER = "NetworkSerialPort", "NetworkUSBDebugger"
_VIRTUAL = {"clock", "debug"}
_LIMIT = 60.0
_TAIL = 800


@dataclass(frozen=True)
class PlaceBoard:
    """A board at a place; `name` is the place's."""

    name: str
    kind: str
    coordinator: str
    source: Source
    baud: int
    clock_ppm: float = 0.0
    console: str = "uart"
    """Always: what a probe on another machine carries is not reached from here."""

    @property
    def identity(self) -> str:
        """The same on every machine."""
        return identity(self.coordinator, self.name)


def identity(coordinator: str, place: str) -> str:
    """What a place's board is known by: leases are the coordinator's, quarantines are ours."""
    return f"labgrid {coordinator} {place}"


def board_of(place: PlaceInfo, kind: str, coordinator: str) -> PlaceBoard:
    """What a place says of its board. Raises `UsageError` for tags that mean nothing."""
    ppm = place.tags.get("clock_ppm", "0")
    try:
        clock = float(ppm)
        if not abs(clock) <= 100_000:
            raise ValueError
    except ValueError as error:
        raise UsageError(
            f"place {place.name}: the tag clock_ppm is {ppm!r}, not a number of millionths",
            hint=f"labgrid-client -x {coordinator} -p {place.name} set-tags clock_ppm=0",
        ) from error
    return PlaceBoard(place.name, kind, coordinator, source_of(place), boards.load(kind).baud, clock)


def source_of(place: PlaceInfo) -> Source:
    """A board is virtual that shows its clock or has a debug port on TCP, which no real one can."""
    names = {resource.name for resource in place.resources if resource.cls == _SERIAL}
    return "virtual" if names & _VIRTUAL else "hardware"


def problem(place: PlaceInfo) -> str | None:
    """Why a place could not be used now, whoever holds it; None: it could."""
    for resource in place.resources:
        if resource.broken:
            return f"{resource.name} is out of order: {resource.broken}"
    if place.absent:
        return f"no exporter has {', '.join(place.absent)}"
    ports = [resource for resource in place.resources if resource.cls == _SERIAL]
    if not ports:
        return "it has no serial port (NetworkSerialPort)"
    if not all(port.avail for port in ports) and not _switched(place):
        return "its serial port is not plugged in"
    return None


def _switched(place: PlaceInfo) -> bool:
    """Whether its power can be taken away and given back."""
    return any(resource.cls in SWITCHES for resource in place.resources)


class PlaceHands:
    """Hands at a place that is held. `ways` are those that its resources and tags give."""

    def __init__(self, coordinator: Coordinator, place: PlaceInfo, board: PlaceBoard) -> None:
        self._coordinator, self._place, self._board = coordinator, place, board
        self._probe: Probe | None = None
        self.how = next(iter(boards.load(board.kind).flash_tools), "")
        """The tool that flashes it."""
        power = {"power"} if _switched(place) else set()
        reset = {"reset"} if board.source == "virtual" or self._pyocd else set()
        self.ways = frozenset({"flash"} | power | reset)

    @property
    def _where(self) -> str:
        return f"{self._board.kind} at place {self._place.name} of the labgrid coordinator at {self._board.coordinator}"

    @property
    def _pyocd(self) -> bool:
        """Whether pyOCD on the exporter's machine reaches it."""
        return self._board.source == "hardware" and "probe" in self._place.tags

    @property
    def _there(self) -> str:
        """The class of what is at the machine that has the probe."""
        classes = {resource.cls for resource in self._place.resources}
        return _DEBUGGER if _DEBUGGER in classes else _SERIAL

    def port(self) -> str:
        return self._port("console").url

    def _port(self, name: str) -> Port:
        """A TCP port of the place. The console may be the only one that is no other, whatever its name."""
        ports = self._coordinator.ports(self._place.name)
        found = [port for port in ports if port.name == name]
        if not found and name == "console":
            found = [port for port in ports if port.name not in _VIRTUAL]
        if len(found) != 1:
            there = ", ".join(port.name for port in ports) or "none"
            count = "more than one" if found else "no"
            raise BoardMissing(
                f"{self._where}: {count} serial port is its {name}; there are: {there}",
                hint=f"labgrid-client -x {self._board.coordinator} -p {self._place.name} show",
            )
        return found[0]

    def flash(self, image: Image, *, say: Say) -> None:
        """By the board's own tool: pyOCD through its debug port or its probe, esptool through its serial port."""
        board, tool = boards.load(self._board.kind), self.how
        if image.in_ram is not None or image.rtt is not None:
            raise FlashFailed(
                f"{self._where}: images for RAM, and consoles by RTT, are for boards of this machine",
                hint="--load flash --console uart",
            )
        if self._board.source == "virtual" and tool == "pyocd":
            debug = self._port("debug")
            flashing.flash(f"hil:{debug.host}:{debug.port}", image, board, tool, say)
            self._clock().reset()  # so that it counts what a board counts that had its image all along
        elif self._board.source == "virtual" and tool == "esptool":
            console, clock = self._port("console"), self._port("clock")
            flashing.flash(f"hil:{console.host}:{console.port}:{clock.port}", image, board, tool, say)
        elif tool == "esptool":
            flashing.flash(self.port(), image, board, tool, say)
        elif tool == "pyocd" and self._pyocd:
            say(f"pyOCD: {self._where}")
            self._by_pyocd(image, board.flash_tools[tool])
        else:
            raise FlashFailed(
                f"{self._where}: nothing there flashes a {board.name}: pyOCD wants the unique id of "
                "its probe as the tag 'probe'",
                hint=f"labgrid-client -x {self._board.coordinator} -p {self._place.name} set-tags probe=ID",
            )

    def _by_pyocd(self, image: Image, target: str) -> None:
        assert image.bin is not None
        probe, address = self._place.tags["probe"], boards.load(self._board.kind).flash.address
        words = ["pyocd", "load", "--no-config", "--no-wait", "--probe", probe, "--target", target, "--erase", "sector"]
        words += ["--format", "bin", "--base-address", f"{address:#x}", "{file}"]
        log = log_file("pyocd", self._board.kind, self._place.name)
        status, said = self._coordinator.run(self._place.name, self._there, words, file=image.bin, limit=FLASH_LIMIT)
        log.write_text(said, encoding="utf-8")
        if status:
            raise FlashFailed(
                f"{self._where}: pyOCD there ended with status {status}: {_tail(said)}", hint=f"cat {log}"
            )

    def reset(self) -> None:
        if self._board.source == "virtual":
            self._clock().reset()
            return
        probe = self._place.tags["probe"]
        target = boards.load(self._board.kind).flash_tools["pyocd"]
        words = ["pyocd", "reset", "--no-config", "--no-wait", "--probe", probe, "--target", target]
        status, said = self._coordinator.run(self._place.name, self._there, words, limit=_LIMIT)
        if status:
            raise InfrastructureError(
                f"{self._where}: pyocd reset there ended with status {status}: {_tail(said)}",
                hint=self._coordinator.look,
            )

    def power_cycle(self) -> None:
        self._coordinator.power(self._place.name, "cycle")

    def clock_ns(self) -> int:
        """A virtual board's own time, else this machine's, made as fast as the board's is known to be."""
        if self._board.source == "virtual":
            return self._clock().wait_idle().nanoseconds
        return round(time.monotonic_ns() * (1 + self._board.clock_ppm * 1e-6))

    def _clock(self) -> Probe:
        if self._probe is None or self._probe.gone:
            port = self._port("clock")
            self._probe = Probe(port.host, port.port, limit=_LIMIT)
        return self._probe

    def diagnostics(self) -> str:
        """Nothing is known beside the console."""
        return ""

    def close(self) -> None:
        """Hang up."""
        if self._probe is not None:
            self._probe.close()


def _tail(said: str) -> str:
    return " / ".join(line.strip() for line in said[-_TAIL:].splitlines()[-6:] if line.strip())
