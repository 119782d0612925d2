"""Where flash tools' output is kept: one file for each board kind and target, of its last time, 100 in all."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from hil.errors import FlashFailed
from hil.paths import cache_root

_MOST = 100


def log_file(tool: str, board: str, target: str) -> Path:
    """An empty file in the cache. Raises `FlashFailed` where none can be made."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{board}-{tool}-{target}").strip("-")[-120:]
    path = cache_root() / "flash" / f"{name}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    except OSError as error:
        raise FlashFailed(
            f"{board} at {target}: cannot keep {tool}'s log at {path}: {error.strerror}",
            hint=f"df -h {cache_root()}; ls -ld {path.parent}",
        ) from error
    _forget(path.parent)
    return path


def _forget(folder: Path) -> None:
    """Remove the oldest: virtual boards have other ports every time."""
    with contextlib.suppress(OSError):  # somebody else does the same
        for old in sorted(folder.glob("*.log"), key=lambda file: file.stat().st_mtime)[:-_MOST]:
            old.unlink()
