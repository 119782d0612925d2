"""A small CNN trained on scikit-learn's handwritten digits (1797 pictures of 8 x 8, UCI, CC BY 4.0).

Writes the model, and `digits.npz`: test pictures that it has not seen, as int8 inputs, and what they show.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from model_zoo.recipes.convert import convert, fix_seeds, keras, layers
from model_zoo.recipes.place import ZOO, save

SEED = 16
TRAINED_ON = 1400
TESTED_ON = 200


def build() -> Any:
    inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(layers.MaxPooling2D(2)(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))


def _int8(model: bytes, pictures: Any) -> Any:
    """Pictures in the model's own input quantisation."""
    scale, zero_point = tf.lite.Interpreter(model_content=model).get_input_details()[0]["quantization"]
    return np.clip(np.round(pictures / scale + zero_point), -128, 127).astype(np.int8)


def main() -> None:
    fix_seeds(SEED)
    digits = load_digits()
    order = np.random.default_rng(SEED).permutation(len(digits.target))
    pictures = (digits.images[order, :, :, np.newaxis] / 16).astype(np.float32)
    labels = digits.target[order].astype(np.uint8)
    model = build()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(pictures[:TRAINED_ON], labels[:TRAINED_ON], epochs=20, batch_size=32, verbose=0)
    data = convert(model, pictures[:200])
    save("digits", data)
    test = slice(TRAINED_ON, TRAINED_ON + TESTED_ON)
    np.savez_compressed(ZOO / "digits" / "digits.npz", input_0=_int8(data, pictures[test]), labels=labels[test])


if __name__ == "__main__":
    main()
