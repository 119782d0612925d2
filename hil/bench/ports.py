"""Console ports by what does not change: never by the first tty that there is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hil.bench.lab import LabBoard
from hil.bench.station import Known
from hil.errors import BoardMissing

RETURNS = 10.0
"""Seconds that a port may take to come back after a reset, under whatever name."""
_LOOK = 0.05
_DEVICES = ("ttyACM*", "ttyUSB*", "cu.usbmodem*", "cu.usbserial*")


@dataclass(frozen=True)
class UsbPort:
    """A serial port of a USB device that is plugged in now. `location`: bus, hub ports and interface: '1-1.2:1.0'."""

    device: str
    serial: str | None
    location: str | None
    vendor: int
    product: int
    what: str


def usb_ports() -> tuple[UsbPort, ...]:
    """All that are plugged in. Under a millisecond where there is none."""
    if not any(any(Path("/dev").glob(pattern)) for pattern in _DEVICES):
        return ()  # most machines: not worth loading pyserial for
    from serial.tools import list_ports  # noqa: PLC0415

    return tuple(
        UsbPort(p.device, p.serial_number or None, p.location, p.vid, p.pid, p.description or p.product or "")
        for p in sorted(list_ports.comports())
        if p.vid is not None and p.pid is not None
    )


def resolve(board: LabBoard, ports: Sequence[UsbPort] | None = None) -> str:
    """The name that the console of a board of hardware has now: a device path or a URL. Raises `BoardMissing`."""
    if board.port is not None:
        if "://" not in board.port and not Path(board.port).exists():
            raise BoardMissing(f"{board.name}: there is no port {board.port}; is it plugged in?", hint="hil boards")
        return board.port
    known = usb_ports() if ports is None else ports
    fitting = [p for p in known if p.serial == board.serial and (p.location or "").startswith(board.location or "")]
    if not fitting:
        there = ", ".join(f"{p.device} ({p.serial or 'no serial number'})" for p in known) or "none"
        raise BoardMissing(
            f"{board.name}: no port carries {board.identity}; is it plugged in? Ports that are: {there}",
            hint="hil boards",
        )
    if len(fitting) > 1:
        places = ", ".join(f"{p.device} at {p.location}" for p in fitting)
        raise BoardMissing(
            f"{board.name}: {len(fitting)} ports carry {board.identity}: {places}; nobody can tell which is the board",
            hint=f'add location = "{fitting[0].location}", or another of these, to board.{board.name} of the lab file',
        )
    return fitting[0].device


def wait_for(port: Callable[[], str], limit: float = RETURNS) -> str:
    """What `port` gives, for one that may be about to come back. Raises `BoardMissing`."""
    deadline = time.monotonic() + limit
    while True:
        try:
            return port()
        except BoardMissing:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_LOOK)


def check_allowed(board: Known, device: str) -> None:
    """Raise `BoardMissing`, with the udev rule that mends it, where this user may not open the port."""
    if "://" in device or os.access(device, os.R_OK | os.W_OK):
        return
    vendor = next((f"{p.vendor:04x}" for p in usb_ports() if p.device == os.path.realpath(device)), "2e8a")
    raise BoardMissing(f"{board.name}: permission denied on {device}", hint=udev_hint(vendor))


def udev_hint(vendor: str) -> str:
    """The commands that let whoever is logged in, and the group `dialout`, open ports of this USB vendor."""
    rule = f'SUBSYSTEM=="tty", ATTRS{{idVendor}}=="{vendor}", MODE="0660", GROUP="dialout", TAG+="uaccess"'
    return (
        f"echo '{rule}' | sudo tee /etc/udev/rules.d/60-hil.rules && sudo udevadm control --reload && "
        "sudo udevadm trigger; then plug it in again"
    )
