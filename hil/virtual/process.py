"""A process that is one virtual board, or several: started, greeted, watched, ended."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import selectors
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from hil.errors import BoardMissing

_ROOT = Path(__file__).resolve().parent.parent.parent
_LONGEST_GREETING = 4096
_LINES = 200
_TEARDOWN = 0.05  # seconds from the first closed socket of a killed process to the last


class Process:
    """`command` in a session of its own, so that Ctrl-C in the terminal does not end it; it ends with its owner.

    Raises `BoardMissing`, in which it is called `name`, if it cannot be started.
    """

    def __init__(self, command: Sequence[str], name: str, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                cwd=_ROOT,  # so that nothing in the user's folder is imported in place of a module
                env={**os.environ, **environment} if environment else None,
            )
        except OSError as error:
            raise BoardMissing(f"{name} could not be started: {error}") from error
        self.pid = self._process.pid
        self._tail: deque[str] = deque(maxlen=_LINES)
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        atexit.register(self.stop)

    @property
    def alive(self) -> bool:
        """Whether the process runs. One that is being torn down, its sockets closed already, does not."""
        if self._process.poll() is not None or self._process.stdout is None:
            return False
        # After the greeting only its end is readable. The kernel may close the sockets of a killed process first.
        ended, _, _ = select.select([self._process.stdout], [], [], _TEARDOWN)
        return not ended

    def diagnostics(self) -> str:
        """The last lines that the process wrote to standard error."""
        return "\n".join(list(self._tail))

    def greeting(self, schema: str, limit: float) -> dict[str, Any]:
        """Its first line, a JSON object of that schema, within `limit` seconds. Raises `BoardMissing`."""
        line = self._first_line(limit)
        try:
            greeting = json.loads(line)
        except ValueError:
            greeting = None
        if not isinstance(greeting, dict) or greeting.get("schema") != schema:
            raise self.missing(f"greeted with {line[:80]!r}")
        return greeting

    def stop(self) -> None:
        """Let go of standard input, then SIGTERM, then SIGKILL, within seconds."""
        atexit.unregister(self.stop)
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

    def missing(self, what: str) -> BoardMissing:
        """An error that says `what` is wrong with it, and what it said last."""
        self._reader.join(timeout=0.5)
        said = self.diagnostics()
        return BoardMissing(f"{self.name} {what}" + (f"; it said:\n{said}" if said else ""))

    def _read_stderr(self) -> None:
        stream: IO[bytes] | None = self._process.stderr
        if stream is None:
            return
        with contextlib.suppress(ValueError, OSError):  # closed under us by stop()
            while line := stream.readline(4096):
                self._tail.append(line.decode(errors="replace").rstrip())

    def _first_line(self, limit: float) -> bytes:
        """The first line of standard output, within `limit` seconds."""
        stream = self._process.stdout
        if stream is None:
            raise self.missing("has no standard output")
        line = b""
        deadline = time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if len(line) > _LONGEST_GREETING or not selector.select(deadline - time.monotonic()):
                    raise self.missing(f"was not ready in {limit:g} s")
                if not (part := stream.read1(_LONGEST_GREETING)):  # type: ignore[attr-defined]
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(timeout=3)
                    raise self.missing(f"ended with status {self._process.returncode}")
                line += part
        return line
