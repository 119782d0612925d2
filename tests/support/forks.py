"""Small models with several ends: inputs that nobody reads, outputs that are read inside, chains side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tests.support.tflite_writer import ModelWriter

Shape = tuple[int, ...]


class _Fork:
    def __init__(self, name: str) -> None:
        self.w = ModelWriter(name)
        self.draw = np.random.default_rng(7)
        self.count = 0

    def tensor(self, *shape: int) -> int:
        self.count += 1
        return self.w.activation(f"t{self.count}", shape, scale=0.05, zero_point=3)

    def conv(self, source: int, out: int, stride: int = 1) -> None:
        """A convolution with windows of 3x3."""
        self.count += 1
        ic, oc = (int(self.w.graph.tensors[tensor].shape[-1]) for tensor in (source, out))
        kernel = self.draw.integers(-127, 128, (oc, 3, 3, ic)).astype(np.int8)
        bias = self.draw.integers(-500, 500, oc).astype(np.int32)
        weights = self.w.constant(f"w{self.count}", kernel, scale=[0.005] * oc, zero_point=[0] * oc, axis=0)
        known = self.w.constant(f"b{self.count}", bias, scale=[0.00025] * oc, zero_point=[0] * oc)
        self.w.operator("CONV_2D", [source, weights, known], [out], padding="SAME", stride=(stride, stride),
                        activation="NONE")  # fmt: skip


def unread_input() -> bytes:
    """The first of two inputs is read by nobody."""
    f = _Fork("unread_input")
    a, b, out = f.tensor(1, 6, 5, 4), f.tensor(1, 7), f.tensor(1, 6, 5, 8)
    f.conv(a, out)
    return f.w.finish([b, a], [out])


def unread_rows() -> bytes:
    """A window that leaves the last rows of the input unread."""
    f = _Fork("unread_rows")
    a, out = f.tensor(1, 8, 8, 1), f.tensor(1, 2, 2, 1)
    f.w.operator("MAX_POOL_2D", [a], [out], padding="VALID", filter=(3, 3), stride=(3, 3))
    return f.w.finish([a], [out])


def read_inside() -> bytes:
    """The second output is what the first is computed from."""
    f = _Fork("read_inside")
    a, middle, out = f.tensor(1, 6, 5, 4), f.tensor(1, 6, 5, 8), f.tensor(1, 6, 5, 8)
    f.conv(a, middle)
    f.conv(middle, out)
    return f.w.finish([a], [out, middle])


def two_inputs() -> bytes:
    """Inputs that meet in a sum, which is an output and is read."""
    f = _Fork("two_inputs")
    a, b, middle, total = (f.tensor(1, 6, 5, 4) for _ in range(4))
    out = f.tensor(1, 3, 3, 12)
    f.conv(a, middle)
    f.w.operator("ADD", [middle, b], [total])
    f.conv(total, out, stride=2)
    return f.w.finish([b, a], [out, total])


def fork() -> bytes:
    """One tensor becomes two outputs of unlike shapes."""
    f = _Fork("fork")
    a, middle = f.tensor(1, 8, 8, 3), f.tensor(1, 8, 8, 8)
    one, two = f.tensor(1, 8, 8, 8), f.tensor(1, 4, 4, 5)
    f.conv(a, middle)
    f.conv(middle, one)
    f.conv(middle, two, stride=2)
    return f.w.finish([a], [two, one])


def chains() -> bytes:
    """Two models in one that have nothing to do with each other."""
    f = _Fork("chains")
    a, b, one, two = f.tensor(1, 6, 5, 4), f.tensor(1, 9, 9, 2), f.tensor(1, 6, 5, 8), f.tensor(1, 5, 5, 6)
    f.conv(a, one)
    f.conv(b, two, stride=2)
    return f.w.finish([a, b], [two, one])


def one() -> bytes:
    """A single operator."""
    f = _Fork("one")
    a, out = f.tensor(1, 6, 5, 4), f.tensor(1, 6, 5, 4)
    f.w.operator("LEAKY_RELU", [a], [out], alpha=0.2)
    return f.w.finish([a], [out])


def twice() -> bytes:
    """A sum of a tensor with itself."""
    f = _Fork("twice")
    a, out = f.tensor(1, 6, 5, 4), f.tensor(1, 6, 5, 4)
    f.w.operator("ADD", [a, a], [out])
    return f.w.finish([a], [out])


FORKS: Mapping[str, Callable[[], bytes]] = {
    made.__name__: made for made in (unread_input, unread_rows, read_inside, two_inputs, fork, chains, one, twice)
}
