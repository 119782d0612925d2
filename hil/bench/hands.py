"""What is done to a board from outside: flashing, resetting, power. One small class for each way, and a common face."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from hil import board as boards
from hil import flash as flashing
from hil import virtual
from hil.bench.lab import CommandPower, FlashTool, HubPower, LabBoard
from hil.bench.ports import resolve
from hil.bench.station import DIRECT
from hil.errors import (
    BoardMissing,
    FlashFailed,
    InfrastructureError,
    LinkError,
    StateFailed,
    ToolMissing,
    UsageError,
)
from hil.flash.debug import where
from hil.image.build import Image
from hil.paths import cache_root
from hil.virtual.desk import Control

Say = Callable[[str], None]
FLASH_LIMIT = 300.0
_LIMIT = 60.0
_TAIL = 800  # of what a command said, in messages
_LONGEST_OUTPUT = 1 << 20


class Hands(Protocol):
    """How a board is handled. A way that the lab file does not describe is not in `ways`."""

    ways: frozenset[str]
    """Of "flash", "reset" and "power"."""
    how: str
    """How it is flashed: by the tool of that name, "command", or "direct"; empty where it cannot be."""

    def port(self) -> str:
        """The console's port now. Raises `BoardMissing`."""

    def flash(self, image: Image, *, say: Say) -> None:
        """Put `image` on the board and start it. Raises `FlashFailed`, `ToolMissing`."""

    def reset(self) -> None:
        """Start what is in its flash anew. Raises `InfrastructureError`."""

    def power_cycle(self) -> None:
        """Take its power away and give it back. Raises `InfrastructureError`."""

    def clock_ns(self) -> int:
        """The bench's clock for it."""

    def diagnostics(self) -> str:
        """What is known beside the console."""

    def close(self) -> None:
        """Let go of what it holds open."""


class LocalHands:
    """A board of hardware on this machine, by the commands of its lab file."""

    def __init__(self, board: LabBoard) -> None:
        self._board = board
        named = {"flash": board.flash, "reset": board.reset, "power": board.power}
        self.ways = frozenset(way for way, how in named.items() if how is not None)
        tool = board.flash.tool if isinstance(board.flash, FlashTool) else "command"
        self.how = "" if board.flash is None else tool
        self._runs: Image | None = None

    def port(self) -> str:
        return resolve(self._board)

    def flash(self, image: Image, *, say: Say) -> None:
        board = self._board
        self._runs = image
        if isinstance(board.flash, FlashTool):
            target = board.flash.target or self.port()
            flashing.flash(target, image, boards.load(board.kind), board.flash.tool, say)
            return
        if image.in_ram is not None:
            raise FlashFailed(
                f"{board.name}: an image for RAM is written by a debugger, and the lab file names none",
                hint=f'probe = "...", flash = {{ tool = "pyocd" }} in board.{board.name}; or --load flash',
            )
        if board.flash is None:
            raise FlashFailed(
                f"{board.name}: the lab file does not say how it is flashed",
                hint=f"add flash = {{ tool = ... }}, or command, to board.{board.name}",
            )
        files = {"elf": str(image.elf), "bin": _text(image.bin), "uf2": _text(image.uf2)}
        for name, value in files.items():
            if value is None and any(f"{{{name}}}" in word for word in board.flash.words):
                raise FlashFailed(f"{board.name}: its flash command wants {{{name}}}, which no {image.board} has")
        self._run("flash", board.flash.filled(self._values() | files), FLASH_LIMIT)

    def reset(self) -> None:
        assert self._board.reset is not None
        self._run("reset", self._board.reset.filled(self._values()), _LIMIT)

    def power_cycle(self) -> None:
        power = self._board.power
        assert power is not None
        if isinstance(power, HubPower):
            # uhubctl's own cycle waits between the two by itself.
            words = ["uhubctl", "-l", power.hub, "-p", str(power.port), "-a", "cycle", "-d", f"{power.settle:g}"]
            self._run("power", words, _LIMIT + power.settle)
        else:
            self._switch(power)
        time.sleep(power.settle)

    def _switch(self, power: CommandPower) -> None:
        values = self._values()
        self._run("power off", power.off.filled(values), _LIMIT)
        time.sleep(power.settle)
        self._run("power on", power.on.filled(values), _LIMIT)

    def clock_ns(self) -> int:
        """This machine's, made as fast as the board's is known to be."""
        return round(time.monotonic_ns() * (1 + self._board.clock_ppm * 1e-6))

    def diagnostics(self) -> str:
        """Where its cores are, if it has a probe that pyOCD reaches."""
        board = self._board
        if board.probe is None or self._runs is None or "pyocd" not in boards.load(board.kind).flash_tools:
            return ""
        try:
            with flashing.debugger(board.probe, boards.load(board.kind)) as debugger:
                return where(debugger.registers(), self._runs.symbolize)
        except ToolMissing:
            return ""  # who flashes by other means need not have it
        except InfrastructureError as error:
            return f"its probe could not tell where it is: {error.message}"

    def close(self) -> None:
        """Nothing is held."""

    def _values(self) -> dict[str, str | None]:
        board = self._board
        try:
            port: str | None = self.port()
        except BoardMissing:
            port = board.port  # it may be what the command brings back
        return {"port": port, "serial": board.serial, "probe": board.probe, "elf": None, "bin": None, "uf2": None}

    def _run(self, what: str, words: Sequence[str], limit: float) -> None:
        run_command(self._board, what, words, limit)


def run_command(board: LabBoard, what: str, words: Sequence[str], limit: float) -> None:
    """Run a command of a lab file. What it says is kept in a log; its end is in the message where it fails."""
    error = FlashFailed if what == "flash" else InfrastructureError
    log = cache_root() / "lab" / f"{board.name}-{what.replace(' ', '-')}.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            output.write(f"$ {' '.join(words)}\n".encode())
            output.flush()
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=limit, check=False
            )
    except subprocess.TimeoutExpired as late:
        raise error(f"{board.name}: {what} took longer than {limit:g} s: {words[0]}; log: {log}") from late
    except FileNotFoundError as absent:
        if absent.filename != words[0]:
            raise StateFailed(f"cannot write {log}: {absent.strerror}") from absent
        raise ToolMissing(
            f"{board.name}: {what} needs {words[0]}, which is not installed", hint="hil doctor"
        ) from absent
    except OSError as failed:
        raise StateFailed(
            f"{board.name}: {what}: {failed.strerror} ({failed.filename or log})", hint=f"df -h {log.parent}"
        ) from failed
    if done.returncode:
        raise error(
            f"{board.name} at {board.identity}: {what} by {words[0]} ended with status {done.returncode}: {_tail(log)}",
            hint=f"cat {log}",
        )


def _tail(log: Path) -> str:
    with log.open("rb") as handle:
        handle.seek(0, os.SEEK_END)
        handle.seek(max(0, handle.tell() - _TAIL))
        text = handle.read(_TAIL).decode(errors="replace")
    return " / ".join(line.strip() for line in text.splitlines()[-6:] if line.strip() and not line.startswith("$ "))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


class DeskHands:
    """A virtual board on a desk: its process plays reset button and power switch, and has the probe.

    A board without a debug port gets its image from that process too.
    """

    def __init__(self, board: LabBoard) -> None:
        assert board.virtual is not None
        self._board, self._address = board, board.virtual
        self.ways = frozenset({"flash", "reset", "power"})
        self._by_probe = virtual.debuggable(board.kind)
        self.how = next(iter(boards.load(board.kind).flash_tools)) if self._by_probe else DIRECT

    def port(self) -> str:
        with self._control() as desk:
            port = desk.state().console
        if port is None:
            raise BoardMissing(f"{self._board.name}: its port is gone; is it plugged in?", hint="hil boards")
        return f"socket://{self._address[0]}:{port}"

    def flash(self, image: Image, *, say: Say) -> None:
        if image.in_ram is not None and not self._by_probe:
            raise FlashFailed(f"{self._board.name}: this desk does not write to RAM", hint="--load flash")
        with self._control() as desk:
            there = desk.state().board
            if there != image.board:
                raise FlashFailed(f"{self._board.name}: a {there} is on this desk, the image is for {image.board}")
            if self._by_probe:
                with desk.flashing() as probe:
                    flashing.flash(probe, image, boards.load(image.board), say=say)
                return
            try:
                desk.flash(image.elf)
            except UsageError as error:
                raise FlashFailed(f"{self._board.name} at {self._board.identity}: {error.message}") from error

    def reset(self) -> None:
        with self._control() as desk:
            desk.reset()

    def power_cycle(self) -> None:
        with self._control() as desk:
            desk.power(on=False)
            desk.power(on=True)

    def clock_ns(self) -> int:
        with self._control() as desk:
            return desk.clock_ns()

    def diagnostics(self) -> str:
        try:
            with self._control() as desk:
                return desk.state().said
        except (LinkError, BoardMissing):
            return ""

    def close(self) -> None:
        """Nothing is held."""

    def _control(self) -> Control:
        try:
            return Control(*self._address)
        except LinkError as error:
            raise BoardMissing(f"{self._board.name}: {error.message}", hint="hil boards") from error


def hands_for(board: LabBoard) -> Hands:
    """How this board is handled."""
    if board.console == "rtt":
        from hil.bench.rtt import RttHands  # noqa: PLC0415  it is made of what is here

        return RttHands(board)
    return LocalHands(board) if board.virtual is None else DeskHands(board)
