"""A headless Chromium, the system's: these tests look at pages as people's browsers do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.looking import LIMIT


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """`$HIL_CHROMIUM`, else `chromium` on the path. Without one these tests are skipped, and fail where `$CI` is set: a
    page that nobody looked at is not tested."""
    path = os.environ.get("HIL_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        why = "no chromium to test pages with: apt-get install chromium, or set HIL_CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    with sync_playwright() as playwright:
        # As root, as in most containers, it has no sandbox.
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.getuid() == 0 else [])
        yield started
        started.close()


@dataclass
class Watched:
    """A page, and what it did that nobody wanted; `expected`: parts of what has to be among it."""

    page: Page
    expected: Sequence[str] = ()
    trouble: list[str] = field(default_factory=list)


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a URL, with any options of a browser's context. No error, dialog or request for anything else is allowed.

    `also`: what other URLs may begin with. `expected`: parts of errors that have to come, and may.
    """
    pages: list[Watched] = []

    def open_page(url: str, also: str | None = None, expected: Sequence[str] = (), **options: Any) -> Page:
        context = browser.new_context(offline=url.startswith("file:"), **options)
        context.set_default_timeout(1000 * LIMIT)
        watched = Watched(context.new_page(), expected)
        pages.append(watched)
        say = watched.trouble.append

        def route(route: Any) -> None:
            wanted = route.request.url
            if wanted.partition("#")[0] == url.partition("#")[0] or (also is not None and wanted.startswith(also)):
                route.continue_()
            else:
                say(f"asked for {wanted}")
                route.abort()

        context.route("**/*", route)
        watched.page.on("console", lambda m: m.type in ("error", "warning") and say(f"{m.type}: {m.text}"))
        watched.page.on("pageerror", lambda error: say(f"error: {error}"))
        watched.page.on("dialog", lambda dialog: (say(f"dialog: {dialog.message}"), dialog.dismiss()))
        watched.page.on("popup", lambda _: say("opened another page"))
        watched.page.goto(url)
        return watched.page

    yield open_page
    for watched in pages:
        watched.page.context.close()
    for watched in pages:
        assert [part for part in watched.expected if not any(part in text for text in watched.trouble)] == []
        assert [text for text in watched.trouble if not any(part in text for part in watched.expected)] == []
