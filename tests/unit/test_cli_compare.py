"""`hil compare`: which two it compares, what it shows, and its exit status."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from hil import cli
from hil.record import FileBaseline, History, found_in, here
from hil.record.exchange import exported
from hil.record.queries import run_named
from tests.support.records import profile


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIL_HISTORY", str(tmp_path / "history.sqlite"))
    monkeypatch.setenv("COLUMNS", "80")


def kept(*records: dict[str, Any], at: float, branch: str = "main", verdict: Any = "pass") -> str:
    """A run in the history; gives its id."""
    with History.open() as history:
        origin = replace(here("a bench"), id=f"run{at:02.0f}", began=at, branch=branch, revision=f"{at:012.0f}abcd")
        writer = history.begin(origin)
        for one in records:
            writer.profiled(one, place="a place", at=at)
        writer.verdict(verdict)
        writer.end(at + 0.5)
        return writer.id


def compared(*args: str) -> tuple[int, dict[str, Any]]:
    """Its status and record; an empty one where it wrote none."""
    Path("c.json").unlink(missing_ok=True)
    status = cli.main(["compare", "--json", "c.json", *args])
    return status, json.loads(Path("c.json").read_text()) if Path("c.json").exists() else {}


def kinds(record: dict[str, Any]) -> dict[str, str]:
    (one,) = record["deployments"]
    return {change["name"]: change["kind"] for change in one["changes"] if change["kind"] != "same"}


def test_two_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for at, latency in enumerate([1000.0, 1000.0, 1060.0, 1060.0], 1):
        kept(profile(latency=latency), at=float(at))
    status, record = compared("last", "run01")
    assert status == 1
    assert (record["schema"], record["verdict"]) == ("hil.compare/1", "fail")
    assert (record["runs"], record["baseline"]) == (["run04"], "run run01")
    assert kinds(record) == {"latency_cycles": "worse", "latency": "worse"}
    assert record["deployments"][0]["changes"][0] == {
        "name": "latency", "unit": "us", "kind": "worse", "before": 1000.0, "after": 1060.0, "ratio": 1.06,
        "why": "counted", "since": "run run03 at 000000000003",
    }  # fmt: skip
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "since run run01:"
    assert "2 worse since run run03 at 000000000003" in shown
    assert max(map(cell_len, shown)) <= 80
    assert compared("last", "last~1")[0] == 0
    assert compared("run01", "run03")[0] == 0, "better is no failure"


def test_what_came_later_does_not_date_an_older_run() -> None:
    for at, latency in enumerate([1000.0, 1060.0, 1000.0, 1000.0], 1):
        kept(profile(latency=latency), at=float(at))
    status, record = compared("run02", "run01")
    assert status == 1
    assert record["deployments"][0]["changes"][0]["since"] == "run run02 at 000000000002"


def test_the_committed_baseline_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    FileBaseline(Path("baselines")).updated([found_in(profile())])
    kept(profile(), at=1.0)
    status, record = compared()
    assert (status, record["baseline"], kinds(record)) == (0, "baselines", {})
    assert "since baselines: all 13 measurements are the same" in capsys.readouterr().out
    compared("--all")
    assert "flash_program, B" in capsys.readouterr().out


def test_good_runs_of_a_branch() -> None:
    kept(profile(latency=1000.0), at=1.0)
    kept(profile(latency=2000.0), at=2.0, branch="topic")
    kept(profile(latency=3000.0), at=3.0, verdict="fail")
    kept(profile(latency=1000.0), at=4.0)
    assert compared("last", "last:5")[0] == 0
    status, record = compared("last", "last:5@topic")
    assert (status, kinds(record)["latency"]) == (0, "better")


def test_files_need_no_history() -> None:
    for name, latency in (("old.json", 1000.0), ("new.json", 1060.0)):
        Path(name).write_text(json.dumps(profile(latency=latency)))
    assert compared("new.json", "old.json")[0] == 1
    assert not Path("history.sqlite").exists()


def test_a_run_that_another_machine_exported() -> None:
    kept(profile(latency=1000.0), at=1.0)
    with History.open() as history:
        Path("other.jsonl").write_text("".join(exported(history, [run_named(history, "last")])))
    kept(profile(latency=1060.0), at=2.0)
    assert compared("last", "other.jsonl")[0] == 1


def test_the_gate_file_says_which_changes_matter() -> None:
    kept(profile(latency=1000.0), at=1.0)
    kept(profile(latency=1060.0), at=2.0)
    Path("gate.toml").write_text('schema = 1\n[[effect]]\nmeasure = "latency*"\nleast = "10 %"\n')
    assert compared("last", "last~1")[0] == 0
    Path("other.toml").write_text("schema = 1\n")
    assert compared("last", "last~1", "--gate", "other.toml")[0] == 1


def test_another_model_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    other = profile()
    other["model"] = other["model"] | {"sha256": "6" * 64}
    kept(profile(), at=1.0)
    kept(other, at=2.0)
    assert compared("last", "last~1")[0] == 0
    assert "the model changed: sha256 555555555555 -> 666666666666" in " ".join(capsys.readouterr().out.split())


def test_hardware_is_not_held_against_virtual(capsys: pytest.CaptureFixture[str]) -> None:
    kept(profile(), at=1.0)
    kept(profile(source="hardware"), at=2.0)
    assert compared("last", "last~1") == (2, {})
    said = " ".join(capsys.readouterr().err.split())
    assert "last and run run01 have nothing in common; of last: there is kws on rp2040, hardware" in said


def test_what_the_baseline_does_not_know_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    kept(profile(), at=1.0)
    kept(profile(), profile("new"), at=2.0)
    assert compared("last", "last~1")[0] == 0
    assert "not in run run01: new on rp2040, virtual" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        ([], 2, "nothing to compare last with: there is no folder baselines"),
        (["last", "nope"], 2, "has no run"),
        (["nope", "last"], 2, "has no run"),
        (["last", "absent.json"], 2, "no file at absent.json"),
        (["last", "last:0"], 2, "expected last:N or last:N@BRANCH"),
        (["last", "last", "--gate", "absent.toml"], 2, "cannot read absent.toml"),
    ],
)
def test_what_cannot_be_compared_is_said(
    args: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(profile(), at=1.0)
    assert compared(*args)[0] == status
    assert message in " ".join(capsys.readouterr().err.split())


def test_names_draw_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    kept(profile("[red]x\x1b[31m", latency=1000.0), at=1.0)
    kept(profile("[red]x\x1b[31m", latency=1060.0), at=2.0)
    assert compared("last", "last~1")[0] == 1
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[red]x" in shown
