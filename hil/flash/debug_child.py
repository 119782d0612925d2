"""`python -m hil.flash.debug_child`: what a debugger does to one board, which this process alone loads pyOCD for.

Standard input brings JSON requests, one a line, the first of which is `open`; each is answered by one line. The end of
standard input is the end. An answer is `{"ok": ...}` or `{"error": ..., "again": ...}`. pyOCD's log goes to standard
error.
"""

from __future__ import annotations

import json
import logging
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyocd.core import exceptions

from hil.flash.pyocd_session import AIRCR, SYSRESETREQ, VTOR, Parting, Refused, check, session

_THUMB = 0x0100_0000  # in xPSR


def _tell(**answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _requests() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def _load(target: Any, parting: Parting, request: dict[str, Any]) -> int:
    """Write an image to RAM and have core 0 begin it, when this lets go of it: its length."""
    data, address = Path(request["file"]).read_bytes(), request["address"]
    region = target.memory_map.get_region_for_address(address)
    if region is None or not region.is_ram or address + len(data) > region.end + 1:
        raise Refused(f"pyOCD knows no RAM for {len(data)} bytes at {address:#010x}")
    target.reset_and_halt()
    check(target, request["identity"])
    target.write_memory_block8(address, data)
    found = bytes(target.read_memory_block8(address, len(data)))
    if found != data:
        first = next(at for at, (a, b) in enumerate(zip(found, data, strict=True)) if a != b)
        raise Refused(f"RAM differs from the image after writing, first at {address + first:#010x}")
    stack, start = struct.unpack_from("<II", data, request["vectors"] - address)
    target.write32(VTOR, request["vectors"])
    for name, value in (("msp", stack), ("pc", start & ~1), ("xpsr", _THUMB)):
        target.write_core_register(name, value)
    parting.fresh.update(target.cores)
    return len(data)


def _obey(target: Any, parting: Parting, request: dict[str, Any]) -> object:
    match request["op"]:
        case "load":
            return _load(target, parting, request)
        case "reset":
            target.write32(AIRCR, SYSRESETREQ)
            target.flush()
            return True
        case op:
            raise Refused(f"no request is called {op!r}")


def _failed(error: Exception) -> None:
    logging.error("failed", exc_info=error)
    # "Target not detected" comes as a plain error: nobody answered on the wire.
    wire = isinstance(error, exceptions.ProbeError | exceptions.TransferError | exceptions.TimeoutError)
    _tell(error=str(error) or type(error).__name__, again=wire or type(error) is exceptions.Error)


def main() -> int:
    """Do what standard input says."""
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)7.0f %(levelname).1s %(name)s: %(message)s")
    requests = _requests()
    first = next(requests)
    try:
        with session(first["probe"], first["target"], first["identity"], first["connect"]) as (target, parting):
            _tell(ok=sorted(target.cores))
            for request in requests:
                try:
                    _tell(ok=_obey(target, parting, request))
                except (exceptions.Error, Refused) as error:
                    _failed(error)
    except Exception as error:
        _failed(error)
        return 1
    _tell(ok="closed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
