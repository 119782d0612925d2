"""Models for tests: a small sound one, the zoo's, and the public ones where they are on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hil.paths import ZOO
from tests.support.tflite_writer import ModelWriter

_ROOT = Path(__file__).resolve().parents[2]


def zoo_file(name: str) -> Path:
    """The `.tflite` of a zoo entry."""
    return ZOO / name / f"{name}.tflite"


def public_models() -> Path:
    """The folder of public models: `$HIL_TEST_MODELS`, or `../shared/models` beside the clone; skips without one."""
    folder = Path(os.environ.get("HIL_TEST_MODELS", _ROOT.parent / "shared" / "models"))
    if not (folder / "MANIFEST.json").is_file():
        pytest.skip("no public models here: set HIL_TEST_MODELS to a folder with them and their MANIFEST.json")
    return folder


def small_writer() -> tuple[ModelWriter, int, int]:
    """A writer with a convolution and a softmax in it, its input and its output."""
    w = ModelWriter("small")
    x = w.activation("x", (1, 4, 4, 2), 0.05, 3)
    k = w.constant("k", np.arange(54, dtype=np.int8).reshape(3, 3, 3, 2) - 27, [0.01, 0.02, 0.03])
    b = w.constant("b", np.array([5, -6, 7], np.int32), [0.0005, 0.001, 0.0015])
    y = w.activation("y", (1, 2, 2, 3), 0.08, -5)
    w.operator("CONV_2D", [x, k, b], [y], padding="SAME", stride=(2, 2), activation="RELU")
    z = w.activation("z", (1, 2, 2, 3), 1 / 256, -128)
    w.operator("SOFTMAX", [y], [z], beta=1.0)
    return w, x, z


def small_model() -> bytes:
    w, x, z = small_writer()
    return w.finish([x], [z])
