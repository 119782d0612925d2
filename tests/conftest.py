"""What the framework's own tests share: deterministic hypothesis profiles, and files to test with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from hil.paths import cache_root
from tests.support.fakes import tiny_model

_SLOW_OK = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
settings.register_profile(
    "default", derandomize=True, deadline=None, print_blob=True, max_examples=60, suppress_health_check=_SLOW_OK
)
settings.register_profile(
    "thorough", derandomize=False, deadline=None, print_blob=True, max_examples=2000, suppress_health_check=_SLOW_OK
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def shared_cache() -> Path:
    """The normal cache, so that firmware and references are made once for all tests and all runs."""
    return cache_root()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for this test alone."""
    root = tmp_path / "cache"
    monkeypatch.setenv("HIL_CACHE_DIR", str(root))
    return root


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small sound model in a file."""
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny_model())
    return path
