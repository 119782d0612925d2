"""UF2: the image is copied to the drive that a board in BOOTSEL mode is.

The target is the drive's folder, or the serial port of a board that runs: then the port is opened at 1200 baud and
closed, which asks firmware with the Pico SDK's USB console to enter BOOTSEL mode, and the drive is looked for among
those that are mounted. The boot ROM writes what it is given and reads nothing back: nothing is verified until firmware
answers.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hil.board import Board
from hil.errors import FlashFailed, ToolMissing, UsageError
from hil.flash import Flashed, Say
from hil.flash.log import log_file
from hil.image import uf2

if TYPE_CHECKING:
    from hil.image.build import Image

INFO = "INFO_UF2.TXT"
_TOUCH = 1200
_POLL = 0.02
_CHUNK = 1 << 16
_LONGEST_INFO = 4096


def mounted() -> Iterator[Path]:
    """Folders that may be drives: where desktops and udisks mount them."""
    for pattern in ("media/*", "media/*/*", "run/media/*/*", "Volumes/*", "mnt/*"):
        yield from Path("/").glob(pattern)


class Uf2:
    """The driver for the drive, or the serial port, `target`; `drives` are looked at for one that appears.

    `limit`: seconds to wait for the drive, and for the board to leave it again, each.
    """

    name = "uf2"

    def __init__(self, target: str, *, drives: Callable[[], Iterable[Path]] = mounted, limit: float = 15.0) -> None:
        self._target, self._drives, self._limit = target, drives, limit

    def flash(self, image: Image, board: Board, *, say: Say) -> Flashed:
        """Put the image on. Raises `FlashFailed`, and `UsageError` for an image that is not for this kind of board."""
        data = checked(image, board)
        log = log_file(self.name, board.name, self._target)
        with log.open("w", encoding="utf-8") as kept:

            def tell(text: str) -> None:
                say(f"UF2: {board.name}: {text}")
                kept.write(f"{time.strftime('%H:%M:%S')} {text}\n")
                kept.flush()

            began = time.monotonic()
            drive = self._drive(board, tell)
            self._copy(data, drive, image, board, tell)
            self._gone(drive, board, tell)
        held = len(uf2.decode(data)) * uf2.PAYLOAD
        return Flashed(self.name, held, held, time.monotonic() - began, verified=False, log=log)

    def _where(self, board: Board) -> str:
        return f"{board.name} at {self._target}"

    def _drive(self, board: Board, tell: Say) -> Path:
        folder = Path(self._target)
        if folder.is_dir():
            wanted, found = board.flash_tools[self.name], _board_id(folder)
            if found != wanted:
                raise FlashFailed(
                    f"{self._where(board)}: the drive is of {found or 'no board in BOOTSEL mode'}, not of {wanted}",
                    hint=f"cat {folder / INFO}",
                )
            return folder
        before = {path for path in self._drives() if _board_id(path) is not None}
        self._touch(board, tell)
        tell("waiting for its drive")
        return self._appeared(before, board)

    def _touch(self, board: Board, tell: Say) -> None:
        try:
            import serial  # noqa: PLC0415  not needed for a drive
        except ImportError as error:
            raise ToolMissing("pyserial is not installed", hint="pip install pyserial") from error
        tell(f"opening {self._target} at {_TOUCH} baud")
        try:
            serial.Serial(self._target, _TOUCH).close()
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise FlashFailed(
                f"{self._where(board)}: neither a drive nor a serial port that opens: {error}", hint="hil boards"
            ) from error

    def _appeared(self, before: set[Path], board: Board) -> Path:
        wanted, others = board.flash_tools[self.name], ""
        end = time.monotonic() + self._limit
        while time.monotonic() < end:
            new = {path: found for path in self._drives() if path not in before and (found := _board_id(path))}
            ours = [path for path, found in new.items() if found == wanted]
            if len(ours) > 1:
                raise FlashFailed(
                    f"{self._where(board)}: two drives appeared: {ours[0]} and {ours[1]}", hint="flash one at a time"
                )
            if ours:
                return ours[0]
            others = "".join(f"; {path} is of {found}" for path, found in new.items())
            time.sleep(_POLL)
        raise FlashFailed(
            f"{self._where(board)}: no drive of {wanted} appeared in {self._limit:g} s{others}",
            hint="hold BOOTSEL while you plug the board in, and give the folder of its drive",
        )

    def _copy(self, data: bytes, drive: Path, image: Image, board: Board, tell: Say) -> None:
        tell(f"copying {len(data)} bytes to {drive}")
        written = 0
        try:
            with (drive / f"hil-{image.build_id[:8]}.uf2").open("wb", buffering=0) as file:
                while written < len(data):
                    written += file.write(data[written : written + _CHUNK])
                with contextlib.suppress(OSError):
                    os.fsync(file.fileno())  # the board may be gone already
        except OSError as error:
            if written < len(data):
                raise FlashFailed(
                    f"{self._where(board)}: {written} of {len(data)} bytes were copied to {drive}: {error.strerror}",
                    hint="hold BOOTSEL while you plug the board in, and try again",
                ) from error

    def _gone(self, drive: Path, board: Board, tell: Say) -> None:
        """Wait until the board has left BOOTSEL mode, and until the port is there if that was the target."""
        tell("waiting for the board to start")
        end = time.monotonic() + self._limit
        while _board_id(drive) is not None:
            if time.monotonic() > end:
                raise FlashFailed(
                    f"{self._where(board)}: its drive is still there after {self._limit:g} s: it did not take the file",
                    hint=f"cat {drive / INFO}",
                )
            time.sleep(_POLL)
        port = Path(self._target)
        while port != drive and not port.exists():
            if time.monotonic() > end:
                raise FlashFailed(
                    f"{self._where(board)}: the port did not come back in {self._limit:g} s", hint="hil boards"
                )
            time.sleep(_POLL)


def _board_id(folder: Path) -> str | None:
    """What the drive says that it is the drive of; None where there is none."""
    try:
        with (folder / INFO).open("rb") as file:
            text = file.read(_LONGEST_INFO).decode("ascii", "replace")
    except OSError:
        return None
    found = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Board-ID:")]
    return found[0] if found else None


def checked(image: Image, board: Board) -> bytes:
    """The UF2 file's bytes, once it is certain that all of it is for this kind of board."""
    if image.uf2 is None or board.uf2_family is None:
        raise UsageError(f"a {board.name} does not take UF2 files")
    data = image.uf2.read_bytes()
    blocks = uf2.decode(data)
    if len(blocks) * 512 != len(data) or [block.index for block in blocks] != list(range(len(blocks))):
        raise UsageError(f"{image.uf2} is not a whole UF2 file")
    for block in blocks:
        if block.family != board.uf2_family:
            raise UsageError(
                f"{image.uf2} is of UF2 family {block.family or 0:#010x}, a {board.name} {board.uf2_family:#010x}"
            )
        if not board.flash.address <= block.address <= board.flash.end - len(block.payload):
            raise UsageError(f"{image.uf2} has a block for {block.address:#010x}, which is not in flash")
    return data
