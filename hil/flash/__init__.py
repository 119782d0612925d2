"""Flashing: an image gets onto a board by the tool that people use for it.

    flashed = hil.flash.flash("hil:127.0.0.1:40001", image, board)

What a target is depends on the tool: for pyOCD the unique id of a probe, for UF2 a drive's folder or the serial port of
the running board, for picotool the serial number of the board on USB. None of these paths has met silicon yet: all were
tried on virtual boards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hil.board import Board
from hil.errors import UsageError

if TYPE_CHECKING:
    from hil.flash.debug import PyOcdDebugger
    from hil.image.build import Image

__all__ = ["TITLES", "Flashed", "Flasher", "debugger", "flash", "flasher", "interrupt", "prepare", "silent", "tools"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Flashed:
    """What a tool did. `bytes`: of the image; `bytes_written`: less what lay there already; `seconds`: of this host.

    `verified`: every byte was read back, or hashed on the board. `log`: what the tool said.
    """

    tool: str
    bytes: int
    bytes_written: int
    seconds: float
    verified: bool
    log: Path


class Flasher(Protocol):
    """A tool and the target that it writes to."""

    @property
    def name(self) -> str: ...

    def flash(self, image: Image, board: Board, *, say: Say) -> Flashed:
        """Put `image` on the board, start it; refuse another kind of board. Raises `FlashFailed`, `ToolMissing`."""


def _pyocd(target: str) -> Flasher:
    from hil.flash.pyocd import PyOcd  # noqa: PLC0415  a tool is loaded when it is wanted

    return PyOcd(target)


def _uf2(target: str) -> Flasher:
    from hil.flash.uf2 import Uf2  # noqa: PLC0415

    return Uf2(target)


def _picotool(target: str) -> Flasher:
    from hil.flash.picotool import Picotool  # noqa: PLC0415

    return Picotool(target)


def _esptool(target: str) -> Flasher:
    from hil.flash.esptool import Esptool, on_virtual  # noqa: PLC0415

    return on_virtual(target) if target.startswith("hil:") else Esptool(target)


def _ram(target: str, board: Board, tool: str | None) -> Flasher:
    from hil.flash.ram import RamLoader  # noqa: PLC0415

    if "pyocd" not in board.flash_tools or tool not in (None, "pyocd"):
        raise UsageError(
            f"the image is for the RAM of a {board.name}: {tool or 'no known tool'} does not write there",
            hint="--tool pyocd, or --load flash",
        )
    return RamLoader(target)


_FLASHERS: dict[str, Callable[[str], Flasher]] = {
    "pyocd": _pyocd,
    "esptool": _esptool,
    "uf2": _uf2,
    "picotool": _picotool,
}


TITLES = {"pyocd": "pyOCD", "esptool": "esptool", "uf2": "UF2 drive", "picotool": "picotool"}
"""What a person calls them."""


def tools() -> tuple[str, ...]:
    """The tools that there are drivers for."""
    return tuple(_FLASHERS)


def flasher(target: str, board: Board, tool: str | None = None) -> Flasher:
    """The driver of `tool`, or of the board's first, for `target`. Raises `UsageError` for a tool that is not its."""
    known = [name for name in board.flash_tools if name in _FLASHERS]
    if not known:
        raise UsageError(f"no tool is known that flashes a {board.name}: boards/{board.name}.toml has no [flash]")
    if tool is not None and tool not in known:
        raise UsageError(f"{tool!r} does not flash a {board.name}; {' or '.join(known)} does")
    return _FLASHERS[tool or known[0]](target)


def prepare(tool: str) -> None:
    """Begin to load a tool that will be wanted, if it is one that stays loaded. Does not wait."""
    if tool == "pyocd":
        from hil.flash import pyocd  # noqa: PLC0415

        pyocd.prepare()


def interrupt() -> None:
    """Stop what tools that stay loaded are doing for this process: whoever waits for it gets an error at once."""
    from hil.flash import pyocd  # noqa: PLC0415

    pyocd.interrupt()


def silent(text: str) -> None:
    """A `Say` that says nothing."""
    del text


def flash(target: str, image: Image, board: Board, tool: str | None = None, say: Say = silent) -> Flashed:
    """Put `image` on the board at `target`, in flash or RAM as it is linked, check it, start it.

    Raises `FlashFailed`, `ToolMissing`, `UsageError`.
    """
    if image.board != board.name:
        raise UsageError(f"the image is for a {image.board}, not for a {board.name}")
    if image.in_ram is not None:
        return _ram(target, board, tool).flash(image, board, say=say)
    return flasher(target, board, tool).flash(image, board, say=say)


def debugger(target: str, board: Board) -> PyOcdDebugger:
    """A debugger on the board behind the probe `target`, as a context manager; see `hil.flash.debug`.

    Raises `DebugFailed`, which is a `FlashFailed`; `ToolMissing`, `UsageError`.
    """
    from hil.flash.debug import PyOcdDebugger  # noqa: PLC0415

    return PyOcdDebugger(target, board)
