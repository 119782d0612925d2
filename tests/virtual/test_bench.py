"""The bench of this machine, with virtual boards on desks in place of hardware: leases, recovery, quarantine."""

from __future__ import annotations

import getpass
import json
import os
import re
import shlex
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hil import api, cli, virtual
from hil.bench import Where, recovery
from hil.bench.state import State
from hil.deployment import Deployment
from hil.dut import Dut
from hil.errors import BoardBusy, BoardMissing, BoardQuarantined, FlashFailed, UsageError
from hil.model import inputs as input_sets
from hil.model.reference import reference
from hil.paths import ZOO
from hil.record import History, queries
from hil.virtual.desk import Desk, Mended, Trouble
from tests.support.desks import control, desks, lab_of
from tests.support.fakes import tiny_model

ROOT = ZOO.parent


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up sooner on boards that are silent for good."""
    monkeypatch.setattr(recovery, "_ASK", 0.8)
    monkeypatch.setattr(recovery, "_TRIES", 2)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    path = tmp_path_factory.mktemp("model") / "tiny.tflite"
    path.write_bytes(tiny_model())
    return api.prepare(path, api.Request("rp2040"))


@pytest.fixture
def pico() -> Iterator[Desk]:
    with desks(["rp2040"]) as (one,):
        yield one


@pytest.fixture
def lab(tmp_path: Path, pico: Desk) -> Path:
    return lab_of(tmp_path, ["rp2040"], [pico])


def right(dut: Dut) -> bool:
    """Whether it computes what the reference does."""
    values = input_sets.generate(dut.deployment.graph, 2, 0)
    want = reference(dut.deployment.graph, values, limit=60).outputs
    return all(np.array_equal(dut.infer(v).outputs[0], w[0]) for v, w in zip(values, want, strict=True))


def test_a_board_of_the_lab_is_flashed_measured_and_freed(
    lab: Path, deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = Where(str(lab))
    bench = api.bench_for(deployment.board, where)
    assert (bench.source, bench.title) == ("virtual", f"virtual bench, {lab}")
    with api.running(deployment, where=where) as dut:
        assert right(dut)
        assert dut.usable
        assert dut.place.startswith("virtual rp2040 a at socket://")
        (place, _) = api.places(deployment.board, where)
        assert place.held_by is not None
        assert f"process {os.getpid()}" in place.held_by
    assert api.places(deployment.board, where)[0].held_by is None
    model = tmp_path / "tiny.tflite"
    model.write_bytes(tiny_model())
    argv = ["profile", str(model), "--board", "rp2040", "--json", "-", "--inputs", "1"]
    assert cli.main([*argv, "--bench", str(lab)]) == 0
    through_the_lab = json.loads(capsys.readouterr().out)
    assert cli.main([*argv, "--bench", "virtual"]) == 0
    assert json.loads(capsys.readouterr().out) == through_the_lab, "the same board, by its own counted time"


@pytest.mark.parametrize(
    ("trouble", "story"),
    [
        (("noise", "never", 1), []),
        (("silent", "reset", 1), ["flash: ", "reset: well again"]),
        (("boot-loop", "flash", 2), ["flash: ", "reset: ", "flash again: well again"]),
        (("boot-loop", "power", 1), ["flash: ", "reset: ", "flash again: ", "power cycle and flash: well again"]),
        (("flash-fails", "flash", 1), ["flash: ", "flash again: well again"]),
        (("busy", "flash", 1), ["flash: ", "flash again: well again"]),
        (("unplugged", "power", 1), ["look: ", "power cycle: ", "flash: well again"]),
    ],
)
@pytest.mark.usefixtures("hurry")
def test_troubles_that_end_in_recovery(
    trouble: tuple[Trouble, Mended, int], story: list[str], lab: Path, pico: Desk, deployment: Deployment
) -> None:
    """The first step that helps is the last one taken; the board then computes what it should."""
    with control(pico) as hands:
        port = hands.state().console
        hands.trouble(*trouble)
    with api.running(deployment, where=Where(str(lab))) as dut:
        assert right(dut)
        told = dut.station.recovery  # type: ignore[attr-defined]
        assert len(told) == len(story), told
        assert all(line.startswith(start) for line, start in zip(told, story, strict=True)), told
        if trouble[0] == "unplugged":
            assert dut.station.url.rpartition(":")[2] != str(port), "it came back under another name"


@pytest.mark.parametrize("what", ["silent", "flash-fails"])
@pytest.mark.usefixtures("hurry")
def test_a_board_that_does_not_recover_is_set_aside_until_it_is_released(
    what: Trouble, lab: Path, pico: Desk, deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    where = Where(str(lab))
    with control(pico) as hands:
        hands.trouble(what)
    for _ in range(2):
        with pytest.raises(BoardQuarantined) as caught, api.running(deployment, where=where):
            raise AssertionError("it does not run")
        assert caught.value.hint == "hil lab release a"
        assert "every rp2040 of" in caught.value.message
        assert "a: flash: " in caught.value.message
    assert "hil lab release a" in api.places(deployment.board, where)[0].health
    assert cli.main(["lab", "check", "--bench", str(lab)]) == 4
    assert "set aside" in capsys.readouterr().out
    with control(pico) as hands:
        hands.trouble(what, "power")  # the person who came
        hands.power(on=False)
        hands.power(on=True)
    assert cli.main(["lab", "release", "a", "--bench", str(lab)]) == 0
    assert capsys.readouterr().out == "a: released\n"
    with api.running(deployment, where=where) as dut:
        assert right(dut)
    assert cli.main(["lab", "check", "--bench", str(lab)]) == 0


@pytest.mark.usefixtures("hurry")
def test_the_other_board_is_taken_where_one_does_not_recover(tmp_path: Path, deployment: Deployment) -> None:
    with desks(["rp2040", "rp2040"]) as (a, b):
        where = Where(str(lab_of(tmp_path, ["rp2040", "rp2040"], [a, b])))
        with control(a) as hands:
            hands.trouble("flash-fails")
        with api.running(deployment, where=where) as dut:
            assert dut.place.startswith("virtual rp2040 b at ")
        with control(b) as hands:
            hands.trouble("silent")
        # A second board that dies of the same image says more of the image than of the board.
        with pytest.raises(BoardMissing, match=r"a was set aside with the same image: suspect the image"):
            api.running(deployment, where=where).__enter__()
        assert State(tmp_path / "state").quarantined(f"virtual {b.address[0]}:{b.address[1]}") is None


@pytest.mark.usefixtures("hurry")
def test_a_board_of_hardware_by_the_commands_of_its_lab_file(
    tmp_path: Path, pico: Desk, deployment: Deployment
) -> None:
    """The same path as for real boards: a console by URL, and programs that flash, reset and switch."""
    with control(pico) as hands:
        port = hands.state().console
        hands.trouble("boot-loop", "power")

    def command(what: str, *more: str) -> str:
        text = (
            f"import sys; from pathlib import Path; from hil.virtual.desk import Control; Control{pico.address}.{what}"
        )
        return json.dumps(shlex.join([sys.executable, "-c", text]) + "".join(more))

    lab = tmp_path / "lab.toml"
    lab.write_text(f"""
        schema = 1
        state = "{tmp_path / "state"}"
        [board.a]
        kind = "rp2040"
        port = "socket://127.0.0.1:{port}"
        flash = {{ command = {command("flash(Path(sys.argv[1]))", " {elf}")} }}
        power = {{ on = {command("power(on=True)")}, off = {command("power(on=False)")}, settle = 0 }}
    """)
    bench = api.bench_for(deployment.board, Where(str(lab)))
    assert bench.source == "hardware"
    with api.running(deployment, where=Where(str(lab), hardware=True)) as dut:
        assert right(dut)
        assert dut.place == f"rp2040 a at socket://127.0.0.1:{port}"
        told = dut.station.recovery  # type: ignore[attr-defined]
        assert [line.split(":")[0] for line in told] == ["flash", "flash again", "power cycle and flash"]


def test_a_lab_flashes_by_pyocd(tmp_path: Path, deployment: Deployment) -> None:
    """Unmodified pyOCD, onto a virtual board that runs with an erased flash."""
    with virtual.start("rp2040") as machine:
        (tmp_path / "lab.toml").write_text(f"""
            schema = 1
            state = "{tmp_path / "state"}"
            [board.a]
            kind = "rp2040"
            port = "{machine.uart0_url}"
            probe = "hil:{machine.debug_port}"
            flash = {{ tool = "pyocd" }}
        """)
        with api.running(deployment, where=Where(str(tmp_path / "lab.toml"))) as dut:
            assert right(dut)
            assert dut.station.recovery == ()  # type: ignore[attr-defined]


def test_another_kind_of_board_is_never_flashed(tmp_path: Path, deployment: Deployment) -> None:
    with desks(["rp2350"]) as (one,):
        where = Where(str(lab_of(tmp_path, ["rp2040"], [one])))
        model = tmp_path / "tiny.tflite"
        model.write_bytes(tiny_model())
        other = api.prepare(model, api.Request("rp2350"))
        with control(one) as hands:
            hands.flash(other.image.elf)
        with pytest.raises(FlashFailed, match=r"a: a 'rp2350' answers at socket://.* where the bench has a 'rp2040'"):
            api.running(deployment, where=where).__enter__()
        with control(one) as hands:
            assert hands.state().runs, "it still runs what it ran"


def test_a_desk_that_is_gone_is_a_missing_board(tmp_path: Path, deployment: Deployment) -> None:
    with desks(["rp2040"]) as found:
        where = Where(str(lab_of(tmp_path, ["rp2040"], found)))
        with api.running(deployment, where=where) as dut:
            found[0].__exit__()
            assert not dut.usable
    with pytest.raises(BoardMissing, match=r"^a: "):
        api.running(deployment, where=where).__enter__()


def test_a_second_user_waits_and_is_told_for_whom(lab: Path, deployment: Deployment) -> None:
    lab.write_text(lab.read_text().replace("wait = 300", "wait = 0"))
    where = Where(str(lab))
    with api.running(deployment, where=where), pytest.raises(BoardBusy, match=f"held by .*process {os.getpid()}"):
        api.running(deployment, where=where).__enter__()


# -- pytest ------------------------------------------------------------------------------------------------------------

USER_TEST = """
import numpy as np, pytest

@pytest.mark.parametrize("n", range(4))
def test_answer(n, dut, model_inputs, reference, record_property):
    record_property("place", dut.place)
    for values, want in zip(model_inputs, reference.outputs):
        assert np.array_equal(dut.infer(values).outputs[0], want[0])
"""


# Each holds its board until somebody has the other one.
MEETING = """
import time, pathlib, pytest

@pytest.mark.parametrize("n", range(4))
def test_meets(n, dut):
    here = pathlib.Path("places")
    here.mkdir(exist_ok=True)
    (here / dut.place.split()[2]).touch()
    late = time.monotonic() + 60
    while len(list(here.iterdir())) < 2:
        assert time.monotonic() < late, "nobody took the other board"
    dut.memory()
"""


def suite(folder: Path, lab: Path, *more: str, tests: str = USER_TEST) -> subprocess.Popen[str]:
    """pytest as a user starts it, on a lab."""
    (folder / "test_mine.py").write_text(tests)
    (folder / "tiny.tflite").write_bytes(tiny_model())
    words = ["--board=rp2040", "--hil-no-zoo", "--hil-model=tiny.tflite", f"--hil-bench={lab}", "test_mine.py", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--rootdir={folder}", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"COLUMNS": "120", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_two_runs_on_one_board_finish_one_after_the_other(tmp_path: Path, lab: Path) -> None:
    runs = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        runs.append(suite(tmp_path / name, lab))
    for run in runs:
        text, _ = run.communicate(timeout=240)
        assert run.returncode == 0, text
        assert "4 passed" in text
        assert f"rp2040 on the virtual bench, {lab}" in text


def test_workers_of_xdist_share_two_boards(tmp_path: Path) -> None:
    with desks(["rp2040", "rp2040"]) as found:
        lab = lab_of(tmp_path, ["rp2040", "rp2040"], found)
        run = suite(tmp_path, lab, "-n4", "--hil-history=h.sqlite", tests=MEETING)
        text, _ = run.communicate(timeout=240)
        assert run.returncode == 0, text
        assert "4 passed" in text
        assert {path.name for path in (tmp_path / "places").iterdir()} == {"a", "b"}
        with History.open(tmp_path / "h.sqlite") as history:
            (kept,) = queries.runs(history)
            assert {(use.name, use.outcome) for use in queries.usages_of(history, kept.id)} == {
                ("a", "well"),
                ("b", "well"),
            }
            assert set(queries.used_boards(history)) == {f"virtual {one.address[0]}:{one.address[1]}" for one in found}


def test_what_it_took_to_recover_is_in_the_report(tmp_path: Path, lab: Path, pico: Desk) -> None:
    with control(pico) as hands:
        hands.trouble("flash-fails", "flash")
    run = suite(tmp_path, lab, "-p", "no:xdist", "--junitxml=out.xml", "--hil-history=h.sqlite")
    text, _ = run.communicate(timeout=240)
    assert run.returncode == 0, text
    assert "recovered: virtual rp2040 a at socket://" in text
    assert re.search(r"pyOCD: the debug port at 127.0.0.1:\d+ is gone: ", " ".join(text.split()))
    assert 'name="hil.recovery"' in (tmp_path / "out.xml").read_text()
    with History.open(tmp_path / "h.sqlite") as history:
        (kept,) = queries.runs(history)
        assert kept.verdict == "pass"
        (use,) = queries.usages_of(history, kept.id)
        assert (use.board, use.name) == (f"virtual {pico.address[0]}:{pico.address[1]}", "a")
        assert use.outcome == "infrastructure", "tests were well, and the board was not"
        assert re.search(r"pyOCD: the debug port at 127.0.0.1:\d+ is gone: ", use.what)


# The first lets somebody pull the plug while it holds the board.
PULLED = """
import pathlib, time

def test_pulled(dut, model_inputs):
    dut.infer(model_inputs[0])
    pathlib.Path("holds").touch()
    late = time.monotonic() + 60
    while not pathlib.Path("go").exists():
        assert time.monotonic() < late
        time.sleep(0.02)
    dut.infer(model_inputs[0])

def test_after(dut, model_inputs, record_property):
    record_property("place", dut.place)
    dut.infer(model_inputs[0])
"""


def test_a_port_that_vanishes_in_mid_run_and_returns_as_another(tmp_path: Path, lab: Path, pico: Desk) -> None:
    """One test fails, with board, port and next command; the one after it finds the board again."""
    with control(pico) as hands:
        run = suite(tmp_path, lab, "-p", "no:xdist", "--junitxml=out.xml", tests=PULLED)
        late = time.monotonic() + 120
        while not (tmp_path / "holds").exists():
            assert time.monotonic() < late
            time.sleep(0.02)
        before = hands.state().console
        hands.trouble("unplugged", "power")
        (tmp_path / "go").touch()
        text, _ = run.communicate(timeout=240)
    assert run.returncode == 1, text
    assert "1 failed, 1 passed" in text
    assert f"virtual rp2040 a at socket://127.0.0.1:{before}: the other end closed the connection" in text
    assert "a: its port is gone; is it plugged in?" in text
    assert "next: hil boards" in text
    (place,) = [p.get("value") for p in ET.parse(tmp_path / "out.xml").iter("property") if p.get("name") == "place"]
    assert place is not None
    assert place.startswith("virtual rp2040 a at socket://127.0.0.1:")
    assert not place.endswith(f":{before}"), "it came back under another name"
    assert "power cycle: it is there again" in text


def test_a_board_that_others_hold_is_waited_for_once(tmp_path: Path, lab: Path, pico: Desk) -> None:
    lab.write_text(lab.read_text().replace("wait = 300", "wait = 2"))
    handle = State(tmp_path / "state").try_lease(f"virtual {pico.address[0]}:{pico.address[1]}", "rp2040")
    assert handle is not None
    run = suite(tmp_path, lab, "--junitxml=out.xml", "-p", "no:xdist")
    text, _ = run.communicate(timeout=240)
    os.close(handle)
    assert run.returncode == 1, text
    assert f"held by {getpass.getuser()}, process {os.getpid()}" in text.replace("\n", " ")
    times = [float(case.attrib["time"]) for case in ET.parse(tmp_path / "out.xml").iter("testcase")]
    assert len(times) == 4
    assert sum(seconds >= 2 for seconds in times) == 1


def test_hardware_can_be_required(tmp_path: Path, lab: Path) -> None:
    run = suite(tmp_path, lab, "--hil-require-hardware")
    text, _ = run.communicate(timeout=240)
    assert run.returncode == 1, text
    assert "4 errors" in text
    assert "--hil-require-hardware takes no virtual one" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "neither auto nor virtual, nor a lab file"), ("schema = 3", "lab.toml: schema: expected a whole number")],
)
def test_a_wrong_lab_file_is_a_usage_error(content: str | None, message: str, tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    if content is not None:
        lab.write_text(content)
    run = suite(tmp_path, lab)
    text, _ = run.communicate(timeout=240)
    assert run.returncode == 4, text
    assert message in text
    assert "Traceback" not in text


# -- the desk itself ---------------------------------------------------------------------------------------------------


def test_a_desk_refuses_what_it_cannot_do_and_goes_on(pico: Desk, tmp_path: Path, deployment: Deployment) -> None:
    with control(pico) as hands:
        with pytest.raises(UsageError, match="absent"):
            hands.flash(tmp_path / "absent.elf")
        with pytest.raises(UsageError, match="the board does not run"):
            hands.clock_ns()
        for request in ({"op": "dance"}, {"op": "flash"}, {"op": "fault", "what": "x", "until": "y", "times": 1}):
            with pytest.raises(UsageError, match="unknown request"):
                hands._ask(request)
        hands.flash(deployment.image.elf)
        assert hands.state().runs
        hands.power(on=False)
        assert not hands.state().runs
        hands.power(on=True)
        assert hands.state().runs
        assert hands.clock_ns() >= 0
