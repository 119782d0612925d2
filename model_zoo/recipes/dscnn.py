"""DS-CNN for keywords: depthwise-separable convolutions over 49 x 10 spectral features, 12 classes.

Architecture: Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", arXiv:1711.07128, the small one.
"""

from __future__ import annotations

from typing import Any

from model_zoo.recipes.convert import batch_norm_relu, fix_seeds, keras, layers, make_random

SEED = 11


def build() -> Any:
    inputs = layers.Input((49, 10, 1))
    x = batch_norm_relu(layers.Conv2D(64, (10, 4), 2, padding="same", use_bias=False)(inputs))
    for _ in range(4):
        x = batch_norm_relu(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x))
        x = batch_norm_relu(layers.Conv2D(64, 1, use_bias=False)(x))
    x = layers.Flatten()(layers.AveragePooling2D((25, 5))(x))
    return keras.Model(inputs, layers.Dense(12, activation="softmax")(x))


if __name__ == "__main__":
    fix_seeds(SEED)
    make_random("dscnn", build(), SEED)
