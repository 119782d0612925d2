"""The `hil` command in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LIMIT = 120.0


def hil(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    command = [sys.executable, "-m", "hil", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
