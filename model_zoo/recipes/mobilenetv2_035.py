"""MobileNetV2, 0.35 wide, for 96 x 96 pictures, 10 classes: inverted residuals, whose inside is fatter than their ends.

Architecture: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv:1801.04381, table 2.
"""

from __future__ import annotations

from typing import Any

from model_zoo.recipes.convert import batch_norm_relu, fix_seeds, keras, layers, make_random

SEED = 14
WIDTH = 0.35
# Expansion, channels at full width, repeats, first stride.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _channels(full: int) -> int:
    """Scaled to the width, to a multiple of 8 that is not more than a tenth below."""
    scaled = full * WIDTH
    near = max(8, int(scaled + 4) // 8 * 8)
    return near if near >= 0.9 * scaled else near + 8


def _block(x: Any, expansion: int, filters: int, stride: int) -> Any:
    y = x
    if expansion != 1:
        y = batch_norm_relu(layers.Conv2D(x.shape[-1] * expansion, 1, use_bias=False)(y), top=6.0)
    y = batch_norm_relu(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(y), top=6.0)
    y = layers.BatchNormalization(momentum=0.0)(layers.Conv2D(filters, 1, use_bias=False)(y))
    return layers.Add()([x, y]) if stride == 1 and x.shape[-1] == filters else y


def build() -> Any:
    inputs = layers.Input((96, 96, 3))
    x = batch_norm_relu(layers.Conv2D(_channels(32), 3, 2, padding="same", use_bias=False)(inputs), top=6.0)
    for expansion, full, repeats, first in STAGES:
        for repeat in range(repeats):
            x = _block(x, expansion, _channels(full), first if repeat == 0 else 1)
    x = batch_norm_relu(layers.Conv2D(1280, 1, use_bias=False)(x), top=6.0)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


if __name__ == "__main__":
    fix_seeds(SEED)
    make_random("mobilenetv2_035", build(), SEED)
