"""Predicted cycles against counted ones: whole models, single steps, several cores."""

from __future__ import annotations

import numpy as np
import pytest

from hil import api
from hil import board as boards
from hil.model import inputs as input_sets
from hil.paths import ZOO

DEPLOYMENTS = (("rp2040", 1), ("rp2040", 2), ("rp2350", 1), ("rp2350", 2), ("nrf52840dk", 1))
MODELS = ("autoencoder", "digits", "dscnn", "mobilenetv2_035", "op_multi_io", "resnet8")


@pytest.mark.parametrize(("board", "cores"), DEPLOYMENTS)
@pytest.mark.parametrize("model", MODELS)
def test_predicted_cycles_hold(board: str, model: str, cores: int) -> None:
    """Of whole models within 2 %; of steps half within 2 % and all within 15 %. Kernels that changed: fit again."""
    deployment = api.prepare(ZOO / model / f"{model}.tflite", api.Request(board, cores=cores))
    made, known = deployment.plan, boards.load(board)
    with api.running(deployment) as dut:
        values = input_sets.generate(deployment.graph, 1, 0)[0]
        whole = dut.infer(values).cycles
        parts = list(dut.parts(values))
    assert made.cycles == pytest.approx(whole, rel=0.02)
    meeting = known.step_cost if cores > 1 else 0.0
    off = [abs((part.slowest + known.run_cost + meeting) / taken - 1) for part, taken in parts if part.end > part.first]
    assert np.median(off) < 0.02
    assert max(off) < 0.15
