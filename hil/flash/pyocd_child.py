"""One attempt of pyOCD, in a child that `hil.flash.warm` forks for it; no other process of hil's loads pyOCD.

Reads a JSON request of one line from its connection; writes JSON lines: `{"progress": 0.5}`, and at the end
`{"bytes": ..., "written": ...}` or `{"error": ..., "again": ...}`. pyOCD's log goes to standard error.
"""

from __future__ import annotations

import json
import logging
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyocd.core import exceptions
from pyocd.core.helpers import ConnectHelper
from pyocd.core.session import Session
from pyocd.probe import aggregator

from hil.flash import pyocd_loader
from hil.virtual.pyocd_probe import NAME, VirtualProbe

_STEP = 0.02
_ERASING = 0.4  # of the time, roughly
_LONGEST = 1 << 16
_AIRCR, _SYSRESETREQ = 0xE000_ED0C, 0x05FA_0004
_OPTIONS = {
    "connect_mode": "halt",
    "auto_unlock": False,  # which would erase all of a locked chip
    "no_config": True,
    "hide_programming_progress": True,
    "resume_on_disconnect": True,
}


class _Refused(Exception):
    """Trying again would not help."""


Tell = Callable[[dict[str, Any]], None]


class _Progress:
    """Tells of every few percent of all that is to be done, of which this is `share` from `begin` on."""

    def __init__(self, tell: Tell, begin: float, share: float) -> None:
        self._tell, self._begin, self._share = tell, begin, share
        self._told = -1.0

    def __call__(self, part: float) -> None:
        done = self._begin + self._share * min(float(part), 1.0)
        if done - self._told >= _STEP:
            self._told = done
            self._tell({"progress": done})


class _Restart:
    """A pyOCD delegate that resets the chip as the very last thing.

    When pyOCD disconnects it clears DEMCR of the running core, and with it the clock of the cycle counter that firmware
    has switched on if it runs already. So the firmware may start behind that only.
    """

    def did_disconnect(self, target: Any, resume: bool) -> None:
        del resume
        target.write32(_AIRCR, _SYSRESETREQ)
        target.flush()


def _probe(unique_id: str) -> Any:
    found = ConnectHelper.get_all_connected_probes(blocking=False, unique_id=unique_id, print_wait_message=False)
    if not found:
        raise exceptions.ProbeError("no such probe is connected")
    if len(found) > 1:
        raise _Refused("several probes have such an id: " + ", ".join(probe.unique_id for probe in found))
    return found[0]


def _check(target: Any, identity: dict[str, int] | None, when: str) -> None:
    """The chip must be the one that is meant."""
    if identity is None:
        return
    found = target.read32(identity["address"])
    if found & identity["mask"] != identity["value"]:
        raise _Refused(
            f"{when} flashing, the chip says {found:#010x} at {identity['address']:#010x}: another kind of board"
        )


def _flash(session: Any, request: dict[str, Any], tell: Tell) -> dict[str, int]:
    target, address = session.target, request["address"]
    data = Path(request["file"]).read_bytes()
    _check(target, request["identity"], "before")
    region = target.memory_map.get_region_for_address(address)
    if region is None or not region.is_flash or region.flash is None or address + len(data) > region.end + 1:
        raise _Refused(f"pyOCD knows no flash for {len(data)} bytes at {address:#010x} of a {request['target']}")
    builder = region.flash.get_flash_builder()
    builder.log_performance = False
    builder.add_data(address, data)
    how = {"smart_flash": True, "fast_verify": False, "keep_unwritten": True}
    builder.erase(chip_erase="sector", progress_cb=_Progress(tell, 0, _ERASING), **how)
    done = builder.program(progress_cb=_Progress(tell, _ERASING, 1 - _ERASING), **how)
    if done.program_page_count:  # else pyOCD has just read and compared every byte itself
        _read_back(target, address, data)
    _check(target, request["identity"], "after")
    target.delegate = _Restart()
    return {"bytes": len(data), "written": done.program_byte_count}


def _read_back(target: Any, address: int, data: bytes) -> None:
    """Every byte of flash must be as in the image.

    By words and past the core: the core's own call looks for breakpoints in each thing that it reads, one by one.
    """
    words = target.selected_core_or_raise.ap.read_memory_block32(address, (len(data) + 3) // 4)
    found = struct.pack(f"<{len(words)}I", *words)[: len(data)]
    if found != data:
        first = next(at for at, (a, b) in enumerate(zip(found, data, strict=True)) if a != b)
        raise _Refused(f"flash differs from the image after writing, first at {address + first:#010x}")


def _widen(memory: Any, flash: int, *, address: int, bytes: int) -> None:  # noqa: A002  the request's word
    """Let pyOCD's algorithm be called once for that many bytes of the flash at `flash`, which lie at `address` in RAM.

    Most of the time that flashing takes is calls: each is some ten accesses to the probe, whatever it programs.
    """
    region = memory.get_region_for_address(flash)
    if region is None or not region.is_flash:
        return
    algorithm = {**region.algo, "page_buffers": [address]}
    wide = region.clone_with_changes(page_size=bytes, phrase_size=bytes, algo=algorithm)
    memory.remove_region(region)
    memory.add_region(wide)


def _nobody(answer: dict[str, Any]) -> None:
    del answer


def attempt(request: dict[str, Any], tell: Tell = _nobody) -> dict[str, int]:
    """Flash once: bytes of the image, and bytes written. Raises pyOCD's errors."""
    aggregator.PROBE_CLASSES.setdefault(NAME, VirtualProbe)
    session = Session(_probe(request["probe"]), options={**_OPTIONS, "target_override": request["target"]})
    if request["buffers"] is not None:
        _widen(session.target.memory_map, request["address"], **request["buffers"])
    if (loader := request.get("loader")) is not None:
        pyocd_loader.install(session.target.memory_map, **loader)
    with session:
        return _flash(session, request, tell)


def _answer(request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """What comes of an attempt, errors too."""
    try:
        return dict(attempt(request, tell))
    except _Refused as error:
        return _failed(error, again=False)
    except (exceptions.ProbeError, exceptions.TransferError, exceptions.TimeoutError) as error:
        return _failed(error, again=True)
    except exceptions.Error as error:
        # "Target not detected" comes as a plain error: nobody answered on the wire.
        return _failed(error, again=type(error) is exceptions.Error)
    except Exception as error:
        return _failed(error, again=False)


def _failed(error: Exception, *, again: bool) -> dict[str, Any]:
    logging.error("failed", exc_info=error)
    return {"error": str(error) or type(error).__name__, "again": again}


def serve(connection: socket.socket) -> int:
    """Do what the one request on `connection` says: the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    with connection, connection.makefile("rb") as lines:

        def tell(answer: dict[str, Any]) -> None:
            connection.sendall(json.dumps(answer).encode() + b"\n")

        answer = _answer(json.loads(lines.readline(_LONGEST)), tell)
        tell(answer)
    return 1 if "error" in answer else 0
