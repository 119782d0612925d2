"""The cache: made once by one process, complete or absent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.cache import digest, entry, locked, tree_digest

parts = st.lists(st.binary(max_size=6), max_size=5)


@given(parts, parts)
def test_parts_cannot_run_into_each_other(a: list[bytes], b: list[bytes]) -> None:
    assert (digest(*a) == digest(*b)) == (a == b)


def test_text_and_its_bytes_are_one_key() -> None:
    assert digest("é") == digest("é".encode())


def test_tree_digest_sees_names_and_contents(tmp_path: Path) -> None:
    def tree(name: str, files: dict[str, bytes]) -> str:
        for path, data in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(data)
        return tree_digest(tmp_path / name)

    base = {"a/x.c": b"1", "b.c": b"2"}
    first = tree("first", base)
    assert first == tree("copy", dict(reversed(base.items()))), "neither place nor order of creation matters"
    others = [{**base, "b.c": b"3"}, {"a/x.c": b"1", "c.c": b"2"}, {**base, "empty": b""}, {"a": b"1", "b.c": b"2"}]
    found = [tree(f"other{k}", files) for k, files in enumerate(others)]
    assert len({first, *found}) == 5


def test_made_once_then_found(own_cache: Path) -> None:
    calls = []

    def make(folder: Path) -> None:
        assert list(folder.iterdir()) == []
        calls.append(folder)
        (folder / "made").write_text("x")

    first = entry("kind", "key", make)
    assert entry("kind", "key", make) == first == own_cache / "kind" / "key"
    assert (first / "made").read_text() == "x"
    assert len(calls) == 1
    assert not calls[0].exists(), "the scratch folder was renamed"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_kept_on_failure(own_cache: Path, error: type[BaseException]) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise error

    with pytest.raises(error):
        entry("kind", "key", fail)
    assert [p.name for p in (own_cache / "kind").iterdir()] == [".key.lock"]
    assert entry("kind", "key", lambda folder: (folder / "whole").touch()).is_dir()


_RACER = """
import sys, time
from pathlib import Path
from hil.cache import entry
log, go = Path(sys.argv[1]), Path(sys.argv[2])
def make(folder):
    with log.open("a") as f: f.write("made\\n")
    time.sleep(0.3)  # long enough for the others to arrive at the lock
    (folder / "a").write_text("whole")
while not go.exists(): time.sleep(0.01)
place = entry("race", "key", make)
assert (place / "a").read_text() == "whole"
"""


def test_racing_processes_make_it_once(own_cache: Path, tmp_path: Path) -> None:
    log, go = tmp_path / "log", tmp_path / "go"
    racers = [subprocess.Popen([sys.executable, "-c", _RACER, log, go]) for _ in range(3)]
    time.sleep(0.3)
    go.touch()
    assert [racer.wait(timeout=60) for racer in racers] == [0, 0, 0]
    assert log.read_text() == "made\n"


_VICTIM = """
import time
from hil.cache import entry
def make(folder):
    (folder / "half").write_text("x")
    print("half", flush=True)
    time.sleep(600)
entry("kind", "key", make)
"""


def test_a_killed_maker_leaves_nothing_finished(own_cache: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _VICTIM], stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"half\n"
        os.kill(victim.pid, signal.SIGKILL)
    assert not (own_cache / "kind" / "key").exists()
    # Its lock is free again, and the next maker starts from nothing.
    made = entry("kind", "key", lambda folder: (folder / "whole").touch())
    assert [p.name for p in made.iterdir()] == ["whole"]


def test_a_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "deep" / "lock"):
        _ = 1 / 0
    with locked(tmp_path / "deep" / "lock"):
        pass
