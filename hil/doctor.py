"""What is missing on this machine, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from dataclasses import dataclass

from hil import board as boards
from hil.model.reference import PINNED
from hil.paths import cache_root


@dataclass(frozen=True)
class Finding:
    """One thing looked for. `needed` is False for what only widens the choice; `mend` is a command, or empty."""

    what: str
    why: str
    found: str
    good: bool
    needed: bool
    mend: str = ""


def examine() -> tuple[Finding, ...]:
    """Look at everything that a run on the virtual bench needs, and at what else is useful."""
    return (
        _python(),
        _package("numpy", "planning"),
        _package("pyserial", "links to boards"),
        _reference(),
        _package("ziglang", "builds firmware, and the virtual board's native part"),
        _package("unicorn", "virtual boards"),
        _package("pyocd", "flashes boards by their debug port, virtual ones too; --load ram, --console rtt"),
        _cache(),
        _program("arm-none-eabi-gcc", "second toolchain (--toolchain gcc)", "apt-get install gcc-arm-none-eabi"),
        _program("gcc", "sanitizers on the board native (--toolchain asan, tsan)", "apt-get install gcc libc6-dev"),
        *_emulators(),
        _choice("labgrid", "boards of other machines (--hil-bench labgrid:HOST:PORT)", "pytest-hil[labgrid]"),
        _choice("esptool", "flashes esp32c3", "pytest-hil[esptool]"),
        _program("picotool", "flashes rp2040 and rp2350 on USB (--tool picotool)", "apt-get install picotool"),
        _program("uhubctl", "power switches in lab files (power = { hub = ... })", "apt-get install uhubctl"),
    )


def _emulators() -> tuple[Finding, ...]:
    """The programs that virtual boards need, with the boards that need each."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for name in boards.names():
        virtual = boards.load(name).virtual
        if virtual is not None and virtual.program is not None:
            wanted.setdefault((virtual.program, virtual.package or virtual.program), []).append(name)
    return tuple(
        _program(program, f"virtual {', '.join(names)}", f"apt-get install {package}")
        for (program, package), names in wanted.items()
    )


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    wheel = sys.version_info < (3, 13)
    mend = "" if good and wheel else "use Python 3.11 or 3.12: the pinned reference has no wheel for others"
    return Finding("python", "runs hil", ".".join(map(str, sys.version_info[:3])), good and wheel, True, mend)


def _package(name: str, why: str) -> Finding:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, why, "missing", False, True, f"pip install {name}")
    return Finding(name, why, version, True, True)


def _choice(name: str, why: str, extra: str) -> Finding:
    """A package that only widens the choice."""
    found = _package(name, why)
    return (
        found if found.good else Finding(name, why, "not installed (optional)", False, False, f"pip install '{extra}'")
    )


def _reference() -> Finding:
    finding = _package("ai-edge-litert", "the host reference")
    mend = f"pip install ai-edge-litert=={PINNED}"
    if finding.good and finding.found != PINNED:
        return Finding(finding.what, finding.why, f"{finding.found}, not {PINNED}", False, True, mend)
    return finding if finding.good else Finding(finding.what, finding.why, finding.found, False, True, mend)


def _cache() -> Finding:
    root = cache_root()
    existing = root
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    good = os.access(existing, os.W_OK)
    free = shutil.disk_usage(existing).free // (1 << 20)
    mend = "" if good else "set HIL_CACHE_DIR to a folder that can be written"
    return Finding("cache", "built firmware and references", f"{root} ({free} MiB free)", good, True, mend)


def _program(name: str, why: str, mend: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, why, path or "not installed (optional)", path is not None, False, "" if path else mend)
