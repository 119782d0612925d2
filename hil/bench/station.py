"""What a bench gives: a board that is powered, flashed and reachable, and the clock to hold it against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol, runtime_checkable

from hil.image.build import Image
from hil.link.switch import Fault
from hil.wire import Wire

Source = Literal["virtual", "hardware"]
DIRECT = "direct"
"""How an image came onto a virtual board that had it in its flash before it was powered: by no tool."""
Say = Callable[[str], None]
"""Gets a line for each thing that is begun."""


def silent(_: str) -> None:
    """Say nothing."""


class Known(Protocol):
    """What a bench knows of one of its boards before it is taken. `identity`: the same for everybody."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def identity(self) -> str: ...
    @property
    def baud(self) -> int: ...
    @property
    def console(self) -> str:
        """Where its firmware has its console: "uart", or "rtt"."""

    @property
    def source(self) -> Source: ...


class Station(Protocol):
    """One board on a bench, taken for this process and running an image."""

    source: Source
    place: str
    """Where it is, for messages: 'virtual rp2040 at socket://127.0.0.1:40001'."""
    url: str
    """The pyserial URL of its console."""

    def clock_ns(self) -> int:
        """The bench's clock for this board, in nanoseconds; only differences mean something."""

    def alive(self) -> bool:
        """False once the board is known to be gone."""

    def diagnostics(self) -> str:
        """What is known beside the link when something went wrong; may be empty."""


Trouble = tuple[str, str, str]
"""A board of a lab that failed: its identity, what the lab calls it, and why."""


@runtime_checkable
class Identified(Protocol):
    """A station whose board is one of a lab's, which is used again and again, and whose health is therefore kept."""

    identity: str
    """What it is recognised by; the same whatever a lab file calls it."""
    name: str
    recovery: tuple[str, ...]
    """What it took to bring it to life, a line for each step; empty if all went well at once."""
    passed_over: tuple[Trouble, ...]
    """Boards that were taken first, and did not come to life."""


@runtime_checkable
class Breakable(Protocol):
    """A station whose board can be made to fail, which tests do: a virtual one, or one behind a debugger."""

    def reset(self, after_us: float = 0) -> None:
        """Start its firmware anew, so many microseconds of its own time from now."""

    def halt(self, after_us: float = 0) -> None:
        """Stop its cores for good: it is deaf, its port stays open."""

    def slow(self, factor: float, after_us: float = 0) -> None:
        """Let its clock run `factor` times slower than all others'; 1 is as before."""

    def unplug(self, after_us: float = 0) -> None:
        """Take it away: its port closes."""


class Wires(Protocol):
    """What is between the boards of a cluster, as far as the bench can interfere with it."""

    def fault(self, fault: Fault) -> None:
        """From now on frames suffer this, beside what they suffer already."""

    def clear(self) -> None:
        """No faults any more."""


class Rack(Protocol):
    """Boards taken together, wired to each other, and running an image each."""

    stations: tuple[Station, ...]
    wires: Wires | None
    """None where the bench cannot interfere with what passes."""


class Bench(Protocol):
    """Where boards are and how they are reached."""

    source: Source
    title: str
    """What it is called where a person reads it: 'virtual bench'."""

    def start(self, board: str, image: Image, *, say: Say = silent) -> AbstractContextManager[Station]:
        """Take a board of this kind, put the image on it, and start it; freed on exit."""

    def start_cluster(
        self, nodes: Sequence[tuple[str, Image]], wire: Wire, *, say: Say = silent
    ) -> AbstractContextManager[Rack]:
        """Take a board for each kind and image, wired by `wire`, and start all; freed together on exit."""
