"""A process that holds a session of pyOCD with one board, and its answers as typed values with time limits."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from hil.board import Board
from hil.errors import FlashFailed, InfrastructureError, ToolMissing, UsageError
from hil.flash.log import log_file

_ROOT = Path(__file__).resolve().parent.parent.parent
_LONGEST = 4 << 20
Connect = Literal["halt", "attach"]
"""Whether the cores are stopped, or left as they are."""
OPEN_LIMIT = 30.0
"""Seconds for pyOCD to load and to connect."""


class DebugFailed(FlashFailed):
    """pyOCD could not do what it was asked to. `again`: the probe or the wire was the reason."""

    def __init__(self, message: str, *, again: bool, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.again = again


class DebugChild:
    """pyOCD on the board behind the probe `target`. Raises `DebugFailed`, `ToolMissing`, `UsageError`."""

    def __init__(self, target: str, board: Board, connect: Connect, *, log: Path | None = None) -> None:
        if importlib.util.find_spec("pyocd") is None:
            raise ToolMissing("pyOCD is not installed in this environment", hint="pip install 'pyocd>=0.46,<0.47'")
        if "pyocd" not in board.flash_tools:
            raise UsageError(
                f"no debugger is known for a {board.name}: boards/{board.name}.toml has no pyocd in [flash]"
            )
        self.log = log or log_file("debug", board.name, target)
        self._where = f"{board.name} at probe {target}"
        self.identity = vars(board.identity) if board.identity else None
        self._buffer = b""
        with self.log.open("ab") as kept:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hil.flash.debug_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=kept,
                cwd=_ROOT,  # so that nothing in the user's folder is imported in place of a module
                start_new_session=True,
            )
        first = {"op": "open", "probe": target, "target": board.flash_tools["pyocd"], "connect": connect}
        try:
            self.ask({**first, "identity": self.identity}, OPEN_LIMIT)
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.end()

    @property
    def alive(self) -> bool:
        """Whether it has said nothing unasked: that its probe is gone, or nothing any more."""
        if self._process.poll() is not None or self._process.stdout is None:
            return False
        return not select.select([self._process.stdout], [], [], 0)[0]

    def ask(self, request: dict[str, Any], limit: float = 10.0) -> Any:
        """What the child answers to a request, within `limit` seconds."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it ended already: that shows below
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        return self._answer(limit)

    def close(self) -> None:
        """Let go of the cores, and see that this went well."""
        assert self._process.stdin is not None
        try:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            if self._process.poll() is None:
                self._answer(10.0)
        finally:
            self.kill()

    def end(self) -> None:
        """The same, where it does not matter any more whether it goes well."""
        with contextlib.suppress(InfrastructureError):
            self.close()

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _answer(self, limit: float) -> Any:
        answer = self._parsed(self._line(limit))
        if "ok" in answer:
            return answer["ok"]
        raise self._error(str(answer["error"]), again=bool(answer.get("again")))

    def _error(self, what: str, *, again: bool = False, hint: str = "pyocd list") -> DebugFailed:
        return DebugFailed(f"{self._where}: pyOCD: {what} (log: {self.log})", again=again, hint=hint)

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not ("ok" in answer or "error" in answer):
            raise self._error(f"it answered {line[:80]!r}")
        return answer

    def _line(self, limit: float) -> bytes:
        assert self._process.stdout is not None
        handle, end = self._process.stdout.fileno(), time.monotonic() + limit
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([handle], [], [], left)[0]:
                raise self._error(f"no answer in {limit:.0f} s", hint="unplug the probe, plug it in again")
            part = os.read(handle, 65536)
            if not part or len(self._buffer) > _LONGEST:
                raise self._error(f"it ended with status {self._process.wait()} and no answer")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line
