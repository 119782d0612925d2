"""MobileNetV2 of any width for square pictures: inverted residuals, whose inside is fatter than their ends.

Architecture: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv:1801.04381, table 2.
"""

from __future__ import annotations

from model_zoo.recipes.calibrated import Network

# Expansion, channels at full width, repeats, first stride.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def channels(full: int, width: float) -> int:
    """Scaled to the width, to a multiple of 8 that is not more than a tenth below."""
    scaled = full * width
    near = max(8, int(scaled + 4) // 8 * 8)
    return near if near >= 0.9 * scaled else near + 8


def _block(net: Network, x: int, expansion: int, filters: int, stride: int) -> int:
    y = x
    if expansion != 1:
        y = net.conv(y, net.channels(x) * expansion, 1, 1, relu6=True)
    y = net.depthwise(y, 3, stride)
    y = net.conv(y, filters, 1, 1, relu6=False)
    return net.add(x, y) if stride == 1 and net.channels(x) == filters else y


def mobilenetv2(name: str, seed: int, *, width: float, size: int, classes: int, pictures: int = 4) -> bytes:
    """The `.tflite` file's bytes."""
    net = Network(name, seed, size=size, pictures=pictures)
    x = net.conv(net.input, channels(32, width), 3, 2, relu6=True)
    for expansion, full, repeats, first in STAGES:
        for repeat in range(repeats):
            x = _block(net, x, expansion, channels(full, width), first if repeat == 0 else 1)
    x = net.conv(x, max(1280, channels(1280, width)), 1, 1, relu6=True)
    return net.writer.finish([net.input], [net.classes(net.mean(x), classes)])
