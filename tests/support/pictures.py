"""Random models as convolutional networks are: windows, residual branches, concatenation, a classifier at the end."""

from __future__ import annotations

import numpy as np

from tests.support.tflite_writer import ModelWriter


class _Picture:
    """A model while it grows: one tensor of rows x columns x channels after the other."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.w = ModelWriter(f"picture{seed}")
        self.rows, self.columns = (int(n) for n in self.draw.integers(3, 15, 2))
        self.channels = int(self.draw.integers(1, 9))
        self.count = 0
        self.at = self.first = self.tensor()

    def tensor(self) -> int:
        self.count += 1
        shape = (1, self.rows, self.columns, self.channels)
        return self.w.activation(f"t{self.count}", shape, scale=0.05, zero_point=int(self.draw.integers(-5, 6)))

    def weights(self, shape: tuple[int, ...], axis: int) -> list[int]:
        """Weights with a scale for each channel, and a bias."""
        self.count += 1
        channels = shape[axis]
        values = self.draw.integers(-127, 128, shape).astype(np.int8)
        scales = self.draw.uniform(0.002, 0.01, channels).astype(np.float32)
        bias = self.draw.integers(-500, 500, channels).astype(np.int32)
        kernel = self.w.constant(f"w{self.count}", values, scale=list(scales), zero_point=[0] * channels, axis=axis)
        known = self.w.constant(
            f"b{self.count}", bias, scale=[0.05 * float(s) for s in scales], zero_point=[0] * channels
        )
        return [kernel, known]

    def window(self) -> tuple[str, int, int]:
        """Padding, size and stride of a window that fits."""
        size = int(self.draw.integers(1, 4))
        padding = "SAME" if self.draw.integers(2) or size > min(self.rows, self.columns) else "VALID"
        stride = int(self.draw.integers(1, 3))

        def out(n: int) -> int:
            return -(-n // stride) if padding == "SAME" else (n - size) // stride + 1

        self.rows, self.columns = out(self.rows), out(self.columns)
        return padding, size, stride

    def conv(self, channels: int, *, plain: bool = False) -> None:
        before = self.channels
        padding, size, stride = ("SAME", 1, 1) if plain else self.window()
        self.channels = channels
        weights = self.weights((channels, size, size, before), 0)
        out = self.tensor()
        self.w.operator("CONV_2D", [self.at, *weights], [out], padding=padding, stride=(stride, stride),
                        activation="RELU6" if self.draw.integers(2) else "NONE")  # fmt: skip
        self.at = out

    def depthwise(self, *, plain: bool = False) -> None:
        size, stride = 3, 1
        padding = "SAME"
        if not plain:
            padding, size, stride = self.window()
        weights = self.weights((1, size, size, self.channels), 3)
        out = self.tensor()
        self.w.operator("DEPTHWISE_CONV_2D", [self.at, *weights], [out], padding=padding, stride=(stride, stride))
        self.at = out

    def padded(self) -> None:
        """A PAD, and a window that starts in it."""
        draw = self.draw
        edges = draw.integers(0, 3, 4)
        before = self.at
        rows, columns = self.rows, self.columns
        zero = int(draw.integers(-5, 6))
        even = self.w.activation(f"e{self.count}", self.w_shape(before), scale=0.05, zero_point=zero)
        self.w.operator("QUANTIZE", [before], [even])
        table = np.array([[0, 0], edges[:2], edges[2:], [0, 0]], np.int32)
        self.rows, self.columns = rows + int(edges[:2].sum()), columns + int(edges[2:].sum())
        wide = self.w.activation(
            f"d{self.count}", (1, self.rows, self.columns, self.channels), scale=0.05, zero_point=zero
        )
        self.w.operator("PAD", [even, self.w.constant(f"z{self.count}", table)], [wide])
        self.at = wide
        if draw.integers(2):
            self.depthwise()
        else:
            self.conv(int(draw.integers(1, 9)))

    def pool(self) -> None:
        padding, size, stride = self.window()
        kind = "MAX_POOL_2D" if self.draw.integers(2) else "AVERAGE_POOL_2D"
        out = self.w.activation(f"p{self.count}", (1, self.rows, self.columns, self.channels), scale=0.05, zero_point=0)
        before = self.w.activation(f"q{self.count}", self.w_shape(self.at), scale=0.05, zero_point=0)
        self.w.operator("QUANTIZE", [self.at], [before])
        self.w.operator(kind, [before], [out], padding=padding, filter=(size, size), stride=(stride, stride))
        self.at = out

    def w_shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(int(n) for n in self.w.graph.tensors[tensor].shape)

    def table(self) -> None:
        out = self.tensor()
        self.w.operator("LEAKY_RELU", [self.at], [out], alpha=0.1)
        self.at = out

    def residual(self) -> None:
        """An inverted residual: expanded, by itself, projected, and added."""
        before, channels = self.at, self.channels
        self.conv(channels * int(self.draw.integers(1, 4)), plain=True)
        self.depthwise(plain=True)
        if self.draw.integers(2):
            self.table()
        self.conv(channels, plain=True)
        out = self.tensor()
        self.w.operator("ADD", [self.at, before], [out])
        self.at = out

    def branches(self) -> None:
        """Two convolutions side by side, whose outputs are put together."""
        before, channels = self.at, self.channels
        self.conv(int(self.draw.integers(1, 5)), plain=True)
        one, some = self.at, self.channels
        self.at, self.channels = before, channels
        self.conv(int(self.draw.integers(1, 5)), plain=True)
        two, others = self.at, self.channels
        self.channels = some + others
        zero = 3
        joined = self.w.activation(
            f"c{self.count}", (1, self.rows, self.columns, self.channels), scale=0.05, zero_point=zero
        )
        shapes = [(1, self.rows, self.columns, n) for n in (some, others)]
        moved = [
            self.w.activation(f"m{self.count}{k}", shape, scale=0.05, zero_point=zero) for k, shape in enumerate(shapes)
        ]
        for source, target in zip((one, two), moved, strict=True):
            self.w.operator("QUANTIZE", [source], [target])
        self.w.operator("CONCATENATION", moved, [joined], axis=3)
        self.at = joined

    def classifier(self) -> None:
        """The mean of the picture, or all of it, and a softmax over some classes."""
        if self.draw.integers(2):
            axes = self.w.constant(f"a{self.count}", np.array([1, 2], np.int32))
            mean = self.w.activation(f"g{self.count}", (1, self.channels), scale=0.05, zero_point=0)
            self.w.operator("MEAN", [self.at, axes], [mean], keep_dims=False)
            self.at, flat = mean, self.channels
        else:
            flat = self.rows * self.columns * self.channels
        classes = int(self.draw.integers(2, 7))
        kernel = self.w.constant(
            "classes", self.draw.integers(-127, 128, (classes, flat)).astype(np.int8), scale=0.005, zero_point=0
        )
        bias = self.w.constant("zero", np.zeros(classes, np.int32), scale=0.00025, zero_point=0)
        logits = self.w.activation("logits", (1, classes), scale=0.1, zero_point=0)
        self.w.operator("FULLY_CONNECTED", [self.at, kernel, bias], [logits])
        out = self.w.activation("out", (1, classes), scale=1 / 256, zero_point=-128)
        self.w.operator("SOFTMAX", [logits], [out])
        self.at = out


def picture(seed: int) -> bytes:
    """A random model file."""
    model = _Picture(seed)
    for _ in range(int(model.draw.integers(1, 7))):
        if min(model.rows, model.columns) < 2:
            break
        match int(model.draw.integers(0, 9)):
            case 0 | 1:
                model.conv(int(model.draw.integers(1, 13)))
            case 2:
                model.depthwise()
            case 3:
                model.pool()
            case 4:
                model.table()
            case 5:
                model.branches()
            case 6:
                model.padded()
            case _:
                model.residual()
    if model.count == 1 or model.draw.integers(3):
        model.classifier()
    return model.w.finish([model.first], [model.at])
