"""What pytest sessions leave in the history, by running pytest in pytest on fake boards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hil.record import History, Result, queries
from hil.record.queries import Run
from tests.support.fakes import tiny_model
from tests.unit.test_plugin import FAKES, ON, ROOT, _clean, properties, text  # noqa: F401 - a fixture of theirs

pytestmark = pytest.mark.usefixtures("_clean")
KEPT = (*ON, "--hil-history=h.sqlite")
LAB = """
for name, value in {
    "identity": property(lambda self: "serial A"), "name": "pico-a", "recovery": (), "passed_over": (),
    "diagnostics": lambda self: "assertion failed: heap",
}.items():
    _patch.setattr(fakes.FakeStation, name, value, raising=False)
"""
"""Fake boards that are a lab's."""


@pytest.fixture
def file(pytester: pytest.Pytester) -> Path:
    return pytester.path / "h.sqlite"


def the_run(file: Path) -> tuple[Run, dict[str, Result], History]:
    """The only run, and its tests by the names of their functions."""
    history = History.open(file)
    (run,) = queries.runs(history)
    found = queries.tests(history, run.id)
    assert len(found) == len({test.name for test in found})
    return run, {test.name.split("::")[1].split("[")[0]: test for test in found}, history


def test_a_session_is_a_run(pytester: pytest.Pytester, file: Path) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("""
        import pytest
        def test_a(profile): pass
        def test_b(profile): pass
        def test_c(dut):
            print("what the test printed")
            assert 1 == 2, "never"
        @pytest.mark.skip(reason="no time")
        def test_d(dut): pass
        def test_none_of_ours(): pass
    """)
    result = pytester.runpytest(*KEPT, "--junitxml=r.xml")
    run, tests, history = the_run(file)
    assert f"history: run {run.id} in {file}" in result.outlines
    assert (run.verdict, run.origin.bench) == ("fail", "rp2040 on the virtual bench, flashed by pyOCD")
    assert (
        run.origin.command
        == f"pytest {' '.join([*KEPT, '--junitxml=r.xml'])} --basetemp={pytester._test_tmproot}/basetemp-0"
        or run.origin.command.startswith("pytest --board=rp2040 ")
    )
    assert run.ended is not None
    assert run.ended >= run.origin.began
    (profile,) = queries.profiles(history, run.id)
    assert (profile.found.subject.model, profile.place) == ("tiny", "fake rp2040 at nowhere")
    assert {name: test.outcome for name, test in tests.items()} == {
        "test_a": "passed", "test_b": "passed", "test_c": "failed", "test_d": "skipped", "test_none_of_ours": "passed",
    }  # fmt: skip
    bad = tests["test_c"]
    assert (bad.cause, bad.model, bad.board, bad.place) == ("assertion", "tiny", "rp2040", "fake rp2040 at nowhere")
    assert bad.message.startswith("AssertionError: never\nassert 1 == 2")
    assert "what the test printed" in bad.log
    assert tests["test_d"].message == "no time"
    assert run.origin.began <= bad.at <= run.ended
    assert bad.seconds > 0
    found = properties(pytester.path / "r.xml")
    assert {name: p.get("hil.run") for name, p in found.items()} == {
        "test_a[tiny-rp2040-1core]": run.id, "test_b[tiny-rp2040-1core]": run.id, "test_c[tiny-rp2040-1core]": run.id,
        "test_d[tiny-rp2040-1core]": run.id, "test_none_of_ours": None,
    }  # fmt: skip


def test_a_session_without_failures_passes(pytester: pytest.Pytester, file: Path) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(profile): pass")
    pytester.runpytest(*KEPT, "-q").assert_outcomes(passed=1)
    assert the_run(file)[0].verdict == "pass"


@pytest.mark.parametrize("options", [ON[1:], (*ON, "--hil-no-history"), (*ON, "--collect-only"), (*ON, "--fixtures")])
def test_what_is_no_run_leaves_no_file(
    options: tuple[str, ...], pytester: pytest.Pytester, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIL_HISTORY", str(file))
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(dut): pass")
    pytester.runpytest(*options)
    assert not file.exists()
    pytester.runpytest(*ON)
    assert file.exists()


@pytest.mark.parametrize("option", [["--board=nope"], ["--hil-bench=absent"], ["--hil-cores=9"]])
def test_a_mistyped_command_is_no_run(option: list[str], pytester: pytest.Pytester, file: Path) -> None:
    pytester.runpytest(*KEPT, *option)
    assert not file.exists()


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_a_place_that_cannot_be_written_is_told_before_anything_runs(
    quiet: list[str], pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(dut): open('ran', 'w')")
    (pytester.path / "file").touch()
    result = pytester.runpytest(*ON, "--hil-history=file/h.sqlite", *quiet)
    assert result.ret == 4
    found = text(result)
    assert f"the history {pytester.path}/file/h.sqlite: " in found
    assert "next: " in found
    assert not (pytester.path / "ran").exists()


RAISES = """
    import pytest
    from hil import errors
    def test_a(dut): raise errors.{error}("it is so", hint="try this")
    def test_b(dut): pass
"""


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("LinkLost", "infrastructure"),
        ("ToolMissing", "infrastructure"),
        ("DeviceFault", "device"),
        ("PlanError", "refused"),
    ],
)
def test_whose_fault_it_was(error: str, cause: str, pytester: pytest.Pytester, file: Path) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile(RAISES.format(error=error))
    pytester.runpytest(*KEPT).assert_outcomes(passed=1, failed=1)
    _, tests, _ = the_run(file)
    assert tests["test_a"].cause == cause
    assert tests["test_a"].message == "it is so\n  next: try this"
    assert tests["test_b"].cause == ""


def test_a_refused_model_is_refused_in_each_of_its_tests(pytester: pytest.Pytester, file: Path) -> None:
    (pytester.path / "broken.tflite").write_bytes(tiny_model()[:-100])
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(profile): pass\ndef test_b(dut): pass")
    pytester.runpytest(*ON[:3], "--hil-model=broken.tflite", "--hil-history=h.sqlite").assert_outcomes(errors=2)
    _, tests, history = the_run(file)
    assert {test.cause for test in tests.values()} == {"refused"}
    assert all(test.message.startswith("broken-rp2040-1core: model broken: ") for test in tests.values())
    assert queries.profiles(history, queries.runs(history)[0].id) == ()


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("errors.LinkLost('gone')", "infrastructure"),
        ("errors.DeviceFault('HardFault at 0')", "device"),
        ("errors.WireFailed('not heard')", "well"),
        ("errors.ToolMissing('no zig')", "well"),
        ("AssertionError('wrong answer')", "well"),
    ],
)
def test_uses_of_a_labs_boards(error: str, outcome: str, pytester: pytest.Pytester, file: Path) -> None:
    """An assertion, a compiler, a wire: none of them speaks against the board."""
    pytester.makeconftest(FAKES + LAB)
    pytester.makepyfile(f"from hil import errors\ndef test_a(dut): raise {error}")
    pytester.runpytest(*KEPT).assert_outcomes(failed=1)
    run, tests, history = the_run(file)
    (usage,) = queries.usages_of(history, run.id)
    assert (usage.board, usage.name, usage.outcome) == ("serial A", "pico-a", outcome)
    assert queries.usages(history, "serial A") == (usage,)
    if outcome != "well":
        assert usage.what in error
        assert "the board said" in tests["test_a"].log
        assert "fake rp2040 at nowhere: assertion failed: heap" in tests["test_a"].log


def test_virtual_boards_that_start_on_demand_have_no_health(pytester: pytest.Pytester, file: Path) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(dut): pass")
    pytester.runpytest(*KEPT)
    run, _, history = the_run(file)
    assert queries.usages_of(history, run.id) == ()


def test_a_huge_log_with_control_characters_is_bounded(pytester: pytest.Pytester, file: Path) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("""
        def test_a(dut):
            print("\\x1b[31m\\0\\ud800<script>" + "x" * 10_000_000)
            raise AssertionError("y" * 1_000_000 + "\\ud800\\0")
    """)
    pytester.runpytest(*KEPT, "-p", "no:terminalreporter", "--show-capture=no")
    _, tests, _ = the_run(file)
    assert len(tests["test_a"].message) <= 4096
    assert len(tests["test_a"].log) <= 1 << 16
    assert "\0" not in tests["test_a"].log


def test_under_xdist_there_is_one_run(pytester: pytest.Pytester, file: Path) -> None:
    pytest.importorskip("xdist")
    (pytester.path / "other.tflite").write_bytes(tiny_model(width=3))
    pytester.makeconftest(FAKES + LAB)
    pytester.makepyfile("""
        from hil import errors
        def test_a(profile): pass
        def test_b(profile): pass
        def test_c(dut, hil_case): raise errors.LinkLost(hil_case.id)
    """)
    options = [*KEPT, "--hil-model=other.tflite", "-n2", "-p", "xdist", "--junitxml=r.xml"]
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=4, failed=2)
    history = History.open(file)
    (run,) = queries.runs(history)
    assert (run.verdict, run.ended is not None) == ("fail", True)
    found = {test.name.split("::")[1]: test for test in queries.tests(history, run.id)}
    assert len(found) == 6
    assert {found[f"test_c[{name}-rp2040-1core]"].cause for name in ("tiny", "other")} == {"infrastructure"}
    # Each worker measures what its tests ask for, so a model may be measured by both.
    assert {p.found.subject.model for p in queries.profiles(history, run.id)} == {"tiny", "other"}
    assert {usage.outcome for usage in queries.usages_of(history, run.id)} >= {"infrastructure"}
    assert {p["hil.run"] for p in properties(pytester.path / "r.xml").values()} == {run.id}


def test_a_worker_that_crashes_is_the_labs_fault(pytester: pytest.Pytester, file: Path) -> None:
    pytest.importorskip("xdist")
    pytester.makeconftest(FAKES)
    pytester.makepyfile("import os\ndef test_a(dut): os._exit(9)")
    pytester.runpytest_subprocess(*KEPT, "-n1", "-p", "xdist", "--max-worker-restart=0")
    _, tests, _ = the_run(file)
    assert tests["test_a"].cause == "infrastructure"
    assert "crashed" in tests["test_a"].message


BREAKS_LATER = """
import sqlite3
from hil.record import history
def broken(self, run, row, table):
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    with history.failing(self.file):
        raise error
history.History.add = broken
"""


@pytest.mark.parametrize("workers", [[], ["-n1", "-p", "xdist"]])
def test_what_cannot_be_written_any_more_fails_the_session(
    workers: list[str], pytester: pytest.Pytester, file: Path
) -> None:
    """Not the tests, which are well; and never in silence."""
    pytester.makeconftest(FAKES + LAB + BREAKS_LATER)
    pytester.makepyfile("def test_a(dut): pass")
    result = pytester.runpytest_subprocess(*KEPT, *workers)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    found = text(result)
    assert "this run is not all in the history: the history " in found
    assert "database or disk is full" in found
    assert "next: df -h" in found


def test_a_killed_session_stays_without_an_end(pytester: pytest.Pytester, file: Path) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("""
        import pathlib, time
        def test_a(profile): pass
        def test_b(dut):
            pathlib.Path("there").touch()
            time.sleep(600)
    """)
    running = subprocess.Popen([sys.executable, "-m", "pytest", *KEPT], cwd=pytester.path, stdout=subprocess.DEVNULL)
    while not (pytester.path / "there").exists():
        assert running.poll() is None
        time.sleep(0.1)
    os.kill(running.pid, signal.SIGKILL)
    running.wait(60)
    run, tests, history = the_run(file)
    assert (run.ended, run.verdict) == (None, None)
    assert tests.keys() == {"test_a"}
    assert len(queries.profiles(history, run.id)) == 1


def test_the_revision_is_that_of_the_tests(pytester: pytest.Pytester, file: Path) -> None:
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(dut): pass")
    pytester.makeini("[pytest]")
    for words in (["init", "-q", "-b", "trunk"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], cwd=pytester.path, check=True)
    want = subprocess.run([*git, "rev-parse", "HEAD"], cwd=pytester.path, check=True, capture_output=True, text=True)
    pytester.runpytest(*KEPT)
    run, _, _ = the_run(file)
    assert (run.origin.revision, run.origin.branch, run.origin.dirty) == (want.stdout.strip(), "trunk", False)
    assert (
        run.origin.revision
        != subprocess.run(
            [*git, "rev-parse", "HEAD"], cwd=ROOT, check=False, capture_output=True, text=True
        ).stdout.strip()
    )
