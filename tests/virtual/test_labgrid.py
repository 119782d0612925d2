"""The bench of a labgrid coordinator: its own coordinator and exporter on loopback, virtual boards behind them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from hil import api, cli, virtual
from hil.bench import Where, recovery
from hil.bench.labgrid import connected
from hil.deployment import Deployment
from hil.dut import Dut
from hil.errors import BenchLost, BoardBusy, BoardMissing, BoardQuarantined, UsageError
from hil.model import inputs as input_sets
from hil.model.reference import reference
from hil.paths import ZOO
from hil.virtual import VirtualBoard
from hil.wire import wire
from tests.support.fakes import tiny_model
from tests.support.places import Lab, Switch, another_machine, group, lab, port_on, terminal

ROOT = ZOO.parent
TESTS = """
import os, pathlib, time
import numpy as np, pytest

def test_answer(dut, model_inputs, reference):
    for values, want in zip(model_inputs, reference.outputs):
        assert np.array_equal(dut.infer(values).outputs[0], want[0])
"""
HOLDS = """
import pathlib, time

def test_holds(dut, model_inputs):
    dut.infer(model_inputs[0])
    pathlib.Path("holds").touch()
    late = time.monotonic() + 60
    while not pathlib.Path("go").exists():
        assert time.monotonic() < late
        time.sleep(0.02)
    dut.infer(model_inputs[0])

def test_after(dut, model_inputs):
    dut.infer(model_inputs[0])
"""
MEETS = """
import pathlib, time, pytest

@pytest.mark.parametrize("n", range(2))
def test_meets(n, dut):
    here = pathlib.Path("places")
    here.mkdir(exist_ok=True)
    (here / dut.place.split()[2]).touch()
    late = time.monotonic() + 60
    while len(list(here.iterdir())) < 2:
        assert time.monotonic() < late, "nobody took the other board"
    dut.memory()
"""
SPLIT = """
import numpy as np

def test_split(cluster, model_inputs, reference):
    assert all(dut.place.startswith(f"virtual rp2040 node-{n} at ") for n, dut in enumerate(cluster.duts))
    for values, want in zip(model_inputs, reference.outputs):
        assert np.array_equal(cluster.infer(values).outputs[0], want[0])
"""


@pytest.fixture(autouse=True, scope="module")
def _hang_up() -> Iterator[None]:
    """This process's own connections end with the module."""
    yield
    from hil.bench import labgrid

    for coordinator in labgrid._open.values():
        coordinator.close()
    labgrid._open.clear()


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    path = tmp_path_factory.mktemp("model") / "tiny.tflite"
    path.write_bytes(tiny_model())
    return api.prepare(path, api.Request("rp2040"))


@pytest.fixture(scope="module")
def pico() -> Iterator[VirtualBoard]:
    with virtual.start("rp2040") as board:
        yield board


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, pico: VirtualBoard) -> Iterator[Lab]:
    """A lab of one board, which others hold never for long."""
    with lab(tmp_path_factory.mktemp("lab"), {"pico-a": {"board": "rp2040", "rack": "3"}}) as running:
        running.export("bench-a", {"pico-a": group(pico)})
        yield running


def at(running: Lab, *more: str) -> Where:
    return Where(",".join([f"labgrid:{running.address}", *more]))


def right(dut: Dut) -> bool:
    """Whether it computes what the reference does."""
    values = input_sets.generate(dut.deployment.graph, 2, 0)
    want = reference(dut.deployment.graph, values, limit=60).outputs
    return all(np.array_equal(dut.infer(v).outputs[0], w[0]) for v, w in zip(values, want, strict=True))


def holder(running: Lab, place: str) -> str | None:
    """Who has a place, by the coordinator's own word."""
    found = {p.name: p.holder or p.reserved for p in connected(running.address).places()}
    return found[place]


def suite(folder: Path, running: Lab, *more: str, tests: str = TESTS) -> subprocess.Popen[str]:
    """pytest as a user starts it."""
    folder.mkdir(exist_ok=True)
    (folder / "test_mine.py").write_text(tests)
    (folder / "tiny.tflite").write_bytes(tiny_model())
    words = ["--board=rp2040", "--hil-no-zoo", "--hil-model=tiny.tflite", f"--hil-bench={at(running, 'wait=60').bench}"]
    words += ["-p", "no:cacheprovider", f"--rootdir={folder}", "test_mine.py", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"COLUMNS": "200", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def done(run: subprocess.Popen[str], status: int, *marks: str) -> str:
    """What a run said, which ended so and said these."""
    text, _ = run.communicate(timeout=240)
    assert run.returncode == status, text
    for mark in marks:
        assert mark in text.replace("\n", " "), text
    return text


def appears(path: Path) -> None:
    late = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < late, f"no {path.name}"
        time.sleep(0.02)


# -- one board ---------------------------------------------------------------------------------------------------------


def test_a_place_is_taken_by_its_tags_flashed_measured_and_given_back(
    one: Lab, deployment: Deployment, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = at(one, "rack=3")
    bench = api.bench_for(deployment.board, where)
    assert (bench.source, bench.title) == ("virtual", f"virtual bench, labgrid coordinator at {one.address}")
    with api.running(deployment, where=where) as dut:
        assert right(dut)
        assert dut.usable
        assert dut.place.startswith("virtual rp2040 pico-a at socket://127.0.0.1:")
        (place,) = api.places(deployment.board, where)
        assert place.held_by == connected(one.address).me
        assert f".hil-{os.getpid()}-" in place.held_by
    assert holder(one, "pico-a") is None
    argv = ["profile", str(tiny), "--board", "rp2040", "--json", "-", "--inputs", "1"]
    assert cli.main([*argv, "--bench", where.bench]) == 0
    through_labgrid = json.loads(capsys.readouterr().out)
    assert cli.main([*argv, "--bench", "virtual"]) == 0
    assert json.loads(capsys.readouterr().out) == through_labgrid, "the same board, by its own counted time"


def test_a_place_made_by_the_commands_of_the_guide(tmp_path: Path, pico: VirtualBoard, deployment: Deployment) -> None:
    guide = (ROOT / "docs" / "lab.md").read_text("utf-8")
    commands = re.findall(r"^ +labgrid-client -x lab:20408 (-p pico-a .*)$", guide, re.MULTILINE)
    assert [command.split()[2] for command in commands] == ["create", "set-tags", "add-match"]
    with lab(tmp_path, {}) as running:
        running.export("bench-a", {"pico-a": group(pico)})
        for command in commands:
            running.client(*shlex.split(command))
        with api.running(deployment, where=at(running)) as dut:
            assert dut.place.startswith("virtual rp2040 pico-a at ")


def test_boards_lists_its_places(one: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["boards", "--json", "-", "--bench", at(one).bench]
    one.client("-p", "pico-a", "acquire", user="alice")
    assert cli.main(argv) == 0
    found = {board["name"]: board["reachable"] for board in json.loads(capsys.readouterr().out)["boards"]}
    assert found["rp2350"] == []
    assert found["rp2040"] == [
        {
            "bench": "virtual",
            "where": f"pico-a at labgrid:{one.address}, exporter bench-a",
            "held_by": "elsewhere/alice",
            "health": "well",
            "score": None,
            "uses": 0,
        }
    ]
    one.client("-p", "pico-a", "release", user="alice")


def test_tags_that_no_place_has(one: Lab, deployment: Deployment) -> None:
    with pytest.raises(BoardMissing, match=r"no place has the tags board=rp2040 rack=9; there are: rp2040") as caught:
        api.bench_for(deployment.board, at(one, "rack=9"))
    assert caught.value.hint == f"labgrid-client -x {one.address} -p PLACE set-tags board=rp2040 rack=9"
    with pytest.raises(BoardMissing, match="takes no virtual one"):
        api.bench_for(deployment.board, Where(at(one).bench, hardware=True))


def test_waiting_has_a_limit_and_says_who_holds_it(one: Lab, deployment: Deployment) -> None:
    said: list[str] = []
    one.client("-p", "pico-a", "acquire", user="alice")
    with pytest.raises(BoardBusy, match=r"a rp2040 of .*: waited 1 s; pico-a: elsewhere/alice") as caught:
        api.running(deployment, where=at(one, "wait=1"), say=said.append).__enter__()
    assert caught.value.hint == f"hil boards --bench labgrid:{one.address}"
    assert any("pico-a: elsewhere/alice" in line for line in said)
    assert holder(one, "pico-a") == "elsewhere/alice", "nothing of others is ever released"
    one.client("-p", "pico-a", "release", user="alice")
    with api.running(deployment, where=at(one, "wait=30")) as dut:
        assert right(dut)


def test_a_reservation_that_goes_invalid_is_refused(tmp_path: Path, deployment: Deployment) -> None:
    """The place that it got was deleted before it was taken."""
    with lab(tmp_path, {"pico-b": {"board": "rp2040"}}) as running:
        running.export("bench-a", {"pico-b": {"console": port_on(1), "clock": port_on(2)}})
        coordinator = connected(running.address)
        token = coordinator.reserve({"board": "rp2040"})
        assert coordinator.poll(token) == ("allocated", "pico-b")
        running.client("-p", "pico-b", "delete")
        # Another one makes the coordinator look at all of them.
        other = coordinator.reserve({"board": "rp2040"})
        assert coordinator.poll(token)[0] == "invalid"
        coordinator.cancel(other)
        coordinator.cancel(token)


def test_two_runs_of_pytest_on_one_board_finish_one_after_the_other(one: Lab, tmp_path: Path) -> None:
    """With all plugins that are installed, labgrid's own among them, and without them."""
    runs = [suite(tmp_path / "all", one), suite(tmp_path / "few", one, "-p", "no:labgrid", "-p", "no:xdist")]
    for run in runs:
        done(run, 0, "1 passed", f"rp2040 on the virtual bench, labgrid coordinator at {one.address}")
    assert holder(one, "pico-a") is None


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nothing_locked(end: signal.Signals, one: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "suite"
    run = suite(folder, one, tests=HOLDS)
    appears(folder / "holds")
    assert f".hil-{run.pid}-" in str(holder(one, "pico-a"))
    run.send_signal(end)
    run.communicate(timeout=60)
    late = time.monotonic() + 30
    while holder(one, "pico-a") is not None:  # its client gives back by itself what it holds
        assert time.monotonic() < late
        time.sleep(0.05)


def test_what_a_killed_run_left_is_given_back_by_the_next(one: Lab, deployment: Deployment, tmp_path: Path) -> None:
    """Its client is killed too, as by a power cut: the coordinator would keep the place for it for ever."""
    folder = tmp_path / "suite"
    run = suite(folder, one, tests=HOLDS)
    appears(folder / "holds")
    me = str(holder(one, "pico-a"))
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    clients = [pid for pid in map(int, children) if b"labgrid_child" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(clients) == 1
    run.kill()
    os.kill(clients[0], signal.SIGSTOP)  # it would notice
    os.kill(clients[0], signal.SIGKILL)
    run.communicate(timeout=60)
    assert holder(one, "pico-a") == me
    connected(one.address).close()
    with api.running(deployment, where=at(one, "wait=10")) as dut:
        assert right(dut)
    assert holder(one, "pico-a") is None


def test_what_others_hold_is_never_released(one: Lab, deployment: Deployment) -> None:
    """Not even for a name like ours, which no record of this machine is of."""
    me = connected(one.address).me
    host, _, user = me.partition("/")
    name = user.replace(str(os.getpid()), "1")
    subprocess.run(
        [Path(sys.executable).with_name("labgrid-client"), "-x", one.address, "-p", "pico-a", "acquire"],
        check=True, capture_output=True, timeout=60, env=os.environ | {"LG_HOSTNAME": host, "LG_USERNAME": name},
    )  # fmt: skip
    connected(one.address).close()
    with pytest.raises(BoardBusy, match=f"pico-a: {host}/{name}"):
        api.running(deployment, where=at(one, "wait=0")).__enter__()
    connected(one.address).release("pico-a")  # of ours, which this is not
    assert holder(one, "pico-a") == f"{host}/{name}"
    one.client("-p", "pico-a", "release", "--kick")


# -- faults ------------------------------------------------------------------------------------------------------------


def test_an_exporter_that_dies_in_mid_run_is_an_error_of_the_lab(tmp_path: Path) -> None:
    """With its machine, and so with its board. Nothing stays locked; once it is back the next run is green."""
    with ExitStack() as stack:
        running = stack.enter_context(lab(tmp_path / "lab", {"pico-a": {"board": "rp2040"}}))
        board = stack.enter_context(virtual.start("rp2040"))
        running.export("bench-a", {"pico-a": group(board)})
        folder = tmp_path / "suite"
        run = suite(folder, running, "--junitxml=out.xml", tests=HOLDS)
        appears(folder / "holds")
        running.exporters["bench-a"].kill()
        board.stop()
        (folder / "go").touch()
        text = done(run, 1, "virtual rp2040 pico-a at socket://127.0.0.1:")
        assert "its exporter bench-a is gone" in text
        assert "next: on bench-a: systemctl restart labgrid-exporter" in text
        assert "rp2040: place with board=rp2040" in text, "what the test after it says"
        assert "no exporter has bench-a/pico-a/*" in text
        assert holder(running, "pico-a") is None
        again = stack.enter_context(virtual.start("rp2040"))
        running.export("bench-a", {"pico-a": group(again)})
        done(suite(tmp_path / "again", running), 0, "1 passed")


def test_an_exporter_that_left_is_waited_for(tmp_path: Path, pico: VirtualBoard, deployment: Deployment) -> None:
    with lab(tmp_path / "lab", {"pico-a": {"board": "rp2040"}, "pico-b": {"board": "rp2040"}}) as running:
        connected(running.address).outages["rp2040"] = time.monotonic() - 60
        with pytest.raises(BenchLost, match=r"rp2040: places with board=rp2040 of .*: pico-a: no exporter has"):
            api.bench_for(deployment.board, at(running))
        back = threading.Timer(1.0, running.export, ("bench-a", {"pico-b": group(pico)}))
        connected(running.address).outages.clear()
        back.start()
        # The coordinator offers the other place too, which nobody can use.
        with api.running(deployment, where=at(running, "wait=30")) as dut:
            assert dut.place.startswith("virtual rp2040 pico-b at ")
        back.join()
        assert holder(running, "pico-a") is None


def test_a_coordinator_that_is_not_there(deployment: Deployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(BenchLost, match=f"labgrid coordinator at 127.0.0.1:{port}: ") as caught:
        api.bench_for(deployment.board, Where(f"labgrid:127.0.0.1:{port}"))
    assert str(caught.value.hint).startswith(f"labgrid-client -x 127.0.0.1:{port} places")


def test_a_coordinator_that_dies_is_asked_again(tmp_path: Path, pico: VirtualBoard, deployment: Deployment) -> None:
    with lab(tmp_path / "lab", {"pico-a": {"board": "rp2040"}}) as running:
        running.export("bench-a", {"pico-a": group(pico)})
        where = at(running, "wait=30")
        with api.running(deployment, where=where) as dut:
            running.stop()
            with pytest.raises(BenchLost):
                connected(running.address).places()
            assert not dut.usable
        running.restart()
        running.export("bench-a", {"pico-a": group(pico)})
        with api.running(deployment, where=where) as dut:
            assert right(dut)


@pytest.mark.parametrize(
    ("until", "story"),
    [("reset", ["flash: ", "reset: well again"]),
     ("power", ["flash: ", "reset: ", "flash again: ", "power cycle and flash: well again"])],
)  # fmt: skip
def test_troubles_that_end_in_recovery(  # noqa: PLR0917
    until: str, story: list[str], tmp_path: Path, pico: VirtualBoard, deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """By a reset through the debug wire's side, or by labgrid's driver for a power switch."""
    monkeypatch.setattr(recovery, "_ASK", 0.8)
    monkeypatch.setattr(recovery, "_TRIES", 2)
    with lab(tmp_path / "lab", {"pico-a": {"board": "rp2040"}}) as running, Switch(pico) as switch:
        running.export("bench-a", {"pico-a": group(pico) | switch.ports | switch.power})
        switch.silent_until = until
        with api.running(deployment, where=at(running)) as dut:
            assert right(dut)
            told = dut.station.recovery  # type: ignore[attr-defined]
            assert len(told) == len(story), told
            assert all(line.startswith(start) for line, start in zip(told, story, strict=True)), told


def test_a_board_that_does_not_recover_is_set_aside_until_it_is_released(
    tmp_path: Path, pico: VirtualBoard, deployment: Deployment, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(recovery, "_ASK", 0.3)
    monkeypatch.setattr(recovery, "_TRIES", 1)
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path / "state"))
    with lab(tmp_path / "lab", {"pico-a": {"board": "rp2040"}}) as running, Switch(pico) as switch:
        running.export("bench-a", {"pico-a": group(pico) | switch.ports})
        switch.silent_until = "never"
        where = at(running)
        for _ in range(2):
            with pytest.raises(BoardQuarantined, match=r"pico-a: set aside: .*flash: ") as caught:
                api.running(deployment, where=where).__enter__()
            assert caught.value.hint == f"hil lab release pico-a --bench {where.bench}"
            assert holder(running, "pico-a") is None
        # Whoever tests on another machine sees it too.
        monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path / "another"))
        with pytest.raises(BoardQuarantined, match=r"pico-a: set aside: \S+/\S+\.hil-.*: flash: "):
            api.running(deployment, where=where).__enter__()
        monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path / "state"))
        assert "hil lab release pico-a" in api.places(deployment.board, where)[0].health
        assert cli.main(["lab", "release", "pico-b", "--bench", where.bench]) == 2
        assert "no place 'pico-b'; there are: pico-a" in capsys.readouterr().err
        switch.silent_until = None
        assert cli.main(["lab", "release", "pico-a", "--bench", where.bench]) == 0
        assert capsys.readouterr().out == "pico-a: released\n"
        with api.running(deployment, where=where) as dut:
            assert right(dut)


SER2NET = shutil.which("ser2net") or shutil.which("ser2net", path="/usr/sbin")


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning:serial.rfc2217")
@pytest.mark.skipif(not SER2NET, reason="ser2net is not installed: apt-get install ser2net")
def test_port_and_probe_of_the_exporters_machine(
    tmp_path: Path, pico: VirtualBoard, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As boards of hardware are reached: the port through ser2net, by RFC 2217; the probe by pyOCD that runs there,
    through what ssh leads to, once the image has been copied there.
    """
    for name, value in (another_machine(tmp_path / "far") | {"HIL_STATE_DIR": str(tmp_path / "state")}).items():
        monkeypatch.setenv(name, value)
    usb = {"host": "127.0.0.1", "busnum": 1, "devnum": 2, "path": "1-1", "vendor_id": 0x2E8A, "model_id": 0x000C}
    tags = {"board": "rp2040", "probe": f"hil:{pico.debug_port}"}
    with lab(tmp_path / "lab", {"pico-a": tags}) as running, terminal(pico) as port:
        console: dict[str, object] = {"cls": "RawSerialPort", "port": port, "speed": 921600}
        running.export("bench-a", {"pico-a": {"usb": console, "probe": {"cls": "NetworkUSBDebugger", **usb}}})
        where = Where(at(running).bench, hardware=True)
        pico.probe.reset()
        with api.running(deployment, where=where) as dut:
            assert right(dut)
            assert dut.place.startswith("rp2040 pico-a at rfc2217://127.0.0.1:")
            assert dut.station.recovery == ()  # type: ignore[attr-defined]
            hands = dut.station._hands  # type: ignore[attr-defined]
            assert hands.ways == {"flash", "reset"}
            hands.reset()
        assert len(list((tmp_path / "far" / "cache").rglob("*.bin"))) == 1
        running.client("-p", "pico-a", "set-tags", "probe=hil:127.0.0.1:1")
        with pytest.raises(
            BoardQuarantined,
            match=r"flash: rp2040 at place pico-a .*: pyOCD there ended with status 1: .* at 127.0.0.1:1",
        ):
            api.running(deployment, where=where).__enter__()


# -- several boards ----------------------------------------------------------------------------------------------------


def test_workers_of_xdist_share_two_places(tmp_path: Path, pico: VirtualBoard) -> None:
    places = {name: {"board": "rp2040"} for name in ("pico-a", "pico-b")}
    with lab(tmp_path / "lab", places) as running, virtual.start("rp2040") as other:
        running.export("bench-a", {"pico-a": group(pico), "pico-b": group(other)})
        folder = tmp_path / "suite"
        done(suite(folder, running, "-n2", tests=MEETS), 0, "2 passed")
        assert {path.name for path in (folder / "places").iterdir()} == {"pico-a", "pico-b"}
        assert [holder(running, name) for name in places] == [None, None]


def test_a_split_deployment_runs_on_places_that_are_linked(tmp_path: Path, deployment: Deployment) -> None:
    tags = {"board": "rp2040", "link": "pair", "wire": "uart-3M"}
    places = {f"node-{n}": tags | {"node": str(n)} for n in range(2)}
    with ExitStack() as stack:
        running = stack.enter_context(lab(tmp_path / "lab", places))
        cluster = stack.enter_context(virtual.start_cluster([("rp2040", None)] * 2, wire("uart-3M")))
        running.export("bench-a", {name: group(board) for name, board in zip(places, cluster.boards, strict=True)})
        done(suite(tmp_path / "suite", running, "--hil-nodes=2", "--hil-link=uart-3M", tests=SPLIT), 0, "1 passed")
        assert [holder(running, name) for name in places] == [None, None]
        bench = api.bench_for(deployment.board, at(running))
        with pytest.raises(BoardMissing, match=r"no link by uart-115200 begins with rp2040, rp2040; .*: pair "):
            bench.start_cluster([("rp2040", deployment.image)] * 2, wire("uart-115200")).__enter__()


def test_a_wrong_place_to_look_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="is not HOST or HOST:PORT"):
        api.bench_for(api.boards.load("rp2040"), Where("labgrid:"))
