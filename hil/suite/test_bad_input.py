"""What a device must survive: requests that make no sense, and a program that is damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hil import api
from hil.cases import Case
from hil.deployment import Tensors
from hil.dut import Dut
from hil.errors import DeviceRefused
from hil.image.build import build
from hil.measure import compare
from hil.model.reference import ReferenceResult
from hil.pytest_session import Session


def test_refuses_nonsense(dut: Dut, model_inputs: tuple[Tensors, ...], reference: ReferenceResult) -> None:
    """Requests outside of the arena or the program are refused by name, and the next inference is right."""
    arena, steps = dut.hello.arena_needed, dut.hello.steps
    room = dut.hello.arena_room
    requests: dict[str, Callable[[], object]] = {
        "read past the end": lambda: dut.link.read(room - 1, 8),
        "read far away": lambda: dut.link.read(0xFFFF_FFF0, 8),
        "write past the end": lambda: dut.link.write(room - 1, bytes(8)),
        "write far away": lambda: dut.link.write(0xFFFF_FFFC, bytes(8)),
        "run from nowhere": lambda: dut.link.run(steps + 1, 1, limit=10),
        "run too far": lambda: dut.link.run(0, steps + 1, limit=10),
    }
    for what, request in requests.items():
        with pytest.raises(DeviceRefused, match="refused"):
            request()
        assert dut.station.alive(), what
    assert arena == dut.deployment.plan.arena_bytes
    outputs = dut.infer(model_inputs[0]).outputs
    for got, want in zip(outputs, reference.outputs[0], strict=True):
        assert compare(got, want).mismatches == 0


def test_survives_garbage(dut: Dut, model_inputs: tuple[Tensors, ...], reference: ReferenceResult) -> None:
    """Noise on the line between requests does no harm."""
    noise = bytes((37 * k + 11) % 256 for k in range(3000))
    dut.link.transport.write(noise)
    assert dut.link.echo(b"still there") == b"still there"
    outputs = dut.infer(model_inputs[0]).outputs
    for got, want in zip(outputs, reference.outputs[0], strict=True):
        assert compare(got, want).mismatches == 0


def test_refuses_damaged_program(hil_board: str, hil_session: Session, hil_cases: tuple[Case, ...]) -> None:
    """A program with one flipped bit is refused by the engine at load, by its CRC, before anything runs."""
    case = next(case for case in hil_cases if case.board == hil_board)
    deployment = hil_session.deployment(case)
    data = bytearray(deployment.plan.program.data)
    data[len(data) // 2] ^= 0x10
    broken = build(deployment.board, bytes(data), toolchain=deployment.planned.toolchain)
    with pytest.raises(DeviceRefused, match="CRC"), api.running(replace(deployment, image=broken)):
        pass
