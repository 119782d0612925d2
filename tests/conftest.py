"""What the framework's own tests share: deterministic hypothesis profiles, and files to test with."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from hil.paths import cache_root
from tests.support.fakes import tiny_model

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Started behind a shell's '&': programs that tests start would ignore Ctrl-C too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

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


@pytest.fixture(autouse=True, scope="session")
def _no_lab(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is on this machine's bench: tests take boards from lab files of their own, and hold leases apart."""
    folder = tmp_path_factory.mktemp("machine")
    os.environ.pop("HIL_LAB", None)
    os.environ |= {"XDG_CONFIG_HOME": str(folder), "HIL_STATE_DIR": str(folder / "state")}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small sound model in a file."""
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny_model())
    return path
