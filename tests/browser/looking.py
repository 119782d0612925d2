"""What tests of pages share."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page

LIMIT = 30.0
"""Seconds for anything that a page does by itself; on a busy machine a page of five megabytes takes some."""


def until(page: Page, condition: str) -> None:
    """Wait for a condition in JavaScript. The policies of these pages forbid the browser's own way of waiting."""
    ends = time.monotonic() + LIMIT
    while not page.evaluate(condition):
        if time.monotonic() > ends:
            pytest.fail(f"not within {LIMIT:g} s: {condition}")
        page.wait_for_timeout(20)


WEAK_TEXTS = """(() => {
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] > 0.99) return colour;
        }
        return [255, 255, 255];
    };
    const weak = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
        const element = node.parentElement;
        const other = element.closest("script, option, .hoverlayer");
        if (!node.textContent.trim() || !element.checkVisibility() || other) continue;
        const style = getComputedStyle(element);
        const ink = parse(element.closest("svg") ? style.fill : style.color);
        const [a, b] = [light(ink), light(ground(element))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) weak.push([node.textContent.trim().slice(0, 30), ratio.toFixed(2)]);
    }
    return weak;
})()"""
"""Texts whose contrast is below that of WCAG 2.1, level AA, for text of any size."""

SCRIPT = "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
TURNED = "\N{RIGHT-TO-LEFT OVERRIDE}drawkcab\N{POP DIRECTIONAL FORMATTING}"
HOSTILE = (
    f"</script>{SCRIPT}<b>bold</b> \x1b[31mred\x1b[0m \x07 {TURNED} {{{{ 7 * 7 }}}} "
    "<a href='https://example.org'>link</a>"
)
"""A text that would like to be more than text: to HTML, a terminal, a template, the charts, and the eye."""

MARKED_UP = "<a href='https://example.org'>a</a><b>b</b>"
"""What the charting library would take for markup of its own; short enough for its labels."""
