"""Baselines: files that are reviewed, good runs of a branch, other runs; and what may never be compared."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import GateFileError, UsageError
from hil.record import (
    Compared,
    Effect,
    FileBaseline,
    Found,
    History,
    HistoryBaseline,
    Measurement,
    Origin,
    Policies,
    RunBaseline,
    Subject,
    held_against,
    profile_record,
)
from hil.record.baseline_file import Entry, file_name, read, written
from hil.record.blame import Trail, dated
from hil.record.verdict import NO_LIMITS
from tests.support.fakes import deployed, measured

SUBJECT = Subject("kws", "rp2040", 1, 1, "virtual")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(0, 1 << 53).map(float) | st.floats(0, 1e12, allow_nan=False)


def found(subject: Subject = SUBJECT, sha256: str = "a" * 64, **values: float) -> Found:
    made = tuple(Measurement(name, float(value), exact=True) for name, value in values.items())
    return Found(subject, sha256, "build", True, made)


def kinds(compared: Compared) -> dict[str, str]:
    return {change.name: change.kind for change in compared.changes}


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_folder_is_written_and_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "baselines"
    cluster = replace(SUBJECT, board="rp2040,rp2040,rp2350", nodes=3, link="uart-3M", objective="ram")
    changed = FileBaseline(folder).updated([found(flash=100, latency=7), found(cluster, flash=5)])
    assert [one.known for one in changed] == [False, False]
    assert sorted(file.name for file in folder.iterdir()) == ["rp2040+rp2040+rp2350.json", "rp2040.json"]
    again = FileBaseline(folder)
    assert set(again.subjects()) == {SUBJECT, cluster}
    reference = again.get(SUBJECT, "flash")
    assert reference is not None
    assert reference.measurements == (Measurement("flash", 100, exact=True),)
    assert (reference.origin, reference.model_sha256) == (str(folder / "rp2040.json"), "a" * 64)
    assert again.get(SUBJECT, "arena") is None
    assert again.get(replace(SUBJECT, model="other"), "flash") is None
    assert again.updated([found(flash=100, latency=7)]) == ()


def test_a_measurement_is_a_line_so_that_differences_read_well(tmp_path: Path) -> None:
    baseline = FileBaseline(tmp_path)
    baseline.updated([found(latency=7, arena=30, flash=100), found(replace(SUBJECT, cores=2), flash=9)])
    before = (tmp_path / "rp2040.json").read_text().splitlines()
    baseline.updated([found(latency=7, arena=30, flash=104)])
    after = (tmp_path / "rp2040.json").read_text().splitlines()
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [
        ('    "flash": {"value": 100, "exact": true},', '    "flash": {"value": 104, "exact": true},')
    ]
    names = [line.split('"')[1] for line in after if line.startswith("    ")]
    assert names == ["arena", "flash", "latency", "flash"]


def test_times_that_did_not_change_stay_as_they_were_so_that_small_steps_add_up(tmp_path: Path) -> None:
    def timed(level: float) -> Found:
        samples = tuple(level + 7 * k % 10 for k in range(10))
        return Found(SUBJECT, "a" * 64, "", True, (Measurement("latency", level + 5, False, samples),))

    baseline = FileBaseline(tmp_path)
    baseline.updated([timed(10_000)])
    kept = (tmp_path / "rp2040.json").read_bytes()
    assert baseline.updated([timed(10_150)]) == ()
    assert (tmp_path / "rp2040.json").read_bytes() == kept
    (changed,) = baseline.updated([timed(10_300)])
    assert [str(change).partition(" (")[0] for change in changed.changes] == [
        "latency worse: 10005 us -> 10305 us, +3 %"
    ]


def test_what_is_not_measured_any_more_leaves_the_file(tmp_path: Path) -> None:
    baseline = FileBaseline(tmp_path)
    baseline.updated([found(flash=1, arena=2)])
    baseline.updated([found(flash=1)])
    assert FileBaseline(tmp_path).get(SUBJECT, "arena") is None


def test_other_boards_files_are_not_touched(tmp_path: Path) -> None:
    baseline = FileBaseline(tmp_path)
    baseline.updated([found(flash=1), found(replace(SUBJECT, board="rp2350"), flash=1)])
    (tmp_path / "rp2350.json").touch()
    stamp = (tmp_path / "rp2350.json").stat().st_mtime_ns
    baseline.updated([found(flash=2)])
    assert (tmp_path / "rp2350.json").stat().st_mtime_ns == stamp


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot write baselines to .*file"):
        FileBaseline(tmp_path / "file").updated([found(flash=1)])


@given(st.lists(st.tuples(TEXT, st.integers(1, 64), NUMBERS, st.booleans(), st.lists(NUMBERS, max_size=3)), max_size=4))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    file = tmp_path_factory.mktemp("baselines") / "b.json"
    entries = [
        Entry(
            Subject(model, "b", cores, 1, "hardware"), "c" * 64,
            (Measurement("latency", value, exact, () if exact else tuple(samples)),), cores,
        )
        for model, cores, value, exact, samples in rows
    ]  # fmt: skip
    file.write_text(written("b", entries), "utf-8")
    assert read(file) == tuple(entries)


GOOD: dict[str, Any] = {
    "schema": "hil.baseline/1", "board": "rp2040",
    "subjects": [{"model": "kws", "cores": 1, "nodes": 1, "source": "virtual", "link": "", "objective": "",
                  "toolchain": "zig", "variant": "", "model_sha256": "a" * 64, "inputs": 4,
                  "measurements": {"latency": {"value": 7.5, "exact": False, "samples": [7, 8]}}}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema"], "hil.baseline/2", "schema: 'hil.baseline/2' is not 'hil.baseline/1'"),
        (["board"], 3, "board: expected text, found 3"),
        (["more"], 3, "more: no such key"),
        (["subjects"], {}, "subjects: expected a list, found {}"),
        (["subjects", 0], 5, "subjects[0]: expected an object, found 5"),
        (["subjects", 0, "cores"], 0, "subjects[0].cores: expected a whole number above 0, found 0"),
        (["subjects", 0, "nodes"], True, "subjects[0].nodes: expected a whole number above 0, found True"),
        (["subjects", 0, "inputs"], "4", "subjects[0].inputs: expected a whole number, found '4'"),
        (["subjects", 0, "source"], "dream", "subjects[0].source: 'dream' is not one of virtual, hardware"),
        (["subjects", 0, "model"], None, "subjects[0].model: expected text, found None"),
        (["subjects", 0, "typo"], None, "subjects[0].typo: no such key"),
        (["subjects", 0, "measurements"], [], "subjects[0].measurements: expected an object, found []"),
        (["subjects", 0, "measurements", "speed"], {}, "subjects[0].measurements.speed: nothing is called that"),
        (["subjects", 0, "measurements", "latency"], 7, "measurements.latency: expected an object, found 7"),
        (["subjects", 0, "measurements", "latency", "value"], "7", "latency.value: expected a number, found '7'"),
        (["subjects", 0, "measurements", "latency", "value"], True, "latency.value: expected a number, found True"),
        (["subjects", 0, "measurements", "latency", "exact"], 1, "latency.exact: expected true or false, found 1"),
        (["subjects", 0, "measurements", "latency", "samples"], 1, "latency.samples: expected a list"),
        (["subjects", 0, "measurements", "latency", "samples", 1], "x", "samples[1]: expected a number, found 'x'"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_named(path: list[Any], value: Any, message: str, tmp_path: Path) -> None:
    spoilt = copy.deepcopy(GOOD)
    place: Any = spoilt
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file = tmp_path / "rp2040.json"
    file.write_text(json.dumps(spoilt))
    with pytest.raises(GateFileError, match=re.escape(message)) as caught:
        FileBaseline(tmp_path)
    assert str(file) in caught.value.message


@pytest.mark.parametrize("key", ["schema", "board", "subjects"])
def test_what_is_missing_in_a_file_is_named(key: str, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps({name: value for name, value in GOOD.items() if name != key}))
    with pytest.raises(GateFileError, match=f"{key}: missing"):
        FileBaseline(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00", '{"schema": NaN'])
def test_what_is_no_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(GateFileError, match=r"b\.json is no JSON"):
        FileBaseline(tmp_path)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps(GOOD).replace("7.5", "Infinity"))
    with pytest.raises(GateFileError, match="expected a number, found inf"):
        FileBaseline(tmp_path)


def test_a_subject_is_there_once(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.json").write_text(json.dumps(GOOD))
    with pytest.raises(GateFileError, match="kws on rp2040, virtual is in two files"):
        FileBaseline(tmp_path)


@pytest.mark.parametrize(
    ("board", "name"), [("rp2040*3,rp2350", "rp2040x3+rp2350.json"), ("../../etc/passwd", ".._.._etc_passwd.json")]
)
def test_names_of_files_stay_in_their_folder(board: str, name: str) -> None:
    assert file_name(board) == name


# -- comparing ---------------------------------------------------------------------------------------------------------


def test_virtual_and_hardware_never_meet() -> None:
    virtual = RunBaseline("run 1", [found(flash=1)])
    compared = held_against(found(replace(SUBJECT, source="hardware"), flash=2), virtual)
    assert (kinds(compared), compared.known) == ({"flash": "new"}, False)


@pytest.mark.parametrize("other", [{"board": "rp2350"}, {"cores": 2}, {"nodes": 2}, {"link": "uart"}, {"model": "x"}])
def test_other_subjects_are_not_compared(other: dict[str, Any]) -> None:
    compared = held_against(found(replace(SUBJECT, **other), flash=2), RunBaseline("run 1", [found(flash=1)]))
    assert not compared.known


def test_another_model_or_toolchain_is_said() -> None:
    before = RunBaseline("run 1", [found(replace(SUBJECT, toolchain="gcc"), flash=1)])
    compared = held_against(found(sha256="b" * 64, flash=2), before)
    assert kinds(compared) == {"flash": "worse"}
    assert compared.notes == (
        "the toolchain changed: gcc -> zig", "the model changed: sha256 aaaaaaaaaaaa -> bbbbbbbbbbbb",
    )  # fmt: skip
    both = RunBaseline("run 1", [found(replace(SUBJECT, toolchain="gcc"), flash=1), found(flash=2)])
    assert held_against(found(flash=2), both).notes == ()


def test_counted_times_of_other_inputs_are_held_to_the_smallest_effect(tmp_path: Path) -> None:
    """What a kernel takes hangs on its data; what memory it takes does not."""
    files = FileBaseline(tmp_path)
    files.updated([replace(found(latency_cycles=1000, flash=1000), inputs=200)])
    for before in (files, FileBaseline(tmp_path)):
        compared = held_against(replace(found(latency_cycles=1010, flash=1010), inputs=4), before)
        assert kinds(compared) == {"flash": "worse", "latency_cycles": "same"}
        assert compared.notes == ("the inputs changed: 200 sets -> 4; times hang on data",)
    slower = held_against(replace(found(latency_cycles=1030), inputs=4), files)
    assert kinds(slower) == {"latency_cycles": "worse"}
    assert kinds(held_against(replace(found(latency_cycles=1010), inputs=200), files)) == {"latency_cycles": "worse"}


def test_policies_are_asked_for_every_measurement() -> None:
    before, after = RunBaseline("run 1", [found(flash=100, arena=100)]), found(flash=101, arena=101)
    policies = Policies((Effect(measure="flash", least=0.02),))
    assert kinds(held_against(after, before, policies)) == {"arena": "worse", "flash": "same"}
    assert [change.name for change in held_against(after, before, policies).worse] == ["arena"]


def test_cycles_without_samples_are_told_by_the_latency() -> None:
    """They are the same time by another counter, of which the median alone is kept."""

    def timed(level: float, cycles: float) -> Found:
        samples = tuple(level + 7 * k % 10 for k in range(10))
        latency = Measurement("latency", level + 5, False, samples)
        return Found(SUBJECT, "a" * 64, "", True, (latency, Measurement("latency_cycles", cycles, False)))

    before = RunBaseline("run 1", [timed(10_000, 1_250_000)])
    worse = held_against(timed(10_600, 1_325_000), before)
    assert kinds(worse) == {"latency": "worse", "latency_cycles": "worse"}
    (cycles,) = [one for one in worse.changes if one.name == "latency_cycles"]
    assert str(cycles).startswith("latency_cycles worse: 1250000 cycles -> 1325000 cycles, +6 % (as latency: Mann-Wh")
    assert kinds(held_against(timed(10_050, 1_325_000), before)) == {"latency": "same", "latency_cycles": "same"}


# -- the history -------------------------------------------------------------------------------------------------------


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History.open(tmp_path / "h.sqlite") as opened:
        yield opened


DEPLOYMENT = deployed()


def record(cycles: int) -> dict[str, Any]:
    from hil.record import judged

    made = profile_record(judged(DEPLOYMENT, measured(DEPLOYMENT), "virtual", NO_LIMITS))
    made["latency"] = dict(made["latency"]) | {"cycles_median": cycles}
    return json.loads(json.dumps(made))


def ran(history: History, k: int, cycles: int, *, branch: str = "main", verdict: Any = "pass") -> Found:
    origin = Origin(f"run{k:02}", float(k), "pytest", "host", 1, "0", f"{k:012d}{0:028d}", branch, False, "virtual")
    writer = history.begin(origin)
    made = writer.profiled(record(cycles), at=float(k))
    if verdict:
        writer.verdict(verdict)
        writer.end(k + 0.5)
    return made


def cycles_before(baseline: HistoryBaseline, subject: Subject) -> list[float]:
    reference = baseline.get(subject, "latency_cycles")
    return [one.value for one in reference.measurements] if reference else []


def test_the_last_good_runs_of_a_branch(history: History) -> None:
    for k, cycles in enumerate([100, 101, 102, 103]):
        ran(history, k, cycles)
    ran(history, 4, 900, verdict="fail")
    ran(history, 5, 901, verdict=None)
    subject = ran(history, 6, 902, branch="topic").subject
    baseline = HistoryBaseline(history, "main", 3)
    assert cycles_before(baseline, subject) == [101, 102, 103]
    assert cycles_before(HistoryBaseline(history, None, 2), subject) == [103, 902]
    assert cycles_before(HistoryBaseline(history, "main", 2, before=2.0), subject) == [100, 101]
    assert cycles_before(HistoryBaseline(history, "absent", 2), subject) == []
    reference = baseline.get(subject, "latency_cycles")
    assert reference is not None
    assert reference.origin == "3 runs, the newest run03 at 000000000003"
    assert (reference.model_sha256, reference.inputs) == (record(1)["model"]["sha256"], record(1)["outputs"]["inputs"])
    assert baseline.title == "the last 3 good runs of main"
    assert subject in baseline.subjects()


def test_of_several_measurements_in_a_run_the_last_counts(history: History) -> None:
    origin = Origin("run", 0.0, "", "", 1, "", "", "main", False, "")
    writer = history.begin(origin)
    for at, cycles in enumerate([100, 200]):
        subject = writer.profiled(record(cycles), at=float(at)).subject
    writer.verdict("pass")
    writer.end(5.0)
    assert cycles_before(HistoryBaseline(history, "main", 5), subject) == [200]


def test_a_regression_is_dated_by_the_history(history: History) -> None:
    for k, cycles in enumerate([100, 100, 110, 110]):
        ran(history, k, cycles)
    now = ran(history, 4, 110)
    compared = held_against(now, RunBaseline("run00", [found(now.subject, now.model_sha256, latency_cycles=100)]))
    changes = dated(compared, Trail(history, "main"), Policies()).changes
    change = next(one for one in changes if one.name == "latency_cycles")
    assert str(change).endswith("+10 % (counted), since run run02 at 000000000002")
    undated = dated(compared, Trail(history, "topic"), Policies())
    assert {one.since for one in undated.changes} == {""}
