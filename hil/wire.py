"""Models of the wires between boards: what a frame costs on its way from one node to another.

Nodes lie in a star. A frame leaves the sender's line byte by byte, is whole at the switch in the middle, waits there
for `delay_us`, and is then delivered on the receiver's line, behind whatever that line still carries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hil.errors import UsageError

_FORM = re.compile(r"(uart|ethernet):(\d+(?:\.\d+)?)(?::(\d+(?:\.\d+)?)(?::(\d+(?:\.\d+)?))?)?")


@dataclass(frozen=True)
class Wire:
    """A kind of network. `port` is the network port of a board that it is plugged into.

    `bits_per_second` is the rate of each node's line in either direction; a byte takes `bits_per_byte` (10 where start
    and stop bits are sent). `latency_us` passes for every frame between the end of its reception at the switch and the
    start of its delivery, and so does `transfer_us`, the fixed cost of handling one.
    """

    name: str
    port: str
    bits_per_second: float
    bits_per_byte: int
    latency_us: float
    transfer_us: float

    @property
    def byte_us(self) -> float:
        """Microseconds of one byte on a line."""
        return self.bits_per_byte * 1e6 / self.bits_per_second

    @property
    def delay_us(self) -> float:
        """What passes for a frame in the middle, whatever its length."""
        return self.latency_us + self.transfer_us


PORTS = ("uart", "ethernet", "udp")
"""The network ports that a board can have."""

WIRES: Mapping[str, Wire] = {
    wire.name: wire
    for wire in (
        # A USB-serial adapter hands data on in microframes of 125 us (USB 2.0, section 8.4.3.1).
        Wire("uart-115200", "uart", 115_200, 10, 125.0, 25.0),
        Wire("uart-3M", "uart", 3_000_000, 10, 125.0, 25.0),
        Wire("spi-20M", "ethernet", 20_000_000, 8, 2.0, 5.0),
        Wire("ethernet-100M", "ethernet", 100_000_000, 8, 10.0, 20.0),
        Wire("wifi", "ethernet", 20_000_000, 8, 2000.0, 500.0),
        # Datagrams on this machine, for boards that are its processes. Its numbers are a guess: real time passes here.
        Wire("loopback", "udp", 1_000_000_000, 8, 20.0, 20.0),
    )
}


def wire(name: str) -> Wire:
    """The wire of a name, or of numbers: `uart:BITS_PER_SECOND[:LATENCY_US[:TRANSFER_US]]`. Raises `UsageError`."""
    if name in WIRES:
        return WIRES[name]
    found = _FORM.fullmatch(name)
    rate = float(found[2]) if found else 0.0
    if found is None or not 300 <= rate <= 1e11:
        raise UsageError(
            f"no wire is called {name!r}; known: {', '.join(WIRES)}, or numbers such as uart:921600:125:25 "
            "(bits a second, then microseconds of latency and of each transfer)"
        )
    bits = 10 if found[1] == "uart" else 8
    return Wire(name, found[1], rate, bits, float(found[3] or 0), float(found[4] or 1))
