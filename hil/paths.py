"""Where the files that are not Python live: in the clone beside the package, or inside the wheel; and a user's own."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_WHEEL = _PACKAGE / "_data"
_ROOT = _WHEEL if _WHEEL.is_dir() else _PACKAGE.parent

BOARDS = _ROOT / "boards"
FIRMWARE = Path(os.environ.get("HIL_FIRMWARE") or _ROOT / "firmware").absolute()
"""`$HIL_FIRMWARE`: a tree of one's own, with a kernel that is being worked on, say."""
ZOO = _ROOT / "model_zoo"


def cache_root() -> Path:
    """`$HIL_CACHE_DIR`, else `$XDG_CACHE_HOME/hil`, else `~/.cache/hil`."""
    if explicit := os.environ.get("HIL_CACHE_DIR"):
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hil"


def state_root() -> Path:
    """`$HIL_STATE_DIR`, else `$XDG_STATE_HOME/hil`, else `~/.local/state/hil`."""
    if explicit := os.environ.get("HIL_STATE_DIR"):
        return Path(explicit)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "hil"
