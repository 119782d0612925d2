"""A labgrid coordinator, as far as a bench needs it: places, reservations, and what can be done to a place we hold.

Spoken to through a process of its own (`hil.bench.labgrid_child`), which alone loads labgrid. What it says is parsed
here into typed values. However this process ends, that one gives back what is held.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from hil.bench.runs import Run, dead_runs
from hil.bench.state import State
from hil.errors import BenchLost, BoardMissing, FlashFailed, InfrastructureError, ToolMissing

SCHEMA = "hil.labgrid/1"
DEFAULT_PORT = 20408
SWITCHES = frozenset(
    {
        "NetworkPowerPort",
        "NetworkUSBPowerPort",
        "NetworkSiSPMPowerPort",
        "PDUDaemonPort",
        "TasmotaPowerPort",
        "NetworkYKUSHPowerPort",
        "NetworkSysfsGPIO",
    }
)
"""The resources that the child knows as power switches."""
_ROOT = Path(__file__).resolve().parent.parent.parent
_START_LIMIT = 45.0
_LIMIT = 90.0
"""Seconds that an answer may take: the child gives the coordinator a third of it."""
_END_LIMIT = 20.0
"""Seconds that the child gets to give everything back: an exporter may have to stop a program for each port."""
_LONGEST = 1 << 22
_LINES = 200
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,255}\Z")

Booking = Literal["waiting", "allocated", "acquired", "expired", "invalid"]


@dataclass(frozen=True)
class Resource:
    """Something that an exporter offers for a place; `broken` says why it is out of order, if it is."""

    name: str
    cls: str
    exporter: str
    avail: bool
    broken: str


@dataclass(frozen=True)
class PlaceInfo:
    """A place as the coordinator sees it now. `absent`: the patterns that nothing on any exporter matches."""

    name: str
    tags: Mapping[str, str]
    holder: str | None
    reserved: str | None
    resources: tuple[Resource, ...]
    absent: tuple[str, ...]

    @property
    def owner(self) -> str | None:
        """Who holds it, or is about to."""
        return self.holder or (f"{self.reserved} (reserved)" if self.reserved else None)

    def has(self, tags: Mapping[str, str]) -> bool:
        """Whether it carries all of these tags; `name` is its name."""
        own = {**self.tags, "name": self.name}
        return all(own.get(key) == value for key, value in tags.items())


@dataclass(frozen=True)
class Port:
    """A TCP port of a place; `protocol` is raw or rfc2217."""

    name: str
    host: str
    port: int
    protocol: str

    @property
    def url(self) -> str:
        """As pyserial has it. ser2net does not confirm what it cannot set, such as DTR of a port that has none."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = f"{host}:{self.port}"
        return f"socket://{where}" if self.protocol == "raw" else f"rfc2217://{where}?ign_set_control"


class Coordinator:
    """A connection to the coordinator at `address`, HOST:PORT. Raises `BoardMissing` where there is none."""

    def __init__(self, address: str, state: State) -> None:
        if importlib.util.find_spec("labgrid") is None:
            raise ToolMissing("labgrid is not installed in this environment", hint="pip install 'pytest-hil[labgrid]'")
        self.address = address
        self.outages: dict[str, float] = {}
        """Since when there is nothing that would do, by what is wanted: it is waited for once, not each time."""
        self._lost = False
        self._lock = threading.Lock()
        self._tail: deque[str] = deque(maxlen=_LINES)
        self._buffer = b""
        self._run = Run(state, address)
        self.me = self._run.name
        """What it calls us."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hil.bench.labgrid_child", address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=_ROOT,  # so that nothing in the user's folder is imported in place of a module
            env={
                **os.environ,
                "LG_HOSTNAME": self._run.host,
                "LG_USERNAME": self._run.user,
                "GRPC_ENABLE_FORK_SUPPORT": "0",
            },
            pass_fds=[self._run.handle],  # its name is in use as long as it lives
            start_new_session=True,  # Ctrl-C in the terminal is for this process, which says what is to be done
        )
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        atexit.register(self.close)
        try:
            greeting = self._answer(_START_LIMIT)
            if greeting.get("schema") != SCHEMA or "error" in greeting:
                raise self._missing(str(greeting.get("error") or f"its client greeted with {greeting!r:.80}"))
            self._clean_up(state)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return not self._lost and self._process.poll() is None

    def close(self) -> None:
        """Give everything back and hang up, within seconds."""
        atexit.unregister(self.close)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            clean = self._process.wait(_END_LIMIT) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            clean = False
        self._reader.join(1)
        if self._process.stdout is not None:
            self._process.stdout.close()
        if clean:
            self._run.end()
        else:
            self._run.let_go()

    def places(self) -> tuple[PlaceInfo, ...]:
        """All places."""
        answer = self._ask({"op": "places"})
        return tuple(_place(item) for item in _list(answer, "places"))

    def reserve(self, tags: Mapping[str, str]) -> str:
        """A token for a reservation of any one place with these tags."""
        return _text(self._ask({"op": "reserve", "tags": dict(tags)}), "token")

    def poll(self, token: str) -> tuple[Booking, str | None]:
        """How it stands with a reservation, and the place that it got."""
        answer = self._ask({"op": "poll", "token": token})
        state, place = answer.get("state"), answer.get("place")
        if state not in get_args(Booking) or not isinstance(place, str | None):
            raise self._missing(f"a reservation is {state!r:.80}")
        return cast(Booking, state), place

    def cancel(self, token: str) -> None:
        """Forget a reservation."""
        self._ask({"op": "cancel", "token": token})

    def acquire(self, place: str) -> None:
        """Take a place. Raises `BoardMissing` with what the coordinator says where it cannot be had."""
        self._ask({"op": "acquire", "place": place})

    def release(self, place: str) -> None:
        """Give a place back that we hold; what others hold is not touched."""
        self._ask({"op": "release", "place": place})

    def tag(self, place: str, key: str, value: str) -> None:
        """Give a place a tag, for all to see; an empty value takes it away."""
        self._ask({"op": "tag", "place": place, "key": key, "value": value})

    def ports(self, place: str) -> tuple[Port, ...]:
        """The TCP ports of a place that we hold, where they are now. Raises `BenchLost` where its exporter is."""
        return tuple(_port(item) for item in _list(self._ask({"op": "ports", "place": place}), "ports"))

    def power(self, place: str, action: Literal["on", "off", "cycle"]) -> None:
        """Turn the switch of a place that we hold, by labgrid's driver for it."""
        self._ask({"op": "power", "place": place, "action": action})

    def run(
        self, place: str, cls: str, words: Sequence[str], *, file: Path | None = None, limit: float
    ) -> tuple[int, str]:
        """Run a command on the machine that exports the place's resource of that class: its status, what it said.

        `file` is copied there; {file} in the words is its path there.
        """
        request = {"op": "run", "place": place, "cls": cls, "words": list(words), "limit": limit}
        answer = self._ask(request | {"file": None if file is None else str(file.resolve())}, _LIMIT + limit)
        status, said = answer.get("status"), answer.get("said")
        if type(status) is not int or not isinstance(said, str):
            raise self._missing(f"a command ended with {status!r:.80}")
        return status, said

    def _clean_up(self, state: State) -> None:
        """Give back what runs of ours hold that are dead."""
        with dead_runs(state, self.address) as names:
            for name in names:
                self._ask({"op": "forget", "owner": name})

    # -- the child ----

    def _ask(self, request: Mapping[str, Any], limit: float = _LIMIT) -> dict[str, Any]:
        if self._lost:  # its client may still tell what it knew: that a port is where it was, say
            raise self._missing("the connection is lost")
        with self._lock:
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()
            except (OSError, ValueError) as error:
                raise self._missing("its client has ended") from error
            answer = self._answer(limit)
        if "error" not in answer:
            return answer
        kind, text, place = answer.get("kind"), str(answer["error"])[:2000], request.get("place")
        if kind == "orphaned":
            raise BenchLost(
                f"place {place} of the labgrid coordinator at {self.address}: its exporter {text} is gone",
                hint=f"on {text}: systemctl restart labgrid-exporter",
            )
        if kind == "gone":
            raise BenchLost(f"labgrid coordinator at {self.address}: {text}", hint=self.look)
        if kind == "late":
            raise FlashFailed(f"place {place} of the labgrid coordinator at {self.address}: {text}", hint=self.look)
        if kind == "coordinator":
            self._lost = True
            raise self._missing(text)
        where = f"place {place} of the labgrid coordinator" if place else "labgrid coordinator"
        raise (BoardMissing if kind == "refused" else InfrastructureError)(
            f"{where} at {self.address}: {request['op']}: {text}", hint=self.look
        )

    @property
    def look(self) -> str:
        """The command that shows how its boards are."""
        return f"hil boards --bench labgrid:{self.address}"

    def _answer(self, limit: float) -> dict[str, Any]:
        """The child's next line, within `limit` seconds."""
        assert self._process.stdout is not None
        handle, deadline = self._process.stdout.fileno(), time.monotonic() + limit
        while b"\n" not in self._buffer:
            if not select.select([handle], [], [], max(0, deadline - time.monotonic()))[0]:
                self._process.kill()  # its answer may still come, and would be taken for the next one's
                raise self._missing(f"no answer in {limit:g} s")
            part = os.read(handle, 1 << 16)
            self._buffer += part
            if not part or len(self._buffer) > _LONGEST:
                self._process.kill()
                raise self._missing("its client has ended")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._missing(f"its client answered {line[:80]!r}")
        return answer

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream, contextlib.suppress(ValueError, OSError):
            while line := stream.readline(4096):
                self._tail.append(line.decode(errors="replace").rstrip())

    def _missing(self, what: str) -> BenchLost:
        said = f"; it said: {self._tail[-1]}" if self._tail and self._process.poll() is not None else ""
        return BenchLost(
            f"labgrid coordinator at {self.address}: {what}{said}",
            hint=f"labgrid-client -x {self.address} places; systemctl status labgrid-coordinator",
        )


def _list(answer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = answer.get(key)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise BoardMissing(f"labgrid: a malformed answer: {key} is {found!r:.80}")
    return found


def _text(item: Mapping[str, Any], key: str) -> str:
    found = item.get(key)
    if not isinstance(found, str):
        raise BoardMissing(f"labgrid: a malformed answer: {key} is {found!r:.80}")
    return found


def _place(item: Mapping[str, Any]) -> PlaceInfo:
    tags, absent, resources = item.get("tags"), item.get("absent"), _list(item, "resources")
    if not isinstance(tags, dict) or not isinstance(absent, list):
        raise BoardMissing(f"labgrid: a malformed place: {item!r:.200}")
    return PlaceInfo(
        _text(item, "name"),
        {str(key): str(value) for key, value in tags.items()},
        _text(item, "holder") if item.get("holder") else None,
        _text(item, "reserved") if item.get("reserved") else None,
        tuple(map(_resource, resources)),
        tuple(map(str, absent)),
    )


def _resource(item: Mapping[str, Any]) -> Resource:
    name, cls, exporter = (_text(item, key) for key in ("name", "cls", "exporter"))
    return Resource(name, cls, exporter, item.get("avail") is True, _text(item, "broken"))


def _port(item: Mapping[str, Any]) -> Port:
    port, host, protocol = item.get("port"), _text(item, "host"), _text(item, "protocol")
    if type(port) is not int or not 0 < port < 65536 or not _HOST.match(host) or protocol not in ("raw", "rfc2217"):
        raise BoardMissing(f"labgrid: a malformed port: {item!r:.200}")
    return Port(_text(item, "name"), host, port, protocol)
