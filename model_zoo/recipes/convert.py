"""What the TensorFlow recipes share: fixed seeds, weights that keep every layer alive, full-int8 conversion.

Two runs with the same TensorFlow on the same machine give the same bytes.
"""

from __future__ import annotations

import os
import random
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import numpy as np
import tensorflow as tf

from model_zoo.recipes.place import save

keras = tf.keras
layers = tf.keras.layers

_SAMPLES = 64
_LOGIT_SPREAD = 2.5


def fix_seeds(seed: int) -> None:
    """Every generator and every thread pool that could make two runs differ."""
    random.seed(seed)
    np.random.seed(seed)
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def batch_norm_relu(x: Any, *, top: float | None = None) -> Any:
    """Batch normalisation and ReLU, the latter cut off at `top` where given (6 is ReLU6)."""
    return layers.ReLU(max_value=top)(layers.BatchNormalization(momentum=0.0)(x))


def samples(shape: tuple[int, ...], seed: int) -> Any:
    """Inputs in -1..1: half of them noise, half with neighbouring values alike, as sounds and pictures have them.

    The noise is what seeded input sets look like, so that those do not leave the ranges that the model is made for.
    """
    draw = np.random.default_rng(seed)
    smooth = draw.normal(size=(_SAMPLES // 2, *shape))
    for axis in range(1, len(shape)):
        smooth = (smooth + np.roll(smooth, 1, axis) + np.roll(smooth, 2, axis)) / 3**0.5
    noise = draw.uniform(-1, 1, (_SAMPLES // 2, *shape))
    return np.concatenate([np.clip(smooth / 2.5, -1, 1), noise]).astype(np.float32)


def enliven(model: Any, data: Any, seed: int) -> None:
    """Random weights as training leaves them: normalised layers of unequal channels, and outputs that tell apart.

    With momentum 0, one pass in training mode sets every normalisation to what `data` shows.
    """
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = layer.gamma.shape[0]
            layer.gamma.assign(draw.uniform(0.6, 1.6, count))
            layer.beta.assign(draw.normal(0.2, 0.4, count))
    model(data, training=True)
    last = model.layers[-1]
    logits = keras.Model(model.input, last.input)(data).numpy() @ last.kernel.numpy()
    last.kernel.assign(last.kernel.numpy() * _LOGIT_SPREAD / logits.std())
    last.bias.assign(-logits.mean(axis=0) * _LOGIT_SPREAD / logits.std() + draw.normal(0, 0.5, logits.shape[1]))


def convert(model: Any, data: Any) -> bytes:
    """The model in full int8, inputs and outputs too, quantised to the ranges that `data` gives.

    The batch is fixed at 1: with an open one, the converter computes the shape of a flattening at run time.
    """
    fixed = keras.models.clone_model(model, input_tensors=layers.Input(tuple(model.input.shape[1:]), batch_size=1))
    fixed.set_weights(model.get_weights())
    converter = tf.lite.TFLiteConverter.from_keras_model(fixed)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([one[np.newaxis]] for one in data)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def make_random(name: str, model: Any, seed: int) -> None:
    """Enliven, convert and save an untrained model."""
    data = samples(tuple(model.input.shape[1:]), seed)
    enliven(model, data, seed)
    save(name, convert(model, data))
