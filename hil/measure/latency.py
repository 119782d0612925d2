"""Latency from the device's own counters, as median with spread, and the device's clock held against another."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from hil.errors import ClockMismatch

CLOCK_TOLERANCE = 0.01
_HOST_JITTER_S = 0.02
"""How late a host may read its clock after a byte came in: USB polling and scheduling, twice."""


@dataclass(frozen=True)
class Latency:
    """Microseconds around the inference alone. `cycles_median` is of the board's fine counter (see `Board.counts`)."""

    samples: tuple[int, ...]
    median: float
    p95: float
    min: int
    max: int
    cycles_median: int


def summarise(microseconds: Sequence[int], cycles: Sequence[int]) -> Latency:
    """Summarise repeats, warm-ups left out. p95 is the nearest rank."""
    ordered = sorted(microseconds)
    return Latency(
        samples=tuple(microseconds),
        median=float(statistics.median(ordered)),
        p95=float(ordered[math.ceil(0.95 * len(ordered)) - 1]),
        min=ordered[0],
        max=ordered[-1],
        cycles_median=round(statistics.median(sorted(cycles))),
    )


def clock_ratio(device_us: int, bench_ns: int, *, jitter: bool, where: str) -> float:
    """The device's time over the bench's in the same window; `jitter` if the bench's clock is this host's.

    Rounded to what a clock of whole microseconds can tell in that window.
    Raises `ClockMismatch` when they disagree by more than CLOCK_TOLERANCE: then no latency of this device is true.
    """
    if bench_ns <= 0:
        raise ClockMismatch(f"{where}: the bench's clock did not advance while the device counted {device_us} us")
    ratio = device_us * 1000 / bench_ns
    allowed = CLOCK_TOLERANCE + (_HOST_JITTER_S * 1e9 / bench_ns if jitter else 0.0)
    if abs(ratio - 1) > allowed:
        raise ClockMismatch(
            f"{where}: the device's clock ran at {ratio:.4f} of the bench's "
            f"({device_us} us against {bench_ns / 1000:.0f} us); allowed is 1 +/- {allowed:.4f}",
            hint="check clock_hz in the board's TOML and the crystal; latencies of this device are not true",
        )
    return round(ratio, _digits(device_us))


def _digits(window_us: int) -> int:
    """How many decimals of a ratio mean something: both ends of the device's window are whole microseconds."""
    return max(0, min(6, int(math.log10(max(window_us, 1) / 4))))
