"""What is being done now, on a line below pytest's own: by this process, or by each of xdist's workers.

A worker writes what it does to a file of its own, in a folder that the controller makes; the controller looks there.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from rich.cells import cell_len, set_cell_size

from hil.deployment import Say, silent
from hil.report import plain

_HANDED_OVER = "hil_progress"
"""Name of the folder in what xdist's workers get from the controller."""
_PLUGIN = "hil-progress"
_PERIOD = 0.25
"""Seconds between two looks at what the workers do."""
_LONGEST = 200
"""Characters that a worker tells; no terminal shows more of several workers."""
_SIZE = 4 * _LONGEST
"""Bytes of a worker's file: that text in UTF-8, and NULs."""
_LEAST = 20
"""Columns below which a worker's part says nothing."""
_BETWEEN = " | "
_ERASE = "\x1b[K"  # from the cursor to the end of the line
_UP = "\x1b[A"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Line:
    """The line, and the file that pytest's terminal writes to in its place: the line is gone before pytest goes on.

    Only relative moves are used, which hold when the screen scrolls. Made where the cursor is in the first column.
    """

    def __init__(self, terminal: Any) -> None:
        self._terminal, self._file = terminal, terminal._file
        self._lock = threading.RLock()
        self._column: int | None = 0
        """Where pytest's cursor is, in a line that may be wider than the screen; None: it cannot be told.

        pytest knows it too, but not after a carriage return, which xdist writes.
        """
        self._shown = ""
        self._back = ""
        self._ended = False
        terminal._file = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """What pytest writes."""
        with self._lock:
            self._take_away()
            written: int = self._file.write(text)
            *before, last = re.split(r"[\r\n]", _COLOUR.sub("", text))
            if before:
                self._column = 0
            if self._column is not None:
                self._column = self._column + cell_len(last) if last.isprintable() else None
            return written

    def flush(self) -> None:
        with self._lock:
            self._file.flush()

    def draw(self, parts: Sequence[str]) -> None:
        """Show these, or nothing if there are none."""
        with self._lock:
            width = self._terminal.fullwidth
            text = self._text(parts, width - 1)  # the last column stays free
            if self._ended or text == self._shown:
                return
            if not text:
                self._take_away()
            elif self._shown:
                self._file.write(f"\r{text}{_ERASE}")
            elif self._column is None or (self._column and self._column % width == 0):
                return  # nor can it be told where the cursor is after a letter in the last column
            else:
                column = self._column % width
                self._back = f"\r{_ERASE}{_UP}\r" + (f"\x1b[{column}C" if column else "")
                self._file.write(f"\n{text}{_ERASE}")
            self._shown = text
            self._file.flush()

    def end(self) -> None:
        """Give the terminal its file back. Nothing is drawn after that."""
        with self._lock:
            if not self._ended:
                self._take_away()
                self._file.flush()
                self._ended = True
                self._terminal._file = self._file

    def _text(self, parts: Sequence[str], width: int) -> str:
        begin = "  hil: "
        room = width - len(begin)
        if not parts or room < _LEAST:
            return ""
        encoding = self._file.encoding or "utf-8"
        return (begin + beside(parts, room)).encode(encoding, "replace").decode(encoding)

    def _take_away(self) -> None:
        if self._shown:
            self._shown = ""
            self._file.write(self._back)


def beside(parts: Sequence[str], width: int) -> str:
    """The parts in one line of at most `width` columns, 20 or more; `+2`: there is no room for two more parts."""
    whole = _BETWEEN.join(parts)
    if cell_len(whole) <= width:
        return whole
    fit = max(1, (width + len(_BETWEEN)) // (_LEAST + len(_BETWEEN)))
    more = ""
    if len(parts) > fit:
        more = f" +{len(parts) - fit}"
        parts = parts[:fit]
    left = width - len(more) - len(_BETWEEN) * (len(parts) - 1)
    room = [0] * len(parts)
    order = sorted(range(len(parts)), key=lambda n: cell_len(parts[n]))
    for done, n in enumerate(order):  # what short ones leave is for the long ones
        room[n] = min(cell_len(parts[n]), left // (len(parts) - done))
        left -= room[n]
    return _BETWEEN.join(_cut(part, size) for part, size in zip(parts, room, strict=True)) + more


def _cut(text: str, width: int) -> str:
    """The text without its middle, if it is too long: boards and counts are at its ends."""
    if cell_len(text) <= width:
        return text
    gap = ".."
    head = (width - len(gap)) // 2
    tail = text
    while cell_len(tail) > width - len(gap) - head:
        tail = tail[1:]
    return set_cell_size(text, head) + gap + tail


class Progress:
    """Draws the line in the process that has the terminal."""

    def __init__(self, config: pytest.Config, line: Line) -> None:
        self._line = line
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._folder: TemporaryDirectory[str] | None = None
        self._workers: list[str] = []
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._watching, name=_PLUGIN, daemon=True)
        config.add_cleanup(self._end)  # where the session did not get to its end

    def say(self, text: str) -> None:
        """What this process does."""
        with self._capture.global_and_fixture_disabled() if self._capture else nullcontext():
            self._line.draw([_first(text)] if text else [])

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of xdist where to say what it does."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="hil-progress-", ignore_cleanup_errors=True)
            self._watch.start()
        node.workerinput[_HANDED_OVER] = self._folder.name
        self._workers.append(node.workerinput["workerid"])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker is gone, and may not have been able to say so."""
        with suppress(ValueError):
            self._workers.remove(node.workerinput["workerid"])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Before anything is drawn of how it ended; also after Ctrl-C."""
        self._line.end()

    def _watching(self) -> None:
        with suppress(OSError):  # the terminal is gone: pytest finds out by itself
            while not self._over.wait(_PERIOD):
                self._line.draw(self._said())

    def _said(self) -> list[str]:
        """What each worker does that does something."""
        assert self._folder is not None
        found = []
        for worker in tuple(self._workers):
            text = ""
            with suppress(OSError), (Path(self._folder.name) / worker).open("rb") as file:
                text = _first(file.read(_SIZE).split(b"\0")[0].decode(errors="replace"))
            if text:
                found.append(f"{worker} {text}")
        return found

    def _end(self) -> None:
        self._line.end()
        self._over.set()
        if self._folder is not None:
            self._watch.join()
            self._folder.cleanup()


class _Worker:
    """Says what a worker does, in a file of its own. Raises `OSError` where the folder is not on this machine.

    It is written over in place, by one call: some microseconds, where a new file in its place may take milliseconds.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._file = (folder / name).open("wb", buffering=0)
        self.close = self._file.close

    def say(self, text: str) -> None:
        with suppress(OSError):  # no test needs it
            os.pwrite(self._file.fileno(), _first(text).encode(errors="replace").ljust(_SIZE, b"\0"), 0)


def begin(config: pytest.Config) -> None:
    """Show progress in this session, where there is a terminal and it is not to be quiet. Before any of its output."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if hasattr(config, "workerinput") or reporter is None or not reporter.isatty:
        return
    if config.getoption("verbose") >= 0 and os.environ.get("TERM") != "dumb":
        config.pluginmanager.register(Progress(config, Line(reporter._tw)), _PLUGIN)


def progress(config: pytest.Config) -> Say:
    """How this process says what it does; an empty text: nothing any more."""
    given = getattr(config, "workerinput", {})
    if folder := given.get(_HANDED_OVER):
        with suppress(OSError):
            worker = _Worker(Path(folder), given["workerid"])
            config.add_cleanup(worker.close)
            return worker.say
        return silent
    drawing: Progress | None = config.pluginmanager.getplugin(_PLUGIN)
    return drawing.say if drawing else silent


def _first(text: str) -> str:
    """The first line, as one can show it."""
    return plain(text[:_LONGEST]).split("\n", 1)[0]
