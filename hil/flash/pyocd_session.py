"""A session of pyOCD for everything but flashing. Only child processes load this: it loads pyOCD."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyocd.core import exceptions
from pyocd.core.helpers import ConnectHelper
from pyocd.core.session import Session
from pyocd.probe import aggregator

from hil.flash.child import Connect
from hil.virtual.pyocd_probe import NAME, VirtualProbe

DHCSR, DEMCR, VTOR = 0xE000_EDF0, 0xE000_EDFC, 0xE000_ED08
DEBUG_KEY = 0xA05F_0000
_OPTIONS = {
    "auto_unlock": False,  # which would erase all of a locked chip
    "no_config": True,
    "resume_on_disconnect": False,
}


class Refused(Exception):
    """Trying again would not help."""


class Parting:
    """A pyOCD delegate that lets go of the cores in the end.

    pyOCD does so too, but clears DEMCR behind it, and with it the clock of the cycle counter that firmware has switched
    on by then. Here DEMCR of the cores in `fresh` is cleared before they go on; the others keep theirs. Those in
    `halted` stay as they are.
    """

    def __init__(self) -> None:
        self.fresh: set[int] = set()
        self.halted: set[int] = set()

    def did_disconnect(self, target: Any, resume: bool) -> None:
        del resume
        for number, core in sorted(target.cores.items(), reverse=True):  # core 0 last: it starts the others
            if number in self.halted:
                continue
            if number in self.fresh:
                core.write32(DEMCR, 0)
            core.write32(DHCSR, DEBUG_KEY)
        target.flush()
        if not self.halted:
            target.dp.disconnect()


def _probe(unique_id: str) -> Any:
    found = ConnectHelper.get_all_connected_probes(blocking=False, unique_id=unique_id, print_wait_message=False)
    if not found:
        raise exceptions.ProbeError("no such probe is connected")
    if len(found) > 1:
        raise Refused("several probes have such an id: " + ", ".join(probe.unique_id for probe in found))
    return found[0]


def check(target: Any, identity: dict[str, int] | None) -> None:
    """The chip must be the one that is meant. Raises `Refused`."""
    if identity is None:
        return
    found = target.read32(identity["address"])
    if found & identity["mask"] != identity["value"]:
        raise Refused(f"the chip says {found:#010x} at {identity['address']:#010x}: another kind of board")


@contextmanager
def session(
    probe: str, target: str, identity: dict[str, int] | None, connect: Connect
) -> Iterator[tuple[Any, Parting]]:
    """The target behind `probe`, whose identity is checked, and how it is left.

    Raises `Refused`, and pyOCD's errors.
    """
    aggregator.PROBE_CLASSES.setdefault(NAME, VirtualProbe)
    made = Session(_probe(probe), options={**_OPTIONS, "connect_mode": connect, "target_override": target})
    parting = Parting()
    with made:
        made.target.delegate = parting
        check(made.target, identity)
        if connect == "attach":
            parting.halted.update(number for number, core in made.target.cores.items() if core.is_halted())
        yield made.target, parting
