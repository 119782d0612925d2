"""What the engine promises about memory order, tried with real threads (tests/support/litmus.c).

The machine's own order is tried with the optimising compiler; the thread sanitizer checks the order that the source
promises, also where this processor gives more than it must.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hil.paths import FIRMWARE

LITMUS = Path(__file__).parents[1] / "support" / "litmus.c"
PARTS = ("engine", "link", "port")
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow")
# What the patterns do not use would need the rest of the engine and a port: left out by the linker.
FLAGS = ("-O2", "-g", "-std=c11", "-pthread", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", *WARNINGS)
THREADS = ("-fsanitize=thread", "-Wno-tsan")  # it does not follow fences; the words beside ours are atomic
COMPILER = shutil.which("gcc") or shutil.which("clang")
NEVER = {"meeting": 0, "message": 0, "stores": 0, "faults": 0}

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="neither gcc nor clang is installed")


def compiled(folder: Path, *flags: str, firmware: Path = FIRMWARE) -> Path:
    assert COMPILER
    includes = [f"-I{firmware / part}" for part in PARTS]
    sources = [LITMUS, firmware / "engine" / "team.c", firmware / "link" / "fault.c"]
    program = folder / "litmus"
    subprocess.run([COMPILER, *FLAGS, *flags, *includes, *map(str, sources), "-o", str(program)], check=True)
    return program


def run(program: Path, cores: int, rounds: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, str(cores), str(rounds)], capture_output=True, text=True, timeout=120, check=False)


def counts(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    return {name: int(count) for name, count in (line.split() for line in done.stdout.splitlines())}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("plain"))


@needs_compiler
@pytest.mark.parametrize(("cores", "rounds"), [(2, 200_000), (3, 20_000), (4, 10_000), (8, 2_000)])
def test_what_must_never_happen_does_not(plain: Path, cores: int, rounds: int) -> None:
    done = run(plain, cores, rounds)
    assert (done.returncode, counts(done)) == (0, NEVER), done.stderr


@needs_compiler
def test_the_thread_sanitizer_finds_no_race(tmp_path: Path) -> None:
    done = run(compiled(tmp_path, *THREADS), 3, 5000)
    assert (done.returncode, counts(done)) == (0, NEVER), done.stderr[-3000:]


@needs_compiler
def test_the_thread_sanitizer_sees_a_release_that_is_none(tmp_path: Path) -> None:
    """So that silence above means something."""
    broken = tmp_path / "firmware"
    for part in PARTS:
        shutil.copytree(FIRMWARE / part, broken / part)
    order = broken / "engine" / "order.h"
    text = order.read_text()
    assert "__ATOMIC_RELEASE);" in text
    order.write_text(text.replace("__ATOMIC_RELEASE);", "__ATOMIC_RELAXED);"))
    done = run(compiled(tmp_path, *THREADS, firmware=broken), 2, 2000)
    assert "data race" in done.stderr
