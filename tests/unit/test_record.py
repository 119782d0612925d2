"""Records have exactly the documented form, and a verdict has a reason for everything that is wrong."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from hil import board
from hil.measure import Comparison, Latency, LayerResult, RamUse
from hil.record import NO_LIMITS, Limits, Profile, judged, plan_record, profile_record
from tests.support.fakes import FOOTPRINT, deployed, measured, planned

DEPLOYMENT = deployed()
ARENA = DEPLOYMENT.plan.arena_bytes
GOOD = measured(DEPLOYMENT)
LATENCY_KEYS = ["samples", "median", "p95", "min", "max", "cycles_median", "counts", "clock_ratio"]
MEMORY_KEYS = ["ram_peak", "ram_static", "arena", "stacks", "ram_predicted", "flash", "flash_code", "flash_program"]


def profile(source: Any = "virtual", limits: Limits = NO_LIMITS, **changes: Any) -> Profile:
    return judged(DEPLOYMENT, measured(DEPLOYMENT, **changes), source, limits)


def test_profile_record_has_the_documented_keys() -> None:
    record = profile_record(profile())
    assert list(record) == ["schema", "model", "board", "bench", "flashed", "firmware", "cores", "nodes", "outputs",
                            "latency", "memory", "per_node", "speedup_bound", "operators", "verdict",
                            "reasons"]  # fmt: skip
    assert record["schema"] == "hil.profile/1"
    assert list(record["model"]) == ["name", "sha256", "operators", "macs"]
    assert list(record["outputs"]) == ["inputs", "elements", "mismatches", "max_abs_diff", "reference"]
    assert list(record["latency"]) == LATENCY_KEYS
    assert list(record["memory"]) == MEMORY_KEYS
    assert list(record["firmware"]) == ["engine", "build", "toolchain"]
    assert [list(operator) for operator in record["operators"]] == [["operator", "cycles", "speedup_bound"]]
    (node,) = record["per_node"]
    assert list(node) == ["node", "board", "memory", "macs", "bytes_sent", "bytes_received", "latency", "memory_map"]


def test_profile_record_has_the_measured_values() -> None:
    record = profile_record(profile())
    program = len(DEPLOYMENT.plan.program.data)
    assert record["model"] == {
        "name": "tiny",
        "sha256": DEPLOYMENT.graph.sha256,
        "operators": {"FULLY_CONNECTED": 2},
        "macs": 8 * 6 + 6 * 4,
    }
    assert re.fullmatch(r"[0-9a-f]{64}", record["model"]["sha256"])
    assert (record["board"], record["bench"], record["cores"], record["nodes"]) == ("rp2040", "virtual", 1, 1)
    assert record["firmware"] == {"engine": "hil", "build": DEPLOYMENT.image.build_id, "toolchain": "zig"}
    assert record["outputs"] == {
        "inputs": 4, "elements": 16, "mismatches": 0, "max_abs_diff": 0.0, "reference": GOOD.reference,
    }  # fmt: skip
    assert record["latency"] == {
        "samples": [40, 40], "median": 40.0, "p95": 40.0, "min": 40, "max": 40, "cycles_median": 5000,
        "counts": "cycles", "clock_ratio": 1.0,
    }  # fmt: skip
    assert record["memory"] == {
        "ram_peak": 1_000 + ARENA + 500, "ram_static": 1_000, "arena": ARENA, "stacks": [500],
        "ram_predicted": 1_000 + ARENA + 500, "flash": 10_000 + program, "flash_code": 10_000,
        "flash_program": program,
    }  # fmt: skip
    (node,) = record["per_node"]
    assert node["memory"] == record["memory"]
    assert node["latency"] == record["latency"]
    assert (node["node"], node["board"], node["macs"]) == (0, "rp2040", 72)
    assert (node["bytes_sent"], node["bytes_received"]) == (0, 0)
    assert (record["verdict"], record["reasons"]) == ("pass", [])


def test_a_record_is_json_and_the_same_every_time() -> None:
    texts = {json.dumps(profile_record(profile()), allow_nan=False) for _ in range(2)}
    assert len(texts) == 1
    assert json.loads(texts.pop()) == profile_record(profile())


def test_layers_are_in_the_record_when_they_were_compared() -> None:
    layers = (LayerResult("operator 0 FULLY_CONNECTED", "tensor 1", Comparison(6, 0, 0.0)),)
    record = profile_record(profile(layers=layers))
    assert record["layers"] == [
        {"operator": "operator 0 FULLY_CONNECTED", "tensor": "tensor 1", "elements": 6, "mismatches": 0,
         "max_abs_diff": 0.0}
    ]  # fmt: skip
    assert "layers" not in profile_record(profile())


def test_hardware_is_called_hardware() -> None:
    assert profile_record(profile("hardware"))["bench"] == "hardware"


def test_plan_record_has_the_documented_form() -> None:
    made = planned()
    record = plan_record(made)
    assert list(record) == ["schema", "model", "cores", "objective", "fits", "nodes", "latency", "compare", "tightest"]
    assert record["schema"] == "hil.plan/1"
    assert (record["fits"], record["cores"], record["objective"]) == (True, 1, "latency")
    (node,) = record["nodes"]
    documented = ["node", "board", "ram_peak", "arena", "ram_available", "flash", "flash_available", "macs",
                  "bytes_sent", "bytes_received"]  # fmt: skip
    assert [key for key in node if key in documented] == documented
    assert node["ram_peak"] == 1_000 + made.plan.arena_bytes + 500
    assert node["flash"] == 10_000 + len(made.plan.program.data)
    assert (node["ram_available"], node["flash_available"]) == (0x4_0000 + 0x1000, 2 << 20)
    assert list(record["latency"]) == ["total", "compute", "wire"]
    assert record["latency"]["total"] == pytest.approx(made.plan.cycles / 125, abs=0.1)
    assert record["compare"]["single_node"]["arena"] == made.plan.arena_bytes
    assert list(record["tightest"]) == ["node", "operator", "tensor", "needed", "available"]
    assert record["tightest"]["operator"] == "operator 0 FULLY_CONNECTED"
    assert record["tightest"]["tensor"] == str(made.graph.tensors[made.graph.operators[0].outputs[0]])
    assert record["tightest"]["needed"] == FOOTPRINT.ram_static + made.plan.arena_bytes
    assert record["tightest"]["available"] == board.load("rp2040").ram.bytes
    json.dumps(record, allow_nan=False)


# -- verdicts ----------------------------------------------------------------------------------------------------------

LAYER = LayerResult("operator 0 CONV_2D", "tensor 3 'c' (int8 1x6)", Comparison(6, 2, 3.0))
LATENCY = Latency(samples=(90, 110), median=100.0, p95=110.0, min=90, max=110, cycles_median=12_500)

CAUSES: list[tuple[str, dict[str, Any], Limits, str]] = [
    ("outputs", {"outputs": Comparison(16, 3, 7.0)}, NO_LIMITS, "3 of 16 output elements differ from the reference"),
    ("layer", {"layers": (LAYER,)}, NO_LIMITS, "operator 0 CONV_2D, tensor 3 'c' (int8 1x6): 2 of 6 elements differ"),
    ("ram", {"ram": RamUse(1_001, ARENA, (500,))}, NO_LIMITS,
     f"peak RAM {ARENA + 1_501} bytes is over the predicted {ARENA + 1_500}"),
    ("arena", {"ram": RamUse(1_000, ARENA - 4, (500,))}, NO_LIMITS,
     f"the arena's high-water is {ARENA - 4} bytes, {ARENA} were planned"),
    ("ram limit", {}, Limits(ram_bytes=1_500), f"peak RAM {ARENA + 1_500} bytes is over the limit of 1500"),
    ("latency", {"latency": LATENCY}, Limits(latency_us=99.5), "latency 100 us is over the limit of 99.5 us"),
    ("repeats", {"repeats_identical": False}, NO_LIMITS, "repeats on a virtual board counted different cycles"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "limits", "reason"), [c[1:] for c in CAUSES], ids=[c[0] for c in CAUSES])
def test_each_cause_is_the_one_reason(changes: dict[str, Any], limits: Limits, reason: str) -> None:
    made = profile("virtual", limits, **changes)
    assert not made.passed
    assert len(made.reasons) == 1
    assert made.reasons[0].startswith(reason)
    record = profile_record(made)
    assert (record["verdict"], record["reasons"]) == ("fail", list(made.reasons))


def test_all_causes_together_are_all_told() -> None:
    changes: dict[str, Any] = {}
    for cause in CAUSES:
        changes |= cause[1]
    changes["ram"] = RamUse(1_100, ARENA - 4, (500,))
    made = profile("virtual", Limits(latency_us=1, ram_bytes=1), **changes)
    assert len(made.reasons) == len(CAUSES)


def test_limits_that_are_just_met_are_met() -> None:
    assert profile("virtual", Limits(latency_us=40.0, ram_bytes=ARENA + 1_500)).passed


def test_hardware_may_jitter() -> None:
    assert profile("hardware", repeats_identical=False).passed


def test_judging_again_with_other_limits_changes_only_the_verdict() -> None:
    first = profile()
    second = judged(first.deployment, first.measured, first.source, Limits(latency_us=1))
    assert first.passed
    assert not second.passed
    assert replace(second, limits=NO_LIMITS, reasons=()) == first


def test_repeats_may_differ_where_time_is_not_counted() -> None:
    differing = measured(DEPLOYMENT, repeats_identical=False)
    assert any("not deterministic" in reason for reason in judged(DEPLOYMENT, differing, "virtual", NO_LIMITS).reasons)
    timed = replace(DEPLOYMENT.board, virtual=replace(board.load("native").virtual))
    plan = replace(DEPLOYMENT.plan, board=timed)
    deployment = replace(DEPLOYMENT, planned=replace(DEPLOYMENT.planned, plan=plan))
    assert judged(deployment, differing, "virtual", NO_LIMITS).reasons == ()
