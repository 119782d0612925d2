"""The second inference after boot, the hundredth, and one model after another."""

from __future__ import annotations

from hil.cases import Case
from hil.deployment import Tensors
from hil.dut import Dut
from hil.measure import compare
from hil.model.reference import ReferenceResult
from hil.pytest_session import Session

_MOST = 64
_CYCLES = 60_000_000
"""About half a second of a virtual board's host time; a slow model runs at least twice."""


def test_many_inferences(dut: Dut, model_inputs: tuple[Tensors, ...], reference: ReferenceResult) -> None:
    """Many inferences in one boot, inputs in turn: each equals the reference, whatever ran before it."""
    count = max(2, min(_MOST, _CYCLES // max(1, dut.deployment.plan.cycles)))
    for turn in range(count):
        index = turn % len(model_inputs)
        outputs = dut.infer(model_inputs[index]).outputs
        for got, want in zip(outputs, reference.outputs[index], strict=True):
            assert compare(got, want).mismatches == 0, f"inference {turn + 1} of {count}, input {index + 1}"


def test_back_to_back(hil_board: str, hil_session: Session, hil_cases: tuple[Case, ...]) -> None:
    """Models one after another on one board, and the first again: nothing of one is left for the next."""
    cases = [case for case in hil_cases if case.board == hil_board and case.nodes == 1]
    small = sorted(cases, key=lambda case: hil_session.deployment(case).plan.cycles)[:3]
    for case in [*small, small[0]]:
        values, expected = hil_session.inputs(case)[0], hil_session.reference(case).outputs[0]
        with hil_session.lent(case) as dut:
            outputs = dut.infer(values).outputs
        for got, want in zip(outputs, expected, strict=True):
            assert compare(got, want).mismatches == 0, case.id
