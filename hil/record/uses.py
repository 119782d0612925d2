"""How the boards of a lab behave while they are used: noted for the history, a line for each use of each board.

Virtual boards that start on demand are not noted: each is a new one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hil.bench.station import Identified, Station
from hil.cluster import Cluster
from hil.dut import Dut
from hil.errors import DeviceError, InfrastructureError
from hil.record.history import LONGEST_MESSAGE, Usage, UsageOutcome, storable


@dataclass
class _Use:
    """A board in use, and the worst that is known of it."""

    name: str
    outcome: UsageOutcome = "well"
    what: str = ""


class Uses:
    """Watches what runs now. `note` gets a `Usage` when a use is over.

    An error counts against a board if it says that this board was gone, deaf, or would not be flashed, and so does what
    it took to bring it to life. What the device did wrong is noted as the device's, and a compiler that is missing, a
    wire between boards or a wrong answer says nothing about the board.
    """

    def __init__(self, note: Callable[[Usage], None] = lambda _: None) -> None:
        self._note = note
        self._running: Dut | Cluster | None = None
        self._now: dict[str, _Use] = {}
        self.place = ""
        """Where the boards are that ran last."""
        self.identity = ""
        """What their lab recognises them by; '' of virtual boards that start on demand."""
        self.said = ""
        """What was known beside the link when they failed last."""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """A use that lasts as long as this block: `began` is called in it, as soon as the boards run."""
        try:
            yield
        except Exception as error:
            self.failed(error)
            raise
        finally:
            self.ended()

    def began(self, running: Dut | Cluster) -> None:
        """Boards are taken and run."""
        self.ended()
        self._running, self.said = running, ""
        stations = [dut.station for dut in (running.duts if isinstance(running, Cluster) else (running,))]
        self.place = ", ".join(station.place for station in stations)
        self.identity = ", ".join(station.identity for station in stations if isinstance(station, Identified))
        for station in stations:
            if isinstance(station, Identified):
                for identity, name, why in station.passed_over:
                    self._noted(identity, _Use(name, "infrastructure", why))
                story = "; ".join(station.recovery)
                self._now[station.identity] = _Use(station.name, "infrastructure" if story else "well", story)

    def failed(self, error: BaseException) -> None:
        """What runs, or should have begun to, has failed."""
        self.said = self._last_words() or self.said
        if isinstance(error, InfrastructureError):
            for identity, name, why in error.boards:
                if identity in self._now:
                    self._blame(identity, "infrastructure", why)
                else:
                    self._noted(identity, _Use(name, "infrastructure", why))
        for station in self._to_blame():
            if isinstance(error, DeviceError):
                self._blame(station.identity, "device", error.message)
            elif isinstance(error, InfrastructureError) and error.of_a_board:
                self._blame(station.identity, "infrastructure", error.message)

    def ended(self) -> None:
        """The boards are free again."""
        now, self._now, self._running = self._now, {}, None
        for identity, use in now.items():
            self._noted(identity, use)

    def _stations(self) -> list[Station]:
        if isinstance(self._running, Cluster):
            return [dut.station for dut in self._running.duts]
        return [self._running.station] if self._running is not None else []

    def _to_blame(self) -> list[Identified]:
        """The board that runs; of several, those that did not come back."""
        stations = self._stations()
        if isinstance(self._running, Cluster):
            stations = [stations[node] for node in self._running.lost]
        return [station for station in stations if isinstance(station, Identified)]

    def _last_words(self) -> str:
        said = [(station.place, station.diagnostics()) for station in self._stations()]
        return "\n".join(f"{place}: {words}" for place, words in said if words)

    def _blame(self, identity: str, outcome: UsageOutcome, why: str) -> None:
        """The first trouble of a use is what is kept of it, but for one that weighs more."""
        use = self._now[identity]
        if use.outcome == "well" or (use.outcome == "device" and outcome == "infrastructure"):
            use.outcome, use.what = outcome, why

    def _noted(self, identity: str, use: _Use) -> None:
        what = storable(use.what, LONGEST_MESSAGE)
        self._note(Usage(identity, use.name, use.outcome, what, time.time()))
