"""`pytest` runs the framework's own tests; `pytest --board=NAME` runs the suite for users on that board instead."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]  # the tests of the plugin run pytest in pytest

_ROOT = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without paths on the command line, collect one of the two: the plugin's `--board` says which."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return None
    other = _ROOT / "tests" if config.getoption("board") else _ROOT / "hil" / "suite"
    return True if collection_path.is_relative_to(other) else None
