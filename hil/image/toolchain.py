"""Compilers, and the one way to run one: with a time limit, and with its own words when it refuses."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hil.errors import BuildFailed, ToolMissing
from hil.paths import cache_root


@dataclass(frozen=True)
class Compiler:
    """A C compiler driver: how to call it, and what names its exact version in cache keys."""

    name: str
    argv: tuple[str, ...]
    version: str

    def run(self, args: Sequence[str | Path], *, what: str, limit: float = 300.0) -> None:
        """Run with `args`; raise `BuildFailed` with the compiler's words if it does not exit 0 in `limit` seconds.

        Raises `ToolMissing` where it cannot be started at all.
        """
        command = [*self.argv, *map(str, args)]
        environment = dict(os.environ)
        if self.name == "zig":
            # zig keeps its compiler-rt builds here; beside our own entries, so that one folder is the whole cache.
            store = cache_root() / "zig"
            environment |= {"ZIG_GLOBAL_CACHE_DIR": str(store), "ZIG_LOCAL_CACHE_DIR": str(store)}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=limit, env=environment, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise BuildFailed(f"{what}: {self.name} did not finish in {limit:g} s") from error
        except OSError as error:
            raise ToolMissing(f"{what}: {self.name} could not be started: {error}", hint="hil doctor") from error
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[-4000:]
            raise BuildFailed(f"{what}: {self.name} exited {done.returncode}:\n{said}\ncommand: {' '.join(command)}")


@cache
def zig() -> Compiler:
    """The clang that `pip install ziglang` brings: cross compiler for every board, and host compiler."""
    if importlib.util.find_spec("ziglang") is None:
        raise ToolMissing("the zig compiler is not installed in this environment", hint="pip install ziglang")
    return Compiler("zig", (sys.executable, "-m", "ziglang", "cc"), importlib.metadata.version("ziglang"))


@cache
def arm_gcc() -> Compiler:
    """An installed `arm-none-eabi-gcc`."""
    path = shutil.which("arm-none-eabi-gcc")
    if path is None:
        raise ToolMissing("arm-none-eabi-gcc is not on the PATH", hint="apt-get install gcc-arm-none-eabi")
    said = subprocess.run([path, "-dumpfullversion"], capture_output=True, text=True, timeout=30, check=False)
    return Compiler("arm-none-eabi-gcc", (path,), said.stdout.strip())


@cache
def host_compiler() -> Compiler:
    """An installed `gcc`, else `clang`, for programs of this machine: they bring the run time of the sanitizers."""
    path = shutil.which("gcc") or shutil.which("clang")
    if path is None:
        raise ToolMissing("neither gcc nor clang is on the PATH", hint="apt-get install gcc libc6-dev")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    return Compiler(Path(path).name, (path,), said.stdout.strip())
