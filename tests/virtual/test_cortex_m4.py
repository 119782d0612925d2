"""The boards with a Cortex-M4 from model to verdict on their virtual boards: bit-exact, within predicted RAM."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hil import api
from hil.paths import ZOO
from hil.record import profile_record

BOARDS = ("nrf52840dk", "nucleo-l4r5zi")
DIGITS = ZOO / "digits" / "digits.tflite"
KERNEL_COST = Path(__file__).resolve().parent.parent.parent / "benchmarks" / "kernel_cost.py"


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("model", sorted(ZOO.glob("*/*.tflite")), ids=lambda path: path.stem)
def test_every_model_is_bit_exact(board: str, model: Path) -> None:
    record = profile_record(api.profile(model, api.Request(board, inputs=1, repeats=1, warmup=0)))
    assert record["outputs"]["mismatches"] == 0, record["reasons"]
    memory = record["memory"]
    assert 0.9 * memory["ram_predicted"] <= memory["ram_peak"] <= memory["ram_predicted"]


@pytest.mark.parametrize("board", BOARDS)
def test_twice_the_same(board: str) -> None:
    first, second = (profile_record(api.profile(DIGITS, api.Request(board, inputs=2))) for _ in range(2))
    assert first == second
    assert (first["verdict"], first["bench"]) == ("pass", "virtual")


def test_half_the_clock_takes_twice_the_time() -> None:
    """Of the board that has dividers for it; in as many instructions."""
    whole, half = (
        profile_record(api.profile(DIGITS, api.Request(board, inputs=1)))["latency"]
        for board in ("nucleo-l4r5zi", "nucleo-l4r5zi:60MHz")
    )
    assert half["cycles_median"] == whole["cycles_median"]
    assert half["median"] == pytest.approx(2 * whole["median"], abs=2)


def test_costs_of_kernels_are_measured_on_it() -> None:
    model = ZOO / "op_tiny" / "op_tiny.tflite"
    command = [sys.executable, str(KERNEL_COST), "--board", "nrf52840dk", "--boxes", "1", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "boxes: median" in done.stdout
    assert "op_tiny" in done.stdout
