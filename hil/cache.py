"""Content-addressed results on disk: made once, by one process, complete or absent.

A key is the sha256 of everything that the result depends on. An entry is a folder; it is made under a
temporary name and renamed into place, so that a killed maker leaves nothing that looks finished.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hil.paths import cache_root


def digest(*parts: bytes | str) -> str:
    """The sha256, in hex, of parts that cannot run into each other."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()


def tree_digest(*paths: Path) -> str:
    """The sha256 of files, and of all files below folders: names (relative) and contents."""
    parts: list[bytes | str] = []
    for top in paths:
        files = sorted(p for p in top.rglob("*") if p.is_file()) if top.is_dir() else [top]
        for path in files:
            parts += [path.relative_to(top).as_posix() if top.is_dir() else path.name, path.read_bytes()]
    return digest(*parts)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the kernel frees it when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def entry(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder `kind/key` of the cache; `make` fills an empty folder where there is none yet.

    Two processes that want the same entry make it once: the second waits. If `make` raises, nothing is kept.
    """
    place = cache_root() / kind / key
    if place.is_dir():
        return place
    with locked(place.parent / f".{key}.lock"):
        if place.is_dir():
            return place
        scratch = Path(tempfile.mkdtemp(prefix=f".{key[:12]}-", dir=place.parent))
        try:
            make(scratch)
            os.rename(scratch, place)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    return place
