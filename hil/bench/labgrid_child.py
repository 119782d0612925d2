"""`python -m hil.bench.labgrid_child HOST:PORT`: a client of a labgrid coordinator; all of hil that imports labgrid.

Reads JSON requests from standard input, a line each, and answers each with a line: an object, or one with "error" and
"kind". When its input ends, however its owner ended, it gives back every place and reservation that it holds. Whom it
is for the coordinator is said by LG_HOSTNAME and LG_USERNAME.

labgrid is LGPL-2.1-or-later and brings asyncio and gRPC, which dislikes forks: so it has this process for itself. What
is used of it beside its documented classes is its client's stub, which is internal: the version is pinned in
pyproject.toml, and tests/unit/test_labgrid_contract.py holds it to what is expected here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

import grpc
from labgrid import Target
from labgrid.driver.exception import ExecutionError
from labgrid.factory import target_factory
from labgrid.remote.client import start_session
from labgrid.remote.common import Reservation
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages
from labgrid.resource.common import ResourceManager
from labgrid.resource.remote import RemotePlaceManager
from labgrid.util.managedfile import ManagedFile
from labgrid.util.proxy import proxymanager

CALL_LIMIT = 30.0
"""Seconds that the coordinator gets for one answer."""
SCHEMA = "hil.labgrid/1"
LONGEST = 1 << 22
_MOST_OUTPUT = 1 << 16
_POWER = {
    "NetworkPowerPort": ("NetworkPowerDriver",),
    "NetworkUSBPowerPort": ("USBPowerDriver",),
    "NetworkSiSPMPowerPort": ("SiSPMPowerDriver",),
    "PDUDaemonPort": ("PDUDaemonDriver",),
    "TasmotaPowerPort": ("TasmotaPowerDriver",),
    "NetworkYKUSHPowerPort": ("YKUSHPowerDriver",),
    "NetworkSysfsGPIO": ("GpioDigitalOutputDriver", "DigitalOutputPowerDriver"),
}
"""The drivers that make a PowerProtocol of each kind of switch."""


class Refused(Exception):
    """What was asked for cannot be done; `kind` says for which sort of reason."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Client:
    """What can be asked: the methods whose names begin with `do_`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._me = f"{session.gethostname()}/{session.getuser()}"
        self._held: set[str] = set()
        self._tokens: set[str] = set()

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request; never raises, but for being cancelled."""
        try:
            do = getattr(self, f"do_{request['op']}")
            return dict(await do(request))
        except Refused as error:
            return {"error": str(error), "kind": error.kind}
        except grpc.aio.AioRpcError as error:
            gone = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            return {"error": error.details() or error.code().name, "kind": "coordinator" if gone else "refused"}
        except TimeoutError:
            return {"error": f"no answer in {CALL_LIMIT:g} s", "kind": "coordinator"}
        except (ExecutionError, OSError) as error:
            logging.exception("failed")
            return {"error": " ".join(map(str, error.args)), "kind": "failed"}
        except Exception as error:
            logging.exception("failed")
            return {"error": f"{type(error).__name__}: {error}", "kind": "failed"}

    async def do_places(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """All places: tags, who holds or has reserved each, and what the exporters that are there have for it."""
        await self._sync()
        found = await self._session.stub.GetReservations(messages.GetReservationsRequest(), timeout=CALL_LIMIT)
        owners = {one.token: one.owner for one in map(Reservation.from_pb2, found.reservations)}
        return {"places": [self._place(place, owners) for _, place in sorted(self._session.places.items())]}

    def _place(self, place: Any, owners: Mapping[str, str]) -> dict[str, Any]:
        offered: list[tuple[tuple[str, str, str, str], Any]] = [
            ((exporter, group, entry.cls, name), entry)
            for exporter, groups in sorted(self._session.resources.items())
            for group, entries in sorted(groups.items())
            for name, entry in sorted(entries.items())
            if "cls" in entry.data
        ]
        matched = [(path, entry) for path, entry in offered if place.hasmatch(path)]
        absent = [match for match in place.matches if not any(match.ismatch(path) for path, _ in matched)]
        return {
            "name": place.name,
            "tags": dict(place.tags),
            "holder": place.acquired,
            "reserved": owners.get(place.reservation) if place.reservation else None,
            "resources": [
                {
                    "name": place.getmatch(path).rename or path[3],
                    "cls": path[2],
                    "exporter": path[0],
                    "avail": bool(entry.avail),
                    "broken": str(entry.extra.get("broken") or ""),
                }
                for path, entry in matched
            ],
            "absent": [str(match) for match in absent],
        }

    async def do_reserve(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A reservation for any one place with these tags."""
        message = messages.CreateReservationRequest(prio=0.0)
        for key, value in request["tags"].items():
            message.filters["main"].filter[key] = value
        made = await self._session.stub.CreateReservation(message, timeout=CALL_LIMIT)
        self._tokens.add(made.reservation.token)
        return {"token": made.reservation.token}

    async def do_poll(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """How it stands with a reservation; asking keeps it from expiring."""
        message = messages.PollReservationRequest(token=request["token"])
        found = Reservation.from_pb2(
            (await self._session.stub.PollReservation(message, timeout=CALL_LIMIT)).reservation
        )
        names = found.allocations.get("main") or [None]
        return {"state": found.state.name, "place": names[0]}

    async def do_cancel(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """No such reservation any more."""
        self._tokens.discard(request["token"])
        with contextlib.suppress(grpc.aio.AioRpcError):  # it may have expired
            message = messages.CancelReservationRequest(token=request["token"])
            await self._session.stub.CancelReservation(message, timeout=CALL_LIMIT)
        return {}

    async def do_acquire(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Take a place."""
        name = request["place"]
        self._held.add(name)  # if we are ended while it is asked for, we may hold it
        try:
            await self._session.stub.AcquirePlace(messages.AcquirePlaceRequest(placename=name), timeout=CALL_LIMIT)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                self._held.discard(name)
            raise
        await self._sync()
        return {}

    async def do_release(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Give a place back that `owner`, or this process, holds; nothing happens if it is somebody else's by now."""
        owner = request.get("owner") or self._me
        message = messages.ReleasePlaceRequest(placename=request["place"], fromuser=owner)
        await self._session.stub.ReleasePlace(message, timeout=CALL_LIMIT)
        if owner == self._me:
            self._held.discard(request["place"])
        return {}

    async def do_tag(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Give a place a tag, for all to see; an empty value takes it away."""
        message = messages.SetPlaceTagsRequest(placename=request["place"])
        message.tags[request["key"]] = request["value"]
        await self._session.stub.SetPlaceTags(message, timeout=CALL_LIMIT)
        return {}

    async def do_forget(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Give back whatever `owner` holds and has reserved, who is known to be dead."""
        await self._sync()
        for place in list(self._session.places.values()):
            if place.acquired == request["owner"]:
                await self.do_release({"place": place.name, "owner": request["owner"]})
        found = await self._session.stub.GetReservations(messages.GetReservationsRequest(), timeout=CALL_LIMIT)
        for one in map(Reservation.from_pb2, found.reservations):
            if one.owner == request["owner"]:
                await self.do_cancel({"token": one.token})
        return {}

    async def do_ports(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Where the TCP ports of a place that we hold are now, through an SSH tunnel where its exporter wants that."""
        found = self._resources(request["place"])
        ports = []
        for name, entry in found:
            if entry.cls != "NetworkSerialPort" or not entry.avail or not entry.args.get("port"):
                continue
            resource = target_factory.make_resource(Target(request["place"]), entry.cls, name, entry.args)
            resource.extra = entry.extra
            host, port = await asyncio.to_thread(proxymanager.get_host_and_port, resource)
            ports.append({"name": name, "host": host, "port": port, "protocol": resource.protocol})
        return {"ports": ports}

    async def do_power(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """on, off or cycle, by labgrid's driver for the place's switch."""
        place = self._session.get_acquired_place(request["place"])
        action = request["action"]
        for name, entry in self._resources(place.name):
            if entry.cls in _POWER:
                target = self._target(place)
                driver = None
                for made in _POWER[entry.cls]:
                    if driver is None:
                        target.set_binding_map(dict.fromkeys(_binding(made), name))
                    driver = target_factory.make_driver(target, made, None, {})
                await asyncio.to_thread(_switched, target, driver, action)
                return {}
        raise Refused("failed", f"there is no power switch among what {place.name} has; known are {', '.join(_POWER)}")

    async def do_run(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A command on the exporter's machine, with a file that is copied there first ("{file}" in the words)."""
        place = self._session.get_acquired_place(request["place"])
        target = self._target(place)
        resource = next((r for r in target.resources if type(r).__name__ == request["cls"]), None)
        if resource is None:
            raise Refused("failed", f"{place.name} has no {request['cls']}")
        managed = ManagedFile(request["file"], resource, detect_nfs=False) if request.get("file") else None
        path = ""
        if managed is not None:
            await asyncio.to_thread(managed.sync_to_resource)
            path = managed.get_remote_path()
        words = [str(word).replace("{file}", path) for word in request["words"]]
        command = await asyncio.to_thread(resource.wrap_command, words)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), request["limit"])
        except TimeoutError as late:
            raise Refused("late", f"{words[0]} took longer than {request['limit']:g} s") from late
        finally:
            if process.returncode is None:
                process.kill()
        return {"status": process.returncode, "said": said[-_MOST_OUTPUT:].decode(errors="replace")}

    def _resources(self, name: str) -> list[tuple[str, Any]]:
        """What a place that we hold consists of now. Raises `Refused` where an exporter has gone with some of it."""
        place = self._session.places.get(name)
        if place is None or place.acquired != self._me:
            holder = "no such place any more" if place is None else f"held by {place.acquired or 'nobody'}"
            raise Refused("gone", f"{name} is not ours any more: {holder}")
        found = []
        for exporter, group, cls, resource in place.acquired_resources:
            entry = self._session.resources.get(exporter, {}).get(group, {}).get(resource)
            if entry is None or "cls" not in entry.data:
                raise Refused("orphaned", exporter)
            match = place.getmatch((exporter, group, cls, resource))
            found.append(((match.rename if match else None) or resource, entry))
        return found

    def _target(self, place: Any) -> Any:
        """labgrid's own view of a place. Its manager remembers resources of earlier ones, so there is always a new."""
        ResourceManager.instances.pop(RemotePlaceManager, None)
        return self._session._get_target(place)

    async def _sync(self) -> None:
        if self._session.stopping.is_set():
            raise Refused("coordinator", "the connection is lost")
        if not await asyncio.wait_for(self._session.sync_with_coordinator(), CALL_LIMIT):
            raise Refused("coordinator", "the connection is lost")

    async def give_back(self) -> None:
        """Release and cancel all that is held."""
        for name in sorted(self._held):
            await self.answer({"op": "release", "place": name})
        for token in sorted(self._tokens):
            await self.answer({"op": "cancel", "token": token})


def _binding(driver: str) -> list[str]:
    """By what name a driver calls the switch that it wants."""
    return list(target_factory.class_from_string(driver).bindings)


def _switched(target: Any, driver: Any, action: str) -> None:
    target.activate(driver)
    try:
        {"on": driver.on, "off": driver.off, "cycle": driver.cycle}[action]()
    finally:
        target.cleanup()


async def serve(client: Client, answers: Any) -> None:
    """Answer until standard input ends or SIGTERM comes; then give everything back."""
    loop = asyncio.get_running_loop()
    requests: asyncio.Queue[bytes] = asyncio.Queue()

    async def work() -> None:
        while True:
            answer = await client.answer(json.loads(await requests.get()))
            answers.write(json.dumps(answer) + "\n")
            answers.flush()

    reader = asyncio.StreamReader(limit=LONGEST)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
    worker = loop.create_task(work())
    while (line := await reader.readline()).endswith(b"\n"):
        requests.put_nowait(line)
    worker.cancel()
    with contextlib.suppress(asyncio.CancelledError, OSError, ValueError):
        await worker
    await client.give_back()


def main() -> int:
    """Connect, greet, serve."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # labgrid prints; what it prints is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        session = start_session(sys.argv[1])
    except Exception as error:
        print(json.dumps({"schema": SCHEMA, "error": str(error)}), file=answers, flush=True)
        return 4
    print(json.dumps({"schema": SCHEMA}), file=answers, flush=True)
    session.loop.run_until_complete(serve(Client(session), answers))
    answers.flush()
    # labgrid's own end waits for SSH connections and threads that may hang; the coordinator has everything back.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
