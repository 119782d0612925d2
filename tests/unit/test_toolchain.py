"""Compilers: found or named as missing, run with a limit, and heard when they refuse."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.errors import BuildFailed, ToolMissing
from hil.image.toolchain import Compiler, arm_gcc, zig


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """What was found is remembered for a process; these tests change what there is to find."""
    for known in (zig, arm_gcc):
        known.cache_clear()
    yield
    for known in (zig, arm_gcc):
        known.cache_clear()


def script(text: str) -> Compiler:
    """A 'compiler' that is a Python script."""
    return Compiler("fake", (sys.executable, "-c", text), "1")


def test_zig_is_the_one_of_this_environment() -> None:
    found = zig()
    assert found.argv == (sys.executable, "-m", "ziglang", "cc")
    assert found.version.split(".")[0].isdigit()


def test_zig_compiles(tmp_path: Path, shared_cache: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text("int answer(void) { return 42; }\n")
    zig().run(["-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus", "-c", source, "-o", tmp_path / "a.o"],
              what="compiling a.c")  # fmt: skip
    assert (tmp_path / "a.o").read_bytes()[:4] == b"\x7fELF"
    assert (shared_cache / "zig").is_dir(), "the compiler's own cache lies in ours"


def test_a_refusal_has_the_compilers_words(tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text("int answer(void) { return fourty_two; }\n")
    with pytest.raises(BuildFailed) as caught:
        zig().run(["-c", source, "-o", tmp_path / "a.o"], what="compiling a.c")
    for part in ("compiling a.c: zig exited 1", "fourty_two", "command: ", str(source)):
        assert part in caught.value.message
    assert caught.value.exit_status == 4


def test_a_compiler_that_hangs_is_ended() -> None:
    with pytest.raises(BuildFailed, match=r"compiling x: fake did not finish in 0\.2 s"):
        script("import time; time.sleep(600)").run([], what="compiling x", limit=0.2)


def test_words_on_standard_output_count_when_there_are_no_others() -> None:
    with pytest.raises(BuildFailed, match="exited 3:\nsaid here"):
        script("print('said here'); raise SystemExit(3)").run([], what="linking")


def test_very_many_words_are_cut_to_the_last() -> None:
    text = "import sys; sys.stderr.write('x' * 100_000 + 'the error'); raise SystemExit(1)"
    with pytest.raises(BuildFailed, match="the error") as caught:
        script(text).run([], what="linking")
    assert len(caught.value.message) < 5_000


def test_words_that_are_not_utf8_are_survived() -> None:
    text = "import sys; sys.stderr.buffer.write(b'\\xff\\xfe odd'); raise SystemExit(1)"
    with pytest.raises(BuildFailed, match="odd"):
        script(text).run([], what="linking")


def test_a_compiler_that_is_gone_is_named() -> None:
    gone = Compiler("gone", ("/nonexistent/compiler",), "1")
    with pytest.raises(ToolMissing, match="compiling x: gone could not be started"):
        gone.run([], what="compiling x")


def test_zig_missing_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ToolMissing) as caught:
        zig()
    assert caught.value.hint == "pip install ziglang"


def test_gcc_missing_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolMissing, match="arm-none-eabi-gcc is not on the PATH") as caught:
        arm_gcc()
    assert caught.value.hint == "apt-get install gcc-arm-none-eabi"


def test_gcc_is_asked_for_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version is part of cache keys: another compiler must not find this one's objects."""
    fake = tmp_path / "arm-none-eabi-gcc"
    fake.write_text('#!/bin/sh\n[ "$1" = -dumpfullversion ] && echo 13.2.1\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert arm_gcc() == Compiler("arm-none-eabi-gcc", (str(fake),), "13.2.1")
