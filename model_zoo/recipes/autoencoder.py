"""Fully connected autoencoder for machine sounds: 640 values through a bottleneck of 8 and back.

Architecture: the baseline of DCASE 2020 task 2 (Koizumi et al., arXiv:2006.05822).
"""

from __future__ import annotations

from typing import Any

from model_zoo.recipes.convert import batch_norm_relu, fix_seeds, keras, layers, make_random

SEED = 15


def build() -> Any:
    inputs = x = layers.Input((640,))
    for units in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = batch_norm_relu(layers.Dense(units, use_bias=False)(x))
    return keras.Model(inputs, layers.Dense(640)(x))


if __name__ == "__main__":
    fix_seeds(SEED)
    make_random("autoencoder", build(), SEED)
