"""Where and from what a run came: machine, process, command line, and the revision of what it tested."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import hil

_LIMIT = 10.0
_LONGEST = 4096
_BRANCHES = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME", "BRANCH_NAME", "GIT_BRANCH")
"""What GitHub, GitLab and Jenkins call the branch: they check out a revision without one."""


@dataclass(frozen=True)
class Origin:
    """A run before anything is known of its end. `began`: seconds since 1970. Git's words are '' outside a checkout."""

    id: str
    began: float
    command: str
    host: str
    pid: int
    version: str
    revision: str
    branch: str
    dirty: bool
    bench: str


def runs_here(origin: Origin) -> bool:
    """Whether the process of a run is there, on this machine; it may also be another one with its number."""
    if origin.host != platform.node() or origin.pid <= 0:
        return False
    try:
        os.kill(origin.pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def here(bench: str, *, folder: Path | None = None, command: str | None = None) -> Origin:
    """The run that begins now in this process, which tests what is checked out at `folder` (default: here)."""
    began = time.time()
    where = folder or Path.cwd()
    revision = _git(where, "rev-parse", "HEAD")
    return Origin(
        # The time comes first, so that ids sort as runs do.
        id=f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(began))}-{uuid.uuid4().hex[:8]}",
        began=began,
        command=(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) if command is None else command)[:_LONGEST],
        host=platform.node(),
        pid=os.getpid(),
        version=hil.__version__,
        revision=revision,
        branch=_branch(where) if revision else "",
        dirty=bool(revision) and bool(_git(where, "status", "--porcelain", "--untracked-files=no")),
        bench=bench,
    )


def _branch(folder: Path) -> str:
    found = _git(folder, "symbolic-ref", "--short", "-q", "HEAD")
    return found or next((os.environ[name] for name in _BRANCHES if os.environ.get(name)), "")


def _git(folder: Path, *words: str) -> str:
    """What git says; '' where it is not installed, or says no."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=_LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
