"""The bench of a labgrid coordinator: boards of any machine, found by the tags of their places.

    labgrid:HOST[:PORT][,TAG=VALUE...][,wait=SECONDS]

A place is reserved by tags (`board=rp2040` and those given), acquired, and given back; labgrid's exporters do the rest.
Boards are brought to life and set aside as those of a lab file. docs/lab.md has the tags and resources.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from hil.bench.coordinator import DEFAULT_PORT, Coordinator, PlaceInfo
from hil.bench.lab import WAIT
from hil.bench.local import LocalRack, LocalStation
from hil.bench.place import PlaceHands, board_of, identity, problem, source_of
from hil.bench.ports import RETURNS, wait_for
from hil.bench.recovery import NotRevived, bring_up, set_aside
from hil.bench.state import State
from hil.bench.station import Rack, Say, Source, Station, silent
from hil.errors import BenchLost, BoardBusy, BoardMissing, BoardQuarantined, HilError, UsageError
from hil.image.build import Image
from hil.paths import state_root
from hil.wire import Wire

PREFIX = "labgrid:"
ASIDE = "hil_aside"
"""The tag of a place whose board was set aside: by whom, and why."""
_LONGEST_REASON = 500
_LOOK = 0.5  # seconds between two looks at a reservation
_SAY_AGAIN = 5.0
_TAG = re.compile(r"[a-z][a-z0-9_]+\Z")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z|\[[0-9A-Fa-f:.]+\]\Z")
_MOST_NODES = 64


@dataclass(frozen=True)
class Labgrid:
    """What `labgrid:...` says: the coordinator, tags that a place must have, and seconds to wait for one."""

    address: str
    tags: Mapping[str, str]
    wait: float = WAIT


def parse(text: str) -> Labgrid:
    """`labgrid:HOST[:PORT][,TAG=VALUE...]`. Raises `UsageError`."""
    address, *settings = text.removeprefix(PREFIX).split(",")
    host, colon, port = address.rpartition(":") if not address.endswith("]") else (address, "", "")
    if not colon:
        host, port = address, str(DEFAULT_PORT)
    if not _HOST.match(host) or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"{text!r}: {address!r} is not HOST or HOST:PORT", hint="labgrid:HOST:PORT,TAG=VALUE")
    tags: dict[str, str] = {}
    wait = WAIT
    for setting in settings:
        key, mark, value = setting.partition("=")
        if key == "wait" and re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value):
            wait = float(value)
        elif not mark or not value or not _TAG.match(key) or key in {"board", "wait", *tags}:
            raise UsageError(
                f"{text!r}: {setting!r} is neither TAG=VALUE nor wait=SECONDS", hint="labgrid:HOST:PORT,TAG=VALUE"
            )
        else:
            tags[key] = value
    return Labgrid(f"{host}:{port}", tags, wait)


_open: dict[str, Coordinator] = {}


def connected(address: str) -> Coordinator:
    """This process's connection to a coordinator: one for all its boards, and made anew where it broke."""
    known = _open.get(address)
    if known is not None and known.alive:
        return known
    if known is not None:
        known.close()
    _open[address] = Coordinator(address, State(state_root()))
    return _open[address]


class LabgridBench:
    """The boards of a coordinator's places. Raises `BoardMissing` where it has none of a kind that is asked for."""

    def __init__(self, where: Labgrid, kind: str) -> None:
        self._where, self._kind = where, kind
        self.state = State(state_root())
        """With which image boards were set aside from this machine."""
        self.source: Source = self._source()
        self.title = f"{self.source} bench, labgrid coordinator at {where.address}"

    @property
    def _coordinator(self) -> Coordinator:
        return connected(self._where.address)

    def _source(self) -> Source:
        """A place's numbers are virtual or of hardware; a kind of which both are to be had is refused."""
        while True:
            everywhere = self._coordinator.places()
            places = [place for place in everywhere if place.has(self._tags(self._kind))]
            if not places:
                raise self._nowhere(self._kind, everywhere)
            if sources := {source_of(place) for place in places if place.resources}:
                break
            if self._over(self._kind):
                raise self._none_fit(self._tags(self._kind), {place.name: problem(place) or "" for place in places})
            time.sleep(_LOOK)
        if len(sources) > 1:
            raise UsageError(
                f"labgrid coordinator at {self._where.address}: boards {self._kind} are both virtual and of hardware",
                hint="say which by a tag: labgrid:HOST:PORT,TAG=VALUE",
            )
        self._coordinator.outages.pop(self._kind, None)
        return sources.pop()

    def _over(self, what: str) -> bool:
        """Whether an exporter that has left has had its time to come back."""
        return time.monotonic() - self._coordinator.outages.setdefault(what, time.monotonic()) >= RETURNS

    def _tags(self, kind: str) -> dict[str, str]:
        return {"board": kind, **self._where.tags}

    def _nowhere(self, kind: str, places: Sequence[PlaceInfo]) -> BoardMissing:
        wanted = " ".join(f"{key}={value}" for key, value in self._tags(kind).items())
        boards = {place.tags.get("board", f"{place.name}, without a tag 'board'") for place in places}
        there = ", ".join(sorted(boards)) or "none"
        return BoardMissing(
            f"labgrid coordinator at {self._where.address}: no place has the tags {wanted}; there are: {there}",
            hint=f"labgrid-client -x {self._where.address} -p PLACE set-tags {wanted}",
        )

    @contextmanager
    def start(self, board: str, image: Image, *, say: Say = silent) -> Iterator[Station]:
        coordinator = self._coordinator
        while True:
            with self._taken(coordinator, self._tags(board), f"a {board}", say) as place, ExitStack() as hung:
                try:
                    station = self._alive(coordinator, place, image, hung, say)
                except NotRevived as error:
                    self._set_aside(coordinator, place, image, error)
                    say(f"{place.name} is set aside")
                    continue
                yield station
                return

    def _alive(self, coordinator: Coordinator, place: PlaceInfo, image: Image, hung: ExitStack, say: Say) -> Station:
        """The board of a place that we hold, running its image."""
        board = board_of(place, image.board, self._where.address)
        hands = PlaceHands(coordinator, place, board)
        hung.callback(hands.close)
        with suppress(BoardMissing):  # an exporter starts what serves a port when the place is acquired
            wait_for(hands.port)
        return LocalStation(board, hands, bring_up(board, hands, image, say=say))

    @contextmanager
    def start_cluster(self, nodes: Sequence[tuple[str, Image]], wire: Wire, *, say: Say = silent) -> Iterator[Rack]:
        """Places with the tags link=NAME, node=0, 1 and so on, and wire=WIRE, are wired to each other so.

        They are taken in the order of their names by everybody, so that two runs never wait for each other.
        """
        coordinator = self._coordinator
        members = self._linked(coordinator.places(), [kind for kind, _ in nodes], wire)
        with ExitStack() as held:
            places = {}
            for name in sorted(member.name for member in members):
                places[name] = held.enter_context(self._taken(coordinator, {"name": name}, name, say))
            stations = []
            for member, (_, image) in zip(members, nodes, strict=True):
                try:
                    stations.append(self._alive(coordinator, places[member.name], image, held, say))
                except NotRevived as error:
                    self._set_aside(coordinator, member, image, error)
                    raise BoardMissing(error.message, hint=self._release(member.name)) from error
            yield LocalRack(stations)

    def _linked(self, places: Sequence[PlaceInfo], kinds: Sequence[str], wire: Wire) -> list[PlaceInfo]:
        """The places of the first link that is such a wire and begins with boards of these kinds."""
        links: dict[str, dict[str, PlaceInfo]] = {}
        for place in places:
            if place.has(self._where.tags) and "link" in place.tags and "node" in place.tags:
                links.setdefault(place.tags["link"], {})[place.tags["node"]] = place
        described = []
        for name, nodes in sorted(links.items()):
            members = [nodes[str(number)] for number in range(_MOST_NODES) if str(number) in nodes]
            first = members[: len(kinds)]
            if [place.tags.get("board") for place in first] == list(kinds) and all(
                place.tags.get("wire") == wire.name and place.tags["node"] == str(number)
                for number, place in enumerate(first)
            ):
                return first
            described.append(f"{name} ({members[0].tags.get('wire') if members else None}: "
                             f"{', '.join(place.name for place in members)})")  # fmt: skip
        raise BoardMissing(
            f"labgrid coordinator at {self._where.address}: no link by {wire.name} begins with {', '.join(kinds)}; "
            f"there are: {', '.join(described) or 'none'}",
            hint=f"labgrid-client -x {self._where.address} -p PLACE set-tags link=pair node=0 wire={wire.name}",
        )

    def _release(self, *names: str) -> str:
        return f"hil lab release {' '.join(sorted(names))} --bench {PREFIX}{self._where.address}"

    def _set_aside(self, coordinator: Coordinator, place: PlaceInfo, image: Image, error: NotRevived) -> None:
        """Quarantine a board, which all users of the coordinator see by a tag of its place.

        Which image it was is remembered here, as long as nobody has released the board.
        """
        for other in coordinator.places():
            if ASIDE not in other.tags:
                self.state.release(identity(self._where.address, other.name))
        set_aside(self.state, board_of(place, image.board, self._where.address), image, error)
        coordinator.tag(place.name, ASIDE, f"{coordinator.me}: {'; '.join(error.story)}"[:_LONGEST_REASON])

    def _unfit(self, place: PlaceInfo) -> str | None:
        """Why a place is not for us; None: it is."""
        aside = place.tags.get(ASIDE)
        return f"set aside: {aside}" if aside is not None else problem(place)

    @contextmanager
    def _taken(self, coordinator: Coordinator, tags: Mapping[str, str], what: str, say: Say) -> Iterator[PlaceInfo]:
        """A place with these tags that is fit, ours until exit.

        Raises `BoardBusy` after the time to wait, with who holds them, and `BoardMissing` where waiting is of no use.
        """
        what = f"{what} of the labgrid coordinator at {self._where.address}"
        with ExitStack() as kept:
            place = self._allocated(coordinator, tags, what, say, kept)
            kept.callback(_quietly, lambda: coordinator.release(place.name))
            coordinator.acquire(place.name)
            found = next((one for one in coordinator.places() if one.name == place.name), None)
            if found is None or found.holder != coordinator.me:
                raise BenchLost(f"{what}: {place.name} is {'gone' if found is None else f'held by {found.holder}'}")
            yield found

    def _allocated(
        self, coordinator: Coordinator, tags: Mapping[str, str], what: str, say: Say, kept: ExitStack
    ) -> PlaceInfo:
        """Wait for a reservation of a fit place; it lasts as long as `kept`.

        The coordinator gives whatever has the tags, its exporter gone or not. What is not fit stays reserved meanwhile,
        so that it is not given again.
        """
        began = time.monotonic()
        said = -_SAY_AGAIN
        tokens: dict[str, str | None] = {}

        def cancel(unwanted: Sequence[str]) -> None:
            for token in unwanted:
                tokens.pop(token, None)
                _quietly(lambda token=token: coordinator.cancel(token))  # type: ignore[misc]

        kept.callback(lambda: cancel(list(tokens)))
        while True:
            now = time.monotonic()
            places = {place.name: place for place in coordinator.places() if place.has(tags)}
            unfit = {name: why for name, place in places.items() if (why := self._unfit(place)) is not None}
            if len(unfit) < len(places):
                coordinator.outages.pop(what, None)
            elif _settled(places, unfit) or self._over(what):
                raise self._none_fit(tags, unfit)
            if None not in tokens.values():
                tokens[coordinator.reserve(tags)] = None
            for token in list(tokens):
                state, name = coordinator.poll(token)
                if state in ("expired", "invalid"):
                    raise BenchLost(f"{what}: the reservation {token} is {state}", hint=coordinator.look)
                tokens[token] = name
                if name in places and name not in unfit:
                    cancel([other for other in tokens if other != token])
                    return places[name]
            waited = now - began
            owners = "; ".join(f"{p.name}: {unfit.get(p.name) or p.owner or 'just freed'}" for p in places.values())
            if waited >= self._where.wait:
                raise BoardBusy(f"{what}: waited {self._where.wait:g} s; {owners}", hint=coordinator.look)
            if waited - said >= _SAY_AGAIN and waited > _LOOK:
                said = waited
                say(f"waiting for {what}; {owners}")
            time.sleep(_LOOK)

    def _none_fit(self, tags: Mapping[str, str], unfit: Mapping[str, str]) -> BoardMissing | BoardQuarantined:
        if not unfit:
            return self._nowhere(self._kind, self._coordinator.places())
        why = "; ".join(f"{name}: {text}" for name, text in unfit.items())
        wanted = " ".join(f"{key}={value}" for key, value in tags.items())
        count = f"place{'s' * (len(unfit) != 1)}"
        where = f"{self._kind}: {count} with {wanted} of the labgrid coordinator at {self._where.address}"
        if all(text.startswith("set aside") for text in unfit.values()):
            return BoardQuarantined(f"{where}: {why}", hint=self._release(*unfit))
        return BenchLost(
            f"{where}: {why}", hint=f"labgrid-client -x {self._where.address} resources; on the exporter's machine: "
            "systemctl restart labgrid-exporter"
        )  # fmt: skip


def _settled(places: Mapping[str, PlaceInfo], unfit: Mapping[str, str]) -> bool:
    """Whether what is not fit will not become so by itself: an exporter may come back, a person must release."""
    return not places or all(why.startswith("set aside") for why in unfit.values())


def release(where: Labgrid, name: str) -> bool:
    """Let the board of a place be used again; False if it was not set aside. Raises `UsageError` for no such place."""
    coordinator = connected(where.address)
    places = {place.name: place for place in coordinator.places()}
    if name not in places:
        raise UsageError(
            f"labgrid coordinator at {where.address}: no place {name!r}; there are: {', '.join(places) or 'none'}",
            hint=coordinator.look,
        )
    State(state_root()).release(identity(where.address, name))
    if ASIDE not in places[name].tags:
        return False
    coordinator.tag(name, ASIDE, "")
    return True


def _quietly(do: Callable[[], None]) -> None:
    """Give something back, or leave that to the coordinator's client, which gives back everything when it ends."""
    with suppress(HilError):
        do()


def seen(where: Labgrid, kind: str) -> Iterator[tuple[Source, str, str | None, str]]:
    """What `hil boards` says of each place with boards of a kind: bench, where, who holds it, whether it is well."""
    for place in connected(where.address).places():
        if not place.has({"board": kind, **where.tags}):
            continue
        exporters = ", ".join(sorted({resource.exporter for resource in place.resources})) or "none"
        health = problem(place) or "well"
        if (aside := place.tags.get(ASIDE)) is not None:
            health = f"set aside ({aside}): hil lab release {place.name} --bench {PREFIX}{where.address}"
        yield source_of(place), f"{place.name} at {PREFIX}{where.address}, exporter {exporters}", place.owner, health
