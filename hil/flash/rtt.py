"""The console of firmware that has it in RAM (`--console rtt`), as a URL that pyserial opens."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from hil.board import Board
from hil.errors import UsageError
from hil.flash.child import DebugChild
from hil.flash.debug import core_states, where

if TYPE_CHECKING:
    from hil.image.build import Image

_LIMIT = 15.0


class RttConsole:
    """pyOCD stays connected to the board behind the probe `target`, on which `image` runs, until this is closed.

    Raises `DebugFailed` where no such firmware is found, `ToolMissing`, `UsageError`.
    """

    def __init__(self, target: str, image: Image, board: Board) -> None:
        if image.rtt is None:
            raise UsageError(f"the image for {board.name} has its console elsewhere", hint="--console rtt")
        self._child = DebugChild(target, board, "attach")
        try:
            port = int(self._child.ask({"op": "rtt", "address": image.rtt}, _LIMIT))
        except BaseException:
            self._child.kill()
            raise
        self.url = f"socket://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether pyOCD is still there, which it is not without its probe."""
        return self._child.alive

    def where(self, image: Image) -> str:
        """Where the cores are, which run `image`. Raises `DebugFailed`."""
        return where(core_states(self._child), image.symbolize)

    def close(self) -> None:
        """Disconnect; the firmware goes on."""
        self._child.end()
