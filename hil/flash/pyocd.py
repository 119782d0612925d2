"""pyOCD: sectors that differ are erased and written, everything is read back, the board is reset.

Each attempt is a process of its own (`hil.flash.pyocd_child`), so that it can be stopped when it hangs, several boards
are flashed side by side, and its log is kept. They are forks of one that has pyOCD loaded (`hil.flash.warm`): loading
takes longer than flashing. It is tried again after errors of the probe or of the wire, never after
errors of the flash or a board that is not the one that was meant.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hil.board import Board
from hil.errors import FlashFailed, ToolMissing
from hil.flash import Flashed, Say, loader
from hil.flash.log import log_file
from hil.flash.warm import warm

if TYPE_CHECKING:
    from hil.image.build import Image

_TRIES = 3
_PAUSE = 0.2  # seconds in which a probe may come back, or be let go
_CHILD = "hil.flash.pyocd_child"
_LONGEST = 1 << 20


class PyOcd:
    """The driver for the probe whose unique id is `target`."""

    name = "pyocd"

    def __init__(self, target: str, *, limit: float | None = None) -> None:
        self._target = target
        self._limit = limit
        """Seconds for one attempt; None: 30, and 10 for each 100 KB."""

    def flash(self, image: Image, board: Board, *, say: Say) -> Flashed:
        """Put the image on. Raises `FlashFailed`, and `ToolMissing` where pyOCD is not installed."""
        if importlib.util.find_spec("pyocd") is None:
            raise ToolMissing("pyOCD is not installed in this environment", hint="pip install 'pyocd>=0.46,<0.47'")
        if image.bin is None:
            raise FlashFailed(f"an image for a {board.name} is a program of this machine; there is nothing to flash")
        log = log_file(self.name, board.name, self._target)
        request = {
            "probe": self._target,
            "target": board.flash_tools[self.name],
            "file": str(image.bin),
            "address": board.flash.address,
            "buffers": vars(board.flash_buffers) if board.flash_buffers else None,
            "identity": vars(board.identity) if board.identity else None,
            "loader": loader.described(board),
        }
        limit = self._limit or 30 + image.flash / 10_000
        began = time.monotonic()
        for attempt in range(1, _TRIES + 1):
            say(f"pyOCD: {board.name} at {self._target}" + (f", attempt {attempt}" if attempt > 1 else ""))
            result = self._attempt(request, board, limit, log, say)
            if "written" in result:
                seconds = time.monotonic() - began
                return Flashed(self.name, int(result["bytes"]), int(result["written"]), seconds, verified=True, log=log)
            if not result["again"] or attempt == _TRIES:
                break
            time.sleep(_PAUSE)
        raise FlashFailed(
            f"{board.name} at probe {self._target}: pyOCD: {result['error']} (attempt {attempt}; log: {log})",
            hint=result.get("hint") or self._next(result["error"]),
        )

    def _next(self, error: str) -> str:
        """What a person would type after this error of pyOCD's."""
        if self._target.startswith("hil:"):
            return f"ss -tnp dport = :{self._target.rpartition(':')[2]}" if "in use" in error else "hil boards"
        if "/" in self._target:
            return "pyocd list, for the probe's id; a port or a drive is for --tool uf2"
        if re.search(r"permission|access denied|insufficient|errno 13", error, re.IGNORECASE):
            return 'lsusb; then a udev rule for it: SUBSYSTEM=="usb", ATTR{idVendor}=="....", MODE="0666"'
        if re.search(r"busy|in use|errno 16", error, re.IGNORECASE):
            return "ps aux | grep -i -e pyocd -e openocd -e gdb"
        return "pyocd list"

    def _attempt(self, request: dict[str, Any], board: Board, limit: float, log: Path, say: Say) -> dict[str, Any]:
        """What the child answered; an "error" with "again" where it should be asked once more."""
        with log.open("ab") as kept, warm(_CHILD).job(kept) as child:  # which ends with the connection
            with contextlib.suppress(OSError):  # it ended already: that shows below
                child.sendall(json.dumps(request).encode() + b"\n")
            return _lines(child, limit, lambda done: say(f"pyOCD: {board.name} at {self._target}: {done:.0%}"))


def prepare() -> None:
    """Begin to load pyOCD, if it is there: it takes half a second in which other things can be done."""
    if importlib.util.find_spec("pyocd") is not None:
        warm(_CHILD).start()


def interrupt() -> None:
    """End every attempt of this process's."""
    warm(_CHILD).stop()


def _lines(child: socket.socket, limit: float, progress: Callable[[float], None]) -> dict[str, Any]:
    """The child's last line, within `limit` seconds; those before it are progress."""
    end, buffer = time.monotonic() + limit, b""
    while (left := end - time.monotonic()) > 0:
        child.settimeout(left)
        try:
            part = child.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            part = b""
        if not part or len(buffer) > _LONGEST:
            return {"error": "it ended without a result", "again": False}
        *lines, buffer = (buffer + part).split(b"\n")
        for line in lines:
            answer = _parsed(line)
            if answer is None:
                return {"error": f"it answered {line[:80]!r}", "again": False}
            if "progress" not in answer:
                return answer
            progress(answer["progress"])
    return {"error": f"no result in {limit:.0f} s", "again": False, "hint": "unplug the probe, plug it in again"}


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    if not isinstance(answer, dict):
        return None
    if isinstance(answer.get("progress"), float):
        return answer
    if isinstance(answer.get("written"), int) and isinstance(answer.get("bytes"), int):
        return answer
    return answer if isinstance(answer.get("error"), str) and isinstance(answer.get("again"), bool) else None
