"""`python -m hil.virtual rp2040 --elf FILE`: be a virtual board until standard input ends.

Prints one JSON line when it is ready; whatever else it has to say goes to standard error. This process alone loads
unicorn.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from hil.errors import HilError
from hil.image.elf import Elf
from hil.virtual import names


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
    parser.add_argument("board", choices=names())
    parser.add_argument("--elf", type=Path, required=True, help="what is in its flash")
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 0), metavar="HOST:PORT", help="of UART0")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        from hil.virtual.rp2040.board import Rp2040, flash_image  # noqa: PLC0415  loads unicorn
        from hil.virtual.server import Server  # noqa: PLC0415

        flash = flash_image(Elf(arguments.elf).segments, arguments.elf.name)
        server = Server(Rp2040(flash), *arguments.listen)
    except HilError as error:
        print(f"virtual {arguments.board}: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"virtual {arguments.board}: cannot listen: {error}", file=sys.stderr)
        return 4
    uart0, probe = server.ports
    ready = {"schema": "hil.virtual/1", "uart0": uart0, "probe": probe, "pid": os.getpid()}
    print(json.dumps(ready), flush=True)
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
