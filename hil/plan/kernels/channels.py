"""What both convolutions share: parameters of a channel, and what happens to a sum."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hil.plan.arithmetic import requantise, wrap32
from hil.plan.records import Memory, Ref


@dataclass(frozen=True)
class Channel:
    """What an output channel adds and is multiplied by; `hil_channel` in C.

    `folded` is the bias with the input's zero point folded in: bias - in_zp * sum(weights), modulo 2^32.
    """

    bias: int
    folded: int
    multiplier: int
    shift: int

    @staticmethod
    def pack(channels: Sequence[Channel]) -> bytes:
        words = [word for c in channels for word in (c.bias, c.folded, c.multiplier, c.shift)]
        return struct.pack(f"<{len(words)}i", *words)


def finish(
    memory: Memory,
    params: Ref,
    channels: slice,
    sums: npt.NDArray[np.float64],
    *,
    out_zp: int,
    limits: tuple[int, int],
) -> npt.NDArray[np.int8]:
    """int8 outputs of `sums` (channels last, without bias): bias, `MultiplyByQuantizedMultiplier`, clamp."""
    words = memory.read(params, 4 * channels.stop, "int32").reshape(-1, 4)[channels].astype(np.int64)
    bias, multiplier, shift = words[:, 0], words[:, 2], words[:, 3]
    scaled = requantise(wrap32(sums.astype(np.int64) + bias), multiplier, shift)
    return np.clip(scaled + out_zp, *limits).astype(np.int8)
