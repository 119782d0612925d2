"""The gate: what holds, what does not, and that a gate which looked at nothing is not passed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hil.record import Result, RunBaseline
from hil.record.findings import gate_record
from hil.record.gate_changes import Standard
from hil.record.policy import Effect, Policies
from hil.report.gate import gate_markdown, inert
from tests.support.gates import HOUR, found, inputs, judge, on_hardware

TINY = found()


@pytest.mark.parametrize(
    ("check", "good"),
    [
        ("mismatches == 0 everywhere", True),
        ("latency <= 40 us", True),
        ("latency < 40 us", False),
        ("latency <= 0.04 ms on rp2040", True),
        ("latency >= 41 us for tiny", False),
        ("ram_peak <= 200 KiB on rp* for t*y", True),
        ("ram_peak <= 1 KiB", False),
        ("result required", True),
        ("virtual result required with 1 core with 1 node, at most 1 h old", True),
        ("tests pass everywhere", True),
    ],
)
def test_conditions(check: str, good: bool) -> None:
    verdict, one = judge(check, inputs(TINY))
    assert one.passed is verdict.passed is good
    assert len(one.findings) == 1
    assert one.findings[0].good is good
    assert one.findings[0].subject == TINY.subject


@pytest.mark.parametrize(
    ("check", "says"),
    [
        ("mismatches == 0 on rp2350", "nothing was measured on rp2350; there is tiny on rp2040, virtual"),
        ("mismatches == 0 for kws*", "nothing was measured for kws*; there is tiny"),
        ("mismatches == 0 with 2 cores", "nothing was measured with 2 cores; there is"),
        ("throughput >= 1 1/s", "none of 1 result anywhere has throughput; there is arena, flash"),
        ("hardware result required", "nothing was measured from hardware; there is tiny on rp2040, virtual"),
        ("hardware latency <= 1 s", "nothing was measured from hardware"),
        ("result required, at most 30 min old", "nothing that is at most 0.5 h old was measured anywhere: "
         "the newest is 1.0 h old"),
        ("tests pass on rp2350", "nothing was tested on rp2350; there is tiny"),
    ],
)  # fmt: skip
def test_a_condition_that_matched_nothing_fails_and_says_what_there_was(check: str, says: str) -> None:
    verdict, one = judge(check, inputs(TINY))
    assert not verdict.passed
    assert [finding.good for finding in one.findings] == [False]
    assert one.findings[0].said.startswith(says)


def test_every_named_board_and_model_has_to_be_there() -> None:
    """One of two that are named is not enough: the other one's job may not have run."""
    _, one = judge("mismatches == 0 on rp2040 and rp2350 for tiny and kws", inputs(TINY))
    assert [(f.good, f.what) for f in one.findings] == [
        (False, "on rp2040 for kws"),
        (False, "on rp2350 for kws"),
        (False, "on rp2350 for tiny"),
        (True, "tiny on rp2040, virtual"),
    ]


def test_nothing_at_all_is_not_passed() -> None:
    verdict, _ = judge("tests pass", replace(inputs(), runs=()))
    assert {one.name: one.passed for one in verdict.judged} == {"it": False, "runs ended": False}


def test_virtual_numbers_never_pass_for_those_of_hardware() -> None:
    virtual, real = found(us=40), on_hardware(found(), (50.0, 52.0, 51.0))
    check = "hardware latency <= 45 us"
    assert not judge(check, inputs(virtual))[0].passed
    _, one = judge(check, inputs(virtual, real))
    assert [f.subject and f.subject.source for f in one.findings] == ["hardware"]
    assert not one.passed
    assert judge("hardware latency <= 52 us", inputs(virtual, real))[1].passed


def test_of_several_runs_all_have_to_hold() -> None:
    _, one = judge("ram_peak <= 4 KiB", inputs(found(ram=4000), found(ram=9000), found(ram=5000)))
    assert [(f.good, f.value) for f in one.findings] == [(False, 9000), (False, 5000), (True, 4000)]


def test_what_is_old_does_not_count_and_what_nobody_dated_is_old() -> None:
    check = "result required, at most 2 h old"
    assert judge(check, inputs(TINY, age=2 * HOUR))[1].passed
    assert judge(check, inputs(TINY, age=-60))[1].passed, "another machine's clock may be a minute ahead"
    for age, says in ((2.1 * HOUR, "2.1 h old"), (-HOUR, "1.0 h in the future"), (None, "does not tell when")):
        _, one = judge(check, inputs(TINY, age=age))
        assert not one.passed
        assert says in one.findings[0].said


def test_a_run_that_was_killed_fails_the_gate() -> None:
    """It may have measured only what is good."""
    verdict, one = judge("mismatches == 0 everywhere", inputs(TINY, unended=("run",)))
    assert one.passed
    assert not verdict.passed
    assert verdict.judged[0].name == "runs ended"
    assert "killed" in verdict.judged[0].findings[0].said


def test_tests() -> None:
    good = Result("test_a", "passed", model="tiny", board="rp2040")
    bad = Result("test_b", "failed", "infrastructure", model="tiny", board="rp2350", message="\nlink lost\nat once")
    loose = Result("test_c", "failed", "assertion")
    skipped = Result("test_d", "skipped", model="kws", board="rp2040")
    given = inputs(tests=tuple(("run", test) for test in (good, bad, loose, skipped)))
    _, one = judge("tests pass everywhere", given)
    assert [(f.good, f.what) for f in one.findings] == [(False, "test_b"), (False, "test_c"), (True, "test_a")]
    assert one.findings[0].said == "infrastructure: link lost"
    assert judge("tests pass on rp2040", given)[1].passed
    _, none = judge("tests pass for kws", given)
    assert none.findings[0].said == "nothing was tested for kws; all 1 tests of it were skipped"


def test_a_profile_whose_verdict_is_bad_is_a_failed_test() -> None:
    assert not judge("tests pass", inputs(found(verdict="fail")))[1].passed


# -- regressions -------------------------------------------------------------------------------------------------------


def standard(*before: object, **policies: object) -> Standard:
    return Standard(RunBaseline("before", before), Policies(**policies))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("check", "us", "good"),
    [
        ("latency regression <= 2 %", 10_000, True),
        ("latency regression <= 2 %", 10_200, True),
        ("latency regression < 2 %", 10_200, False),
        ("latency regression <= 2 %", 10_201, False),
        ("latency regression <= 2 %", 5_000, True),
        ("no latency regression", 10_001, True),  # a counted time's last microsecond is where it began
        ("no latency regression", 10_002, False),
        ("no regression", 10_002, False),
        ("no ram_peak regression", 20_000, True),
    ],
)
def test_counted_values_against_a_baseline(check: str, us: int, good: bool) -> None:
    _, one = judge(check, inputs(found(us=us)), standard(found(us=10_000)))
    assert one.passed is good
    assert one.findings[0].baseline is not None


def test_what_it_says_of_a_regression() -> None:
    _, one = judge("latency regression <= 2 %", inputs(found(us=10_500)), standard(found(us=10_000)))
    assert one.findings[0].said == "latency 10500 us, baseline 10000: 5.00 % worse (counted)"
    assert one.findings[0].worse == 5.0
    assert one.findings[0].limit == 2.0


def test_a_throughput_that_falls_is_a_regression() -> None:
    slow, fast = (found(throughput={"per_second": rate}) for rate in (90.0, 100.0))
    check = "throughput regression <= 5 %"
    assert not judge(check, inputs(slow), standard(fast))[1].passed
    assert judge(check, inputs(fast), standard(slow))[1].passed


def test_mismatches_from_none_are_a_regression_without_a_percentage() -> None:
    verdict, one = judge("no mismatches regression", inputs(found(mismatches=3)), standard(TINY))
    assert not one.passed
    assert "worse, where one of the two is 0" in one.findings[0].said
    json.dumps(gate_record(verdict), allow_nan=False)


def test_without_a_baseline_nothing_can_be_told() -> None:
    check = "latency regression <= 2 %"
    _, none = judge(check, inputs(TINY))
    assert none.findings[0].said == "there is no baseline to hold it against: --baseline names one"
    _, other = judge(check, inputs(TINY), standard(found(model_name="kws")))
    assert not other.passed
    assert other.findings[0].said.startswith("latency has no baseline in before: pytest --hil-update-baseline")


NOISE = (100.0, 101.0, 99.0, 100.5, 100.2, 99.7, 100.1, 99.9, 100.3, 100.4)


def test_noise_is_no_regression_and_a_shift_of_all_samples_is_one() -> None:
    before = on_hardware(TINY, NOISE)
    check = "hardware latency regression <= 2 %"
    wild = on_hardware(TINY, (103.0, 97.0, 104.0, 96.0, 103.5, 96.5, 104.5, 99.0, 103.2, 98.0))
    slow = on_hardware(TINY, tuple(sample * 1.05 for sample in NOISE))
    assert judge(check, inputs(wild), standard(before))[1].passed
    _, one = judge(check, inputs(slow), standard(before))
    assert not one.passed
    assert "Mann-Whitney" in one.findings[0].said


def test_a_slower_time_of_which_nobody_can_tell_is_not_passed() -> None:
    before, slow = on_hardware(TINY, (100.0,)), on_hardware(TINY, (110.0,))
    check = "latency regression <= 2 %"
    _, one = judge(check, inputs(slow), standard(before))
    assert not one.passed
    assert "too few to tell from noise" in one.findings[0].said
    assert judge(check, inputs(before), standard(slow))[1].passed, "faster is good, noise or not"


def test_the_files_effects_say_what_no_regression_means_but_not_what_a_percentage_means() -> None:
    effects = (Effect(measure="latency", least=0.1),)
    given, before = inputs(found(us=10_500)), standard(found(us=10_000), effects=effects)
    assert judge("no latency regression", given, before)[1].passed
    assert not judge("latency regression <= 2 %", given, before)[1].passed


# -- order, record, Markdown -------------------------------------------------------------------------------------------


def test_worst_first() -> None:
    checks = {
        "near": "ram_peak <= 4 KiB",
        "nothing": "mismatches == 0 on nowhere",
        "far": "ram_peak <= 1 KiB",
        "tight": "latency <= 41 us",
        "easy": "latency <= 1 s",
    }
    verdict, _ = judge(checks, inputs(found(ram=5000)))
    assert [one.name for one in verdict.judged] == ["nothing", "far", "near", "tight", "easy", "runs ended"]


def test_the_record() -> None:
    verdict, _ = judge({"small": "ram_peak <= 1 KiB", "there": "result required"}, inputs(found(ram=5000)))
    record = gate_record(verdict)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["schema"] == "hil.gate/1"
    assert record["verdict"] == "fail"
    small = record["conditions"][0]
    assert (small["name"], small["check"], small["verdict"]) == ("small", "ram_peak <= 1 KiB", "fail")
    finding = small["findings"][0]
    assert (finding["value"], finding["limit"], finding["unit"]) == (5000, 1024, "bytes")
    assert finding["subject"]["board"] == "rp2040"
    assert finding["run"] == "run"


NASTY = "a|b`c`<script>alert(1)</script>\n\n# @everyone [x](http://y) <!-- -->\x1b[31m #12 **b** \\| &amp;"


def test_markdown_shows_what_came_from_elsewhere_as_text() -> None:
    verdict, _ = judge("ram_peak <= 1 KiB", inputs(found(ram=5000, model_name=NASTY)))
    text = gate_markdown(verdict)
    lines = text.splitlines()
    line = next(line for line in lines if "5000" in line)
    assert line.startswith("- <code>")
    assert line.endswith("</code>")
    inside = line.removeprefix("- <code>").removesuffix("</code>")
    assert not set(inside) & set("<>|`[]@*_\x1b\\")
    for row in (line for line in lines if line.startswith("| ")):
        assert row.count("|") == 5
    assert lines[0].startswith("### \N{CROSS MARK} Release gate: 1 of 2")


def test_inert_text_is_short_and_reads_the_same() -> None:
    from html import unescape

    assert unescape(inert("ram_peak <= 1 KiB | x")) == "<code>ram_peak <= 1 KiB | x</code>"
    assert len(unescape(inert("x" * 10_000))) < 450


def test_markdown_fits_into_a_comment() -> None:
    checks = {f"c{k}": f"ram_peak <= {k + 1} B" for k in range(900)}
    verdict, _ = judge(checks, inputs(found(ram=5000)))
    text = gate_markdown(verdict)
    assert len(text) < 65_536
    assert "more lines are left out" in text
    assert "decided at" in text
