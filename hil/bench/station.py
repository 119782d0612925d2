"""What a bench gives: a board that is powered, flashed and reachable, and the clock to hold it against."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol

Source = Literal["virtual", "hardware"]


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


class Bench(Protocol):
    """Where boards are and how they are reached."""

    source: Source

    def start(self, board: str, elf: Path) -> AbstractContextManager[Station]:
        """Take a board of this kind, put the image on it, and start it; freed on exit."""
