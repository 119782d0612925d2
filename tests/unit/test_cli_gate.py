"""`hil gate`: which runs it looks at, what it writes, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hil import cli
from hil.record import FileBaseline, History, Result, found_in, here
from hil.record.exchange import exported
from hil.record.gate_inputs import gathered
from hil.record.queries import run_named
from tests.support.gates import record
from tests.support.junit import faults

GATE = """\
schema = 1
[conditions]
right = "mismatches == 0 everywhere"
slow = { check = "latency regression <= 2 %", why = "users wait for it" }
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIL_HISTORY", str(tmp_path / "history.sqlite"))
    monkeypatch.setenv("COLUMNS", "120")
    Path("gate.toml").write_text(GATE, encoding="utf-8")


def kept(*records: dict[str, Any], ends: bool = True, tests: Sequence[Result] = (), at: float | None = None) -> str:
    """A run in the history; gives its id."""
    with History.open() as history:
        origin = here("a bench")
        writer = history.begin(replace(origin, began=at or origin.began))
        for one in records:
            writer.profiled(one, place="a place", at=at)
        for test in tests:
            writer.tested(test)
        if ends:
            writer.verdict("pass")
            writer.end()
        return writer.id


def baseline(*records: dict[str, Any]) -> None:
    FileBaseline(Path("baselines")).updated(map(found_in, records))


def gate(*args: str) -> tuple[int, dict[str, Any]]:
    """Its status, and the verdict of each condition."""
    Path("gate.json").unlink(missing_ok=True)
    status = cli.main(["gate", "--json", "gate.json", *args])
    if not Path("gate.json").exists():
        return status, {}
    made = json.loads(Path("gate.json").read_text(encoding="utf-8"))
    assert status == (0 if made["verdict"] == "pass" else 1)
    return status, {one["name"]: one["verdict"] for one in made["conditions"]} | {"runs": made["runs"]}


def test_the_last_run_against_the_folder_of_baselines(capsys: pytest.CaptureFixture[str]) -> None:
    baseline(record(us=10_000))
    kept(record(us=99))
    last = kept(record(us=10_100))
    assert gate() == (0, {"right": "pass", "slow": "pass", "runs ended": "pass", "runs": [last]})
    assert "gate.toml: pass, all 3 conditions hold" in capsys.readouterr().out
    kept(record(us=10_500))
    assert gate()[0] == 1
    said = capsys.readouterr().out
    assert said.index("FAIL  slow") < said.index("pass  right"), "worst first"
    assert "users wait for it" in said
    assert "latency 10500 us, baseline 10000: 5.00 % worse (counted)" in " ".join(said.split())


def test_the_first_bad_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the history has it: the gate of a file of another machine's does without."""
    baseline(record(us=10_000))
    kept(record(us=10_000), at=1000.0)
    first = kept(record(us=10_500), at=2000.0)
    kept(record(us=10_500), at=3000.0)
    assert gate()[0] == 1
    assert f"since run {first}" in " ".join(capsys.readouterr().out.split())
    Path("alone.json").write_text(json.dumps(record(us=10_500)), encoding="utf-8")
    assert gate("alone.json")[0] == 1
    assert "since run" not in capsys.readouterr().out


def test_without_a_history_files_can_be_gated_and_none_is_made() -> None:
    baseline(record())
    Path("alone.json").write_text(json.dumps(record()), encoding="utf-8")
    assert gate("alone.json")[0] == 0
    assert gate()[0] == 2
    assert not Path("history.sqlite").exists()


def test_runs_by_name_and_from_other_machines(tmp_path: Path) -> None:
    baseline(record(us=40), record(us=40, model_name="kws"))
    ours = kept(record())
    elsewhere = tmp_path / "elsewhere.sqlite"
    with History.open(elsewhere) as history:
        with history.run(here("another bench")) as run:
            run.profiled(record(model_name="kws", mismatches=3))
            run.verdict("pass")
        lines = "".join(exported(history, [run_named(history, "last")]))
    Path("lab2.jsonl").write_text(lines, encoding="utf-8")
    Path("alone.json").write_text(json.dumps(record(), indent=2), encoding="utf-8")
    assert gate(ours, "alone.json") == (0, {"right": "pass", "slow": "pass", "runs ended": "pass",
                                            "runs": [ours, "alone.json"]})  # fmt: skip
    assert gate("lab2.jsonl", "last", ours, "lab2.jsonl")[1]["runs"] == [run.id, ours], "each once"
    assert gate("last", "lab2.jsonl")[0] == 1
    with History.open() as history:
        assert len(history.rows("SELECT id FROM run")) == 1, "the gate keeps nothing of what it was handed"


def test_a_run_that_has_not_ended() -> None:
    baseline(record())
    kept(record(), ends=False)
    assert gate()[1]["runs ended"] == "fail"


@pytest.mark.parametrize(
    ("args", "good"),
    [
        (("--baseline", "last:5"), False),  # of the good runs before, the newest is faster
        (("--baseline", "last:1@another"), False),  # which has no runs
        (("--baseline", "none"), False),
        (("--baseline", "last~2"), True),
        (("--baseline", "before.json"), True),
        ((), False),  # there is no folder of baselines
    ],
)
def test_other_baselines(args: tuple[str, ...], good: bool) -> None:
    slow, fast = record(us=10_500), record(us=10_000)
    kept(slow, at=1000.0)
    kept(fast, at=2000.0)
    kept(slow, at=3000.0)
    Path("before.json").write_text(json.dumps(slow), encoding="utf-8")
    assert gate(*args)[1]["slow"] == ("pass" if good else "fail")


def test_junit_and_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    baseline(record())
    kept(record())
    for name, inside in (("a.xml", ""), ("b.xml", '<failure message="lost"/>')):
        case = f'<testcase name="t">{inside}</testcase>'
        Path(name).write_text(f'<testsuite name="pytest">{case}</testsuite>', encoding="utf-8")
    assert gate("--junit-in", "a.xml", "--junit", "all.xml", "--markdown", "all.md")[0] == 0
    assert faults(Path("all.xml")) == []
    assert "all 4 conditions hold" in Path("all.md").read_text(encoding="utf-8")
    status, found = gate("--junit-in", "a.xml", "b.xml", "--junit", "all.xml")
    assert (status, found["merged tests"]) == (1, "fail")
    assert "b: t: lost" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("--gate", "absent.toml"), 2, "absent.toml: No such file or directory\n  next: hil gate --init"),
        (("absent.jsonl",), 2, "no file at absent.jsonl"),
        (("20990101",), 2, "no run that begin"),
        (("gate.toml",), 2, "gate.toml: line 1 is neither a hil.run/1 nor a hil.profile/1"),
        (("empty.jsonl",), 2, "empty.jsonl holds no run"),
        (("wrong.json",), 2, "wrong.json: not a hil.profile/1 record"),
        (("--baseline", "last:none"), 2, "expected last:N or last:N@BRANCH, N in 1..1000"),
        (("--baseline", "absent"), 2, "no run that begin with 'absent'"),
        (("--junit-in", "absent.xml"), 2, "cannot read absent.xml"),
        (("--junit", "no/where.xml"), 2, "cannot write no/where.xml: there is no folder no"),
        (("--markdown", "-"), 2, "--markdown -: standard output is for --json"),
        (("--markdown", "."), 2, "cannot write .: it is a folder"),
        (("--history", "gate.toml"), 4, "gate.toml: file is not a database"),
        (("--init",), 2, "gate.toml is there already"),
    ],
)
def test_what_goes_wrong(args: tuple[str, ...], status: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    kept(record())
    Path("empty.jsonl").write_text("\n\n", encoding="utf-8")
    Path("wrong.json").write_text('{"schema": "hil.profile/1", "board": 3}', encoding="utf-8")
    assert gate(*args) == (status, {})
    assert says in " ".join(capsys.readouterr().err.replace("\n  next", "NEXT").split()).replace("NEXT", "\n  next")


def test_the_first_gate_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["gate", "--init", "--gate", "first.toml"]) == 0
    baseline(record())
    kept(record(), tests=[Result("t", "passed")])
    assert gate("--gate", "first.toml")[1] == {
        "right": "pass", "tested": "pass", "no-slower": "pass", "no-bigger": "pass", "runs ended": "pass"
    } | {"runs": gate("--gate", "first.toml")[1]["runs"]}  # fmt: skip


def test_help_shows_a_gate_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["gate", "--help"])
    told = capsys.readouterr().out
    assert 'right = "mismatches == 0 everywhere"' in told
    assert "at most N h old" in told
    assert "throughput (1/s)" in told


def test_a_history_is_opened_only_where_a_run_of_it_is_named() -> None:
    Path("alone.json").write_text(json.dumps(record()), encoding="utf-8")

    def none() -> History:
        raise AssertionError("nobody asked for it")

    assert gathered(["alone.json"], none, lambda _: None).runs == ("alone.json",)
