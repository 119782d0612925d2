"""Builds int8 networks of random weights with lively activations, the same bytes on every machine.

Every layer is computed on a few pictures while it is built: its scales and biases are chosen from what its sums really
are, so that each channel spreads over its range as behind a trained batch normalisation. Whatever decides a byte of the
file is an integer, or made of integers by single IEEE operations: sums of products stay below 2^53, where float64 is
exact in any order, and the random numbers are PCG64's raw words, which no version of numpy changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model_zoo.recipes.tflite_writer import ModelWriter

Floats = npt.NDArray[np.float64]

_RELU6_SCALE = float(np.float32(6 / 255))
_REACH = 4.0
"""Standard deviations of a linear output that fit into its range on either side."""
_LOGITS = 3.0
"""Standard deviation of a classifier's outputs: of a thousand classes some are then likelier than one in 512."""


class Network:
    """A network in the making. Activations are named by tensor index, as in `ModelWriter`.

    `pictures` random ones run through it while it is built; they are uniform over int8, as the inputs of tests are.
    """

    def __init__(self, name: str, seed: int, *, size: int, pictures: int) -> None:
        self.writer = ModelWriter(name)
        self._bits = np.random.PCG64(seed)
        self._values: dict[int, Floats] = {}
        self._scale: dict[int, float] = {}
        self._zero: dict[int, int] = {}
        picture = self._bytes(pictures * size * size * 3).reshape(pictures, size, size, 3).astype(np.float64) - 128
        self.input = self._tensor("input", picture, float(np.float32(2 / 255)), -1)

    def channels(self, x: int) -> int:
        return int(self._values[x].shape[-1])

    def conv(self, x: int, filters: int, kernel: int, stride: int, *, relu6: bool) -> int:
        """CONV_2D, SAME, normalised; with RELU6 or linear."""
        weights = self._weights((filters, kernel, kernel, self.channels(x)))
        taps = _taps(self._centred(x), kernel, stride)
        sums = sum(values @ weights[:, ky, kx].T for ky, kx, values in taps)
        return self._normalised("CONV_2D", x, weights, 0, sums, relu6=relu6, padding="SAME", stride=(stride, stride))

    def depthwise(self, x: int, kernel: int, stride: int) -> int:
        """DEPTHWISE_CONV_2D, SAME, normalised, with RELU6."""
        weights = self._weights((1, kernel, kernel, self.channels(x)))
        taps = _taps(self._centred(x), kernel, stride)
        sums = sum(values * weights[0, ky, kx] for ky, kx, values in taps)
        return self._normalised(
            "DEPTHWISE_CONV_2D", x, weights, 3, sums, relu6=True, padding="SAME", stride=(stride, stride)
        )

    def add(self, a: int, b: int) -> int:
        """ADD of two equal shapes."""
        real = self._real(a) + self._real(b)
        scale, zero = _linear(_spread(real)), self._small()
        y = self._tensor("add", _quantised(real, scale, zero), scale, zero)
        self.writer.operator("ADD", [a, b], [y])
        return y

    def mean(self, x: int) -> int:
        """MEAN over height and width of what RELU6 gave."""
        _, height, width, _ = self._values[x].shape
        real = self._centred(x).sum(axis=(1, 2)) * self._scale[x] / (height * width)
        scale = float(np.float32(float(real.max()) * 1.25 / 255))
        y = self._tensor("mean", _quantised(real, scale, -128), scale, -128)
        self.writer.operator("MEAN", [x, self.writer.constant("axes", np.array([1, 2], np.int32))], [y])
        return y

    def classes(self, x: int, count: int) -> int:
        """FULLY_CONNECTED to `count` classes that no picture favours on the whole, and SOFTMAX."""
        weights = self._weights((count, self.channels(x)))
        sums = self._centred(x) @ weights.T
        mean = np.rint(sums.sum(axis=0) / len(sums))
        spread = _spread(sums - mean)
        scale = float(np.float32(_LOGITS / (spread * self._scale[x])))
        step = float(np.float32(scale * self._scale[x]))
        bias = np.rint(self._between(count, -1.0, 1.0) / step) - mean
        y = self._tensor("classes", _quantised((sums + bias) * step, out := _linear(_LOGITS), 0), out, 0)
        w = self.writer.constant(self._name("weights"), weights.astype(np.int8), scale)
        b = self.writer.constant(self._name("bias"), bias.astype(np.int32), step)
        self.writer.operator("FULLY_CONNECTED", [x, w, b], [y])
        shares = self.writer.activation("softmax", self._shape(y), 1 / 256, -128)
        self.writer.operator("SOFTMAX", [y], [shares], beta=1.0)
        return shares

    def _normalised(
        self, kind: str, x: int, weights: Floats, axis: int, sums: Floats, *, relu6: bool, **options: Any
    ) -> int:
        """The operator, its channels' scales and biases chosen so that each has a mean and a spread drawn for it."""
        count = sums.shape[-1]
        flat = sums.reshape(-1, count)
        mean = np.rint(flat.sum(axis=0) / len(flat))
        spread = np.sqrt(np.maximum(((flat - mean) ** 2).sum(axis=0) / len(flat), 1.0))
        wide, middle = ((1.0, 2.0), (0.5, 1.5)) if relu6 else ((0.7, 1.3), (-0.5, 0.5))
        scales = (self._between(count, *wide) / (spread * self._scale[x])).astype(np.float32).astype(np.float64)
        steps = (scales * self._scale[x]).astype(np.float32).astype(np.float64)
        bias = np.rint(self._between(count, *middle) / steps) - mean
        real = (sums + bias) * steps
        scale, zero = (_RELU6_SCALE, -128) if relu6 else (_linear(_spread(real)), self._small())
        real = np.clip(real, 0.0, 6.0) if relu6 else real
        y = self._tensor(kind.lower(), _quantised(real, scale, zero), scale, zero)
        w = self.writer.constant(self._name("weights"), weights.astype(np.int8), scales, axis=axis)
        b = self.writer.constant(self._name("bias"), bias.astype(np.int32), steps)
        self.writer.operator(kind, [x, w, b], [y], activation="RELU6" if relu6 else "NONE", **options)
        return y

    def _tensor(self, what: str, values: Floats, scale: float, zero: int) -> int:
        shape = (1, *values.shape[1:])
        index = self.writer.activation(self._name(what), shape, scale, zero)
        self._values[index], self._scale[index], self._zero[index] = values, scale, zero
        return index

    def _name(self, what: str) -> str:
        return f"{what}_{len(self.writer.graph.tensors)}"

    def _shape(self, x: int) -> tuple[int, ...]:
        return (1, *self._values[x].shape[1:])

    def _centred(self, x: int) -> Floats:
        return self._values[x] - self._zero[x]

    def _real(self, x: int) -> Floats:
        return self._centred(x) * self._scale[x]

    # -- random numbers ----------------------------------------------------------------------------------------------

    def _bytes(self, count: int) -> npt.NDArray[np.uint8]:
        return self._bits.random_raw(-(-count // 8)).astype("<u8").view(np.uint8)[:count]

    def _weights(self, shape: Sequence[int]) -> Floats:
        """Nearly normal ones of spread 37: sums of four bytes."""
        four = self._bytes(4 * math.prod(shape)).reshape(*shape, 4).sum(axis=-1, dtype=np.int64)
        return np.clip(np.trunc((four - 510) / 4), -127, 127)

    def _between(self, count: int, low: float, high: float) -> Floats:
        return low + self._bytes(count) * ((high - low) / 256)

    def _small(self) -> int:
        """A zero point near 0."""
        return int(self._bytes(1)[0]) % 21 - 10


def _taps(image: Floats, kernel: int, stride: int) -> Any:
    """(ky, kx, values) for each tap of a SAME window, as (pictures, rows, columns, channels)."""
    size = image.shape[1]
    out = -(-size // stride)
    before = max((out - 1) * stride + kernel - size, 0) // 2
    padded = np.pad(image, ((0, 0), (before, kernel), (before, kernel), (0, 0)))
    for ky in range(kernel):
        for kx in range(kernel):
            yield ky, kx, padded[:, ky : ky + out * stride : stride, kx : kx + out * stride : stride]


def _spread(values: Floats) -> float:
    """About the standard deviation around 0, the same on every machine: thousandths are counted as integers."""
    whole = np.rint(values * 1000).astype(np.int64)
    return math.sqrt(int((whole * whole).sum()) / whole.size) / 1000


def _linear(spread: float) -> float:
    return float(np.float32(_REACH * spread / 127))


def _quantised(real: Floats, scale: float, zero: int) -> Floats:
    return np.clip(np.rint(real / scale) + zero, -128, 127)
