"""What is counted in a box, in closed form, against counting it one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hil.plan.kernels import Conv, Copy, Depthwise, Fill
from hil.plan.kernels.elementwise import divisions
from hil.plan.kernels.reach import reach
from hil.plan.kernels.window import Axis
from hil.plan.records import Arena, Box, Work


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    size, taps, stride, dilation = (draw(st.integers(1, most)) for most in (12, 5, 3, 3))
    pad = draw(st.integers(0, (taps - 1) * dilation))
    return Axis(size, draw(st.integers(1, (size + pad - 1) // stride + 1)), taps, stride, dilation, pad)


@given(axis=axes(), data=st.data())
def test_taps_inside_and_whole_windows(axis: Axis, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, 3 * axis.out))
    end = data.draw(st.integers(first, 3 * axis.out))
    stored = data.draw(st.integers(1, axis.size) | st.none())
    positions = np.arange(first, end) % axis.out
    inside = np.array([axis.sources(tap, positions)[1] for tap in range(axis.taps)])
    starts = (positions * axis.stride - axis.pad) % (stored or axis.size)
    unbroken = starts + (axis.taps - 1) * axis.dilation < (stored or axis.size)
    assert reach(axis, first, end, stored) == (inside.sum(), (inside.all(axis=0) & unbroken).sum())


@given(dims=st.tuples(*[st.integers(1, 4)] * 3), data=st.data())
def test_divisions_of_a_row_s_place(dims: tuple[int, ...], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, int(np.prod(dims))))
    end = data.draw(st.integers(first, int(np.prod(dims))))
    found = 0
    for row in range(first, end):
        left = row
        for size in reversed(dims):
            found += left >= size
            left //= size
    assert divisions(dims, first, end) == found


def test_what_is_in_parts_is_in_the_whole() -> None:
    """Rows cut anywhere, channels at even places: everything but rows, pixels and calls adds up."""
    conv = Conv(
        input=Arena(0), out=Arena(4096), weights=Arena(0), params=Arena(0), batch=1, ih=9, iw=7, ic=24, oh=9, ow=7,
        oc=12, kh=3, kw=3, stride_h=1, stride_w=1, dilation_h=1, dilation_w=1, pad_top=1, pad_left=1, groups=1,
        in_zp=0, out_zp=0, lo=-128, hi=127, weight_zp=0, in_rows=9, out_rows=9,
    )  # fmt: skip
    shared = {name: value for name, value in vars(conv).items() if name not in ("groups", "weight_zp")}
    depthwise = Depthwise(**shared | {"ic": 12})
    for record in (conv, depthwise, replace(conv, ic=4), replace(conv, weight_zp=3), replace(conv, dilation_h=2)):
        whole = record.work(record.extent().whole())
        assert whole.macs == 9 * 7 * 12 * 9 * (record.ic if isinstance(record, Conv) else 1)
        down = [record.work(Box(a, b, 0, 12)) for a, b in ((0, 1), (1, 6), (6, 9))]
        across = [record.work(Box(0, 9, a, b)) for a, b in ((0, 2), (2, 12))]
        assert added(down) == whole._replace(calls=3)
        of_channels = ("outputs", "fast", "turns", "slow", "slow_turns", "slow_runs")
        if record.ic != 4:  # small windows are copied or not by the number of channels
            assert [getattr(added(across), name) for name in of_channels] == [getattr(whole, n) for n in of_channels]


def added(parts: list[Work]) -> Work:
    return Work(*map(sum, zip(*parts, strict=True)))


@given(
    count=st.integers(2, 40), rows=st.integers(1, 9), gap=st.integers(0, 9), start=st.integers(0, 5),
    end=st.integers(0, 5),
)  # fmt: skip
def test_bytes_that_a_copy_moves_as_words(*, count: int, rows: int, gap: int, start: int, end: int) -> None:
    """Exact where all rows of the output are aligned alike, else to 3 bytes a row; never more than there are."""
    record = Copy(
        Arena(start), Arena(1000 + end), 1, 0, (rows, 1, 1, 1, 1, count),
        (count + gap, 0, 0, 0, 0, 1), (count, 0, 0, 0, 0, 1),
    )  # fmt: skip
    work = record.work(record.extent().whole())
    words = 0
    runs = [(start, end, count * rows)] if gap == 0 else [
        (start + k * (count + gap), end + k * count, count) for k in range(rows)
    ]  # fmt: skip
    for source, target, length in runs:
        if length >= 8 and (source - target) % 4 == 0:
            words += (length - -target % 4) // 4
    counted = 4 * work.turns + work.slow_turns
    assert work.outputs == count * rows == 4 * counted + work.gathered
    assert work.gathered >= 0
    assert counted == words if count % 4 == 0 or len(runs) == 1 else abs(counted - words) <= len(runs)


@given(rows=st.integers(1, 9), channels=st.integers(1, 20), place=st.integers(0, 5), data=st.data())
def test_bytes_that_a_fill_sets_as_words(*, rows: int, channels: int, place: int, data: st.DataObject) -> None:
    c0 = data.draw(st.integers(0, channels - 1))
    c1 = data.draw(st.integers(c0 + 1, channels))
    work = Fill(Arena(place), rows, channels, 0).work(Box(0, rows, c0, c1))
    whole = (c0, c1) == (0, channels)
    runs = [(place, rows * channels)] if whole else [(place + k * channels + c0, c1 - c0) for k in range(rows)]
    words = sum(max(0, length - -at % 4) // 4 for at, length in runs)
    assert (work.turns, work.gathered, work.runs) == (words, rows * (c1 - c0) - 4 * words, len(runs))
