"""An image that runs from RAM: pyOCD resets and halts the chip, writes it, and has core 0 begin it.

Every byte is read back. Flash is left alone: the boot ROM does not get to it. Start-up code does the rest, core 1 among
it, as after a boot. The image is gone with the next reset.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hil.board import Board
from hil.errors import FlashFailed
from hil.flash import Flashed, Say
from hil.flash.child import DebugChild, DebugFailed
from hil.flash.log import log_file

if TYPE_CHECKING:
    from hil.image.build import Image

_TRIES = 3


class RamLoader:
    """The driver for the probe whose unique id is `target`."""

    name = "pyocd"

    def __init__(self, target: str) -> None:
        self._target = target

    def flash(self, image: Image, board: Board, *, say: Say) -> Flashed:
        """Put the image into RAM and start it. Raises `FlashFailed`, `ToolMissing`."""
        if image.in_ram is None or image.bin is None:
            raise FlashFailed(f"the image for {board.name} is linked for flash", hint="hil flash MODEL --load ram")
        log = log_file("pyocd-ram", board.name, self._target)
        began = time.monotonic()
        request = {
            "op": "load",
            "file": str(image.bin),
            "address": image.in_ram.address,
            "vectors": image.in_ram.vectors,
            "identity": vars(board.identity) if board.identity else None,
        }
        attempt = 0
        while True:
            attempt += 1
            say(f"pyOCD: RAM of {board.name} at {self._target}" + (f", attempt {attempt}" if attempt > 1 else ""))
            try:
                with DebugChild(self._target, board, "halt", log=log) as child:
                    size = int(child.ask(request, 30 + image.flash / 10_000))
            except DebugFailed as error:
                if not error.again or attempt == _TRIES:
                    raise
            else:
                return Flashed(self.name, size, size, time.monotonic() - began, verified=True, log=log)
