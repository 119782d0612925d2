"""What is chosen of a board beside its kind: where its image lies, in flash or in RAM, and what its console is."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from hil.board import Board, Region
from hil.errors import UsageError

Console = Literal["uart", "rtt"]
CONSOLES: tuple[Console, ...] = ("uart", "rtt")
Load = Literal["flash", "ram"]
LOADS: tuple[Load, ...] = ("flash", "ram")
_ALIGNED = 512
"""Of what follows the image in RAM; vector tables, which are at its start, want as much."""


def check_load(board: Board, load: Load) -> None:
    """Raise `UsageError` where images for `board` cannot lie there."""
    if load == "ram" and "pyocd" not in board.flash_tools:
        raise UsageError(
            f"--load ram: a debugger writes the image, and no debugger is known for {board.name}",
            hint=f"hil flash MODEL --board {board.name}",
        )


def with_console(board: Board, console: Console) -> Board:
    """The board with that console. Raises `UsageError` where its firmware has none such."""
    if console not in board.consoles:
        raise UsageError(f"--console {console}: {board.name} has {' or '.join(board.consoles)}", hint="--console uart")
    return replace(board, console=console)


def image_room(code: int, program: int) -> int:
    """Bytes of RAM that an image of so much code and program takes, with what aligns its parts."""
    return -(-(code + program + 32) // _ALIGNED) * _ALIGNED


def in_ram(board: Board, room: int) -> Board:
    """The board for an image in the first `room` bytes of RAM: these are its flash, the rest is its RAM."""
    ram = board.ram
    return replace(
        board,
        image_in="ram",
        flash=Region(ram.address, room),
        ram=Region(ram.address + room, ram.bytes - room),
    )
