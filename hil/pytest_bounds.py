"""Reports of tests, such as every reader can take them: a device may have said ten megabytes, and any letter.

JUnit files go to CI servers whose parsers give up on texts of 10 MB, reports go from xdist's workers as UTF-8, and what
failed is printed on a terminal, which acts on some letters.
"""

from __future__ import annotations

import re
from collections.abc import Generator

import pytest

from hil.record.history import LONGEST_LOG, storable

_ACTED_ON = re.compile("[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\\[[0-9;]{0,20}m)")
"""What a terminal acts on, but for colours: tests may print them."""


def _tame(text: str) -> str:
    return _ACTED_ON.sub("\N{REPLACEMENT CHARACTER}", storable(text, LONGEST_LOG))


class Bounds:
    """Shortens what a test said and what was said of it: the beginning and the end are kept."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.longrepr is not None and not isinstance(report.longrepr, tuple):
            text = report.longreprtext
            if (tame := _tame(text)) != text:
                report.longrepr = tame
        report.sections = [(name, _tame(text)) for name, text in report.sections]
        report.user_properties = [
            (name, storable(value) if isinstance(value, str) else value) for name, value in report.user_properties
        ]
        return report
