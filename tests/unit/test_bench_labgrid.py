"""What is decided about places before and beside talking to a coordinator: addresses, tags, ports, names of runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from hil.bench import coordinator, labgrid, place
from hil.bench.coordinator import Coordinator, PlaceInfo, Port, Resource
from hil.bench.labgrid import Labgrid, LabgridBench
from hil.bench.place import PlaceHands
from hil.bench.runs import Run, dead_runs
from hil.bench.state import State
from hil.bench.station import silent
from hil.errors import BenchLost, BoardMissing, FlashFailed, UsageError
from hil.wire import wire
from tests.support.fakes import deployed

IMAGE = deployed().image
CONSOLE = Resource("console", "NetworkSerialPort", "bench-a", avail=True, broken="")
PROBE = Resource("probe", "NetworkUSBDebugger", "bench-a", avail=True, broken="")
CLOCK = Resource("clock", "NetworkSerialPort", "bench-a", avail=True, broken="")
HUB = Resource("power", "NetworkUSBPowerPort", "bench-a", avail=True, broken="")


def info(name: str, *resources: Resource, absent: tuple[str, ...] = (), **tags: str) -> PlaceInfo:
    return PlaceInfo(name, tags, None, None, resources, absent)


# -- where -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("labgrid:lab", Labgrid("lab:20408", {}, 1800)),
        ("labgrid:lab.example.org:4000", Labgrid("lab.example.org:4000", {}, 1800)),
        ("labgrid:[::1]:4000", Labgrid("[::1]:4000", {}, 1800)),
        ("labgrid:[::1]", Labgrid("[::1]:20408", {}, 1800)),
        ("labgrid:10.0.0.1,rack=3,room=b-1,wait=0.5", Labgrid("10.0.0.1:20408", {"rack": "3", "room": "b-1"}, 0.5)),
    ],
)
def test_addresses_and_tags(text: str, want: Labgrid) -> None:
    assert labgrid.parse(text) == want


@pytest.mark.parametrize(
    "text",
    ["labgrid:", "labgrid:a b", "labgrid::1", "labgrid:h:0", "labgrid:h:70000", "labgrid:h:x", "labgrid:-x:1",
     "labgrid:h,rack", "labgrid:h,rack=", "labgrid:h,=3", "labgrid:h,Rack=3", "labgrid:h,board=x", "labgrid:h,wait=-1",
     "labgrid:h,wait=soon", "labgrid:h,rack=1,rack=2"],
)  # fmt: skip
def test_addresses_that_mean_nothing(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        labgrid.parse(text)
    assert caught.value.hint == "labgrid:HOST:PORT,TAG=VALUE"


def test_ports_as_pyserial_has_them() -> None:
    assert Port("console", "lab", 4000, "raw").url == "socket://lab:4000"
    assert Port("console", "::1", 4000, "rfc2217").url == "rfc2217://[::1]:4000?ign_set_control"


# -- places ------------------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_a_place() -> None:
    assert place.problem(info("a", CONSOLE)) is None
    assert place.problem(info("a", PROBE)) == "it has no serial port (NetworkSerialPort)"
    assert place.problem(info("a", CONSOLE, absent=("bench-b/a/*",))) == "no exporter has bench-b/a/*"
    unplugged = Resource("console", "NetworkSerialPort", "bench-a", avail=False, broken="")
    assert place.problem(info("a", unplugged)) == "its serial port is not plugged in"
    assert place.problem(info("a", unplugged, HUB)) is None, "a power cycle may bring it back"
    broken = Resource("console", "NetworkSerialPort", "bench-a", avail=True, broken="start failed")
    assert place.problem(info("a", broken)) == "console is out of order: start failed"


def test_virtual_boards_never_pass_for_hardware() -> None:
    assert place.source_of(info("a", CONSOLE, PROBE)) == "hardware"
    assert place.source_of(info("a", CONSOLE, CLOCK)) == "virtual"
    assert place.board_of(info("a", CONSOLE, clock_ppm="-12.5"), "rp2040", "lab:1").clock_ppm == -12.5
    for wrong in ("fast", "nan", "1e9"):
        with pytest.raises(UsageError, match="the tag clock_ppm is") as caught:
            place.board_of(info("a", CONSOLE, clock_ppm=wrong), "rp2040", "lab:1")
        assert caught.value.hint == "labgrid-client -x lab:1 -p a set-tags clock_ppm=0"


class FakeCoordinator:
    """Answers from what it was given, and notes what it is asked to do."""

    address, me, look = "lab:1", "here/me", "hil boards --bench labgrid:lab:1"

    def __init__(self, *places: PlaceInfo, ports: Sequence[Port] = (), answer: tuple[int, str] = (0, "")) -> None:
        self._places, self._ports, self._answer = places, tuple(ports), answer
        self.outages: dict[str, float] = {}
        self.did: list[object] = []

    def places(self) -> tuple[PlaceInfo, ...]:
        return self._places

    def ports(self, _: str) -> tuple[Port, ...]:
        return self._ports

    def run(self, name: str, cls: str, words: Sequence[str], **more: object) -> tuple[int, str]:
        self.did.append((name, cls, *words, more.get("file")))
        return self._answer

    def power(self, name: str, action: str) -> None:
        self.did.append((name, action))

    def reserve(self, tags: dict[str, str]) -> str:
        self.did.append(("reserve", dict(tags)))
        return "T"

    def poll(self, _: str) -> tuple[str, None]:
        return "expired", None

    def cancel(self, token: str) -> None:
        self.did.append(("cancel", token))


def hands(fake: FakeCoordinator, at: PlaceInfo, kind: str = "rp2040") -> PlaceHands:
    return PlaceHands(cast(Coordinator, fake), at, place.board_of(at, kind, "lab:1"))


def test_the_console_is_the_port_of_that_name_or_the_only_one() -> None:
    named, other = Port("console", "lab", 1, "raw"), Port("usb", "lab", 2, "raw")
    assert hands(FakeCoordinator(ports=[other, named]), info("a", CONSOLE)).port() == "socket://lab:1"
    assert hands(FakeCoordinator(ports=[other, Port("clock", "lab", 3, "raw")]), info("a", CONSOLE)).port() == (
        "socket://lab:2"
    )
    with pytest.raises(BoardMissing, match="more than one serial port is its console; there are: usb, usb") as caught:
        hands(FakeCoordinator(ports=[other, other]), info("a", CONSOLE)).port()
    assert caught.value.hint == "labgrid-client -x lab:1 -p a show"
    with pytest.raises(BoardMissing, match=r"rp2040 at place a of .* at lab:1: no serial port is its console"):
        hands(FakeCoordinator(), info("a", CONSOLE)).port()


def test_a_probe_of_the_exporter_is_used_by_pyocd_there(own_cache: Path) -> None:
    at = info("a", CONSOLE, PROBE, probe="E661")
    fake = FakeCoordinator()
    hands(fake, at).flash(IMAGE, say=silent)
    hands(fake, at).reset()
    common = ["--no-config", "--no-wait", "--probe", "E661", "--target", "rp2040"]
    how = ["--erase", "sector", "--format", "bin", "--base-address", "0x10000000", "{file}"]
    assert fake.did == [
        ("a", "NetworkUSBDebugger", "pyocd", "load", *common, *how, IMAGE.bin),
        ("a", "NetworkUSBDebugger", "pyocd", "reset", *common, None),
    ]
    fails = FakeCoordinator(answer=(1, "0001 I x\n0002 E no such probe\n"))
    with pytest.raises(
        FlashFailed, match=r"rp2040 at place a .*: pyOCD there ended with status 1: .*no such probe"
    ) as c:
        hands(fails, at).flash(IMAGE, say=silent)
    (log,) = (own_cache / "flash").iterdir()
    assert c.value.hint == f"cat {log}"
    assert "no such probe" in log.read_text()


def test_the_probe_may_be_in_the_consoles_own_device(own_cache: Path) -> None:
    fake = FakeCoordinator()
    hands(fake, info("a", CONSOLE, probe="E661")).flash(IMAGE, say=silent)
    assert fake.did[0][:4] == ("a", "NetworkSerialPort", "pyocd", "load")  # type: ignore[index]


def test_a_board_that_nothing_there_can_flash() -> None:
    at = info("a", CONSOLE, PROBE)
    assert hands(FakeCoordinator(), at).ways == {"flash"}
    with pytest.raises(FlashFailed, match="nothing there flashes a rp2040: pyOCD wants the unique id") as caught:
        hands(FakeCoordinator(), at).flash(IMAGE, say=silent)
    assert caught.value.hint == "labgrid-client -x lab:1 -p a set-tags probe=ID"


def test_power_is_the_places_own() -> None:
    fake = FakeCoordinator()
    made = hands(fake, info("a", CONSOLE, HUB))
    assert made.ways == {"flash", "power"}
    made.power_cycle()
    assert fake.did == [("a", "cycle")]


# -- the bench ---------------------------------------------------------------------------------------------------------


def bench(monkeypatch: pytest.MonkeyPatch, fake: FakeCoordinator, tmp_path: Path) -> LabgridBench:
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(labgrid, "connected", lambda _: fake)
    return LabgridBench(Labgrid("lab:1", {}, 0), "rp2040")


def test_a_reservation_that_expires_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = FakeCoordinator(info("a", CONSOLE, board="rp2040"))
    with pytest.raises(BenchLost, match=r"a rp2040 of .*: the reservation T is expired"):
        bench(monkeypatch, fake, tmp_path).start("rp2040", IMAGE).__enter__()
    assert fake.did == [("reserve", {"board": "rp2040"}), ("cancel", "T")]


def test_virtual_boards_and_hardware_are_not_mixed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = FakeCoordinator(info("a", CONSOLE, board="rp2040"), info("b", CONSOLE, CLOCK, board="rp2040"))
    with pytest.raises(UsageError, match="boards rp2040 are both virtual and of hardware"):
        bench(monkeypatch, fake, tmp_path)


def test_nodes_of_a_link_are_in_its_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tags = {"board": "rp2040", "link": "pair", "wire": "uart-3M"}
    fake = FakeCoordinator(
        info("lone", CONSOLE, board="rp2040"),
        info("x", CONSOLE, node="1", **tags),
        info("y", CONSOLE, node="0", **tags),
        info("z", CONSOLE, node="2", **tags | {"board": "rp2350"}),
    )
    made = bench(monkeypatch, fake, tmp_path)

    def linked(*kinds: str, by: str = "uart-3M") -> list[str]:
        return [one.name for one in made._linked(fake.places(), kinds, wire(by))]

    assert linked("rp2040", "rp2040") == ["y", "x"]
    assert linked("rp2040", "rp2040", "rp2350") == ["y", "x", "z"]
    for kinds, by in (
        (("rp2350", "rp2040"), "uart-3M"),
        (("rp2040",) * 4, "uart-3M"),
        (("rp2040",) * 2, "uart-115200"),
    ):
        with pytest.raises(
            BoardMissing, match=rf"no link by {by} begins with .*; there are: pair \(uart-3M: y, x, z\)"
        ):
            linked(*kinds, by=by)


# -- names of runs -----------------------------------------------------------------------------------------------------

HOLDS = """
import sys
from pathlib import Path
from hil.bench.runs import Run
from hil.bench.state import State
print(Run(State(Path(sys.argv[1])), "lab:1").name, flush=True)
sys.stdin.read()
"""


def test_dead_runs_are_known_by_their_records_alone(tmp_path: Path) -> None:
    state = State(tmp_path)
    mine = Run(state, "lab:1")
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    name = other.stdout.readline().strip()
    assert f".hil-{other.pid}-" in name
    assert name.startswith(f"{mine.host}/")
    with dead_runs(state, "lab:1") as dead:
        assert dead == (), "both live"
    other.kill()
    other.communicate()
    with dead_runs(state, "lab:2") as dead:
        assert dead == (), "it held nothing there"
    with dead_runs(state, "lab:1") as dead:
        assert dead == (name,)
        with dead_runs(state, "lab:1") as again:
            assert again == (), "somebody cleans up already"
    with dead_runs(state, "lab:1") as dead:
        assert dead == (), "it is forgotten"
    mine.end()
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_dead_run_is_kept_in_mind_until_it_is_cleaned_up_after(tmp_path: Path) -> None:
    state = State(tmp_path)
    gone = Run(state, "lab:1")
    gone.let_go()
    (tmp_path / "runs" / f"eve.hil-{os.getpid()}-00000000@elsewhere").write_text("lab:1")

    def fail() -> None:
        with dead_runs(state, "lab:1") as dead:
            assert dead == (gone.name,), "a record of another machine says nothing"
            raise BenchLost("no answer")

    for _ in range(2):
        with pytest.raises(BenchLost):
            fail()


# -- what the client says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [{"port": 0}, {"port": "1"}, {"port": True}, {"host": "a?logging=debug"}, {"host": 7}, {"protocol": "ftp"}],
)
def test_ports_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    good: dict[str, object] = {"name": "console", "host": "lab", "port": 4000, "protocol": "raw"}
    assert coordinator._port(good) == Port("console", "lab", 4000, "raw")
    with pytest.raises(BoardMissing, match="malformed"):
        coordinator._port(good | wrong)


@pytest.mark.parametrize(
    "wrong", [{"name": None}, {"tags": []}, {"resources": {}}, {"absent": None}, {"resources": [{}]}]
)
def test_places_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    good: dict[str, object] = {"name": "a", "tags": {"board": "rp2040"}, "resources": [], "absent": []}
    assert coordinator._place(good) == info("a", board="rp2040")
    with pytest.raises(BoardMissing, match="malformed"):
        coordinator._place(good | wrong)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("print('hello')", "its client answered b'hello'"),
        ("", "its client has ended"),
        ("""print('{"schema": "hil.labgrid/9"}')""", "its client greeted with"),
        ("""print('{"schema": "hil.labgrid/1", "error": "Could not connect"}')""", "Could not connect"),
        ("import time; time.sleep(60)", "no answer in 0.5 s"),
    ],
)
def test_a_client_that_does_not_do_what_it_should(
    said: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python").write_text(f"#!{sys.executable}\n{said}\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(coordinator, "_START_LIMIT", 0.5 if "sleep" in said else 30)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(BenchLost, match=f"labgrid coordinator at lab:1: {what}") as caught:
        Coordinator("lab:1", State(tmp_path / "state"))
    assert caught.value.hint == "labgrid-client -x lab:1 places; systemctl status labgrid-coordinator"
