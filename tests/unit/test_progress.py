"""The line of progress: what is on the screen, in this process and with pytest-xdist."""

from __future__ import annotations

import io
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hil.cases import Case, Model
from hil.paths import ZOO
from hil.pytest_progress import Line, Progress, beside, progress
from hil.pytest_session import Session
from tests.support.fakes import tiny_model
from tests.support.terminal import on_terminal, screen

WIDTH = 80


class File(io.StringIO):
    """A terminal's file; `encoding` can be another than in UTF-8."""

    encoding = "utf-8"


@pytest.fixture
def file() -> File:
    return File()


@pytest.fixture
def terminal(file: File) -> Any:
    """As much of pytest's terminal writer as the line looks at."""
    return SimpleNamespace(_file=file, fullwidth=WIDTH)


def shown(text: str) -> list[str]:
    return screen(text.replace("\n", "\r\n"))  # as terminals do with what programs write


def test_the_line_is_below_what_is_written_and_gone_before_more_is(terminal: Any, file: File) -> None:
    line = Line(terminal)
    terminal._file.write("test_a.py ")
    line.draw(["one, which is long"])
    assert shown(file.getvalue()) == ["test_a.py", "  hil: one, which is long"]
    line.draw(["two"])
    assert shown(file.getvalue()) == ["test_a.py", "  hil: two"]
    terminal._file.write("\x1b[32m.\x1b[0m")
    assert shown(file.getvalue()) == ["test_a.py .", ""]
    line.draw(["three"])
    terminal._file.write(".\n")
    line.draw(["four"])
    assert shown(file.getvalue()) == ["test_a.py ..", "", "  hil: four"]
    terminal._file.write("test_b.py ")
    line.draw([])
    terminal._file.write(".")
    assert shown(file.getvalue()) == ["test_a.py ..", "test_b.py .", ""]


PIECES = st.sampled_from(["a", "\n", "\r", "\x1b[31mred\x1b[0m", "test.py ", "x\ry", " [ 50%]\n"])


@given(st.lists(st.tuples(PIECES, st.sampled_from([None, "", "now", "rp2040: run 1 of 2"])), max_size=20))
def test_what_is_written_looks_as_if_there_were_no_line(steps: list[tuple[str, str | None]]) -> None:
    file, wide = File(), 10**6
    terminal = SimpleNamespace(_file=file, fullwidth=wide)
    line = Line(terminal)
    for text, draw in steps:
        terminal._file.write(text)
        if draw is not None:
            line.draw([draw] if draw else [])
    line.end()
    alone = shown("".join(text for text, _ in steps))
    found = shown(file.getvalue())
    assert found[: len(alone)] == alone
    assert not any(found[len(alone) :])


def test_the_cursor_goes_back_behind_wide_letters_and_wrapped_lines(terminal: Any, file: File) -> None:
    line = Line(terminal)
    terminal._file.write("漢字")
    line.draw(["now"])
    terminal._file.write("x" * WIDTH)
    assert file.getvalue().endswith("\x1b[A\r\x1b[4C" + "x" * WIDTH)
    line.draw(["now"])
    line.draw([])
    assert file.getvalue().endswith("\x1b[A\r\x1b[4C")


def test_nothing_is_drawn_where_it_cannot_be_told_where_the_cursor_is(terminal: Any, file: File) -> None:
    """After a letter in the last column it waits there for the next; and where a tab goes the terminal knows."""
    line = Line(terminal)
    for text in ("x" * WIDTH, "\na\tb"):
        terminal._file.write(text)
        line.draw(["now"])
        assert "hil" not in file.getvalue()
    terminal._file.write("\n")
    line.draw(["now"])
    assert "hil: now" in file.getvalue()


def test_what_does_not_change_is_not_drawn_again(terminal: Any, file: File) -> None:
    line = Line(terminal)
    line.draw(["now"])
    before = file.getvalue()
    line.draw(["now"])
    assert file.getvalue() == before


def test_the_terminal_gets_its_file_back(terminal: Any, file: File) -> None:
    line = Line(terminal)
    assert terminal._file is line
    assert terminal._file.getvalue() == "", "what else pytest asks of it is answered"
    line.draw(["now"])
    line.end()
    assert terminal._file is file
    after = file.getvalue()
    line.end()
    line.draw(["too late"])
    assert file.getvalue() == after
    assert shown(file.getvalue()) == ["", ""]


def test_letters_that_the_terminal_cannot_show_are_replaced(terminal: Any, file: File) -> None:
    file.encoding = "ascii"
    Line(terminal).draw(["größe: run 1 of 2"])
    assert shown(file.getvalue())[1] == "  hil: gr??e: run 1 of 2"


def test_it_is_as_wide_as_the_terminal_at_most(terminal: Any, file: File) -> None:
    line = Line(terminal)
    line.draw(["x" * 300])
    assert len(shown(file.getvalue())[1]) == WIDTH - 1
    terminal.fullwidth = 12
    line.draw(["y"])
    assert shown(file.getvalue()) == ["", ""], "there is no room for it"


@pytest.mark.parametrize(
    ("parts", "width", "line"),
    [
        (["one"], 20, "one"),
        (["gw0 rp2040: run 1 of 2", "gw1 short"], 36, "gw0 rp2040: run 1 of 2 | gw1 short"),
        (["gw0 rp2040: digits: input 134 of 200", "gw1 rp2350: flashing"], 50,
         "gw0 rp2040: ..ut 134 of 200 | gw1 rp2350: flashing"),
        (["a" * 30, "b" * 30, "c" * 30], 46, "aaaaaaaaa..aaaaaaaaa | bbbbbbbbb..bbbbbbbbb +1"),
        (["漢字" * 10], 20, "漢字漢字 ..漢字漢字"),
    ],
)  # fmt: skip
def test_parts_share_the_width(parts: list[str], width: int, line: str) -> None:
    assert beside(parts, width) == line


@given(st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1), min_size=1), st.integers(20, 200))
def test_parts_are_never_wider_than_there_is_room(parts: list[str], width: int) -> None:
    assert cell_len(beside(parts, width)) <= width


@pytest.mark.parametrize(
    ("board", "text", "said"),
    [
        ("rp2040", "planning tiny for rp2040", "planning tiny for rp2040"),
        ("rp2040", "tiny: run 1 of 2", "rp2040: tiny: run 1 of 2"),
        ("rp2040*2,rp2350", "tiny: run 1 of 2", "rp2040*2,rp2350: tiny: run 1 of 2"),
        ("rp2040", "", ""),
    ],
)
def test_the_board_is_named_once(board: str, text: str, said: str, pytestconfig: pytest.Config) -> None:
    heard: list[str] = []
    Session(pytestconfig, heard.append).saying(Case(Model("tiny", Path("tiny.tflite")), board))(text)
    assert heard == [said]


# -- workers of xdist --------------------------------------------------------------------------------------------------


class Config:
    """As much of pytest's configuration as progress needs."""

    def __init__(self, workerinput: dict[str, Any] | None = None) -> None:
        if workerinput is not None:
            self.workerinput = workerinput
        self.pluginmanager = SimpleNamespace(getplugin=lambda _name: None)
        self.cleanups: list[Any] = []
        self.add_cleanup = self.cleanups.append


def test_a_worker_without_the_folder_goes_on(tmp_path: Path) -> None:
    say = progress(Config({"workerid": "gw0", "hil_progress": str(tmp_path / "gone")}))  # type: ignore[arg-type]
    say("planning")
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_nothing_is_said() -> None:
    progress(Config())("planning")  # type: ignore[arg-type]
    progress(Config({"workerid": "gw0"}))("planning")  # type: ignore[arg-type]


def test_what_workers_say_reaches_the_controller(terminal: Any) -> None:
    config = Config()
    controller = Progress(config, Line(terminal))  # type: ignore[arg-type]
    nodes = [SimpleNamespace(workerinput={"workerid": f"gw{n}"}) for n in range(3)]
    try:
        for node in nodes:
            controller.pytest_configure_node(node)
        folder = Path(nodes[0].workerinput["hil_progress"])
        workers = [Config(node.workerinput) for node in nodes]
        first, second, third = (progress(worker) for worker in workers)  # type: ignore[arg-type]
        assert controller._said() == []
        first("something that is longer")
        first("planning")
        second("a\x1b[2Jb\nand more")
        third("漢" * 1000)
        assert controller._said() == ["gw0 planning", "gw1 a\N{REPLACEMENT CHARACTER}[2Jb", "gw2 " + "漢" * 200]
        first("")
        controller.pytest_testnodedown(nodes[1])
        controller.pytest_testnodedown(nodes[1])
        (folder / "gw2").write_bytes(b"\xff\x07" * 10000)
        assert controller._said() == ["gw2 " + "\N{REPLACEMENT CHARACTER}" * 200]
    finally:
        for cleanup in config.cleanups:
            cleanup()
    assert not folder.exists()
    assert not controller._watch.is_alive()
    first("too late")
    for cleanup in [cleanup for worker in workers for cleanup in worker.cleanups]:
        cleanup()


WAITS = """
import time
from pathlib import Path

def test_a(hil_case, hil_session):
    hil_session.saying(hil_case)("waiting")
    for _ in range(6000):
        if Path("go").exists():
            return
        time.sleep(0.01)
"""
OPTIONS = ("--board=rp2040", "--hil-no-zoo", "--hil-model=tiny.tflite", "--hil-model=other.tflite", "-n2")
BOTH = "  hil: gw0 rp2040: waiting | gw1 rp2040: waiting"


@pytest.fixture
def folder(shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test waits, on either of two workers, until it is seen."""
    pytest.importorskip("xdist")
    monkeypatch.setenv("HIL_CACHE_DIR", str(shared_cache))
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("PYTHONPATH", str(ZOO.parent))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (tmp_path / "tmp").mkdir()
    here = tmp_path / "here"
    here.mkdir()
    (here / "pytest.ini").touch()
    (here / "tiny.tflite").write_bytes(tiny_model())
    (here / "other.tflite").write_bytes(tiny_model(width=3))
    (here / "test_waits.py").write_text(WAITS, encoding="utf-8")
    return here


def test_each_worker_is_seen(folder: Path) -> None:
    def watch(text: str, _child: subprocess.Popen[bytes]) -> None:
        if BOTH in text:
            (folder / "go").touch()

    status, text = on_terminal(*OPTIONS, folder=folder, watch=watch)
    assert (status, BOTH in text) == (0, True)
    lines = screen(text)
    assert not any("  hil:" in line for line in lines), "nothing of it stays"
    assert "2 workers [2 items]" in [line.strip() for line in lines]
    assert f"..{'[100%]':>{WIDTH - 3}}" in lines, "pytest's own line is as without it"
    assert not list((folder.parent / "tmp").glob("hil-progress-*"))


def test_nothing_stays_after_ctrl_c(folder: Path) -> None:
    sent = False

    def watch(text: str, child: subprocess.Popen[bytes]) -> None:
        nonlocal sent
        if BOTH in text and not sent:
            sent = True
            child.send_signal(signal.SIGINT)
        elif sent and not any("  hil:" in line for line in screen(text)):
            (folder / "go").touch()  # else xdist waits for its workers

    status, text = on_terminal(*OPTIONS, folder=folder, watch=watch)
    assert (sent, status) == (True, pytest.ExitCode.INTERRUPTED)
    assert any("KeyboardInterrupt" in line for line in screen(text))
    assert not any("  hil:" in line for line in screen(text))
    assert not list((folder.parent / "tmp").glob("hil-progress-*"))
