"""Records of shapes that the zoo has not, for `kernel_cost.py`: larger copies, wide strides, windows over borders."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hil.plan.kernels import Add, Conv, ConvPartial, Copy, Depthwise, Fill, Finish, Lookup, Mean, PoolAverage, PoolMax
from hil.plan.kernels.channels import Channel
from hil.plan.records import Arena, Blob, Record

ARENA = 102_000
_OUT = 45_000
"""Inputs lie below, outputs from here on."""


def made_up(seed: int, count: int) -> list[Record]:
    """`count` records of every kind, in an arena of `ARENA` bytes."""
    draw = np.random.default_rng(seed)
    kinds = (_conv, _depthwise, _pool_average, _pool_max, _copy, _moved, _fill, _lookup, _add, _mean)
    return [kind(draw) for kind in kinds for _ in range(count)]


def of_clusters(seed: int, count: int) -> list[Record]:
    """The same of the kinds that only firmware for several nodes has."""
    draw = np.random.default_rng(seed)
    return [kind(draw) for kind in (_conv_partial, _finish) for _ in range(count)]


def _pick(draw: np.random.Generator, *choices: int) -> int:
    return int(draw.choice(choices))


def _channels(draw: np.random.Generator, count: int) -> Blob:
    return Blob(Channel.pack([Channel(0, 0, int(draw.integers(1 << 30, 1 << 31)), -8) for _ in range(count)]))


def _bytes(draw: np.random.Generator, *sizes: int) -> Blob:
    return Blob(draw.integers(0, 256, math.prod(sizes), np.uint8).tobytes())


def _window(draw: np.random.Generator, taps: Sequence[int], *, dilated: bool) -> dict[str, int]:
    """A window and its picture, with SAME or no padding."""
    found: dict[str, int] = {"batch": 1}
    for axis, place in (("h", "top"), ("w", "left")):
        kernel, stride = _pick(draw, *taps), _pick(draw, 1, 1, 2)
        dilation = _pick(draw, 1, 1, 1, 2) if dilated and kernel > 1 else 1
        size, span = _pick(draw, 3, 6, 7, 12, 24), (kernel - 1) * dilation
        if size <= span or draw.random() < 0.6:
            out = -(-size // stride)
            pad = max((out - 1) * stride + span + 1 - size, 0) // 2
        else:
            out, pad = (size - span - 1) // stride + 1, 0
        found |= {f"i{axis}": size, f"o{axis}": out, f"k{axis}": kernel, f"stride_{axis}": stride, f"pad_{place}": pad}
        if dilated:
            found[f"dilation_{axis}"] = dilation
    return found | {"in_rows": found["ih"], "out_rows": found["oh"]}


def _conv(draw: np.random.Generator) -> Record:
    ic, oc, groups = _pick(draw, 3, 8, 16, 24, 40), _pick(draw, 7, 8, 24, 32, 33), 1
    if draw.random() < 0.05:
        ic, oc, groups = 8, 12, 4
    w = _window(draw, (1, 1, 3, 5), dilated=True)
    return Conv(
        input=Arena(0), out=Arena(_OUT), weights=_bytes(draw, oc, w["kh"], w["kw"], ic // groups),
        params=_channels(draw, oc), ic=ic, oc=oc, groups=groups,
        in_zp=3, out_zp=-4, lo=-128, hi=127, weight_zp=0, **w,
    )  # fmt: skip


def _conv_partial(draw: np.random.Generator) -> Record:
    """Inputs and outputs lie side by side: sums are four times as large as what they are made of."""
    ic, oc, w = _pick(draw, 4, 8, 15, 24, 40), _pick(draw, 7, 8, 16), _window(draw, (1, 1, 1, 3), dilated=True)
    return ConvPartial(
        input=Arena(0), out=Arena(_OUT), weights=_bytes(draw, oc, w["kh"], w["kw"], ic), sums=_bytes(draw, 4 * oc),
        ic=ic, oc=oc, in_zp=3, **w,
    )  # fmt: skip


def _finish(draw: np.random.Generator) -> Record:
    rows, width, channels = _pick(draw, 1, 4, 9), _pick(draw, 1, 5, 12), _pick(draw, 7, 16, 64)
    return Finish(
        input=Arena(0), out=Arena(_OUT), params=_channels(draw, channels), rows=rows, width=width, channels=channels,
        out_zp=-4, lo=-128, hi=127,
    )  # fmt: skip


def _depthwise(draw: np.random.Generator) -> Record:
    ic, w = _pick(draw, 8, 16, 24, 48), _window(draw, (3, 3, 5), dilated=True)
    oc = ic * _pick(draw, 1, 1, 1, 1, 2)
    return Depthwise(
        input=Arena(0), out=Arena(_OUT), weights=_bytes(draw, w["kh"], w["kw"], oc), params=_channels(draw, oc),
        ic=ic, oc=oc, in_zp=3, out_zp=-4, lo=-128, hi=127, **w,
    )  # fmt: skip


def _pool_average(draw: np.random.Generator) -> Record:
    w = _window(draw, (2, 3, 6), dilated=False)
    return PoolAverage(input=Arena(0), out=Arena(_OUT), channels=_pick(draw, 8, 16, 48), lo=-128, hi=127, **w)


def _pool_max(draw: np.random.Generator) -> Record:
    return PoolMax(**vars(_pool_average(draw)))


def _copy(draw: np.random.Generator) -> Record:
    """Part of the channels of a picture, from or to one with more of them."""
    rows, width, channels = _pick(draw, 1, 4, 9), _pick(draw, 1, 5, 12), _pick(draw, 3, 8, 16, 30, 32, 64)
    wide = channels + _pick(draw, 0, 8, 16, 5)
    narrow, broad = (width * channels, 0, 0, 0, channels, 1), (width * wide, 0, 0, 0, wide, 1)
    unit = _pick(draw, 1, 1, 1, 4)
    place = Arena(_OUT + unit * _pick(draw, 0, 0, 4, 5))
    strides = (narrow, broad) if draw.random() < 0.5 else (broad, narrow)
    return Copy(Arena(0), place, unit, 0, (rows, 1, 1, 1, width, channels), *strides)


def _moved(draw: np.random.Generator) -> Record:
    """A transposed picture."""
    rows, width, channels = _pick(draw, 3, 9), _pick(draw, 5, 12), _pick(draw, 3, 16, 30)
    strides = (1, 0, 0, 0, rows * channels, rows), (width * channels, 0, 0, 0, channels, 1)
    return Copy(Arena(0), Arena(_OUT), _pick(draw, 1, 1, 1, 4), 0, (rows, 1, 1, 1, width, channels), *strides)


def _fill(draw: np.random.Generator) -> Record:
    return Fill(Arena(_OUT), _pick(draw, 1, 20, 144), _pick(draw, 3, 8, 24, 31), 5)


def _lookup(draw: np.random.Generator) -> Record:
    return Lookup(Arena(0), Arena(_OUT), _bytes(draw, 256), _pick(draw, 1, 20, 144), _pick(draw, 3, 8, 24, 31))


def _add(draw: np.random.Generator) -> Record:
    rows, width, channels = _pick(draw, 3, 12), _pick(draw, 3, 12), _pick(draw, 3, 16, 24)
    other = _pick(draw, 1, 1, 0)
    return Add(
        a=Arena(0), b=Arena(8000), out=Arena(_OUT), dims=(1, 1, 1, 1, 1, rows),
        a_strides=(0, 0, 0, 0, 0, width * channels), b_strides=(0, 0, 0, 0, 0, width * channels * other),
        width=width, channels=channels, a_width=channels, a_channel=1, b_width=channels * other, b_channel=1,
        a_zp=2, b_zp=-3, out_zp=4, lo=-128, hi=127,
        a_multiplier=1 << 30, a_shift=_pick(draw, 0, -1), b_multiplier=1_500_000_000, b_shift=_pick(draw, 0, -2),
        multiplier=1_700_000_000, shift=-18, sign=1,
    )  # fmt: skip


def _mean(draw: np.random.Generator) -> Record:
    rows, width, channels = _pick(draw, 3, 7), _pick(draw, 3, 7), _pick(draw, 16, 60, 200)
    return Mean(
        input=Arena(0), out=Arena(_OUT), dims=(1,) * 6, strides=(0,) * 6, reduced=(1, 1, 1, 1, 1, rows),
        reduced_strides=(0, 0, 0, 0, 0, width * channels), run_length=width, run_stride=channels, width=1,
        width_stride=channels, channels=channels, channel_stride=1, offset=100, multiplier=1 << 30, shift=-5, out_zp=3,
    )  # fmt: skip
