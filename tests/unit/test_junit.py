"""JUnit: valid by the schema of Jenkins' xunit plugin, whatever devices said, and never the door for what they say."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hil.pytest_bounds
import hil.pytest_history
import hil.pytest_session
import hil.report.summary  # noqa: F401 - see test_plugin.py: pytester forgets modules that a run loads
from hil import cli
from hil.errors import MalformedRecord, UsageError
from hil.paths import ZOO
from hil.record import junit
from hil.report.junit import junit_text
from tests.support.fakes import tiny_model
from tests.support.gates import found, inputs, judge
from tests.support.junit import faults

LOUD = "".join(map(chr, range(32))) + "\x7f\x9b31m\x1b]0;title\x07<b>&amp;]]>\ud800\ufffe \U0001f600"
"""All that a console can print, and XML mostly not."""
LONG = 10 * 1000 * 1000

BOARD = """<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="1234.567"
 timestamp="2026-01-02T03:04:05.678901+00:00" hostname="lab">
<testcase classname="suite.test_a" name="test_a[tiny-rp2040]" time="1,234.5" file="a.py" line="3"><properties>
 <property name="hil.board" value="rp2040" /><property name="hil.mismatches" value="0" /></properties></testcase>
<testcase classname="suite.test_a" name="test_b" time="0.001"><failure message="wrong">why</failure></testcase>
<testcase classname="suite.test_a" name="test_c" time="nan"><error message="">lost</error>
 <system-out>said</system-out></testcase>
<testcase classname="suite.test_a" name="test_d" time="0"><skipped type="skip" message="no">x</skipped></testcase>
</testsuite></testsuites>"""


def written(tmp_path: Path, text: str | bytes, name: str = "rp2040.xml") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def merged(tmp_path: Path, *files: Path) -> ET.Element:
    """What the gate writes of these files, which is valid."""
    verdict, _ = judge({"good": "result required", "bad": "ram_peak <= 1 B"}, inputs(found()))
    suites = junit.read_all(files)
    made = tmp_path / "merged.xml"
    made.write_text(junit_text(verdict, suites), encoding="utf-8")
    assert faults(made) == []
    return ET.parse(made).getroot()


def test_the_schema_refuses_what_is_wrong(tmp_path: Path) -> None:
    """The check of the check."""
    assert faults(written(tmp_path, BOARD)), "pytest's properties of cases"
    assert faults(written(tmp_path, BOARD), properties=True), "pytest's attributes of cases: file and line"
    good = re.sub(r' (file|line)="[^"]*"', "", BOARD)
    assert faults(written(tmp_path, good), properties=True) == []
    assert faults(written(tmp_path, good.replace('tests="4"', "")), properties=True)


def test_a_condition_is_a_case_and_the_boards_come_after(tmp_path: Path) -> None:
    root = merged(tmp_path, written(tmp_path, BOARD), written(tmp_path, BOARD, "rp2350.xml"))
    assert {name: root.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "11", "failures": "3", "errors": "2"
    }  # fmt: skip
    gate, *boards = root
    assert [case.get("name") for case in gate.iter("testcase")] == ["bad", "good", "runs ended"]
    failure = gate.find("testcase/failure")
    assert failure is not None
    assert failure.get("message", "").startswith("tiny on rp2040, virtual: ram_peak is ")
    assert [board.get("name") for board in boards] == ["rp2040: pytest", "rp2350: pytest"]
    for board, name in zip(boards, ("rp2040", "rp2350"), strict=True):
        cases = board.findall("testcase")
        assert {case.get("classname") for case in cases} == {f"{name}.suite.test_a"}
        assert [[child.tag for child in case] for case in cases] == [
            ["system-out"], ["failure"], ["error", "system-out"], ["skipped"]
        ]  # fmt: skip
        assert cases[0].findtext("system-out") == "[[PROPERTY|hil.board=rp2040]]\n[[PROPERTY|hil.mismatches=0]]"
        assert cases[0].get("time") == "1234.500"
        assert cases[2][0].get("message") == "error", "one without a message is still one"


def test_merged_failures_fail_the_gate(tmp_path: Path) -> None:
    bad, good = junit.read(written(tmp_path, BOARD)), re.sub(r"<(failure|error).*?</\1>", "", BOARD, flags=re.DOTALL)
    one = junit.judged(bad)
    assert [f.what for f in one.bad] == ["rp2040: test_b", "rp2040: test_c"]
    fine = junit.read(written(tmp_path, good, "rp2350.xml"))
    assert junit.judged(fine).passed
    assert not junit.judged([*fine, *bad]).passed
    empty = junit.read(written(tmp_path, '<testsuite name="pytest" tests="0"/>', "empty.xml"))
    none = junit.judged([*fine, *empty])
    assert [f.said for f in none.bad] == ["none of its 0 tests ran"]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    files = []
    for folder in ("virtual", "lab"):
        (tmp_path / folder).mkdir()
        files.append(written(tmp_path / folder, BOARD))
    files.append(written(tmp_path, BOARD, "rp2350.xml"))
    sources = ["virtual.rp2040", "lab.rp2040", "rp2350"]
    assert [suite.source for suite in junit.read_all(files)] == sources
    root = merged(tmp_path, *files)
    assert len({(case.get("classname"), case.get("name")) for case in root.iter("testcase")}) == 3 + 3 * 4


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><testsuite name="&b;" tests="0"/>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuite name="&a;" tests="0"/>'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "declares a document type or entities"),
        (OUTSIDE, "declares a document type or entities"),
        ("<testsuites><testsuite", "is no XML"),
        ("", "is no XML"),
        ("not XML", "is no XML"),
        (b"\xff\xfe\x00\x00", "is no XML"),
        ('<?xml version="1.0" encoding="no-such"?><testsuite/>', "is no XML"),
        ("<html/>", "its root is <html>"),
        ("<testsuites/>", "without any suite"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(MalformedRecord, match=says) as caught:
        junit.read(written(tmp_path, text))
    assert str(tmp_path / "rp2040.xml") in caught.value.message


@given(st.lists(st.tuples(st.integers(0, len(BOARD) - 1), st.binary(max_size=6), st.integers(0, 9)), max_size=4))
def test_any_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes, int]]
) -> None:
    """Whatever became of a file on its way: an error of ours, or suites of which valid JUnit can be made."""
    data = BOARD.encode()
    for at, new, gone in changes:
        data = data[:at] + new + data[at + gone :]
    file = written(tmp_path_factory.getbasetemp(), data, "changed.xml")
    with suppress(MalformedRecord):
        merged(tmp_path_factory.getbasetemp(), file)


def test_a_file_that_is_absent_or_endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="No such file"):
        junit.read(tmp_path / "absent.xml")
    monkeypatch.setattr(junit, "_LONGEST_FILE", 100)
    with pytest.raises(MalformedRecord, match="100 are the most"):
        junit.read(written(tmp_path, BOARD))


def test_what_is_deep_or_long_is_cut(tmp_path: Path) -> None:
    depth = 20_000
    deep = "<testsuite>" + "<system-out>" * depth + "</system-out>" * depth + "</testsuite>"
    assert junit.read(written(tmp_path, deep))[0].cases == ()
    text = f'<testsuite><testcase name="{"n" * LONG}"><failure>{"f" * LONG}</failure></testcase></testsuite>'
    file = written(tmp_path, text)
    case = junit.read(file)[0].cases[0]
    assert len(case.name) <= 1000
    assert len(case.text) <= junit.LONGEST_TEXT
    assert "characters left out" in case.text
    merged(tmp_path, file)


def test_what_people_and_devices_name_is_mere_text(tmp_path: Path) -> None:
    one = found()
    loud = replace(one, subject=replace(one.subject, model=LOUD))
    verdict, _ = judge("ram_peak <= 1 B", inputs(loud))
    made = tmp_path / "gate.xml"
    made.write_text(junit_text(verdict, []), encoding="utf-8")
    assert faults(made) == []
    assert "\x1b" not in made.read_text(encoding="utf-8")


# -- the whole way: a board that shouts, pytest, xdist, its JUnit, the history, the gate -------------------------------


@pytest.fixture
def _clean(shared_cache: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIL_CACHE_DIR", str(shared_cache))
    monkeypatch.setenv("HIL_HISTORY", str(pytester.path / "history.sqlite"))
    monkeypatch.setenv("PYTHONPATH", str(ZOO.parent))
    for name in ("PYTEST_ADDOPTS", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    (pytester.path / "tiny.tflite").write_bytes(tiny_model())
    pytester.makeconftest(SHOUTING)
    pytester.makepyfile(TESTS)


SHOUTING = f"""
import pytest
from hil import api
from hil.errors import DeviceFault
from tests.support import fakes

LOUD = {LOUD!a}
SAID = LOUD + "x" * {LONG} + LOUD
_patch = pytest.MonkeyPatch()
fakes.install(_patch)

class Shouting(fakes.FakeDut):
    def infer(self, inputs, *, jitter=0):
        print(SAID)
        raise DeviceFault("the board said: " + SAID)

_patch.setattr(fakes, "FakeDut", Shouting)

def pytest_unconfigure(config):
    _patch.undo()
"""
TESTS = """
def test_raises(dut, model_inputs):
    dut.infer(model_inputs[0])

def test_prints(dut, model_inputs, capsys):
    try:
        dut.infer(model_inputs[0])
    except Exception as error:
        assert not str(error), "it said something"

def test_profile(profile):
    raise AssertionError("not reached")

def test_good(deployment, record_property):
    record_property("loud", "\\x1b[31m\\ud800")
"""
ON = ("--board=rp2040", "--hil-no-zoo", "--hil-model=tiny.tflite", "--junitxml=rp2040.xml", "-o", "junit_logging=all")


@pytest.mark.usefixtures("_clean")
@pytest.mark.parametrize("workers", [(), ("-n2", "-p", "xdist")], ids=["here", "xdist"])
def test_a_board_that_shouts_does_no_harm(
    workers: tuple[str, ...], pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    done = pytester.runpytest_subprocess(*ON, *workers)
    done.assert_outcomes(failed=2, errors=1, passed=1)
    printed = "\n".join(done.outlines)
    assert "INTERNALERROR" not in printed
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", printed.replace("\x1b[31m", ""))
    file = pytester.path / "rp2040.xml"
    assert file.stat().st_size < 2_000_000
    assert faults(file, properties=True) == []
    assert len(junit.read(file)[0].cases) == 4

    capsys.readouterr()
    (pytester.path / "gate.toml").write_text("schema = 1\n[conditions]\ntested = 'tests pass on rp2040'\n")
    outputs = ["--junit=gate.xml", "--markdown=gate.md", "--json=gate.json"]
    status = cli.main(["gate", "--history=history.sqlite", "--junit-in", "rp2040.xml", *outputs])
    assert status == 1
    assert faults(pytester.path / "gate.xml") == []
    told = capsys.readouterr().out
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", told.replace("\n", ""))
    assert "device: " in told
    markdown = (pytester.path / "gate.md").read_text(encoding="utf-8")
    assert "\x1b" not in markdown
    assert len(markdown) < 65_536
    record = json.loads((pytester.path / "gate.json").read_text(encoding="utf-8"))
    assert {one["name"]: one["verdict"] for one in record["conditions"]} == {
        "tested": "fail", "merged tests": "fail", "runs ended": "pass"
    }  # fmt: skip
    cases = ET.parse(pytester.path / "gate.xml").getroot().iter("testcase")
    assert sum(case.find("failure") is not None or case.find("error") is not None for case in cases) == 2 + 3
