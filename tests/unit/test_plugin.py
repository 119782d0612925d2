"""The pytest plugin, by running pytest in pytest: mostly on fake boards, so that it is the plugin that is tested."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.cells import cell_len

# pytester forgets modules that a run in this process loads; a library of which half is loaded twice breaks. All now.
import hil.model.zoo
import hil.pytest_progress
import hil.pytest_session
import hil.report.summary  # noqa: F401
from hil.paths import ZOO
from tests.support.fakes import tiny_model
from tests.support.terminal import on_terminal, screen

pytestmark = pytest.mark.usefixtures("_clean")
ROOT = ZOO.parent
FAKES = """
import pytest
from hil import api
from tests.support import fakes

_patch = pytest.MonkeyPatch()
BOARDS = fakes.install(_patch)

def pytest_unconfigure(config):
    _patch.undo()
"""
USER_TEST = """
import numpy as np

def test_answer(dut, model_inputs, reference):
    for values, want in zip(model_inputs, reference.outputs):
        assert np.array_equal(dut.infer(values).outputs[0], want[0])
"""


@pytest.fixture
def _clean(shared_cache: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns, no colours, `tests` importable, the cache of all tests (pytester moves HOME), and a model."""
    monkeypatch.setenv("HIL_CACHE_DIR", str(shared_cache))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("PYTEST_ADDOPTS", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    (pytester.path / "tiny.tflite").write_bytes(tiny_model())


ON = ("--board=rp2040", "--hil-cores=1", "--hil-no-zoo", "--hil-model=tiny.tflite")


def text(result: pytest.RunResult) -> str:
    return "\n".join([*result.outlines, *result.errlines])


def properties(path: Path) -> dict[str, dict[str, str]]:
    """The properties of every test case in a JUnit file; each is there once."""
    found = {}
    for case in ET.parse(path).iter("testcase"):
        pairs = [(p.attrib["name"], p.attrib["value"]) for p in case.iter("property")]
        found[case.attrib["name"]] = dict(pairs)
        assert len(pairs) == len(dict(pairs))
    return found


# -- options -----------------------------------------------------------------------------------------------------------


def test_options_are_in_a_group_of_their_own(pytester: pytest.Pytester) -> None:
    lines = pytester.runpytest("--help").outlines
    start = next(k for k, line in enumerate(lines) if line.startswith("hardware-in-the-loop tests (hil)"))
    group = lines[start : next(k for k in range(start, len(lines)) if not lines[k])]
    found = {m[1] for line in group if (m := re.match(r"  (--[a-z-]+)", line))}
    assert found == {"--board", "--hil-model", "--hil-zoo", "--hil-no-zoo", "--hil-inputs", "--hil-seed",
                     "--hil-cores", "--hil-nodes", "--hil-link", "--hil-objective", "--hil-fault-runs", "--hil-warmup",
                     "--hil-repeats", "--hil-toolchain", "--hil-bench", "--hil-require-hardware",
                     "--hil-flash", "--hil-load", "--hil-console", "--hil-history", "--hil-no-history",
                     "--hil-baseline", "--hil-update-baseline"}  # fmt: skip


def test_markers_are_known(pytester: pytest.Pytester) -> None:
    found = text(pytester.runpytest("--markers"))
    assert "@pytest.mark.hil_limits(latency_us=None, ram_bytes=None)" in found
    assert "@pytest.mark.hil_accuracy" in found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--board=pico"], "no board is called 'pico'; known: "),
        (["--board=rp2040,pico"], "no board is called 'pico'; known: "),
        (["--board="], "--board names no board"),
        (["--board=rp2040", "--hil-no-zoo"], "--hil-no-zoo leaves no model to test"),
        (["--board=rp2040", "--hil-no-zoo", "--hil-model=absent.tflite"], "no model at absent.tflite"),
        (["--board=rp2040", "--hil-no-zoo", "--hil-zoo=absent"], "no zoo at absent"),
        ([*ON, "--hil-inputs=0"], "--hil-inputs 0: at least 1 is needed"),
        ([*ON, "--hil-seed=-1"], "--hil-seed -1: at least 0 is needed"),
        ([*ON, "--hil-warmup=-1"], "--hil-warmup -1: at least 0 is needed"),
        ([*ON, "--hil-repeats=0"], "--hil-repeats 0: at least 1 is needed"),
        ([*ON, "--hil-inputs=many"], "invalid int value: 'many'"),
        ([*ON, "--hil-cores="], "--hil-cores names no number of cores"),
        ([*ON, "--hil-cores=two"], "'two' is neither a number above 0 nor 'all'"),
        ([*ON, "--hil-cores=0"], "'0' is neither a number above 0 nor 'all'"),
        ([*ON, "--hil-cores=3"], "rp2040 has 2 cores"),
        ([*ON, "--hil-nodes=two"], "'two' is no number of nodes in 1..16"),
        ([*ON, "--hil-nodes="], "--hil-nodes names no number of nodes"),
        (["--board=rp2040*0"], "'0' is not in 1..16"),
        ([*ON, "--hil-objective=joy"], "invalid choice: 'joy'"),
        ([*ON, "--hil-fault-runs=0"], "--hil-fault-runs 0: at least 1 is needed"),
        ([*ON, "--hil-toolchain=msvc"], "invalid choice: 'msvc'"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
@pytest.mark.parametrize("quiet", [[], ["-q"]], ids=["", "quiet"])
def test_wrong_options_are_usage_errors(
    options: list[str], message: str, quiet: list[str], pytester: pytest.Pytester
) -> None:
    """Also without the header, and never as an error of the file that is collected."""
    pytester.makepyfile(USER_TEST)
    result = pytester.runpytest(*options, *quiet)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    found = text(result)
    assert message in found
    assert "Traceback" not in found
    assert "INTERNALERROR" not in found
    assert "error during collection" not in found


# -- without a board ---------------------------------------------------------------------------------------------------


def test_without_a_board_tests_are_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest
        def test_dut(dut): raise AssertionError
        def test_board(hil_board): raise AssertionError
        def test_both(dut, hil_board): raise AssertionError
        @pytest.mark.hil_accuracy
        def test_accuracy(dut): raise AssertionError
        def test_none_of_ours(): pass
    """)
    result = pytester.runpytest("-ra", "--strict-markers")
    result.assert_outcomes(skipped=4, passed=1)
    assert "needs a board: --board NAME" in text(result)


def test_without_a_board_models_are_not_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_hil_models(config): raise AssertionError")
    pytester.makepyfile("def test_dut(dut): pass")
    result = pytester.runpytest("--hil-model=absent.tflite")
    result.assert_outcomes(skipped=1)


def test_other_peoples_runs_load_nothing_heavy(pytester: pytest.Pytester) -> None:
    """The plugin is loaded by every pytest of its environment: it must cost those runs nothing."""
    pytester.makepyfile("""
        import sys
        def test_imports():
            heavy = {"numpy", "rich", "serial", "unicorn", "ziglang", "ai_edge_litert", "hil.api", "hil.cases"}
            assert sorted(heavy & set(sys.modules)) == []
    """)
    pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:labgrid").assert_outcomes(passed=1)


# -- cases and ids -----------------------------------------------------------------------------------------------------


def test_ids_are_stable(pytester: pytest.Pytester) -> None:
    (pytester.path / "my model.tflite").write_bytes(tiny_model(width=3))
    pytester.makepyfile("def test_a(dut): pass\ndef test_b(hil_board): pass\ndef test_c(dut, hil_board): pass")
    options = [*ON, "--hil-model=my model.tflite", "--hil-model=tiny.tflite", "--collect-only", "-q"]
    first, second = (pytester.runpytest(*options).outlines for _ in range(2))
    ids = sorted(line.split("::")[1] for line in first if "::" in line)
    assert ids == sorted(line.split("::")[1] for line in second if "::" in line)
    cases = ["my_model-rp2040-1core", "tiny-rp2040-1core", "tiny_2-rp2040-1core"]
    assert ids == sorted([f"test_{t}[{case}]" for t in "ac" for case in cases] + ["test_b[rp2040]"])


def test_models_come_from_the_hook_too(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
        from pathlib import Path
        def pytest_hil_models(config):
            return [Path(__file__).parent / "tiny.tflite"]
    """)
    pytester.makepyfile("def test_a(dut): pass")
    result = pytester.runpytest("--board=rp2040", "--hil-no-zoo", "--collect-only", "-q")
    assert "test_a[tiny-rp2040-1core]" in text(result)


def test_accuracy_is_for_models_that_have_a_set(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.hil_accuracy\ndef test_a(dut): raise AssertionError")
    result = pytester.runpytest(*ON, "-ra")
    result.assert_outcomes(skipped=1)
    assert "no model of this run has an accuracy set" in text(result)


def test_the_header_says_what_is_tested_on_which_bench(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_a(): pass")
    assert "hil: rp2040 on the virtual bench, flashed by pyOCD; 1 model" in pytester.runpytest(*ON).outlines
    direct = "hil: rp2040 on the virtual bench, images put there directly; 1 model"
    assert direct in pytester.runpytest(*ON, "--hil-flash=direct").outlines
    assert not any(line.startswith("hil:") for line in pytester.runpytest().outlines)


# -- runs on fake boards -----------------------------------------------------------------------------------------------


def test_a_users_test_runs_on_every_model(pytester: pytest.Pytester) -> None:
    (pytester.path / "other.tflite").write_bytes(tiny_model(width=3))
    pytester.makeconftest(FAKES)
    pytester.makepyfile(USER_TEST)
    pytester.runpytest(*ON, "--hil-model=other.tflite").assert_outcomes(passed=2)


def test_options_reach_the_measurement(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("""
        def test_a(profile, model_inputs):
            assert len(model_inputs) == profile.measured.inputs == 3
            assert len(profile.measured.latency.samples) == 5
            assert profile.measured.outputs.elements == 4 * (2 + 5 + 2)
            assert profile.source == "virtual"
    """)
    pytester.runpytest(*ON, "--hil-inputs=3", "--hil-repeats=5", "--hil-warmup=2").assert_outcomes(passed=1)


def test_the_seed_reaches_the_inputs(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(model_inputs): print('drawn', [v.tobytes().hex() for v in model_inputs[0]])")
    drawn = [
        next(line for line in pytester.runpytest(*ON, "-s", *seed).outlines if "drawn" in line)
        for seed in ([], ["--hil-seed=0"], ["--hil-seed=1"])
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_one_board_serves_a_models_tests_and_is_freed(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        FAKES + "\ndef pytest_sessionfinish():\n    print('alive', [b.fake_station.alive_now for b in BOARDS])"
    )
    pytester.makepyfile("def test_a(dut): pass\ndef test_b(dut): pass\ndef test_c(profile): pass")
    result = pytester.runpytest(*ON, "-s")
    result.assert_outcomes(passed=3)
    assert "alive [False]" in text(result), "one board was started, and it is off at the end"


@pytest.mark.parametrize("error", ["DeviceHang", "LinkLost"])
def test_a_board_that_failed_is_replaced_for_the_next_test(error: str, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile(f"""
        from hil.errors import {error}
        boards = []
        def test_a(dut):
            boards.append(dut)
            raise {error}("no answer in 20 s")
        def test_b(dut):
            assert dut is not boards[0]
            assert not boards[0].station.alive()
    """)
    result = pytester.runpytest(*ON)
    result.assert_outcomes(failed=1, passed=1)
    assert "no answer in 20 s" in text(result)


def test_a_wrong_answer_leaves_the_board_on(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("""
        boards = []
        def test_a(dut):
            boards.append(dut)
            assert False
        def test_b(dut):
            assert dut is boards[0]
    """)
    pytester.runpytest(*ON).assert_outcomes(failed=1, passed=1)


def test_a_board_that_died_is_replaced(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("""
        def test_a(dut): dut.station.alive_now = False
        def test_b(dut): assert dut.station.alive()
    """)
    pytester.runpytest(*ON).assert_outcomes(passed=2)


def test_a_board_that_is_missing_is_an_error_with_a_message_alone(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        FAKES
        + """
from contextlib import contextmanager
from hil.errors import BoardMissing
@contextmanager
def gone(deployment, *, where, say=None):
    raise BoardMissing("no rp2040 at /dev/ttyX", hint="hil boards")
    yield
_patch.setattr(api, "running", gone)
"""
    )
    pytester.makepyfile("def test_a(dut): pass\ndef test_b(profile): pass")
    result = pytester.runpytest(*ON)
    result.assert_outcomes(errors=2)
    found = text(result)
    assert "no rp2040 at /dev/ttyX" in found
    assert "next: hil boards" in found
    assert "Traceback" not in found
    assert "pytest_session.py" not in found, "the message alone"


def test_a_refused_model_fails_each_of_its_tests_and_no_other(pytester: pytest.Pytester) -> None:
    (pytester.path / "broken.tflite").write_bytes(tiny_model()[:-100])
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(profile): pass\ndef test_b(dut): pass")
    result = pytester.runpytest(*ON, "--hil-model=broken.tflite")
    result.assert_outcomes(passed=2, errors=2)
    found = text(result)
    assert "broken-rp2040-1core: model broken: " in found
    assert "Traceback" not in found


def test_a_profile_is_measured_once(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("""
        seen = []
        def test_a(profile, dut): seen.append((profile, dut.runs))
        def test_b(profile, dut): assert (profile, dut.runs) == seen[0]
    """)
    pytester.runpytest(*ON).assert_outcomes(passed=2)


def test_the_suite_passes_on_a_fake_board(pytester: pytest.Pytester) -> None:
    """All of the suite that does not look into the link or the image."""
    pytester.makeconftest(FAKES)
    result = pytester.runpytest("--pyargs", "hil.suite", *ON, "-k", "not bad_input and not thousand", "-ra",
                                 "--hil-fault-runs=1")  # fmt: skip
    result.assert_outcomes(passed=5, skipped=10)
    assert "no latency limit is recorded for this model on rp2040" in text(result)


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_tests_own_limits_judge_its_profile_alone(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("""
        import pytest
        @pytest.mark.hil_limits(latency_us=39.5)
        def test_a(profile): assert profile.reasons == ("latency 40 us is over the limit of 39.5 us",)
        @pytest.mark.hil_limits(latency_us=40, ram_bytes=1000)
        def test_b(profile): assert profile.reasons == ("peak RAM 1514 bytes is over the limit of 1000",)
        def test_c(profile): assert profile.passed
    """)
    pytester.runpytest(*ON, "--strict-markers").assert_outcomes(passed=3)


@pytest.mark.parametrize("marker", ["5000", "", "latency=5", "latency_us='fast'", "ram_bytes=0", "latency_us=True"])
def test_limits_that_mean_nothing_are_refused(marker: str, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile(f"import pytest\n@pytest.mark.hil_limits({marker})\ndef test_a(profile): pass")
    result = pytester.runpytest(*ON)
    result.assert_outcomes(errors=1)
    assert "hil_limits takes latency_us=..., ram_bytes=... or both, above 0; not " in text(result)


# -- results -----------------------------------------------------------------------------------------------------------

PROPERTIES = {
    "hil.board", "hil.bench", "hil.model", "hil.model_sha256", "hil.cores", "hil.nodes", "hil.reference",
    "hil.mismatches", "hil.latency_us_median", "hil.latency_cycles_median", "hil.ram_peak_bytes",
    "hil.ram_predicted_bytes", "hil.flash_bytes", "hil.speedup_bound", "hil.operator_cycles", "hil.run",
}  # fmt: skip


def test_junit_properties(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("""
        def test_a(profile): pass
        def test_b(profile): assert False
        def test_c(hil_board, hil_session): pass
        def test_d(): pass
        def test_e(dut, record_property): record_property("mine", 7)
    """)
    pytester.runpytest(*ON, "--junitxml=r.xml").assert_outcomes(passed=4, failed=1)
    found = properties(pytester.path / "r.xml")
    for name in ("test_a[tiny-rp2040-1core]", "test_b[tiny-rp2040-1core]"):
        assert set(found[name]) == PROPERTIES
        assert found[name] | {"hil.model_sha256": "", "hil.flash_bytes": "", "hil.run": ""} == {
            "hil.board": "rp2040", "hil.bench": "virtual", "hil.model": "tiny", "hil.model_sha256": "",
            "hil.cores": "1", "hil.nodes": "1", "hil.mismatches": "0", "hil.latency_us_median": "40.0",
            "hil.reference": found[name]["hil.reference"], "hil.latency_cycles_median": "5000",
            "hil.ram_peak_bytes": "1514", "hil.ram_predicted_bytes": "1514", "hil.flash_bytes": "",
            "hil.run": "", "hil.speedup_bound": "1.0",
            "hil.operator_cycles": "0 FULLY_CONNECTED 5000 1.00; 1 FULLY_CONNECTED 5000 1.00",
        }  # fmt: skip
    assert "BUILTIN_REF" in found["test_a[tiny-rp2040-1core]"]["hil.reference"]
    assert found["test_c[rp2040]"].keys() == {"hil.board", "hil.run"}
    assert found["test_d"] == {}
    assert found["test_e[tiny-rp2040-1core]"]["mine"] == "7"


def test_a_refused_models_properties_say_which(pytester: pytest.Pytester) -> None:
    (pytester.path / "broken.tflite").write_bytes(b"\0" * 99)
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(profile): pass")
    pytester.runpytest(
        "--board=rp2040", "--hil-cores=1", "--hil-no-zoo", "--hil-model=broken.tflite", "--junitxml=r.xml"
    )
    (found,) = properties(pytester.path / "r.xml").values()
    assert found == {"hil.board": "rp2040", "hil.model": "broken", "hil.cores": "1", "hil.nodes": "1",
                     "hil.run": found["hil.run"]}  # fmt: skip


def summary(result: pytest.RunResult) -> list[str]:
    """The lines of our closing section, between its title and the next line of '='."""
    start = next(k for k, line in enumerate(result.outlines) if re.fullmatch(r"=+ hil =+", line))
    end = next(k for k in range(start + 1, len(result.outlines)) if result.outlines[k].startswith("==="))
    return result.outlines[start + 1 : end]


def test_the_closing_table_at_80_columns(pytester: pytest.Pytester) -> None:
    (pytester.path / "broken.tflite").write_bytes(b"\0" * 99)
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(profile): pass\ndef test_b(dut, hil_case): assert hil_case.model.name != 'tiny'")
    result = pytester.runpytest(*ON, "--hil-model=broken.tflite")
    lines = summary(result)
    assert max(map(cell_len, lines)) <= 80
    rows = [line.split() for line in lines if line.startswith(("tiny", "broken"))]
    assert rows == [
        ["broken", "rp2040", "2", "of", "2", "FAILED", "-", "-", "-"],
        ["tiny", "rp2040", "virtual", "1", "of", "2", "FAILED", "0", "40", "us", "1.5", "KiB"],
    ]
    assert lines[-1].startswith("virtual: ")


def test_no_table_where_there_is_nothing_to_tell(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_a(): pass")
    for options in ((), ON):
        assert not any(re.fullmatch(r"=+ hil =+", line) for line in pytester.runpytest(*options).outlines)


def test_the_table_and_the_properties_survive_xdist(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    (pytester.path / "other.tflite").write_bytes(tiny_model(width=3))
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(profile): pass\ndef test_b(profile): pass")
    options = [*ON, "--hil-model=other.tflite", "--junitxml=r.xml", "-n2", "-p", "xdist"]
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(passed=4)
    rows = {line.split()[0] for line in summary(result) if "rp2040" in line}
    assert rows == {"tiny", "other"}
    assert all(set(found) == PROPERTIES for found in properties(pytester.path / "r.xml").values())


def test_the_record_hook_gets_each_record_once(pytester: pytest.Pytester) -> None:
    (pytester.path / "other.tflite").write_bytes(tiny_model(width=3))
    pytester.makeconftest(
        FAKES
        + """
import json
def pytest_hil_record(config, record):
    with open("records", "a") as log:
        log.write(json.dumps(record) + "\\n")
"""
    )
    pytester.makepyfile("def test_a(profile): pass\ndef test_b(profile): pass")
    pytester.runpytest(*ON, "--hil-model=other.tflite").assert_outcomes(passed=4)
    records = [json.loads(line) for line in (pytester.path / "records").read_text().splitlines()]
    assert sorted(record["model"]["name"] for record in records) == ["other", "tiny"]
    assert {record["schema"] for record in records} == {"hil.profile/1"}
    assert {record["verdict"] for record in records} == {"pass"}


def test_no_progress_in_a_log(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(profile): pass")
    result = pytester.runpytest(*ON)
    assert "\r" not in text(result)
    assert not any("  hil: " in line for line in result.outlines)


def test_progress_is_written_over_itself(pytester: pytest.Pytester) -> None:
    """On a terminal: what is being done, on one line that is erased before pytest goes on."""
    pytester.makeconftest(FAKES)
    pytester.makepyfile("def test_a(profile): pass")
    status, shown = on_terminal(*ON, folder=pytester.path)
    assert status == 0
    for what in ("planning", "reference for tiny, 4 inputs", "proving the program", "starting", "tiny: run 1 of 3"):
        assert f"  hil: rp2040: {what}" in shown, what
    lines = screen(shown)
    assert not any(line.startswith("  hil:") for line in lines), "nothing of it stays"
    plain = [line for line in pytester.runpytest(*ON).outlines if line.startswith("test_")]
    assert [line for line in lines if line.startswith("test_")] == plain, "pytest's own lines are as without it"


# -- on the virtual board ----------------------------------------------------------------------------------------------


def test_on_the_virtual_board(pytester: pytest.Pytester) -> None:
    """A user's test, with nothing faked: machine code, the line, the answer, and what was counted."""
    pytester.makepyfile(USER_TEST + "\ndef test_profile(profile): assert profile.passed")
    result = pytester.runpytest_subprocess(*ON, "--junitxml=r.xml")
    result.assert_outcomes(passed=2)
    for found in properties(pytester.path / "r.xml").values():
        assert (found["hil.bench"], found["hil.board"]) == ("virtual", "rp2040")
    profiled = properties(pytester.path / "r.xml")["test_profile[tiny-rp2040-1core]"]
    assert set(profiled) == PROPERTIES | {"hil.flashed"}
    assert profiled["hil.flashed"] == "pyocd"
    assert int(profiled["hil.latency_cycles_median"]) > 72, "more than a cycle for each multiply-accumulate"
    peak, predicted = int(profiled["hil.ram_peak_bytes"]), int(profiled["hil.ram_predicted_bytes"])
    assert 0.9 * predicted <= peak <= predicted


def test_a_board_that_is_unplugged_fails_one_test_and_the_next_gets_another(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import os, signal\n"
        "def test_a(dut, model_inputs):\n"
        "    os.kill(dut.station.pid, signal.SIGKILL)\n"
        "    dut.infer(model_inputs[0])\n" + USER_TEST
    )
    result = pytester.runpytest_subprocess(*ON)
    result.assert_outcomes(failed=1, passed=1)
    found = text(result)
    assert "LinkLost" in found
    assert "socket://127.0.0.1:" in found
