"""How long pyOCD takes to flash 300 KiB onto virtual boards: anew, unchanged, and onto eight at once.

    python benchmarks/flash_speed.py rp2040 rp2350

Times are of this machine's clock and depend on what else it does; eight at once need as many cores to take no longer.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import hil.virtual
from hil import api, flash
from hil import board as boards
from hil.image.build import Image
from hil.paths import ZOO

BYTES = 300 * 1024
SIDE_BY_SIDE = 8


def seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def measured(kind: str, image: Image) -> str:
    board = boards.load(kind)

    def onto(machine: hil.virtual.VirtualBoard) -> flash.Flashed:
        return flash.flash(f"hil:{machine.debug_port}", image, board)

    with hil.virtual.start(kind) as alone:
        anew = seconds(lambda: onto(alone))
        unchanged = seconds(lambda: onto(alone))
    with ExitStack() as stack, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        machines = [stack.enter_context(hil.virtual.start(kind)) for _ in range(SIDE_BY_SIDE)]
        many = seconds(lambda: list(pool.map(onto, machines)))
    times = f"anew {anew:.2f} s, unchanged {unchanged:.2f} s, {SIDE_BY_SIDE} at once {many:.2f} s"
    return f"{kind}: {times} ({many / anew:.1f} x, {os.cpu_count()} cores)"


def main() -> None:
    for kind in sys.argv[1:] or ["rp2040", "rp2350"]:
        built = api.prepare(ZOO / "op_tiny" / "op_tiny.tflite", api.Request(board=kind)).image
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "random.bin"
            file.write_bytes(random.Random(3).randbytes(BYTES))
            print(measured(kind, replace(built, bin=file, flash=BYTES)))


if __name__ == "__main__":
    main()
