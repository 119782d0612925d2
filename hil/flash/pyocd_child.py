"""`python -m hil.flash.pyocd_child`: one attempt of pyOCD, which this process alone loads.

Reads a JSON request from standard input until its end; writes JSON lines: `{"progress": 0.5}`, and at the end
`{"bytes": ..., "written": ...}` or `{"error": ..., "again": ...}`. pyOCD's log goes to standard error.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any, NoReturn

from pyocd.core import exceptions
from pyocd.core.helpers import ConnectHelper
from pyocd.core.session import Session
from pyocd.probe import aggregator

from hil.flash import pyocd_loader
from hil.virtual.pyocd_probe import NAME, VirtualProbe

_STEP = 0.02
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


def _tell(**answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class _Progress:
    """Tells of every few percent; erasing and programming count from 0 to 1 each."""

    def __init__(self) -> None:
        self._told = -1.0

    def __call__(self, done: float) -> None:
        if abs(done - self._told) >= _STEP:
            self._told = done
            _tell(progress=float(done))


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


def _flash(session: Any, request: dict[str, Any]) -> dict[str, int]:
    target, address = session.target, request["address"]
    data = Path(request["file"]).read_bytes()
    _check(target, request["identity"], "before")
    region = target.memory_map.get_region_for_address(address)
    if region is None or not region.is_flash or region.flash is None or address + len(data) > region.end + 1:
        raise _Refused(f"pyOCD knows no flash for {len(data)} bytes at {address:#010x} of a {request['target']}")
    builder = region.flash.get_flash_builder()
    builder.log_performance = False
    builder.add_data(address, data)
    progress = _Progress()
    how = {"smart_flash": True, "fast_verify": False, "keep_unwritten": True}
    builder.erase(chip_erase="sector", progress_cb=progress, **how)
    done = builder.program(progress_cb=progress, **how)
    found = bytes(target.read_memory_block8(address, len(data)))
    if found != data:
        first = next(at for at, (a, b) in enumerate(zip(found, data, strict=True)) if a != b)
        raise _Refused(f"flash differs from the image after writing, first at {address + first:#010x}")
    _check(target, request["identity"], "after")
    target.delegate = _Restart()
    return {"bytes": len(data), "written": done.program_byte_count}


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


def attempt(request: dict[str, Any]) -> dict[str, int]:
    """Flash once: bytes of the image, and bytes written. Raises pyOCD's errors."""
    aggregator.PROBE_CLASSES.setdefault(NAME, VirtualProbe)
    session = Session(_probe(request["probe"]), options={**_OPTIONS, "target_override": request["target"]})
    if request["buffers"] is not None:
        _widen(session.target.memory_map, request["address"], **request["buffers"])
    if (loader := request.get("loader")) is not None:
        pyocd_loader.install(session.target.memory_map, **loader)
    with session:
        return _flash(session, request)


def _failed(error: Exception, *, again: bool) -> NoReturn:
    logging.error("failed", exc_info=error)
    _tell(error=str(error) or type(error).__name__, again=again)
    raise SystemExit(1)


def main() -> int:
    """Do what standard input says."""
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)7.0f %(levelname).1s %(name)s: %(message)s")
    request = json.loads(sys.stdin.buffer.read())
    try:
        result = attempt(request)
    except _Refused as error:
        _failed(error, again=False)
    except (exceptions.ProbeError, exceptions.TransferError, exceptions.TimeoutError) as error:
        _failed(error, again=True)
    except exceptions.Error as error:
        # "Target not detected" comes as a plain error: nobody answered on the wire.
        _failed(error, again=type(error) is exceptions.Error)
    except Exception as error:
        _failed(error, again=False)
    _tell(**result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
