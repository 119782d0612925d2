"""A STAND-IN for picotool: it understands the part of its command line that hil uses, and is no picotool.

What it does it does to virtual boards: `reboot -f -u` touches the board's USB port, `info -d` reads the drive, `load`
copies the file to the drive and reads flash back through the board's probe. Boards are listed by serial number in the
JSON file that $PICOTOOL_STANDIN names. `install` puts it on a PATH under picotool's name.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

from hil.flash.uf2 import INFO
from hil.image import uf2
from hil.virtual.probe import Probe

ABSENT, FAILED = 249, 1
_TYPES = {"RPI-RP2": "RP2040", "RP2350": "RP2350"}


def install(folder: Path, boards: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The environment in which `picotool` is this, for these boards: by serial number port, drive and probe."""
    folder.mkdir(exist_ok=True)
    listing = folder / "boards.json"
    listing.write_text(json.dumps(boards))
    program = folder / "picotool"
    root = Path(__file__).resolve().parent.parent.parent
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" "{Path(__file__).resolve()}" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PICOTOOL_STANDIN": str(listing)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="picotool", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    info, reboot, load = (commands.add_parser(name, allow_abbrev=False) for name in ("info", "reboot", "load"))
    info.add_argument("-d", "--device", action="store_true", required=True)
    for option in ("-f", "-u"):
        reboot.add_argument(option, action="store_true", required=True)
    for option in ("-u", "-v", "-x"):
        load.add_argument(option, action="store_true", required=True)
    load.add_argument("file", type=Path)
    load.add_argument("-t", choices=("uf2",), required=True)
    for sub in (info, reboot, load):
        sub.add_argument("--ser", required=True)
    return parser.parse_args()


def _kind(drive: Path) -> str | None:
    """What waits in BOOTSEL mode there."""
    try:
        text = (drive / INFO).read_text()
    except OSError:
        return None
    return next(line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Board-ID:"))


def _absent(serial: str) -> int:
    print(f"No accessible RP-series devices in BOOTSEL mode were found with serial number {serial}.")
    return ABSENT


def _load(file: Path, drive: Path, probe: tuple[str, int]) -> int:
    (drive / "loaded.uf2").write_bytes(file.read_bytes())
    end = time.monotonic() + 10
    while (drive / INFO).exists():
        if time.monotonic() > end:
            print("ERROR: the file is not for this device")
            return FAILED
        time.sleep(0.01)
    print("Loading into Flash: [==============================]  100%")
    with Probe(*probe) as board:
        for block in uf2.decode(file.read_bytes()):
            if board.read(block.address, len(block.payload)) != block.payload:
                print(f"ERROR: Verify failed at {block.address:#x}")
                return FAILED
    print("Verifying Flash: [==============================]  100%\n  OK\n\nThe device was rebooted.")
    return 0


def main() -> int:
    arguments = _arguments()
    board = json.loads(Path(os.environ["PICOTOOL_STANDIN"]).read_text()).get(arguments.ser)
    if board is None:
        return _absent(arguments.ser)
    drive = Path(board["drive"])
    kind = _kind(drive)
    if arguments.command == "reboot":
        if kind is None and not board["port"]:
            return _absent(arguments.ser)
        if kind is None:
            import serial

            serial.Serial(board["port"], 1200).close()
        print("The device was rebooted into BOOTSEL mode.")
        return 0
    if kind is None:
        return _absent(arguments.ser)
    if arguments.command == "info":
        print(f"Device Information\n type:  {_TYPES[kind]}")
        return 0
    if "lost" in board and not Path(board["lost"]).exists():
        Path(board["lost"]).touch()  # gone once, between two runs
        return _absent(arguments.ser)
    return _load(arguments.file, drive, (board["probe"][0], board["probe"][1]))


if __name__ == "__main__":
    sys.exit(main())
