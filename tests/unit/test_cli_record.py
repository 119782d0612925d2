"""`hil record`, and what `hil profile` and `hil test` keep."""

from __future__ import annotations

import io
import json
import os
import platform
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hil import api, cli
from hil.errors import BoardMissing, DeviceFault, HilError, MalformedModel, StateFailed
from hil.record import History, Result, Usage, queries
from tests.support import fakes
from tests.support.fakes import FakeDut
from tests.support.records import profile
from tests.unit.test_history import origin

WORDS = ("list", "show", "boards", "export", "import", "prune")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths of tests are long, and must not be cut into lines."""
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture
def boards(monkeypatch: pytest.MonkeyPatch) -> list[FakeDut]:
    return fakes.install(monkeypatch)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The history of this test, which the command finds by itself."""
    path = tmp_path / "h.sqlite"
    monkeypatch.setenv("HIL_HISTORY", str(path))
    return path


@pytest.fixture
def three(file: Path) -> Path:
    """Three runs: one that passed, one with failures, one that was killed on another machine."""
    with History.open(file) as history:
        for number, verdict in enumerate(["pass", "fail", None]):
            run = history.begin(origin(number, branch="main" if number else "side", host="elsewhere"))
            run.profiled(profile(latency=1000.0 + number), place="pico-a", at=1000.5)
            run.tested(Result("t.py::test_a", "passed", at=1001.0))
            if verdict == "fail":
                run.tested(
                    Result(
                        "t.py::test_b",
                        "failed",
                        "infrastructure",
                        1.0,
                        message="\x1b[31mgone",
                        log="\x1b[2Jboard: no",
                        at=1001.0,
                    )
                )
                run.used(Usage("serial A", "pico-a", "infrastructure", "gone", at=1001.0))
            if verdict:
                run.verdict(verdict)  # type: ignore[arg-type]
                run.end(1010.0)
    return file


def run(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    status = cli.main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def the_run(file: Path) -> tuple[queries.Run, tuple[Result, ...]]:
    with History.open(file, make=False) as history:
        (found,) = queries.runs(history)
        return found, queries.tests(history, found.id)


# -- what other commands keep ------------------------------------------------------------------------------------------


def test_a_profile_is_a_run(tiny: Path, boards: list[FakeDut], file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "profile", tiny, "--board", "rp2040", "--seed", "3")
    found, (test,) = the_run(file)
    assert status == 0
    assert f"history: run {found.id} in {file}" in out
    assert (found.verdict, found.origin.bench) == ("pass", "rp2040 on the virtual bench, flashed by pyOCD")
    assert found.origin.command == f"hil profile {tiny} --board rp2040 --seed 3"
    assert (test.name, test.outcome, test.model, test.board) == (f"hil profile {tiny}", "passed", "tiny", "rp2040")
    assert test.place == "fake rp2040 at nowhere"
    with History.open(file) as history:
        (kept,) = queries.profiles(history, found.id)
    assert kept.place == "fake rp2040 at nowhere"


@pytest.mark.usefixtures("boards")
@pytest.mark.parametrize(
    ("error", "cause"),
    [(BoardMissing("no board", hint="plug it in"), "infrastructure"), (DeviceFault("HardFault"), "device")],
)
def test_a_profile_that_fails_says_whose_fault_it_was(
    error: HilError, cause: str, tiny: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(api, "profile_on", fails)
    assert cli.main(["profile", str(tiny), "--board", "rp2040"]) == error.exit_status
    found, (test,) = the_run(file)
    assert found.verdict == "fail"
    assert (test.outcome, test.cause, test.message) == ("failed", cause, str(error))


def test_a_refused_model_is_kept_and_a_mistyped_command_is_not(
    tmp_path: Path, tiny: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"\0" * 99)
    assert run(capsys, "profile", broken, "--board", "rp2040")[0] == MalformedModel.exit_status
    assert run(capsys, "profile", tiny, "--board", "pico")[0] == 2
    assert run(capsys, "profile", tmp_path / "absent.tflite", "--board", "rp2040")[0] in {2, 3}
    with History.open(file) as history:
        assert {test.cause for r in queries.runs(history) for test in queries.tests(history, r.id)} == {"refused"}
        assert not any("pico" in r.origin.command.split() for r in queries.runs(history))


def test_nothing_is_kept_where_that_is_asked_for(
    tiny: Path, boards: list[FakeDut], file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, "profile", tiny, "--board", "rp2040", "--no-history")[0] == 0
    called: list[str] = []
    monkeypatch.setattr(pytest, "main", lambda words: called.extend(words) or 0)
    assert run(capsys, "test", "--board", "rp2040", "--no-history")[0] == 0
    assert "--hil-no-history" in called
    assert not file.exists()


def test_where_it_is_kept_reaches_pytest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(pytest, "main", lambda words: called.extend(words) or 0)
    assert run(capsys, "test", "--board", "rp2040", "--history", tmp_path / "mine")[0] == 0
    assert f"--hil-history={tmp_path}/mine" in called


@pytest.mark.parametrize("words", [["profile", "MODEL"], ["test"]])
def test_a_place_that_cannot_be_written_is_told_first(
    words: list[str], tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(api, "profile", never)
    monkeypatch.setattr(pytest, "main", never)
    (tmp_path / "file").touch()
    argv = [str(tiny) if word == "MODEL" else word for word in words]
    status, _, err = run(capsys, *argv, "--board", "rp2040", "--history", tmp_path / "file" / "h.sqlite")
    assert status == 4
    assert f"the history {tmp_path}/file/h.sqlite: " in err
    assert "next: ls -ld" in err


def test_a_profile_that_is_interrupted_has_an_end(
    tiny: Path, boards: list[FakeDut], file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "profile_on", interrupted)
    assert run(capsys, "profile", tiny, "--board", "rp2040")[0] == 130
    assert the_run(file)[0].verdict == "fail"


def test_a_measurement_is_told_even_if_it_can_no_longer_be_kept(
    tiny: Path, boards: list[FakeDut], file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took minutes; and nobody is to think that it is in the history."""

    def full(*_: object, **__: object) -> None:
        raise StateFailed("the history h: database or disk is full", hint="df -h")

    monkeypatch.setattr(History, "add_profile", full)
    status, out, err = run(capsys, "profile", tiny, "--board", "rp2040", "--json", "-")
    assert status == 4
    assert json.loads(out)["verdict"] == "pass"
    assert err == "hil: this run is not all kept: the history h: database or disk is full\n  next: df -h\n"
    assert the_run(file)[0].verdict == "fail"


# -- hil record --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["", *WORDS])
def test_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["record", *filter(None, [word])]
    with pytest.raises(SystemExit) as caught:
        cli.main([*words, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: hil {' '.join(words)} ")


@pytest.mark.parametrize("word", ["list", "show", "boards", "export", "prune"])
def test_reading_where_there_is_none(word: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--older-than", "1"] if word == "prune" else []
    status, out, err = run(capsys, "record", word, *more)
    assert (status, out) == (2, "")
    assert f"there is no history at {file}\n  next: " in err
    assert not file.exists()


def test_list(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "record", "list", "--json", "-")
    record = json.loads(out)
    assert (status, record["schema"], record["file"]) == (0, "hil.record.list/1", str(three))
    rows = [(r["id"], r["standing"], r["profiles"], r["tests"], r["failed"]) for r in record["runs"]]
    assert rows == [("run-0002", "no end", 1, 1, 0), ("run-0001", "fail", 1, 2, 1), ("run-0000", "pass", 1, 1, 0)]
    lines = run(capsys, "record", "list")[1].splitlines()
    assert [line.split()[0] for line in lines if line.startswith("run-")] == ["run-0002", "run-0001", "run-0000"]
    out = run(capsys, "record", "list", "--branch", "side", "--most", "1", "--json", "-")[1]
    assert [r["id"] for r in json.loads(out)["runs"]] == ["run-0000"]


def test_ids_are_not_cut_on_a_narrow_terminal(file: Path) -> None:
    with History.open(file) as history:
        history.begin(origin(id="20261128-131822-01234567", bench="a bench with a rather long name, /etc/hil/lab.toml"))
    code = "import sys; from hil.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "record", "list"], env=os.environ | {"COLUMNS": "80"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "20261128-131822-01234567" in done.stdout


def test_a_run_of_this_machine_that_goes_on_runs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with History.open(file) as history:
        history.begin(origin(0, host=platform.node(), pid=os.getpid()))
        history.begin(origin(1, host=platform.node(), pid=2**22 + 1))  # above what Linux gives to processes
    runs = json.loads(run(capsys, "record", "list", "--json", "-")[1])["runs"]
    assert {r["id"]: r["standing"] for r in runs} == {"run-0000": "running", "run-0001": "no end"}


def test_show(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "record", "show", "run-0001")
    assert status == 0
    for words in (
        "run-0001", "fail", "1970-01-01 00:16:41 UTC, 9.00 s", "main rrrrrrrrrr", "kws on rp2040, virtual", "1.0 ms",
        "4.3 KiB", "2 tests: 1 failed, 0 skipped", "t.py::test_b", "infrastructure", "pico-a",
    ):  # fmt: skip
        assert words in out
    assert "\x1b[31mgone" not in out, "what a device says does nothing to the terminal"
    assert "board: no" not in out
    out = run(capsys, "record", "show", "run-0001", "--logs")[1]
    assert "\N{REPLACEMENT CHARACTER}[2Jboard: no" in out
    record = json.loads(run(capsys, "record", "show", "last~1", "--json", "-")[1])
    assert (record["schema"], record["run"]["id"]) == ("hil.run/1", "run-0001")
    assert json.loads(run(capsys, "record", "show", "--json", "-")[1])["run"]["id"] == "run-0002"
    status, _, err = run(capsys, "record", "show", "nope")
    assert status == 2
    assert "no run that begin" in err
    assert "next: hil record list" in err


def test_export_and_import(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = run(capsys, "record", "export")[1]
    assert [json.loads(line)["run"]["id"] for line in out.splitlines()] == ["run-0000", "run-0001", "run-0002"]
    some = tmp_path / "some.jsonl"
    assert run(capsys, "record", "export", "last", "run-0000", "--output", some)[0] == 0
    assert [json.loads(line)["run"]["id"] for line in some.read_text().splitlines()] == ["run-0002", "run-0000"]
    other = tmp_path / "other.sqlite"
    text = run(capsys, "record", "import", some, "--history", other)[1]
    assert text.splitlines()[0] == f"{some}: 2 new, 0 known"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(out.encode())))
    record = json.loads(run(capsys, "record", "import", "-", "--history", other, "--json", "-")[1])
    assert record["files"] == [{"file": "-", "new": 1, "known": 2}]
    assert run(capsys, "record", "export", "--history", other)[1] == out


def test_a_profile_is_imported_with_the_time_of_its_file(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(profile(), indent=2))
    os.utime(path, (86400, 86400))
    assert run(capsys, "record", "import", path, path)[0] == 0
    found, _ = the_run(file)
    assert found.origin.began == 86400.0


@pytest.mark.parametrize("word", ["export --output DIR", "import DIR", "import absent"])
def test_files_that_cannot_be_used(word: str, three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(tmp_path) if part == "DIR" else part for part in word.split()]
    status, _, err = run(capsys, "record", *words)
    assert status == 2
    assert "cannot " in err


def test_a_hostile_file_is_refused_by_name_and_line(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('\n{"schema": "hil.run/1", "run": "\\u001b[2J"}\n')
    status, _, err = run(capsys, "record", "import", path)
    assert status == 2
    assert f"{path}: line 2 is neither a hil.run/1 nor a hil.profile/1" in err
    assert "next: hil record export and hil profile --json make such files" in err
    assert "\x1b[2J" not in err


def test_prune(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def left() -> list[str]:
        return [r["id"] for r in json.loads(run(capsys, "record", "list", "--json", "-")[1])["runs"]]

    with History.open(three) as history:
        history.begin(origin(9, began=time.time(), branch="main"))
    assert "0 runs forgotten" in run(capsys, "record", "prune", "--older-than", "30000")[1]
    record = json.loads(run(capsys, "record", "prune", "--older-than", "1", "--dry-run", "--json", "-")[1])
    assert record["runs"] == ["run-0000", "run-0001", "run-0002"]
    assert len(left()) == 4
    assert run(capsys, "record", "prune", "--older-than", "1", "--keep", "2")[1].splitlines()[0] == "run-0001"
    assert left() == ["run-0009", "run-0002", "run-0000"]
    before = three.stat().st_size
    assert run(capsys, "record", "prune", "--older-than", "1")[0] == 0
    assert left() == ["run-0009"]
    assert three.stat().st_size <= before
    assert sqlite3.connect(three).execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("words", [["prune"], ["prune", "--older-than", "-1"], ["list", "--most", "0"], ["import"], []])
def test_wrong_words(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["record", *words])
    assert caught.value.code == 2
