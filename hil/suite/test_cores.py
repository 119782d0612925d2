"""The answer does not depend on the number of cores, nor on which of them is first."""

from __future__ import annotations

import pytest

from hil.cases import Case
from hil.deployment import Tensors
from hil.dut import Dut
from hil.measure import compare
from hil.model.reference import ReferenceResult
from hil.pytest_session import Session

_RUNS = 8
_MANY = 1000


def _run(dut: Dut, inputs: tuple[Tensors, ...], reference: ReferenceResult, runs: int) -> None:
    for turn in range(runs):
        index = turn % len(inputs)
        outputs = dut.infer(inputs[index], jitter=turn + 1).outputs
        for got, want in zip(outputs, reference.outputs[index], strict=True):
            assert compare(got, want).mismatches == 0, f"inference {turn + 1} of {runs}, jitter seed {turn + 1}"


@pytest.mark.hil_several_cores
def test_jitter(dut: Dut, model_inputs: tuple[Tensors, ...], reference: ReferenceResult) -> None:
    """With random delays on every core before each of its steps, every answer is still the reference's."""
    _run(dut, model_inputs, reference, _RUNS if dut.deployment.plan.cycles < _SLOW else 2)


_SLOW = 50_000_000
"""Predicted cycles from which on two inferences have to do: the small models have the same kernels and barriers."""


def test_a_thousand_inferences(hil_board: str, hil_session: Session, hil_cases: tuple[Case, ...]) -> None:
    """A thousand inferences in one boot with jitter, on every number of cores, of the quickest model that is tiled."""
    cases = [case for case in hil_cases if case.board == hil_board and case.nodes == 1]
    for cores in sorted({case.cores for case in cases}):
        plans = [(hil_session.deployment(case).plan, case) for case in cases if case.cores == cores]
        shared = [(plan, case) for plan, case in plans if any(part.bound > 1 for part in plan.parts)]
        case = min(shared or plans, key=lambda found: found[0].cycles)[1]
        with hil_session.lent(case) as dut:
            _run(dut, hil_session.inputs(case), hil_session.reference(case), _MANY)
