"""Baselines in pytest sessions, by running pytest in pytest on fake boards whose cycles a variable says."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from hil.record import History, queries
from tests.unit.test_plugin import FAKES, ON, _clean, properties, text  # noqa: F401 - a fixture of theirs

pytestmark = pytest.mark.usefixtures("_clean", "_slowable")
SLOWABLE = """
import os
from tests.support.fakes import FakeDut

_init = FakeDut.__init__

def _slower(self, *args, **more):
    _init(self, *args, **more)
    self.cycles = int(os.environ.get("CYCLES", "5000"))
    self.us = self.cycles // 125

_patch.setattr(FakeDut, "__init__", _slower)
"""
SUITE = """
from hil.suite.test_regression import test_regression, test_split_regression

def test_measured(profile): pass
"""
RUN = (*ON, "--hil-history=h.sqlite", "-p", "no:cacheprovider")


@pytest.fixture
def _slowable(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FAKES + SLOWABLE)
    pytester.makepyfile(test_it=SUITE)


@pytest.fixture
def written(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The baseline of a board that takes 5000 cycles."""
    monkeypatch.setenv("CYCLES", "5000")
    result = pytester.runpytest(*RUN, "--hil-update-baseline")
    assert result.ret == 0
    return pytester.path / "baselines" / "rp2040.json"


def cycles(file: Path) -> float:
    (subject,) = json.loads(file.read_text())["subjects"]
    value: float = subject["measurements"]["latency_cycles"]["value"]
    return value


def test_without_a_baseline_one_skip_says_what_to_type(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest(*RUN, "-rs")
    result.assert_outcomes(passed=1, skipped=2)
    assert "no baseline: there is no folder baselines; --hil-update-baseline makes it" in text(result)
    assert "since" not in text(result)


def test_update_tells_what_is_new_and_then_that_nothing_changed(pytester: pytest.Pytester, written: Path) -> None:
    before = written.read_bytes()
    result = pytester.runpytest(*RUN, "--hil-update-baseline")
    assert "baselines: 0 of 1 deployments changed" in result.outlines
    assert written.read_bytes() == before


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["", "xdist"])
def test_a_regression_fails_and_is_told_everywhere(
    workers: list[str], pytester: pytest.Pytester, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYCLES", "5300")
    result = pytester.runpytest(*RUN, "--junitxml=r.xml", *workers)
    result.assert_outcomes(passed=1, failed=1, skipped=1)
    said = text(result)
    with History.open(pytester.path / "h.sqlite") as history:
        run = queries.run_named(history, "last").id
    line = f"latency_cycles worse: 5000 cycles -> 5300 cycles, +6 % (counted), since run {run}"
    assert "tiny on rp2040, virtual, since baselines:" in said
    assert line in said
    table = result.outlines[result.outlines.index("since baselines:") :]
    assert table[1].split() == ["model", "on", "measurement", "was", "is", "change"]
    assert table[3].split() == ["tiny", "rp2040", "latency_cycles", "5000", "5300", "+6", "%", "worse"]
    assert table[4].split() == ["tiny", "rp2040", "latency,", "us", "40", "42", "+5", "%", "worse"]
    assert all(len(line) <= 80 for line in table)
    known = properties(pytester.path / "r.xml")["test_regression[tiny-rp2040-1core]"]
    assert known["hil.baseline"] == "baselines"
    assert known["hil.regressions"] == "2"
    assert known["hil.change.latency_cycles"] == line.removeprefix("latency_cycles ")
    assert "hil.change.flash" not in known
    failures = [case.find("failure") for case in ET.parse(pytester.path / "r.xml").iter("testcase")]
    messages = [failure.attrib["message"] for failure in failures if failure is not None]
    assert [line in message for message in messages] == [True]

    monkeypatch.setenv("CYCLES", "5000")
    result = pytester.runpytest(*RUN, *workers)
    result.assert_outcomes(passed=2, skipped=1)
    assert any(line.startswith("since baselines: all 13 measurements are the same") for line in result.outlines)


def test_what_is_better_is_told_and_passes(
    pytester: pytest.Pytester, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYCLES", "4500")
    result = pytester.runpytest(*RUN)
    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(["*latency_cycles*5000*4500*-10 % better*"])


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["", "xdist"])
def test_update_writes_after_a_good_session_and_tells_line_by_line(
    workers: list[str], pytester: pytest.Pytester, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYCLES", "5300")
    result = pytester.runpytest(*RUN, "--hil-update-baseline", *workers)
    result.assert_outcomes(passed=1, skipped=2)
    told = result.outlines[result.outlines.index("baselines: 1 of 1 deployments changed") :][:4]
    assert told == [
        "baselines: 1 of 1 deployments changed",
        "  tiny on rp2040, virtual",
        "    latency_cycles worse: 5000 cycles -> 5300 cycles, +6 % (counted)",
        "    latency worse: 40 us -> 42 us, +5 % (counted)",
    ]
    assert cycles(written) == 5300


def test_update_writes_nothing_where_a_test_failed(
    pytester: pytest.Pytester, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYCLES", "5300")
    pytester.makepyfile(test_bad="def test_bad(profile): assert False")
    result = pytester.runpytest(*RUN, "--hil-update-baseline")
    assert "baselines is as it was: the session did not pass" in result.outlines
    assert cycles(written) == 5000


def test_a_baseline_that_cannot_be_written_fails_the_session(pytester: pytest.Pytester) -> None:
    (pytester.path / "file").touch()
    result = pytester.runpytest(*RUN, "--hil-update-baseline", "--hil-baseline=file/below")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    assert "file/below is not written: cannot write baselines to" in text(result)
    with History.open(pytester.path / "h.sqlite") as history:
        assert queries.run_named(history, "last").verdict == "fail"


def test_another_folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.runpytest(*RUN, "--hil-update-baseline", "--hil-baseline=lab/good")
    assert cycles(pytester.path / "lab" / "good" / "rp2040.json") == 5000
    pytester.runpytest(*RUN, "--hil-baseline=lab/good").assert_outcomes(passed=2, skipped=1)


def test_none_is_none(pytester: pytest.Pytester, written: Path) -> None:
    pytester.runpytest(*RUN, "--hil-baseline=none").assert_outcomes(passed=1, skipped=2)


def test_the_last_good_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYCLES", "5000")
    result = pytester.runpytest(*RUN, "--hil-baseline=last:3", "-rs")
    result.assert_outcomes(passed=1, skipped=2)
    assert "the last 3 good runs has nothing of tiny on rp2040, virtual" in text(result)
    monkeypatch.setenv("CYCLES", "5300")
    for _ in range(2):  # a bad run is no baseline for the next
        result = pytester.runpytest(*RUN, "--hil-baseline=last:3")
        result.assert_outcomes(passed=1, failed=1, skipped=1)
    assert "latency_cycles worse: 5000 cycles -> 5300 cycles, +6 % (counted)" in text(result)


def test_what_is_only_listed_needs_no_good_runs(pytester: pytest.Pytester) -> None:
    assert pytester.runpytest(*RUN, "--hil-baseline=last:3", "--collect-only").ret == 0


def test_effects_come_from_the_ini_file_and_from_the_gate(
    pytester: pytest.Pytester, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYCLES", "5300")
    (pytester.path / "gate.toml").write_text('[[effect]]\nboard = "rp2040"\nmeasure = "latency*"\nleast = "10 %"\n')
    pytester.runpytest(*RUN).assert_outcomes(passed=2, skipped=1)
    pytester.makeini('[pytest]\nhil_effects =\n  measure=latency_cycles least="5 %"\n')
    pytester.runpytest(*RUN).assert_outcomes(passed=1, failed=1, skipped=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hil-baseline=absent"], "--hil-baseline absent: no folder"),
        (["--hil-baseline=last:0"], "--hil-baseline last:0: expected last:N or last:N@BRANCH, N in 1..1000"),
        (["--hil-baseline=last:2@"], "--hil-baseline last:2@: expected last:N or last:N@BRANCH"),
        (["--hil-baseline=last:2", "--hil-no-history"], "--hil-baseline last:2 needs the history"),
        (["--hil-baseline=none", "--hil-update-baseline"], "--hil-update-baseline writes a folder, not 'none'"),
        (["--hil-baseline=last:2", "--hil-update-baseline"], "--hil-update-baseline writes a folder, not 'last:2'"),
        (["-o", "hil_effects=least=5"], "hil_effects: 'least=5'.least: expected a share such as '5 %', found '5'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(
    options: list[str], message: str, pytester: pytest.Pytester
) -> None:
    result = pytester.runpytest(*RUN, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in text(result)


def test_a_damaged_baseline_is_refused_before_anything_runs(pytester: pytest.Pytester, written: Path) -> None:
    written.write_text(written.read_text().replace('"cores": 1', '"cores": "one"'))
    result = pytester.runpytest(*RUN)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "rp2040.json: subjects[0].cores: expected a whole number above 0, found 'one'" in text(result)
