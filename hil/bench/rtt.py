"""A board of hardware whose console is in its RAM: pyOCD flashes it, and stays to carry the console."""

from __future__ import annotations

from hil import board as boards
from hil.bench.hands import LocalHands, Say
from hil.bench.lab import LabBoard
from hil.errors import BoardMissing, FlashFailed, UsageError
from hil.flash.child import DebugChild
from hil.flash.rtt import RttConsole
from hil.image.build import Image


class RttHands(LocalHands):
    """Its port is one of this machine, and there from the end of flashing to `close`."""

    def __init__(self, board: LabBoard) -> None:
        super().__init__(board)
        assert board.probe is not None
        self._probe = board.probe
        self._image: Image | None = None
        self._console: RttConsole | None = None

    def port(self) -> str:
        """The console's URL; before flashing the probe's, once the board has been seen behind it."""
        if self._console is None:
            self._look()
            return f"probe://{self._probe}"
        if not self._console.alive:
            raise BoardMissing(
                f"{self._board.name}: its probe {self._probe} is gone; is it plugged in?", hint="pyocd list"
            )
        return self._console.url

    def flash(self, image: Image, *, say: Say) -> None:
        self.close()
        self._image = None
        super().flash(image, say=say)
        self._image = image
        self._open()

    def reset(self) -> None:
        self.close()
        super().reset()
        self._open()

    def power_cycle(self) -> None:
        """The console comes back with the next flash: the probe may have been without power too."""
        self.close()
        super().power_cycle()

    def diagnostics(self) -> str:
        if self._console is None or self._image is None:
            return super().diagnostics()
        try:
            return self._console.where(self._image)
        except FlashFailed as error:
            return f"its probe could not tell where it is: {error.message}"

    def close(self) -> None:
        if self._console is not None:
            self._console.close()
            self._console = None

    def _open(self) -> None:
        if self._image is not None:
            self._console = RttConsole(self._probe, self._image, boards.load(self._board.kind))

    def _look(self) -> None:
        try:
            DebugChild(self._probe, boards.load(self._board.kind), "attach").end()
        except FlashFailed as error:
            raise BoardMissing(f"{self._board.name}: {error.message}", hint=error.hint) from error
        except UsageError as error:
            raise BoardMissing(f"{self._board.name}: {error.message}", hint="hil boards") from error
