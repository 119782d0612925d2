"""esptool: what differs is erased and written, compressed; its hash is checked on the chip; the board is reset.

esptool is GPL-2.0-or-later: it is run as a program, never imported. `--chip` makes it refuse a chip of another kind
before it touches flash. It is tried again where it got no sound answer from the board, never where the board is a wrong
one or its flash failed.

This path has met virtual boards only: a real USB adapter, and a chip behind it, have not been tried.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hil.board import Board
from hil.errors import FlashFailed, ToolMissing, UsageError
from hil.flash import Flashed, Say
from hil.flash.log import log_file
from hil.virtual.probe import Probe

if TYPE_CHECKING:
    from hil.image.build import Image

_TRIES = 3
_BAUD = 460_800
_MOST_OUTPUT = 1 << 20
_AGAIN = re.compile(
    r"Failed to connect|No serial data received|Invalid head of packet|Packet content transfer stopped|"
    r"Serial data stream stopped|Timed out|timed out|device reports readiness to read but returned no data"
)
_WRONG_CHIP = re.compile(r"This chip is \S+, not |Wrong (?:--)?chip argument")
_PERCENT = re.compile(r"Writing at 0x[0-9a-f]+.*?(\d+(?:\.\d+)?)\s?%")
_WROTE = re.compile(r"Wrote (\d+) bytes")
_ERROR = re.compile(r"(?:A fatal error occurred: |[Ee]rror: |ERROR: )(.+)")


class ResetLines(Protocol):
    """What resets a board whose port has no DTR and RTS: True leaves it in the boot ROM's loader, False starts it."""

    def __call__(self, download: bool, /) -> object: ...


@dataclass(frozen=True)
class _Run:
    """How esptool ended, and what it said. `late`: it was stopped."""

    status: int
    text: str
    late: bool = False

    @property
    def error(self) -> str:
        found = _ERROR.findall(self.text)
        lines = [line for line in self.text.splitlines() if line.strip()]
        return str(found[-1]).strip() if found else (lines[-1].strip() if lines else f"ended with status {self.status}")


class Esptool:
    """The driver for the port `target`: a device, or a URL of pyserial.

    Through `rfc2217://` and on a device the port's DTR and RTS reset the board; for `socket://` somebody else must:
    `reset`. `limit`: seconds for one attempt; None: 60, and 10 for each 100 KB.
    """

    name = "esptool"

    def __init__(self, target: str, *, reset: ResetLines | None = None, limit: float | None = None) -> None:
        if target.startswith("socket:") and reset is None:
            raise UsageError(
                f"{target} has no DTR and RTS: esptool could not reset the board",
                hint="name its serial port, or an rfc2217:// URL",
            )
        self._target, self._reset, self._limit = target, reset, limit

    def flash(self, image: Image, board: Board, *, say: Say) -> Flashed:
        """Put the image on. Raises `FlashFailed`, and `ToolMissing` where esptool is not installed."""
        if importlib.util.find_spec("esptool") is None:
            raise ToolMissing("esptool is not installed in this environment", hint="pip install 'pytest-hil[esptool]'")
        if image.bin is None:
            raise FlashFailed(f"an image for a {board.name} is a program of this machine; there is nothing to flash")
        log = log_file(self.name, board.name, self._target)
        size = image.bin.stat().st_size
        limit = self._limit or 60 + size / 10_000
        began = time.monotonic()
        for attempt in range(1, _TRIES + 1):
            say(f"esptool: {board.name} at {self._target}" + (f", attempt {attempt}" if attempt > 1 else ""))
            run = self._attempt(image.bin, board, limit, log, say)
            if run.status == 0 and "Hash of data verified" in run.text:
                if self._reset is not None:
                    self._reset(False)
                wrote = sum(int(count) for count in _WROTE.findall(run.text))
                return Flashed(self.name, size, wrote, time.monotonic() - began, verified=True, log=log)
            if run.late or _WRONG_CHIP.search(run.text) or not _AGAIN.search(run.text):
                break
        what = f"no result in {limit:.0f} s" if run.late else run.error
        raise FlashFailed(
            f"{board.name} at {self._target}: esptool: {what} (attempt {attempt}; log: {log})", hint=self._next(run)
        )

    def _next(self, run: _Run) -> str:
        if "ermission denied" in run.text:
            return f'ls -l {self._target}; then join its group, or a udev rule: SUBSYSTEM=="tty", MODE="0666"'
        if "exclusively lock" in run.text:
            return f"fuser -v {self._target}"
        if _AGAIN.search(run.text):
            return f"hold BOOT, press RESET, then: python -m esptool --port {self._target} --before no-reset chip-id"
        return f"python -m esptool --port {self._target} chip-id"

    def _attempt(self, file: Path, board: Board, limit: float, log: Path, say: Say) -> _Run:
        lines = ["--before", "default-reset", "--after", "hard-reset"]
        if self._reset is not None:
            self._reset(True)
            lines = ["--before", "no-reset", "--after", "no-reset"]
        command = [sys.executable, "-m", "esptool", "--chip", board.flash_tools[self.name], "--port", self._target]
        command += ["--baud", str(_BAUD), "--connect-attempts", "3", *lines, "write-flash", "0x0", str(file.resolve())]

        def progress(line: str) -> None:
            if found := _PERCENT.search(line):
                say(f"esptool: {board.name} at {self._target}: {float(found[1]):.0f}%")

        with log.open("ab") as kept, tempfile.TemporaryDirectory() as place:
            kept.write((" ".join(command) + "\n").encode())
            with _started(command, place) as process:
                return _watched(process, limit, kept.write, progress)


def on_virtual(target: str) -> Esptool:
    """The driver for a virtual board by its `loader`, hil:HOST:UART0:PROBE. Raises `UsageError`."""
    _, host, *ports = target.split(":")
    if len(ports) != 2 or not all(port.isdecimal() and int(port) < 65536 for port in ports):
        raise UsageError(f"{target!r} is not of the form hil:HOST:PORT:PORT (UART0, probe)")

    def reset(download: bool, /) -> None:
        with Probe(host, int(ports[1])) as probe:
            (probe.download if download else probe.reset)()

    return Esptool(f"socket://{host}:{ports[0]}", reset=reset)


@contextlib.contextmanager
def _started(command: list[str], place: str) -> Iterator[subprocess.Popen[bytes]]:
    """esptool in an empty folder, so that no module or settings of the user's are taken for its own; ended for sure."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=place,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _watched(
    process: subprocess.Popen[bytes], limit: float, keep: Callable[[bytes], object], progress: Callable[[str], None]
) -> _Run:
    """What it says, line by line, until it ends or `limit` seconds are over."""
    assert process.stdout is not None
    handle, end = process.stdout.fileno(), time.monotonic() + limit
    said, line = bytearray(), b""
    while (left := end - time.monotonic()) > 0:
        if not select.select([handle], [], [], left)[0]:
            continue
        if not (part := os.read(handle, 65536)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return _Run(process.wait(timeout=max(end - time.monotonic(), 0.1)), said.decode(errors="replace"))
            break
        keep(part)
        if len(said) < _MOST_OUTPUT:
            said += part
        *whole, line = re.split(rb"[\r\n]+", line + part)
        for text in whole:
            progress(text.decode(errors="replace"))
        line = line[-4096:]
    return _Run(-1, said.decode(errors="replace"), late=True)
