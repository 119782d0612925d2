"""Does the board give the reference's answer, bit for bit: whole model, layer by layer, and on labelled data."""

from __future__ import annotations

import numpy as np
import pytest

from hil.cases import Case
from hil.deployment import Tensors
from hil.dut import Dut
from hil.measure import compare_layers
from hil.model.reference import ReferenceResult
from hil.model.zoo import load_accuracy
from hil.record import Profile


def test_outputs(profile: Profile) -> None:
    """Every output element of every inference equals the reference's."""
    outputs = profile.measured.outputs
    assert outputs.elements > 0
    assert outputs.mismatches == 0, f"{outputs.mismatches} of {outputs.elements}, by up to {outputs.max_abs_diff:g}"


def test_layers(dut: Dut, model_inputs: tuple[Tensors, ...], layer_reference: ReferenceResult) -> None:
    """Every operator's output, read while the device still has it, equals the reference's."""
    layers = compare_layers(dut, model_inputs[:1], layer_reference)
    assert len(layers) == sum(len(op.outputs) for op in dut.deployment.graph.operators)
    wrong = [
        f"{x.operator}, {x.tensor}: {x.result.mismatches} of {x.result.elements}" for x in layers if x.result.mismatches
    ]
    assert not wrong, "first to differ: " + wrong[0]


@pytest.mark.hil_accuracy
def test_accuracy(dut: Dut, hil_case: Case) -> None:
    """Accuracy on the model's labelled data, computed on the device, reaches the recorded minimum."""
    assert hil_case.model.zoo is not None
    assert hil_case.model.zoo.accuracy is not None
    inputs, labels = load_accuracy(hil_case.model.zoo.accuracy, dut.deployment.graph)
    right = sum(
        int(np.argmax(dut.infer(values).outputs[0])) == label for values, label in zip(inputs, labels, strict=True)
    )
    assert right / len(labels) >= hil_case.model.zoo.accuracy.minimum, f"{right} of {len(labels)} right"
