"""What is used of labgrid beside its documentation, held to the version that is pinned: an upgrade shows here first."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from hil.bench import labgrid_child as child
from hil.bench.coordinator import DEFAULT_PORT, SCHEMA, SWITCHES, Booking
from hil.paths import BOARDS

ROOT = BOARDS.parent
REQUESTS = {
    "CreateReservation": ({"filters", "prio"}, {"reservation"}),
    "PollReservation": ({"token"}, {"reservation"}),
    "CancelReservation": ({"token"}, set()),
    "GetReservations": (set(), {"reservations"}),
    "AcquirePlace": ({"placename"}, set()),
    "SetPlaceTags": ({"placename", "tags"}, set()),
    "ReleasePlace": ({"placename", "fromuser"}, set()),
}


def test_one_version_is_pinned_and_installed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (pin,) = extras["labgrid"]
    assert pin in extras["dev"]
    assert pin == f"labgrid=={importlib.metadata.version('labgrid')}"


def test_one_file_alone_imports_it() -> None:
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "hil").rglob("*.py"))
        if re.search(r"^\s*(from|import) (labgrid|grpc)\b", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert found == ["hil/bench/labgrid_child.py"]
    assert child.SCHEMA == SCHEMA


@pytest.mark.parametrize("name", REQUESTS)
def test_the_stubs_calls(name: str) -> None:
    service = child.messages.DESCRIPTOR.services_by_name["Coordinator"]
    method = service.methods_by_name[name]
    takes, gives = REQUESTS[name]
    assert takes <= set(method.input_type.fields_by_name)
    assert gives <= set(method.output_type.fields_by_name)


def test_reservations() -> None:
    from labgrid.remote.common import ReservationState

    assert {state.name for state in ReservationState} == set(get_args(Booking))
    made = child.Reservation(owner="a/b", filters={"main": {"board": "rp2040"}}, allocations={"main": ["x"]})
    again = child.Reservation.from_pb2(made.as_pb2())
    assert (again.owner, again.token, again.allocations) == ("a/b", made.token, {"main": ["x"]})


def test_the_session() -> None:
    from labgrid.remote.client import ClientSession

    parameters = inspect.signature(child.start_session).parameters
    assert next(iter(parameters)) == "address"
    for name in ("sync_with_coordinator", "get_acquired_place", "_get_target", "gethostname", "getuser"):
        assert callable(getattr(ClientSession, name)), name
    source = inspect.getsource(ClientSession)
    assert all(
        name in source for name in ('"LG_HOSTNAME"', '"LG_USERNAME"', "self.stopping", "self.places[", "self.stub")
    )
    assert f"default_port={DEFAULT_PORT}" in inspect.getsource(child.start_session)


def test_power_switches() -> None:
    """Each is a resource that labgrid has, whose drivers make a PowerProtocol."""
    import labgrid.driver
    import labgrid.resource
    from labgrid.protocol import PowerProtocol

    assert labgrid.driver
    assert labgrid.resource
    assert set(child._POWER) == SWITCHES
    for resource, drivers in child._POWER.items():
        assert resource in child.target_factory.resources
        assert issubclass(child.target_factory.class_from_string(drivers[-1]), PowerProtocol)
        assert len(child._binding(drivers[-1])) == 1


def test_what_is_documented_of_resources() -> None:
    from labgrid.remote.exporter import exports
    from labgrid.resource.common import NetworkResource

    for name in ("USBSerialPort", "RawSerialPort", "USBDebugger", "USBPowerPort"):
        assert name in exports
    for name in ("NetworkSerialPort", "NetworkUSBDebugger"):
        assert issubclass(child.target_factory.class_from_string(name), NetworkResource)
    assert Path(inspect.getfile(child.ManagedFile)).name == "managedfile.py"
    assert "detect_nfs" in inspect.signature(child.ManagedFile).parameters
