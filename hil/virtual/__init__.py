"""Virtual boards: processes that run the real machine code of a board.

    with hil.virtual.start("rp2040", elf) as board:
        serial.serial_for_url(board.uart0_url)
        board.probe.clock()

Everything above this talks to such a board as to a real one, except for the clock and memory probe. This package does
not load the emulator; only the board's own process does.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import select
import selectors
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from hil import board as boards
from hil.board import Virtual
from hil.errors import BoardMissing, UsageError
from hil.virtual.probe import Clock, Probe

__all__ = ["Clock", "Probe", "VirtualBoard", "names", "prepare", "start"]

_ROOT = Path(__file__).resolve().parent.parent.parent
_LONGEST_GREETING = 4096
_LINES = 200
_TEARDOWN = 0.05  # seconds from the first closed socket of a killed process to the last


def names() -> tuple[str, ...]:
    """The boards that there are virtual ones of."""
    return tuple(name for name in boards.names() if boards.load(name).virtual is not None)


def prepare(board: str) -> None:
    """Look for, or build, what the virtual `board` runs on: seconds, the first time. Raises `ToolMissing`."""
    runner = described(board).runner
    if runner == "unicorn":
        from hil.virtual.chip import build, chips  # noqa: PLC0415  keeps the compiler out of imports

        build.prepare(chips.find(described(board).machine))
    elif runner == "qemu":
        from hil.virtual import qemu  # noqa: PLC0415

        qemu.find(described(board))
    elif runner != "process":
        raise UsageError(f"nothing here can be a virtual {board}: its runner is {runner!r}")


def described(board: str) -> Virtual:
    """What the virtual `board` is. Raises `UsageError` where there is none."""
    if board not in names() or (found := boards.load(board).virtual) is None:
        raise UsageError(f"there is no virtual {board}; there are: {', '.join(names())}")
    return found


class VirtualBoard:
    """A running virtual board. Ending its process is unplugging it."""

    def __init__(self, process: subprocess.Popen[bytes], board: str, limit: float) -> None:
        self._process = process
        self._board = board
        self._probe: Probe | None = None
        self._tail: deque[str] = deque(maxlen=_LINES)
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        atexit.register(self.stop)
        try:
            greeting = self._greeting(limit)
            self.pid = process.pid
            self.uart0_url = f"socket://127.0.0.1:{greeting['uart0']}"
            port = greeting.get("probe")
            self._probe = Probe("127.0.0.1", port, limit=limit) if port is not None else None
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> VirtualBoard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether the process runs. One that is being torn down, its sockets closed already, does not."""
        if self._process.poll() is not None or self._process.stdout is None:
            return False
        # After the greeting only its end is readable. The kernel may close the sockets of a killed process first.
        ended, _, _ = select.select([self._process.stdout], [], [], _TEARDOWN)
        return not ended

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
        return "\n".join(list(self._tail))

    def stop(self) -> None:
        """Unplug it: let go of standard input, then SIGTERM, then SIGKILL, within seconds."""
        atexit.unregister(self.stop)
        if self._probe is not None:
            self._probe.close()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        for end in (None, self._process.terminate, self._process.kill):
            if end is not None:
                end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)
                break
        self._reader.join(timeout=3)
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._process.stderr is not None and not self._reader.is_alive():
            self._process.stderr.close()  # under a thread that reads it, close would wait

    def _read_stderr(self) -> None:
        stream: IO[bytes] | None = self._process.stderr
        if stream is None:
            return
        with contextlib.suppress(ValueError, OSError):  # closed under us by stop()
            while line := stream.readline(4096):
                self._tail.append(line.decode(errors="replace").rstrip())

    def _greeting(self, limit: float) -> dict[str, Any]:
        line = self._first_line(limit)
        try:
            greeting = json.loads(line)
            ports = (greeting["uart0"], greeting.get("probe", 0))  # a board without virtual time has no probe
            if greeting["schema"] == "hil.virtual/1" and all(type(port) is int for port in ports):
                return dict(greeting)
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        raise self._missing(f"greeted with {line[:80]!r}")

    def _first_line(self, limit: float) -> bytes:
        """The first line of standard output, within `limit` seconds."""
        stream = self._process.stdout
        if stream is None:
            raise self._missing("has no standard output")
        line = b""
        deadline = time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if len(line) > _LONGEST_GREETING or not selector.select(deadline - time.monotonic()):
                    raise self._missing(f"was not ready in {limit:g} s")
                if not (part := stream.read1(_LONGEST_GREETING)):  # type: ignore[attr-defined]
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(timeout=3)
                    raise self._missing(f"ended with status {self._process.returncode}")
                line += part
        return line

    def _missing(self, what: str) -> BoardMissing:
        self._reader.join(timeout=0.5)
        said = self.diagnostics()
        return BoardMissing(f"the virtual {self._board} {what}" + (f"; it said:\n{said}" if said else ""))


def start(board: str, elf: Path, *, limit: float = 60) -> VirtualBoard:
    """Power up a virtual `board` with `elf` in its flash; raise `BoardMissing` if it is not ready in `limit` seconds.

    It runs in a session of its own, so that Ctrl-C in the terminal does not unplug it, and ends with its owner.
    """
    prepare(board)
    command = [sys.executable, "-m", "hil.virtual", board, "--elf", str(elf.resolve())]
    if described(board).runner == "process":
        command = [str(elf.resolve())]  # which greets, and ends with its owner, itself
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd=_ROOT,  # so that nothing in the user's folder is imported in place of a module
        )
    except OSError as error:
        raise BoardMissing(f"the virtual {board} could not be started: {error}") from error
    return VirtualBoard(process, board, limit)
