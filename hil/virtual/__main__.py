"""`python -m hil.virtual rp2040 --elf FILE`: be a virtual board until standard input ends.

Prints one JSON line when it is ready; whatever else it has to say goes to standard error. This process alone loads
unicorn, or owns the QEMU, that runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from hil import board as boards
from hil.errors import HilError, UsageError
from hil.image.elf import Elf
from hil.virtual import described, names

Started = tuple[tuple[int, ...], Callable[[], int], dict[str, str]]
"""The ports of UART0, the probe and, where there is one, the debug port; what serves until it is over and gives the
exit status; and what else the greeting says."""


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _stop(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise SystemExit(0)


def main() -> int:
    """Parse the command line, start the board, serve."""
    parser = argparse.ArgumentParser(prog="python -m hil.virtual", description="Be a virtual board.")
    parser.add_argument("board", help=f"one of {', '.join(names())}")
    parser.add_argument("--elf", type=Path, help="what is in its flash; without it flash is erased")
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 0), metavar="HOST:PORT", help="of UART0")
    parser.add_argument("--usb", type=Path, metavar="DIR", help="a USB port too; DIR is its drive in BOOTSEL mode")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        if described(arguments.board).runner == "esp":
            from hil.virtual.esp import server  # noqa: PLC0415  loads unicorn

            return server.be_board(arguments.elf, *arguments.listen)
        runner = _unicorn if described(arguments.board).runner == "unicorn" else _qemu
        ports, serve, more = runner(arguments.board, arguments.elf, arguments.usb, *arguments.listen)
    except HilError as error:
        print(f"virtual {arguments.board}: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"virtual {arguments.board}: cannot listen: {error}", file=sys.stderr)
        return 4
    named = dict(zip(("uart0", "probe", "debug"), ports, strict=False))
    ready = {"schema": "hil.virtual/1", **named, **more, "pid": os.getpid()}
    print(json.dumps(ready), flush=True)
    return serve()


def _unicorn(board: str, elf: Path | None, usb: Path | None, host: str, port: int) -> Started:
    from hil.virtual.chip import chips  # noqa: PLC0415
    from hil.virtual.chip.board import Microcontroller, flash_image  # noqa: PLC0415  loads unicorn
    from hil.virtual.server import Server  # noqa: PLC0415

    chip = chips.find(described(board).machine)
    flash = flash_image(chip, Elf(elf).segments, elf.name) if elf is not None else b""
    server = Server(Microcontroller(chip, flash), host, port)

    more = {}
    if usb is not None:
        kind = boards.load(board)
        if kind.uf2_family is None or "uf2" not in kind.flash_tools:
            raise UsageError(f"a {board} does not take UF2 files")
        more["usb"] = server.plug_usb(usb, kind.flash_tools["uf2"], kind.uf2_family)

    def serve() -> int:
        server.serve()
        return 0

    return server.ports, serve, more


def _qemu(board: str, elf: Path | None, usb: Path | None, host: str, port: int) -> Started:
    if elf is None:
        raise UsageError(f"the virtual {board} has no flash that could be empty: give it --elf")
    if usb is not None:
        raise UsageError(f"the virtual {board} has no USB")
    from hil.virtual.qemu import Supervisor  # noqa: PLC0415

    supervisor = Supervisor(boards.load(board), elf, host, port)
    return supervisor.ports, supervisor.serve, {}


if __name__ == "__main__":
    sys.exit(main())
