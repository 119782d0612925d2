"""Hooks of the plugin, for a `conftest.py` or another plugin.

Example, in a conftest.py::

    def pytest_hil_models(config):
        return [Path(__file__).parent / "models" / "wakeword.tflite"]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest


@pytest.hookspec
def pytest_hil_models(config: pytest.Config) -> Sequence[Path]:
    """Give more models to test, as paths of `.tflite` files. Called once, while tests are collected."""
    raise NotImplementedError  # a specification has no body; pluggy never calls it


@pytest.hookspec
def pytest_hil_record(config: pytest.Config, record: Mapping[str, Any]) -> None:
    """Called with each `hil.profile/1` record as soon as a model was measured (in the worker, under xdist)."""
    raise NotImplementedError  # a specification has no body; pluggy never calls it
