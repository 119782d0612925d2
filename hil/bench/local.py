"""The bench of this machine: the boards of a lab file, leased, flashed, brought back to life or set aside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

from hil.bench.hands import Hands, Say, hands_for
from hil.bench.lab import Lab, LabBoard, LabLink
from hil.bench.recovery import NotRevived, bring_up, set_aside
from hil.bench.state import State
from hil.bench.station import Known, Rack, Source, Station, Trouble, Wires, silent
from hil.errors import BoardMissing, BoardQuarantined, InfrastructureError
from hil.image.build import Image
from hil.paths import state_root
from hil.wire import Wire


class LocalStation:
    """A board of the lab that runs an image. `recovery`: what it took to get there, a line for each step."""

    def __init__(
        self, board: Known, hands: Hands, recovery: tuple[str, ...], passed_over: tuple[Trouble, ...] = ()
    ) -> None:
        self._hands = hands
        self.identity, self.name = board.identity, board.name
        self.source: Source = board.source
        self.url = hands.port()
        label = "virtual " if board.source == "virtual" else ""
        self.place = f"{label}{board.kind} {board.name} at {self.url}"
        self.recovery = recovery
        self.flashed = hands.how
        self.passed_over = passed_over

    def clock_ns(self) -> int:
        return self._hands.clock_ns()

    def alive(self) -> bool:
        """Whether its port is where it was."""
        try:
            return self._hands.port() == self.url
        except InfrastructureError:
            return False

    def diagnostics(self) -> str:
        return self._hands.diagnostics()

    def trouble(self) -> InfrastructureError | None:
        """Why the bench does not reach it any more; None: it does."""
        try:
            self._hands.port()
        except InfrastructureError as error:
            return error
        return None


class LocalRack:
    """Boards of a lab file's link. Nobody can interfere with their wires."""

    def __init__(self, stations: Sequence[Station]) -> None:
        self.stations = tuple(stations)
        self.wires: Wires | None = None


class LocalBench:
    """The boards of `lab` whose numbers are of one source. Raises `BoardBusy` where others hold them for too long."""

    def __init__(self, lab: Lab, source: Source) -> None:
        self.lab, self.source = lab, source
        self.title = f"{source} bench, {lab.file}"
        self.state = State(state_of(lab))

    @contextmanager
    def start(self, board: str, image: Image, *, say: Say = silent) -> Iterator[Station]:
        console = "uart" if image.rtt is None else "rtt"
        fitting = [one for one in self.lab.of(board) if one.source == self.source and one.console == console]
        known = {one.identity: one for one in fitting}
        if not known:
            what = f"{self.source} {board}" + (f" with its console by {console}" if self.lab.of(board) else "")
            raise BoardMissing(f"{self.lab.file} has no {what}", hint="hil lab suggest")
        what = f"a {board} of {self.lab.file}"
        failed: list[Trouble] = []
        while True:
            with (
                _blamed(failed),
                self.state.leased(lambda: self._fit(known), self.lab.wait, kind=board, what=what, say=say) as identity,
            ):
                chosen = known[identity]
                if self.state.quarantined(identity) is not None:
                    continue  # by whom we have waited for
                hands = hands_for(chosen)
                with closing(hands):
                    try:
                        with _noted(chosen, failed):
                            story = bring_up(chosen, hands, image, say=say)
                    except NotRevived as error:
                        failed.append(set_aside(self.state, chosen, image, error))
                        say(f"{chosen.name} is set aside")
                        continue
                    passed_over = tuple(failed)
                    failed.clear()  # they are the station's to tell
                    with _noted(chosen, failed):
                        yield LocalStation(chosen, hands, story, passed_over)
                    return

    def _fit(self, known: dict[str, LabBoard]) -> list[str]:
        """The boards that are not set aside. Raises `BoardQuarantined` if that leaves none."""
        aside = {identity: self.state.quarantined(identity) for identity in known}
        if all(aside.values()):
            why = "; ".join(f"{known[identity].name}: {found.reason}" for identity, found in aside.items() if found)
            names = " ".join(sorted(board.name for board in known.values()))
            kind = next(iter(known.values())).kind
            raise BoardQuarantined(
                f"every {kind} of {self.lab.file} is set aside: {why}", hint=f"hil lab release {names}"
            )
        return [identity for identity, found in aside.items() if found is None]

    @contextmanager
    def start_cluster(self, nodes: Sequence[tuple[str, Image]], wire: Wire, *, say: Say = silent) -> Iterator[Rack]:
        """Boards that a link of the lab file wires to each other, node by node.

        They are leased in one order by everybody, so that two runs never wait for each other.
        """
        members = self._linked([kind for kind, _ in nodes], wire)
        failed: list[Trouble] = []
        with _blamed(failed), ExitStack() as held:
            for member in sorted(members, key=lambda one: one.identity):
                if (aside := self.state.quarantined(member.identity)) is not None:
                    raise BoardQuarantined(f"{member.name}: {aside.reason}", hint=f"hil lab release {member.name}")
                wanted = partial(list[str], [member.identity])
                held.enter_context(
                    self.state.leased(wanted, self.lab.wait, kind=member.kind, what=member.name, say=say)
                )
            stations = []
            for member, (_, image) in zip(members, nodes, strict=True):
                hands = hands_for(member)
                try:
                    with _noted(member, failed):
                        story = bring_up(member, hands, image, say=say)
                except NotRevived as error:
                    failed.append(set_aside(self.state, member, image, error))
                    raise BoardMissing(error.message, hint=f"hil lab release {member.name}") from error
                stations.append(LocalStation(member, hands, story))
            yield LocalRack(stations)

    def _linked(self, kinds: Sequence[str], wire: Wire) -> list[LabBoard]:
        """The boards of the first link that is such a wire and begins with boards of these kinds."""
        for link in self.lab.links:
            members = [self.lab.named(name) for name in link.boards[: len(kinds)]]
            fits = [one.kind for one in members] == list(kinds) and all(
                one.source == "hardware" and one.console == "uart" for one in members
            )
            if fits and link.wire == wire:
                return members
        raise BoardMissing(
            f"{self.lab.file} has no link of hardware by {wire.name} that begins with {', '.join(kinds)}; "
            f"it has: {', '.join(map(_described, self.lab.links)) or 'none'}",
            hint="--hil-bench virtual, or describe the link in the lab file",
        )


@contextmanager
def _noted(board: LabBoard, failed: list[Trouble]) -> Iterator[None]:
    """Add the board to `failed` if an error in this block speaks against it."""
    try:
        yield
    except InfrastructureError as error:
        if error.of_a_board:
            failed.append((board.identity, board.name, error.message))
        raise


@contextmanager
def _blamed(failed: list[Trouble]) -> Iterator[None]:
    """Let an error that leaves this block tell which boards failed."""
    try:
        yield
    except InfrastructureError as error:
        error.boards = tuple(failed)
        raise


def _described(link: LabLink) -> str:
    return f"{link.name} ({link.wire.name}: {', '.join(link.boards)})"


def state_of(lab: Lab | None) -> Path:
    """Where a lab's leases and quarantines are."""
    return lab.state if lab is not None and lab.state is not None else state_root()
