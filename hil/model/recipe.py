"""Zoo entries whose file is not kept: made by their recipe on first use, held against the sha256 that is.

The recipe is a Python program of the zoo; it gets one argument, the file that it has to write. It runs in a process of
its own, with the folder above the zoo on its path, and its result stays in the cache under its sha256.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from hil.cache import entry
from hil.errors import UsageError

_SECONDS = 300.0
_LINE = 300


def built(where: str, recipe: Path, folder: Path, name: str, sha256: str) -> Path:
    """The file `name`, from the cache, or else from `recipe` of the zoo in `folder`.

    `where` opens messages. Raises `UsageError` where the recipe fails, or makes other bytes than those of `sha256`.
    """

    def make(scratch: Path) -> None:
        out = scratch / name
        _run(where, recipe, folder, out)
        found = hashlib.sha256(out.read_bytes()).hexdigest()
        if found != sha256:
            raise UsageError(f"{where}: sha256: {recipe.name} makes {found} here")

    return entry("zoo", sha256, make) / name


def _run(where: str, recipe: Path, folder: Path, out: Path) -> None:
    path = os.pathsep.join([str(folder.resolve().parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(recipe), str(out)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UsageError(f"{where}: recipe: {recipe.name} took more than {_SECONDS:.0f} s") from None
    if done.returncode != 0 or not out.is_file():
        said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode} and made no file"])[-1]
        raise UsageError(f"{where}: recipe: {recipe.name} failed: {said[:_LINE]}")
