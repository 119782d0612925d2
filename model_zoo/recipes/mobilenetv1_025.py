"""MobileNetV1, a quarter as wide, for 96 x 96 pictures: is somebody there or not.

Architecture: Howard et al., "MobileNets", arXiv:1704.04861, table 1; two classes as in Chowdhery et al.,
"Visual Wake Words Dataset", arXiv:1906.05721.
"""

from __future__ import annotations

from typing import Any

from model_zoo.recipes.convert import batch_norm_relu, fix_seeds, keras, layers, make_random

SEED = 13
# Channels at full width, and stride, of each depthwise-separable block.
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip


def build() -> Any:
    inputs = layers.Input((96, 96, 3))
    x = batch_norm_relu(layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(inputs), top=6.0)
    for filters, stride in BLOCKS:
        x = batch_norm_relu(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x), top=6.0)
        x = batch_norm_relu(layers.Conv2D(filters // 4, 1, use_bias=False)(x), top=6.0)
    x = layers.Flatten()(layers.AveragePooling2D(3)(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


if __name__ == "__main__":
    fix_seeds(SEED)
    make_random("mobilenetv1_025", build(), SEED)
