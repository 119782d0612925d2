"""Reports of tests, as short as a reader can take them: a device may have said ten megabytes, and any letter.

JUnit files go to CI servers whose parsers give up on texts of 10 MB, and reports go from xdist's workers as UTF-8.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from hil.record.history import LONGEST_LOG, storable


class Bounds:
    """Shortens what a test said and what was said of it: the beginning and the end are kept."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.longrepr is not None and not isinstance(report.longrepr, tuple):
            text = report.longreprtext
            if (short := storable(text, LONGEST_LOG)) != text:
                report.longrepr = short
        report.sections = [(name, storable(text, LONGEST_LOG)) for name, text in report.sections]
        report.user_properties = [
            (name, storable(value) if isinstance(value, str) else value) for name, value in report.user_properties
        ]
        return report
