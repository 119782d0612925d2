"""`python -m hil.flash.debug_child`: what a debugger does to one board, which this process alone loads pyOCD for.

Standard input brings JSON requests, one a line, the first of which is `open`; each is answered by one line. The end of
standard input is the end. An answer is `{"ok": ...}` or `{"error": ..., "again": ...}`. pyOCD's log goes to standard
error.
"""

from __future__ import annotations

import json
import logging
import os
import select
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pyocd.core import exceptions
from pyocd.core.target import Target
from pyocd.coresight.core_ids import CoreArchitecture

from hil.flash.pyocd_session import VTOR, Parting, Refused, check, session
from hil.flash.rtt_bridge import Bridge

_THUMB = 0x0100_0000  # in xPSR
_CFSR, _HFSR = 0xE000_ED28, 0xE000_ED2C
_MAINLINE = (CoreArchitecture.ARMv7M, CoreArchitecture.ARMv8M_MAIN)
_STATES = {Target.State.HALTED: "halted", Target.State.SLEEPING: "sleeping", Target.State.LOCKUP: "locked up"}


def end_with_owner(grace: float = 5.0) -> None:
    """End this process soon after the one that started it, whatever pyOCD does then: it would hold the probe."""
    owner = os.getppid()

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(0.2)
        time.sleep(grace)  # the end of standard input comes first, and is the better end
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _tell(**answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class _Input:
    """Requests from standard input, which is waited for together with sockets."""

    def __init__(self) -> None:
        self._buffer = b""

    def wait(self, others: list[Any], limit: float | None) -> list[Any]:
        """What is ready of standard input (0) and `others`; nothing after `limit` seconds."""
        return select.select([0, *others], [], [], limit)[0]

    def take(self) -> list[dict[str, Any]] | None:
        """The requests that have come; None at the end."""
        part = os.read(0, 65536)
        *lines, self._buffer = (self._buffer + part).split(b"\n")
        return [json.loads(line) for line in lines] if part else None

    def first(self) -> dict[str, Any]:
        """The first request, alone."""
        while (found := self.take()) is not None:
            if found:
                return found[0]
        raise SystemExit(0)


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


def _registers(number: int, core: Any) -> dict[str, Any]:
    """Where a core is. It is stopped for a moment."""
    state = core.get_state()
    was = _STATES.get(state, "running")
    if state != Target.State.HALTED:
        core.halt()
    try:
        values = {name: core.read_core_register(name) for name in ("pc", "lr", "sp", "xpsr")}
        if core.architecture in _MAINLINE:
            values |= {"cfsr": core.read32(_CFSR), "hfsr": core.read32(_HFSR)}
    finally:
        if state != Target.State.HALTED:
            core.resume()
    return {"core": number, "was": was, **values}


class _Board:
    """One board with pyOCD on it."""

    def __init__(self, target: Any, parting: Parting) -> None:
        self._target, self._parting = target, parting
        self._bridge: Bridge | None = None

    def serve(self, given: _Input) -> None:
        """Obey until there is nobody any more who could ask."""
        while True:
            bridge = self._bridge
            ready = given.wait(bridge.handles if bridge else [], bridge.wait if bridge else None)
            if 0 in ready:
                if (requests := given.take()) is None:
                    break
                for request in requests:
                    self._answer(request)
            if bridge:
                try:
                    bridge.turn(ready)
                except exceptions.Error as error:
                    _failed(error)  # unasked, and first: by that the other side knows why its console closes
                    break
        if self._bridge:
            self._bridge.close()

    def _answer(self, request: dict[str, Any]) -> None:
        try:
            _tell(ok=self._obey(request))
        except (exceptions.Error, Refused) as error:
            _failed(error)

    def _obey(self, request: dict[str, Any]) -> object:
        match request["op"]:
            case "load":
                return _load(self._target, self._parting, request)
            case "reset":
                self._target.reset()
                for core in self._target.cores.values():
                    if core.is_halted():
                        core.resume()
                self._parting.halted.clear()
                return True
            case "halt":
                for number, core in self._target.cores.items():
                    core.halt()
                    self._parting.halted.add(number)
                return True
            case "read":
                return bytes(self._target.read_memory_block8(request["address"], request["length"])).hex()
            case "registers":
                return [_registers(number, core) for number, core in sorted(self._target.cores.items())]
            case "rtt":
                if self._bridge:
                    self._bridge.close()
                self._bridge = Bridge(self._target, request["address"])
                return self._bridge.port
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
    end_with_owner()
    given = _Input()
    first = given.first()
    try:
        with session(first["probe"], first["target"], first["identity"], first["connect"]) as (target, parting):
            _tell(ok=sorted(target.cores))
            _Board(target, parting).serve(given)
    except Exception as error:
        _failed(error)
        return 1
    _tell(ok="closed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
