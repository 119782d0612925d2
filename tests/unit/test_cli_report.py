"""`hil report`: which run, held against what, where the page goes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hil.cli import main
from hil.record.history import History
from hil.record.measurement import found_in
from tests.support.histories import filled, record


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A slower kernel since yesterday; the folder that we are in has nothing of its own."""
    monkeypatch.chdir(tmp_path)
    return filled(tmp_path / "history.sqlite", 4, slow_from=2)


def report(history: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    status = main(["report", *words, "--history", str(history), "--json", "-"])
    return status, json.loads(capsys.readouterr().out)


def test_the_last_run_into_a_file_named_after_it(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = report(history, capsys=capsys)
    assert status == 0
    assert found == {
        "schema": "hil.report/1", "run": "night-03", "verdict": "pass", "file": "hil-night-03.html",
        "bytes": Path("hil-night-03.html").stat().st_size, "worse": 0,
    }  # fmt: skip
    assert "night-03" in Path("hil-night-03.html").read_text(encoding="utf-8")


def test_a_run_that_is_worse_is_told_and_no_verdict(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether it may be released is for `hil gate` to say."""
    status, found = report(history, "night-02", "--output", "page.html", capsys=capsys)
    assert (status, found["worse"], found["file"]) == (0, 2, "page.html")
    page = Path("page.html").read_text(encoding="utf-8")
    assert "What changed since the last 5 good runs of main" in page


def test_it_is_held_against_what_is_named(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(history, "--baseline", "night-00", capsys=capsys)[1]["worse"] == 2
    assert report(history, "--baseline", "night-02", capsys=capsys)[1]["worse"] == 0
    assert report(history, "--baseline", "last:1", capsys=capsys)[1]["worse"] == 0


def test_a_folder_of_baselines_is_found_by_itself(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hil.record.baseline import FileBaseline

    Path("baselines").mkdir()
    FileBaseline(Path("baselines")).updated([found_in(record(samples=[900, 900]))])
    found = report(history, capsys=capsys)[1]
    assert found["worse"] == 2
    assert "What changed since baselines" in Path("hil-night-03.html").read_text(encoding="utf-8")


def test_the_gate_says_what_matters(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("gate.toml").write_text('[[effect]]\nmodel = "kws"\nmeasure = "latency*"\nleast = "10 %"\n', encoding="utf-8")
    assert report(history, "--baseline", "night-00", capsys=capsys)[1]["worse"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody"], "no run that begin"),
        (["last~99"], "is none of them"),
        (["--output", "absent/page.html"], "cannot write absent/page.html"),
        (["--baseline", "absent"], "absent"),
        (["--serve", "nonsense:port"], "not HOST:PORT"),
        (["last", "--serve", "--output", "x.html"], "--serve shows all runs"),
    ],
)
def test_what_is_wrong_is_told(history: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(Path().iterdir())
    assert main(["report", *words, "--history", str(history)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert {path for path in Path().iterdir() if not path.name.startswith("history")} <= before


def test_without_a_history_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--history", "absent.sqlite"]) != 0
    assert "absent.sqlite" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_finished_leaves_the_old_one(
    history: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("page.html").write_text("old", encoding="utf-8")
    full = OSError(28, "No space left on device")

    def write(path: Path, *_: object, **__: object) -> None:
        path.touch()
        raise full

    monkeypatch.setattr(Path, "write_text", write)
    assert main(["report", "--history", str(history), "--output", "page.html"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert Path("page.html").read_bytes() == b"old"
    assert not [path.name for path in Path().iterdir() if path.name.startswith(".page")]


def test_hostile_names_of_runs_stay_in_their_folder(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An id may come from a file of another machine."""
    from tests.support.histories import origin

    with History.open(history) as opened:
        opened.begin(origin("x/../../evil", days_ago=-1)).end()
    Path("hil-x").mkdir()
    assert main(["report", "--history", str(history)]) == 2
    assert "next: hil report RUN --output page.html" in capsys.readouterr().err
