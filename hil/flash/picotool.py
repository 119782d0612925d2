"""picotool: a board on USB is sent into BOOTSEL mode, written, verified and started, by its serial number.

picotool, of Raspberry Pi, is run as a program where it is on the PATH; version 2 or newer, since before that it could
not tell boards in BOOTSEL mode apart. What it can send into that mode is firmware with the Pico SDK's USB console; any
other board has to be there already. It says what the chip is before anything is written.

No picotool has been run with this: it wants USB, which virtual boards have not got. Tests run a stand-in that
understands its command line.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hil.board import Board
from hil.errors import FlashFailed, ToolMissing
from hil.flash import Flashed, Say
from hil.flash.log import log_file
from hil.flash.uf2 import checked
from hil.image import uf2

if TYPE_CHECKING:
    from hil.image.build import Image

_TRIES = 3
_SOON = 20.0  # seconds for what writes nothing
_POLL = 0.2
_MOST = 1 << 16
_TYPE = re.compile(r"^\s*type:\s*(\S+)", re.MULTILINE)
_ABSENT = re.compile(r"no accessible \S+ devices? in BOOTSEL mode", re.IGNORECASE)
_FORBIDDEN = re.compile(r"unable to connect", re.IGNORECASE)


class Picotool:
    """The driver for the board whose serial number on USB is `target`. `limit`: seconds to enter BOOTSEL mode."""

    name = "picotool"

    def __init__(self, target: str, *, limit: float = 15.0) -> None:
        self._target, self._limit = target, limit

    def flash(self, image: Image, board: Board, *, say: Say) -> Flashed:
        """Put the image on. Raises `FlashFailed`, `ToolMissing`, and `UsageError` for an image of another family."""
        program = shutil.which("picotool")
        if program is None:
            raise ToolMissing(
                "picotool is not on the PATH", hint="apt-get install picotool (2 or newer), or --tool uf2 and the drive"
            )
        data = checked(image, board)
        run = _Runs(program, self._target, board, log_file(self.name, board.name, self._target))
        began = time.monotonic()
        for attempt in range(1, _TRIES + 1):
            say(f"picotool: {board.name} {self._target}" + (f", attempt {attempt}" if attempt > 1 else ""))
            run.bootsel(self._limit)
            run.check_chip()
            say(f"picotool: {board.name} {self._target}: writing")
            if run.load(image.uf2, 60 + len(data) / 10_000, last=attempt == _TRIES):
                break
        # What it skipped, since it was there already, it does not tell.
        held = len(uf2.decode(data)) * uf2.PAYLOAD
        return Flashed(self.name, held, held, time.monotonic() - began, verified=True, log=run.log)


class _Runs:
    """Runs of picotool on one board; what they say is kept in `log`."""

    def __init__(self, program: str, serial: str, board: Board, log: Path) -> None:
        self._program, self._serial, self._board, self.log = program, serial, board, log

    def _run(self, *words: str, limit: float | None = None) -> tuple[int, str]:
        """Status and output of a run for the board. Raises `FlashFailed` if it takes longer than `limit` seconds."""
        command = [self._program, *words, "--ser", self._serial]
        limit = _SOON if limit is None else limit
        with self.log.open("ab") as kept:
            kept.write((" ".join(command) + "\n").encode())
            kept.flush()
            start = kept.tell()
            try:
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=kept, stderr=subprocess.STDOUT, timeout=limit, check=False
                )
            except subprocess.TimeoutExpired as error:
                raise self._error(
                    f"{words[0]} took longer than {limit:.0f} s", "unplug it, plug it in again"
                ) from error
            except OSError as error:
                raise ToolMissing(f"{self._program} could not be started: {error}", hint="hil doctor") from error
        with self.log.open("rb") as kept:
            kept.seek(start)
            return done.returncode, kept.read(_MOST).decode(errors="replace")

    def bootsel(self, limit: float) -> None:
        """See that the board is in BOOTSEL mode."""
        if self._run("info", "-d")[0] == 0:
            return
        _, said = self._run("reboot", "-f", "-u")
        end = time.monotonic() + limit
        while True:
            status, found = self._run("info", "-d")
            if status == 0:
                return
            if time.monotonic() > end:
                raise self._error(f"it did not enter BOOTSEL mode in {limit:g} s: {_said(said)}", self._next(found))
            time.sleep(_POLL)

    def check_chip(self) -> None:
        """The chip must be the one that is meant."""
        _, said = self._run("info", "-d")
        wanted, found = self._board.flash_tools[Picotool.name], _TYPE.search(said)
        if found is None:
            raise self._error(f"it does not say what the chip is: {_said(said)}", "picotool version: 2 or newer")
        if found[1] != wanted:
            raise self._error(f"the chip is a {found[1]}, not a {wanted}", f"picotool info -d --ser {self._serial}")

    def load(self, file: Path | None, limit: float, *, last: bool) -> bool:
        """Write, verify and start. False where it should be tried again: the board was not there."""
        status, said = self._run("load", "-u", "-v", "-x", str(file), "-t", "uf2", limit=limit)
        if status == 0:
            return True
        if last or not _ABSENT.search(said):
            raise self._error(f"load ended with status {status}: {_said(said)}", self._next(said))
        return False

    def _next(self, said: str) -> str:
        if _FORBIDDEN.search(said):
            return (
                'a udev rule: SUBSYSTEM=="usb", ATTRS{idVendor}=="2e8a", MODE="0660", GROUP="plugdev", TAG+="uaccess"'
            )
        return "hold BOOTSEL while you plug the board in, then: picotool info -d"

    def _error(self, what: str, hint: str) -> FlashFailed:
        where = f"{self._board.name} with serial number {self._serial}"
        return FlashFailed(f"{where}: picotool: {what} (log: {self.log})", hint=hint)


def _said(text: str) -> str:
    """Its last words, in a line."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    return " / ".join(lines[-3:])[-400:] or "it said nothing"
