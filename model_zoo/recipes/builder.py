"""Builds small int8 models operator by operator, with scales chosen so that outputs fill their range.

An activation's spread is the standard deviation of its real values, followed from the inputs (uniform over int8,
a spread of 74 steps) through every operator by the rules for independent values. An output's scale puts 2.6 of its
spreads into 127 steps, so that few values saturate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from model_zoo.recipes.place import save
from model_zoo.recipes.tflite_writer import ModelWriter

_INPUT_SPREAD = 73.9  # of integers uniform over -128..127, in steps
_REACH = 2.6


class Builder:
    """One model in the making; activations are named by tensor index, as in `ModelWriter`."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.writer = ModelWriter(name)
        self.draw = np.random.Generator(np.random.PCG64(seed))
        self.shape: dict[int, tuple[int, ...]] = {}
        self.scale: dict[int, float] = {}
        self.zero: dict[int, int] = {}
        self.spread: dict[int, float] = {}
        self.inputs: list[int] = []
        self._count = 0

    def name_of(self, what: str) -> str:
        self._count += 1
        return f"{what}_{self._count}"

    def input(self, shape: Sequence[int], scale: float, zero: int) -> int:
        """An int8 graph input."""
        index = self.tensor("input", shape, scale=scale, zero=zero, spread=scale * _INPUT_SPREAD)
        self.inputs.append(index)
        return index

    def tensor(
        self, what: str, shape: Sequence[int], *, spread: float, zero: int = 0, scale: float | None = None
    ) -> int:
        """An int8 activation; its scale follows from the spread where it is not given."""
        chosen = float(np.float32(_REACH * spread / 127 if scale is None else scale))
        index = self.writer.activation(self.name_of(what), shape, chosen, zero)
        self.shape[index], self.scale[index], self.zero[index] = tuple(shape), chosen, zero
        self.spread[index] = min(spread, chosen * _INPUT_SPREAD)
        return index

    def like(self, what: str, shape: Sequence[int], source: int) -> int:
        """An activation in the quantisation of another."""
        return self.tensor(what, shape, spread=self.spread[source], scale=self.scale[source], zero=self.zero[source])

    def ints(self, values: Any, dtype: Any = np.int32) -> int:
        """A constant of plain integers: axes, shapes, paddings."""
        return self.writer.constant(self.name_of("ints"), np.asarray(values, dtype))

    def weights(self, shape: Sequence[int], *, channels: int | None, axis: int, zero: int = 0) -> tuple[int, Any]:
        """Random int8 weights and their scales: one per slice of `axis`, magnitudes apart, or one for all."""
        values = np.clip(np.round(self.draw.normal(0, 40, shape)), -127, 127).astype(np.int8)
        scales = 2.0 ** self.draw.uniform(-9, -5, channels or 1)
        zeros = None if zero == 0 else zero
        return self.writer.constant(self.name_of("weights"), values, scales, zeros, axis), scales

    def bias(self, count: int, scale: Any, steps: float) -> int:
        """Random int32 biases of about `steps`, of the scale that products have."""
        values = np.round(self.draw.normal(0, steps, count)).astype(np.int32)
        return self.writer.constant(self.name_of("bias"), values, scale)

    def conv(
        self,
        x: int,
        filters: int,
        kernel: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        padding: str = "SAME",
        activation: str = "NONE",
        groups: int = 1,
        per_channel: bool = True,
        zero: int = 0,
        scale: float | None = None,
    ) -> int:
        batch, height, width, depth = self.shape[x]
        shape = (filters, *kernel, depth // groups)
        w, scales = self.weights(shape, channels=filters if per_channel else None, axis=0)
        shape_out = (batch, *self._window((height, width), kernel, stride, dilation, padding), filters)
        taps = kernel[0] * kernel[1] * depth // groups
        y = self._products("conv", x, scales, taps, shape_out, zero=zero, scale=scale)
        self.writer.operator(
            "CONV_2D",
            [x, w, self._product_bias(x, scales, filters, taps)],
            [y],
            padding=padding,
            stride=stride,
            dilation=dilation,
            activation=activation,
        )
        return y

    def depthwise(
        self,
        x: int,
        multiplier: int,
        kernel: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        padding: str = "SAME",
        activation: str = "NONE",
        bias: bool = True,
        zero: int = 0,
    ) -> int:
        batch, height, width, depth = self.shape[x]
        filters = depth * multiplier
        w, scales = self.weights((1, *kernel, filters), channels=filters, axis=3)
        shape_out = (batch, *self._window((height, width), kernel, stride, dilation, padding), filters)
        y = self._products("depthwise", x, scales, kernel[0] * kernel[1], shape_out, zero=zero)
        taps = kernel[0] * kernel[1]
        inputs = [x, w, *([self._product_bias(x, scales, filters, taps)] if bias else [])]
        self.writer.operator(
            "DEPTHWISE_CONV_2D",
            inputs,
            [y],
            padding=padding,
            stride=stride,
            dilation=dilation,
            activation=activation,
            depth_multiplier=multiplier,
        )
        return y

    def fully_connected(
        self,
        x: int,
        units: int,
        *,
        activation: str = "NONE",
        bias: bool = True,
        keep: bool = False,
        per_channel: bool = False,
        weight_zero: int = 0,
        zero: int = 0,
    ) -> int:
        depth = self.shape[x][-1]
        lead = self.shape[x][:-1]
        w, scales = self.weights((units, depth), channels=units if per_channel else None, axis=0, zero=weight_zero)
        shape_out = (*lead, units) if keep else (math.prod(lead), units)
        y = self._products("fully_connected", x, scales, depth, shape_out, zero=zero)
        inputs = [x, w, self._product_bias(x, scales, units, depth) if bias else -1]
        self.writer.operator("FULLY_CONNECTED", inputs, [y], activation=activation, keep_num_dims=keep)
        return y

    def pool(
        self,
        kind: str,
        x: int,
        window: tuple[int, int],
        stride: tuple[int, int],
        padding: str,
        *,
        activation: str = "NONE",
    ) -> int:
        batch, height, width, depth = self.shape[x]
        y = self.like("pool", (batch, *self._window((height, width), window, stride, (1, 1), padding), depth), x)
        self.writer.operator(kind, [x], [y], padding=padding, stride=stride, filter=window, activation=activation)
        return y

    def binary(
        self, kind: str, a: int, b: int, *, activation: str = "NONE", zero: int = 0, scale: float | None = None
    ) -> int:
        """ADD, SUB or MUL; the smaller shape is broadcast."""
        shape = np.broadcast_shapes(self.shape[a], self.shape[b])
        sa, sb = self.spread[a], self.spread[b]
        if kind == "MUL":
            ma, mb = self.zero[a] * self.scale[a], self.zero[b] * self.scale[b]
            spread = math.hypot(sa * sb, sa * mb, sb * ma)
        else:
            spread = math.hypot(sa, sb)
        y = self.tensor(kind.lower(), shape, spread=spread, zero=zero, scale=scale)
        self.writer.operator(kind, [a, b], [y], activation=activation)
        return y

    def constant(self, shape: Sequence[int], scale: float, zero: int) -> int:
        """A constant int8 operand."""
        values = self.draw.integers(-128, 128, tuple(shape), np.int8)
        index = self.writer.constant(self.name_of("constant"), values, scale, zero)
        self.shape[index], self.scale[index], self.zero[index] = tuple(shape), float(np.float32(scale)), zero
        self.spread[index] = scale * _INPUT_SPREAD
        return index

    def unary(self, kind: str, x: int, scale: float, zero: int, **options: Any) -> int:
        """An operator of one input that keeps the shape, with the output quantisation given."""
        y = self.tensor(kind.lower(), self.shape[x], spread=scale * _INPUT_SPREAD, scale=scale, zero=zero)
        self.writer.operator(kind, [x], [y], **options)
        return y

    def move(self, kind: str, inputs: Sequence[int], shape: Sequence[int], *, data: int = 0, **options: Any) -> int:
        """An operator that moves values: its output is quantised as `inputs[data]`."""
        y = self.like(kind.lower(), shape, inputs[data])
        self.writer.operator(kind, inputs, [y], **options)
        return y

    def finish(self, outputs: Sequence[int]) -> None:
        """Write the model into the zoo."""
        save(self.name, self.writer.finish(self.inputs, outputs))

    def _products(
        self, what: str, x: int, scales: Any, taps: int, shape: Sequence[int], *, zero: int, scale: float | None = None
    ) -> int:
        """The output of sums of `taps` products: the median channel fills the range, the others less or more."""
        spread = 40 * float(np.median(scales)) * self.spread[x] * math.sqrt(taps)
        return self.tensor(what, shape, spread=spread, zero=zero, scale=scale)

    def _product_bias(self, x: int, scales: Any, count: int, taps: int) -> int:
        return self.bias(count, np.asarray(scales) * self.scale[x], 0.5 * 40 * _INPUT_SPREAD * math.sqrt(taps))

    @staticmethod
    def _window(
        size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], padding: str
    ) -> tuple[int, int]:
        """Rows and columns that come out."""
        reach = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
        if padding == "SAME":
            rows, columns = (-(-n // s) for n, s in zip(size, stride, strict=True))
        else:
            rows, columns = ((n - r) // s + 1 for n, r, s in zip(size, reach, stride, strict=True))
        return rows, columns
