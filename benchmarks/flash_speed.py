"""How long flashing takes: 300 KiB by pyOCD onto a virtual board anew and unchanged, and one board against eight.

    python benchmarks/flash_speed.py rp2040 rp2350

Once by calls of a process that has flashed before, and once by `hil flash` as a person types it, of a model whose image
is 306 KiB: the command is started, the image is found in the cache, pyOCD is loaded. Seconds are of this machine's
clock, and depend on what else it does; CPU seconds are those of the command with its children, and of the boards.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import hil.virtual
from hil import api
from hil import board as boards
from hil.errors import HilError
from hil.flash.together import Order, flash_together
from hil.image.build import Image
from hil.paths import ZOO
from hil.virtual import VirtualBoard

BYTES = 300 * 1024
SIDE_BY_SIDE = 8
MODEL = ZOO / "autoencoder" / "autoencoder.tflite"
_TICKS = os.sysconf("SC_CLK_TCK")


def seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def target(machine: VirtualBoard) -> str:
    return f"hil:{machine.debug_port}"


def by_calls(kind: str, image: Image) -> str:
    """In this process, which has pyOCD's server."""
    board = boards.load(kind)

    def onto(*machines: VirtualBoard) -> None:
        for found in flash_together([Order(target(machine), image, board) for machine in machines]):
            if isinstance(found, HilError):
                raise found

    with ExitStack() as stack:
        cold, alone, *machines = (stack.enter_context(hil.virtual.start(kind)) for _ in range(SIDE_BY_SIDE + 2))
        first = seconds(lambda: onto(cold))
        anew = seconds(lambda: onto(alone))
        unchanged = seconds(lambda: onto(alone))
        many = seconds(lambda: onto(*machines))
        again = seconds(lambda: onto(*machines))
    return (
        f"{kind}, by calls: the first {first:.2f} s, then anew {anew:.2f} s, unchanged {unchanged:.2f} s; "
        f"{SIDE_BY_SIDE} at once {many:.2f} s ({many / anew:.1f} x), unchanged {again:.2f} s"
    )


def used(machines: Sequence[VirtualBoard]) -> float:
    """CPU seconds of this process's children that have ended, and of the boards."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    fields = (Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split() for one in machines)
    return ended.ru_utime + ended.ru_stime + sum((int(each[11]) + int(each[12])) / _TICKS for each in fields)


def by_command(kind: str) -> str:
    """As a person does it, in a process of its own each time."""

    def command(*machines: VirtualBoard) -> tuple[float, float]:
        words = [word for machine in machines for word in ("--on", target(machine))]
        line = [sys.executable, "-m", "hil", "flash", str(MODEL), "--board", kind, *words]
        before = used(machines)
        took = seconds(lambda: subprocess.run(line, check=True, stdout=subprocess.DEVNULL))
        return took, used(machines) - before

    with ExitStack() as stack:
        first, alone, *machines = (stack.enter_context(hil.virtual.start(kind)) for _ in range(SIDE_BY_SIDE + 2))
        command(first)  # builds the image, if nobody has
        found = [
            (what, command(alone), command(*machines))
            for what in ("anew", "unchanged")  # the second time everything is there
        ]
    return f"{kind}, by hil flash: " + "; ".join(
        f"{what} one {one:.2f} s ({cpu:.2f} CPU s), {SIDE_BY_SIDE} {many:.2f} s ({cpus:.2f} CPU s, {many / one:.1f} x)"
        for what, (one, cpu), (many, cpus) in found
    )


def main() -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for kind in sys.argv[1:] or ["rp2040", "rp2350"]:
        built = api.prepare(ZOO / "op_tiny" / "op_tiny.tflite", api.Request(board=kind)).image
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "random.bin"
            file.write_bytes(random.Random(3).randbytes(BYTES))
            print(by_calls(kind, replace(built, bin=file, flash=BYTES)))
        print(by_command(kind))


if __name__ == "__main__":
    main()
