"""How fast the virtual RP2040 runs, with counting on: `python -m benchmarks.virtual_speed` in the clone.

Prints one line a case: emulated million instructions and cycles per second of host time, on one core of the host.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from hil.virtual.server import STRIDE
from tests.support.virtual_programs import Rp2040, built


def _strides(board: Rp2040, cycles: int) -> None:
    """As the board's process runs it."""
    end = board.state().cycles + cycles
    while board.state().cycles < end:
        board.run(STRIDE)


def _whole(board: Rp2040, cycles: int) -> None:
    board.run(cycles)


def _measure(name: str, program: str, run: Callable[[Rp2040, int], None], cycles: int, *, skip: bool = True) -> None:
    board = Rp2040(built(program), skip=skip)
    board.run(5_000_000)  # translate what there is to translate
    before = board.state()
    start = time.perf_counter()
    run(board, cycles)
    seconds = time.perf_counter() - start
    after = board.state()
    instructions = sum(after.instructions) - sum(before.instructions)
    counted = after.cycles - before.cycles
    print(f"{name:32} {instructions / seconds / 1e6:8.0f} MIPS {counted / seconds / 1e6:8.0f} Mcycles/s")
    board.close()


def main() -> None:
    """Measure each case once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=500_000_000, help="virtual cycles in each case")
    cycles: int = parser.parse_args().cycles
    _measure("convolution, one core", "work", _whole, cycles)
    _measure("convolution, in strides", "work", _strides, cycles)
    _measure("convolution, both cores", "work2", _strides, cycles // 2)
    _measure("a timer polled", "poll", _whole, cycles // 10)


if __name__ == "__main__":
    main()
