"""The page of a run in a browser: charts are drawn, filters filter, nothing is fetched, nothing injected is alive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from hil.record.history import Result
from tests.browser.looking import HOSTILE, MARKED_UP, SCRIPT, WEAK_TEXTS, until
from tests.support.cli import hil
from tests.support.histories import filled, record

Open = Callable[..., Page]
NAME = "suite/test_model.py::test_latency[vww-rp2350]"


def page_of(history: Path, *words: str) -> str:
    """The URL of the page that `hil report` makes."""
    output = history.with_suffix(".html")
    done = hil("report", *words, "--history", history, "--output", output)
    assert done.returncode == 0, done.stderr
    assert output.stat().st_size < 6_000_000
    return output.as_uri()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run with a regression, a wrong answer, and a test that failed."""
    failed = Result(NAME, "failed", "device", 2.5, "vww", "rp2350", "pico2-a", "no answer in 5 s", "boot\nHARD FAULT\n")
    file = tmp_path_factory.mktemp("run") / "history.sqlite"
    return page_of(filled(file, extra=[record("ad", mismatches=3)], results=[failed]))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of a model, a board's message and a log that would like to be more than text."""
    failed = Result(f"a.py::test[{HOSTILE}]", "failed", "device", 1.0, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE * 50)
    file = tmp_path_factory.mktemp("hostile") / "history.sqlite"
    extra = [
        record(HOSTILE, tensor=HOSTILE, samples=[999, 1001, 1003], mismatches=1, bench="hardware"),
        record(MARKED_UP, tensor=MARKED_UP, samples=[999, 1001, 1003], nodes=2, bench="hardware"),
    ]
    return page_of(filled(file, 2, extra=extra, results=[failed], command=f"pytest {HOSTILE}"))


def shown(page: Page, selector: str) -> list[str]:
    return [one.inner_text() for one in page.locator(selector).all() if one.is_visible()]


def models(page: Page) -> list[str]:
    return shown(page, "#cases tbody th")


def open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    until(page, "[...document.querySelectorAll('[data-chart]')].every((one) => one.querySelector('svg'))")


def test_the_verdict_comes_first(opened: Open, url: str) -> None:
    page = opened(url)
    first = page.locator("h1").inner_text()
    assert first.startswith("FAIL")
    assert "night-11" in first
    said = page.locator(".banner").inner_text()
    assert "1 of 2 tests failed (1 device)." in said
    assert "1 of 4 measurements failed." in said
    assert page.locator(".banner").bounding_box()["y"] < 200


def test_every_chart_is_drawn_with_what_the_record_has(opened: Open, url: str) -> None:
    page = opened(url)
    open_all(page)
    kinds = page.eval_on_selector_all("[data-chart]", "found => found.map((one) => one.dataset.chart)")
    assert set(kinds) == {"spread", "latency", "operators", "course", "map", "history"}
    bars = page.locator("[data-chart=operators]").first.locator(".bars .point path")
    assert bars.count() == 3
    assert page.locator("[data-chart=map]").first.locator(".bars .point path").count() == 3
    course = page.locator("[data-chart=course]")
    assert course.count() == 1
    # of each of four nodes: compute three times, wait and wire in two exchanges
    assert [course.locator(f".trace:nth-child({k}) .point path").count() for k in (1, 2, 3)] == [12, 8, 8]
    points = (
        page.locator(".case", has_text="kws on rp2040").locator("[data-chart=history]").first.locator(".points path")
    )
    assert points.count() == 12
    for chart in page.locator("[data-chart]").all():
        assert chart.get_attribute("aria-label")
        assert chart.get_attribute("role") == "img"
        assert chart.locator("xpath=..").locator("table").count() >= 1, "a table says the same"


def test_a_step_is_marked_with_its_first_bad_run(opened: Open, url: str) -> None:
    page = opened(url)
    case = page.locator(".case", has_text="kws on rp2040")
    case.locator("summary").first.click()
    assert "Worse: 1000 -> 1050, +5 %, since run night-08" in case.inner_text()
    chart = case.locator("[data-chart=history]").first
    colours = chart.locator(".points path").evaluate_all("found => found.map((one) => one.style.fill)")
    assert len(set(colours)) == 2
    assert colours.count(colours[8]) == 1


def test_filters_leave_what_fits(opened: Open, url: str) -> None:
    page = opened(url)
    assert sorted(models(page)) == ["ad", "ic", "kws", "vww"]
    page.select_option("#board", "rp2350")
    assert models(page) == ["vww"]
    assert shown(page, ".case summary .grow") == ["vww on rp2350, 2 cores, hardware"]
    page.select_option("#board", "")
    page.select_option("#nodes", "4")
    assert models(page) == ["ic"]
    page.select_option("#nodes", "")
    page.check("#only")
    assert models(page) == ["ad"]
    page.uncheck("#only")
    page.fill("#find", "hardware VWW")
    assert models(page) == ["vww"]
    assert page.inner_text("#shown") == "1 of 4 shown"
    page.fill("#find", "nothing like it")
    assert models(page) == []


def test_a_head_sorts_its_column_and_turns_it_round(opened: Open, url: str) -> None:
    page = opened(url)
    head = page.locator("#cases th", has_text="latency")
    head.locator("button").click()
    assert models(page) == ["ad", "kws", "vww", "ic"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    assert models(page) == ["ic", "vww", "kws", "ad"]
    page.locator("#cases th", has_text="model").locator("button").click()
    assert models(page) == ["ad", "ic", "kws", "vww"]
    assert head.get_attribute("aria-sort") == "none"


def test_a_failure_has_its_log_and_the_command_that_repeats_it(opened: Open, url: str) -> None:
    page = opened(url)
    assert shown(page, ".failure .command") == [f"pytest --board=rp2040 '{NAME}'"]
    assert shown(page, ".failure .log") == ["boot\nHARD FAULT\n"]


def test_the_keyboard_reaches_everything(opened: Open, url: str) -> None:
    page = opened(url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    reached: set[str] = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "(() => { const a = document.activeElement; return a === document.body ? '' : a.tagName + ' ' + (a.id ||"
            " a.getAttribute('href') || a.textContent.trim().slice(0, 40) || a.getAttribute('aria-label')); })()"
        )
        if not name:
            break
        reached.add(name)
    every = page.evaluate(
        "[...document.querySelectorAll('a, button, input, select, summary, [tabindex=\"0\"]')]"
        ".filter((a) => a.checkVisibility() && a.className !== 'skip').map((a) => a.tagName + ' ' + (a.id ||"
        " a.getAttribute('href') || a.textContent.trim().slice(0, 40) || a.getAttribute('aria-label')))"
    )
    assert set(every) - reached == set()


def test_a_link_opens_the_case_and_the_keyboard_is_there(opened: Open, url: str) -> None:
    page = opened(url)
    link = page.locator("#cases tbody th a", has_text="vww")
    link.focus()
    page.keyboard.press("Enter")
    case = page.locator(".case", has_text="vww on rp2350")
    until(page, "document.activeElement.tagName === 'SUMMARY'")
    assert case.get_attribute("open") is not None
    assert "vww" in page.evaluate("document.activeElement.textContent")
    until(page, "document.activeElement.parentElement.querySelector('svg')")
    page.keyboard.press("Enter")
    assert case.get_attribute("open") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast_in_both_themes(opened: Open, url: str, scheme: str) -> None:
    page = opened(url, color_scheme=scheme)
    open_all(page)
    weak = page.evaluate(WEAK_TEXTS)
    assert weak == []


def test_the_theme_can_be_chosen(opened: Open, url: str) -> None:
    page = opened(url, color_scheme="light")

    def ground() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = ground()
    page.click("#theme")  # light, as it is
    assert ground() == light
    page.click("#theme")
    dark = ground()
    assert dark != light
    assert page.inner_text("#theme") == "Theme: dark"
    page.click("#theme")
    assert (ground(), page.inner_text("#theme")) == (light, "Theme: automatic")


@pytest.mark.parametrize("which", ["url", "hostile"])
def test_a_phone_need_not_scroll_sideways(opened: Open, which: str, request: pytest.FixtureRequest) -> None:
    page = opened(request.getfixturevalue(which), viewport={"width": 390, "height": 844}, is_mobile=True)
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_paper_is_white_and_complete(opened: Open, url: str, tmp_path: Path) -> None:
    page = opened(url, color_scheme="dark", viewport={"width": 718, "height": 1123})  # A4 with the usual margins
    open_all(page)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.scrollWidth") == 718
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert not page.locator(".filters").is_visible()
    # The charts are drawn anew for paper, so that an element that was found may be gone by the time that it is asked.
    ink = "getComputedStyle(document.querySelector('[data-chart] svg text')).fill"
    until(page, f"['rgb(0, 0, 0)', 'rgb(68, 68, 68)'].includes({ink})")
    assert page.evaluate(WEAK_TEXTS) == []
    data = page.pdf(path=tmp_path / "page.pdf")
    assert data.startswith(b"%PDF")


def test_nothing_that_a_device_or_a_model_says_is_more_than_text(opened: Open, hostile: str) -> None:
    page = opened(hostile)
    open_all(page)
    labels = page.locator("[data-chart=spread] .ytick text").all_text_contents()
    assert any(label.startswith("<a href='https://example.org'>a</a><b>b</b> on") for label in labels), labels
    told = _hovered(page, page.locator(".case", has_text=MARKED_UP).locator("[data-chart=map]").first)
    assert any(f": {MARKED_UP}" in text for text in told), told
    assert any("exchange 0" in text for text in _hovered(page, page.locator("[data-chart=course]").first))
    assert page.evaluate("window.hurt") is None
    assert page.locator("script").count() == 3
    assert page.locator("img, iframe, object, embed, b, i, base").count() == 0
    assert page.locator("svg a").count() == 0, "the charts read HTML in texts"
    assert page.evaluate("[...document.links].every((a) => a.getAttribute('href').startsWith('#'))")
    message = page.locator(".failure pre").first.inner_text()
    assert "[ESC][31mred[ESC][0m [BEL] [U+202E]drawkcab[U+202C] {{ 7 * 7 }}" in message
    assert SCRIPT in message
    text = page.content()
    assert not any(mark in text for mark in ("\x1b", "\x07", "\N{RIGHT-TO-LEFT OVERRIDE}"))
    assert "49" not in page.locator(".failure pre").first.inner_text()


def _hovered(page: Page, chart: Locator) -> list[str]:
    """What a chart tells of its bars when they are pointed at, one after the other."""
    told = []
    for bar in chart.locator(".bars .point path").all():
        bar.scroll_into_view_if_needed()
        box = bar.bounding_box()
        assert box is not None
        page.mouse.move(0, 0)
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(box["x"] + box["width"] / 2 + 1, box["y"] + box["height"] / 2)
        chart.locator(".hovertext").first.wait_for()
        told.append(chart.locator(".hovertext").first.text_content() or "")
        assert chart.locator("a").count() == 0
    return told


def test_the_policy_of_the_page_holds(opened: Open, url: str) -> None:
    """If something did get in, it would neither run nor fetch. The browser says what it has forbidden."""
    page = opened(url, expected=["Executing inline script", "https://example.org/"])
    broken = page.evaluate(
        """async () => {
            const found = [];
            document.addEventListener("securitypolicyviolation", (event) => found.push(event.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "window.hurt = 1";
            document.body.append(script);
            try { await fetch("https://example.org/"); } catch { found.push("fetch failed"); }
            await new Promise((resolve) => setTimeout(resolve, 200));
            return [window.hurt ?? null, ...found];
        }"""
    )
    assert broken[0] is None
    assert {"script-src-elem", "connect-src", "fetch failed"} <= set(broken)


def test_without_scripts_everything_can_be_read(opened: Open, url: str) -> None:
    page = opened(url, java_script_enabled=False)
    assert sorted(models(page)) == ["ad", "ic", "kws", "vww"]
    page.locator(".case summary", has_text="kws on rp2040").first.click()
    case = page.locator(".case", has_text="kws on rp2040")
    case.locator("details.numbers summary", has_text="operators").click()
    assert "operator 1 DEPTHWISE_CONV_2D" in case.locator("table", has_text="speed-up bound").inner_text()
