"""A virtual board's USB, as far as flashing needs it: a serial port that is touched, and the drive of BOOTSEL mode.

The port is a pty: opened at 1200 baud and closed again it sends the board into BOOTSEL mode, as firmware with the Pico
SDK's USB console does. The drive is a folder that is there while the board is in that mode; a complete UF2 file of the
board's family that lies in it is written to flash, and the board starts. Source: RP2040 data sheet, 2.8.4.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import termios
import tty
from pathlib import Path

from hil.errors import InfrastructureError
from hil.image import uf2
from hil.virtual.chip.board import Microcontroller
from hil.virtual.sockets import Say

INFO = "INFO_UF2.TXT"
PERIOD = 0.02
"""Seconds between two looks at port and drive."""
_SECTOR = 4096
_MOST_BYTES = 64 << 20
_ISPEED, _OSPEED = 4, 5


class Usb:
    """The port and the drive `drive` of `board`, which is of UF2 family `family` and calls itself `name`."""

    def __init__(self, board: Microcontroller, drive: Path, name: str, family: int, say: Say) -> None:
        self._board, self._drive, self._name, self._family, self._say = board, drive, name, family, say
        self._shown = False
        self._seen: tuple[object, ...] = ()
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.port = os.ttyname(slave)
        """The path of the serial port."""
        os.close(slave)
        self._events = select.poll()
        self._events.register(self._master, 0)

    def close(self) -> None:
        """Unplug it: no port, no drive."""
        os.close(self._master)
        self._hide()

    def look(self, *, bootsel: bool) -> bool:
        """What has happened? `bootsel`: the board waits in that mode. True if it goes on now."""
        if self._touched():
            self._say("USB: touched at 1200 baud")
            self._board.bootsel()
            return True
        if bootsel != self._shown:
            if bootsel:
                self._show()
            else:
                self._hide()
        return self._shown and self._copied()

    def _touched(self) -> bool:
        """Whether the port has been closed at 1200 baud since the last look."""
        attributes = termios.tcgetattr(self._master)
        closed = any(event & select.POLLHUP for _, event in self._events.poll(0))
        if not closed or attributes[_ISPEED] != termios.B1200:
            return False
        attributes[_ISPEED] = attributes[_OSPEED] = termios.B115200
        termios.tcsetattr(self._master, termios.TCSANOW, attributes)
        return True

    def _show(self) -> None:
        try:
            self._drive.mkdir(parents=True, exist_ok=True)
            text = f"UF2 Bootloader v3.0\r\nModel: virtual {self._name}\r\nBoard-ID: {self._name}\r\n"
            (self._drive / INFO).write_bytes(text.encode())
        except OSError as error:
            raise InfrastructureError(f"cannot be a drive at {self._drive}: {error}") from error
        self._shown, self._seen = True, ()

    def _hide(self) -> None:
        if self._shown:
            with contextlib.suppress(OSError):
                (self._drive / INFO).unlink()  # first: a drive is what has one
            shutil.rmtree(self._drive, ignore_errors=True)
        self._shown = False

    def _copied(self) -> bool:
        """Whether a whole image lay there, which is in flash now."""
        with contextlib.suppress(OSError):
            for path in sorted(self._drive.iterdir()):
                if path.name != INFO and path.is_file() and self._wrote(path):
                    self._hide()
                    self._board.reset()
                    return True
        return False

    def _wrote(self, path: Path) -> bool:
        status = path.stat()
        seen = (path.name, status.st_size, status.st_mtime_ns)
        if seen == self._seen or status.st_size > _MOST_BYTES:
            return False
        self._seen = seen
        base = self._board.chip.flash_base
        ours = {block.index: block for block in uf2.decode(path.read_bytes()) if block.family == self._family}
        if not ours or len(ours) != next(iter(ours.values())).count:
            return False  # not all of it yet, or nothing for this board
        for block in ours.values():
            at = block.address - base
            if at % uf2.PAYLOAD or len(block.payload) != uf2.PAYLOAD or not 0 <= at < self._board.chip.flash_bytes:
                self._say(f"BOOTSEL: {path.name}: a block for {block.address:#010x}")
                return False
        for sector in {(block.address - base) // _SECTOR for block in ours.values()}:
            self._board.flash_pages(sector * _SECTOR, b"\xff" * _SECTOR)
        for block in ours.values():
            self._board.flash_pages(block.address - base, block.payload)
        self._say(f"BOOTSEL: {len(ours)} blocks of {path.name} are in flash")
        return True
