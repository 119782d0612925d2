"""ResNet-8 for 32 x 32 pictures: three residual blocks of 16, 32 and 64 channels, 10 classes.

Architecture: He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385, section 4.2, with n = 1.
"""

from __future__ import annotations

from typing import Any

from model_zoo.recipes.convert import batch_norm_relu, fix_seeds, keras, layers, make_random

SEED = 12


def _block(x: Any, filters: int, stride: int) -> Any:
    y = batch_norm_relu(layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x))
    y = layers.BatchNormalization(momentum=0.0)(layers.Conv2D(filters, 3, padding="same", use_bias=False)(y))
    if stride != 1:
        x = layers.Conv2D(filters, 1, stride, padding="same")(x)
    return layers.ReLU()(layers.Add()([x, y]))


def build() -> Any:
    inputs = layers.Input((32, 32, 3))
    x = batch_norm_relu(layers.Conv2D(16, 3, padding="same", use_bias=False)(inputs))
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        x = _block(x, filters, stride)
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


if __name__ == "__main__":
    fix_seeds(SEED)
    make_random("resnet8", build(), SEED)
