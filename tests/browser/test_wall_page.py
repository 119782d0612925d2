"""The wall in a browser: it follows what happens by itself, and says so when nobody answers any more."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from hil.bench import Where
from hil.bench.state import State
from hil.record.history import History, Result, Usage
from hil.report.serve import LabServer, lab_server
from tests.browser.looking import HOSTILE, WEAK_TEXTS, until
from tests.support.histories import NOW, filled, origin, record

Open = Callable[..., Page]
LAB = """\
schema = 1
state = "{state}"

[board.pico-a]
kind = "rp2040"
serial = "A"

[board.pico-b]
kind = "rp2040"
serial = "B"
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    file = tmp_path / "lab.toml"
    file.write_text(LAB.format(state=tmp_path / "state"))
    (tmp_path / "state").mkdir()
    return file


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Two good nights and a bad one today; a run that has begun."""
    file = filled(tmp_path / "history.sqlite", 3, slow_from=2)
    with History.open(file) as opened:
        here = origin("live", host=platform.node(), pid=os.getpid(), began=NOW - 65)
        writer = opened.begin(here)
        writer.tested(Result("a.py::test_first", "passed", at=NOW))
        writer.used(Usage("serial A", "pico-a", "infrastructure", "no answer", at=NOW))
    return file


@pytest.fixture
def server(history: Path, lab: Path) -> Iterator[LabServer]:
    with lab_server("127.0.0.1", 0, history, Where(str(lab))) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_the_wall_shows_runs_boards_and_the_night(opened: Open, server: LabServer, tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    handle = state.try_lease("serial A", "rp2040")
    assert handle is not None
    state.set_aside("serial B", "pico-b", "no answer after a power cycle", "")
    page = opened(server.url, also=server.url)
    assert "1 test" in page.locator("section", has=page.locator("#live")).inner_text()
    boards = {tile.locator("h3").inner_text(): tile.inner_text() for tile in page.locator(".tile.board").all()}
    assert f"process {os.getpid()}" in boards["pico-a rp2040"]
    assert "1 of 1 uses bad" in boards["pico-a rp2040"]
    assert "set aside" in boards["pico-b rp2040"]
    assert "hil lab release pico-b" in boards["pico-b rp2040"]
    night = page.locator("section", has=page.locator("#night")).inner_text()
    assert "kws on rp2040, virtual: latency +5 %" in night
    os.close(handle)


def test_it_follows_by_itself_and_keeps_the_focus(opened: Open, server: LabServer, history: Path) -> None:
    page = opened(server.url, also=server.url)
    page.locator(".tile a").first.focus()
    with History.open(history) as written:
        writer = written.writer("live")
        writer.tested(Result("a.py::test_second", "failed", "assertion", message="no", at=NOW))
    until(page, "document.querySelector('.tile').textContent.includes('2 tests')")
    assert page.locator(".tile").first.inner_text().count("1 failed") == 1
    assert page.evaluate("document.activeElement.tagName") == "A"
    with History.open(history) as written:
        written.end("live", "fail", NOW)
    until(page, "document.querySelector('#main').textContent.includes('Nothing runs.')")


def test_a_server_that_is_gone_is_told(opened: Open, server: LabServer) -> None:
    page = opened(server.url, also=server.url, expected=["error: Failed to load resource"])
    server.shutdown()
    server.server_close()
    page.wait_for_selector("body.stale")
    assert page.inner_text("#state").startswith("no answer since then, as of ")
    assert page.locator(".tile").count() > 0, "what was known stays"


def test_a_run_is_a_link_away(opened: Open, server: LabServer) -> None:
    page = opened(server.url, also=server.url)
    page.locator("#main table a").first.click()
    page.wait_for_selector("[data-drawn] svg")
    assert "night-02" in page.locator("h1").inner_text()


def test_nothing_in_the_history_is_more_than_text(opened: Open, server: LabServer, history: Path) -> None:
    with History.open(history) as written:
        writer = written.begin(origin("hostile", command=HOSTILE, branch=HOSTILE, bench=HOSTILE, host=HOSTILE))
        writer.tested(Result(HOSTILE, "failed", "device", model=HOSTILE, message=HOSTILE))
        ended = written.begin(origin("hostile2", command=HOSTILE, branch=HOSTILE, bench=HOSTILE, host=HOSTILE))
        ended.profiled(record(HOSTILE), place=HOSTILE)
        ended.end()
    page = opened(server.url, also=server.url)
    assert page.locator(".tile", has_text="[ESC][31mred").count() == 1
    page.evaluate("window.old = document.getElementById('main'), null")
    until(page, "window.old !== document.getElementById('main')")
    assert page.evaluate("window.hurt") is None
    assert page.locator("img, iframe, b, i, base").count() == 0
    assert "\x1b" not in page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_can_be_read(opened: Open, server: LabServer, scheme: str, width: int) -> None:
    page = opened(server.url, also=server.url, color_scheme=scheme, viewport={"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(WEAK_TEXTS) == []
