"""The record of a profile and of a plan: one JSON object each, the same for every door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hil import board as boards
from hil.bench import Source
from hil.deployment import Deployment, Planned
from hil.errors import DoesNotFit
from hil.measure import Latency, Measured, RamUse
from hil.model.graph import Graph
from hil.model.work import macs
from hil.record.verdict import Limits, reasons


@dataclass(frozen=True)
class Profile:
    """One profiled deployment with its verdict."""

    deployment: Deployment
    measured: Measured
    source: Source
    limits: Limits
    reasons: tuple[str, ...]
    flashed: str = ""
    """How the image came onto the board: by the tool of that name, or 'direct'; empty where nobody knows."""

    @property
    def passed(self) -> bool:
        return not self.reasons


def judged(deployment: Deployment, measured: Measured, source: Source, limits: Limits, flashed: str = "") -> Profile:
    """Hold a measurement against reference, prediction and limits. `flashed`: how the image came onto the board."""
    return Profile(deployment, measured, source, limits, reasons(deployment, measured, source, limits), flashed)


def profile_record(profile: Profile) -> dict[str, Any]:
    """`hil.profile/1`; sizes in bytes, times in microseconds. Nothing in it depends on when or where it ran."""
    deployment, measured = profile.deployment, profile.measured
    latencies = {
        **latency_record(measured.latency, deployment.board.counts, measured.clock_ratio),
        **({"assembled": True} if measured.assembled else {}),
    }
    memory = memory_record(deployment, measured.ram)
    record: dict[str, Any] = {
        "schema": "hil.profile/1",
        "model": model_record(deployment.graph),
        "board": deployment.board.name,
        "bench": profile.source,
        "flashed": profile.flashed,
        **variant_record(deployment),
        **_objective(deployment.planned),
        "firmware": {"engine": "hil", "build": deployment.image.build_id, "toolchain": deployment.planned.toolchain},
        "cores": deployment.plan.cores,
        "nodes": 1,
        "outputs": {
            "inputs": measured.inputs,
            "elements": measured.outputs.elements,
            "mismatches": measured.outputs.mismatches,
            "max_abs_diff": measured.outputs.max_abs_diff,
            "reference": measured.reference,
        },
        "latency": latencies,
        "memory": memory,
        "per_node": [
            {
                "node": 0,
                "board": deployment.board.name,
                "memory": memory,
                "macs": deployment.plan.macs,
                "bytes_sent": 0,
                "bytes_received": 0,
                "latency": latencies,
                "memory_map": memory_map(deployment),
            }
        ],
        "speedup_bound": round(deployment.plan.bound, 3),
        "operators": [
            {"operator": time.operator, "cycles": time.cycles, "speedup_bound": round(time.bound, 3)}
            for time in measured.operators
        ],
        "verdict": "pass" if profile.passed else "fail",
        "reasons": list(profile.reasons),
    }
    if measured.layers is not None:
        record["layers"] = [
            {
                "operator": layer.operator,
                "tensor": layer.tensor,
                "elements": layer.result.elements,
                "mismatches": layer.result.mismatches,
                "max_abs_diff": layer.result.max_abs_diff,
            }
            for layer in measured.layers
        ]
    return record


def latency_record(latency: Latency, counts: str, clock_ratio: float) -> dict[str, Any]:
    """What the device counted; `counts` is the unit of its fine counter."""
    return {
        "samples": list(latency.samples),
        "median": latency.median,
        "p95": latency.p95,
        "min": latency.min,
        "max": latency.max,
        "cycles_median": latency.cycles_median,
        "counts": counts,
        "clock_ratio": clock_ratio,
    }


def memory_record(deployment: Deployment, ram: RamUse) -> dict[str, Any]:
    """What one board used, beside what was predicted."""
    image = deployment.image
    return {
        "ram_peak": ram.peak,
        "ram_static": ram.static,
        "arena": ram.arena,
        "stacks": list(ram.stacks),
        "ram_predicted": deployment.ram_predicted,
        **image_record(image.code, image.program, image.flash, in_ram=image.in_ram is not None),
    }


def variant_record(deployment: Deployment) -> dict[str, str]:
    """What is chosen of the board that is not the default; such results are no baseline for those with the default."""
    image = deployment.image
    load, console = {"load": "ram"} if image.in_ram else {}, {"console": "rtt"} if image.rtt is not None else {}
    return {**load, **console}


def _objective(planned: Planned) -> dict[str, str]:
    """What the plan was searched for, if it was searched: such a plan is not comparable with the plain one."""
    return {"objective": planned.searched.objective} if planned.searched else {}


def image_record(code: int, program: int, whole: int, *, in_ram: bool) -> dict[str, Any]:
    """Where an image lies and what it takes. One in RAM takes no flash, and is not part of `ram_peak`."""
    if not in_ram:
        return {"flash": whole, "flash_code": code, "flash_program": program}
    held = {"ram_image": whole, "ram_image_code": code, "ram_image_program": program}
    return {"flash": 0, "flash_code": 0, "flash_program": 0, **held}


MAP_TENSORS = 400
_LONGEST_NAME = 120


def memory_map(deployment: Deployment) -> dict[str, Any]:
    """What lies where in the arena while each operator runs, as planned; of very many tensors the largest."""
    occupancy = deployment.plan.occupancy
    largest = sorted(occupancy.tenants, key=lambda one: (-one.bytes, one.first, one.offset))[:MAP_TENSORS]
    return {
        "arena": deployment.plan.arena_bytes,
        "stacks": list(deployment.planned.footprint.stacks),
        "columns": [name[:_LONGEST_NAME] for name in occupancy.columns],
        "tensors": [
            {
                "tensor": one.name[:_LONGEST_NAME],
                "offset": one.offset,
                "bytes": one.bytes,
                "first": one.first,
                "last": one.last,
            }
            for one in sorted(largest, key=lambda one: (one.first, one.offset, one.last))
        ],
        "left_out": len(occupancy.tenants) - len(largest),
    }


def model_record(graph: Graph) -> Mapping[str, Any]:
    """The model as records name it. `macs` are the model's own, whatever the plan makes of them."""
    return {
        "name": graph.name,
        "sha256": graph.sha256,
        "operators": graph.operator_counts(),
        "macs": macs(graph),
    }


def refusal_record(graph: Graph, cores: int, objective: str | None, error: DoesNotFit) -> dict[str, Any]:
    """`hil.plan/1` of a plan that does not fit: where it is tightest, and on how many such boards it would fit."""
    return {
        "schema": "hil.plan/1",
        "model": model_record(graph),
        "cores": cores,
        "objective": objective or "latency",
        "fits": False,
        "nodes": [],
        "fits_on_nodes": error.nodes,
        "tightest": {
            "node": error.node,
            "operator": error.operator,
            "tensor": error.tensor,
            "needed": error.needed,
            "available": error.available,
        },
        "reason": error.message,
    }


def node_record(planned: Planned) -> dict[str, Any]:
    """What one board needs of what it has."""
    plan, board, footprint = planned.plan, planned.board, planned.footprint
    image, in_ram = footprint.flash_code + len(plan.program.data), board.image_in == "ram"
    return {
        "node": 0,
        "board": board.name,
        "ram_peak": planned.ram_predicted,
        "ram_static": footprint.ram_static,
        "arena": plan.arena_bytes,
        "stacks": list(footprint.stacks),
        "ram_available": board.ram.bytes + plan.cores * board.stack_per_core,
        "flash": 0 if in_ram else image,
        "flash_available": boards.load(board.name).flash.bytes,
        **({"ram_image": image} if in_ram else {}),
        "macs": plan.macs,
        "bytes_sent": 0,
        "bytes_received": 0,
    }


def plan_record(planned: Planned) -> dict[str, Any]:
    """`hil.plan/1` of a plan that fits; sizes in bytes, times in microseconds."""
    plan, board, footprint = planned.plan, planned.board, planned.footprint
    node = node_record(planned)
    compute = round(plan.cycles * 1e6 / board.clock_hz, 1)
    return {
        "schema": "hil.plan/1",
        "model": model_record(planned.graph),
        "cores": plan.cores,
        "objective": planned.searched.objective if planned.searched else "latency",
        "fits": True,
        "nodes": [node],
        "latency": {"total": compute, "compute": compute, "wire": 0},
        "compare": _compare(planned, node),
        "tightest": {
            "node": 0,
            "operator": plan.tightest.operator,
            "tensor": plan.tightest.tensor,
            "needed": footprint.ram_static + plan.arena_bytes,
            "available": board.ram.bytes,
        },
    }


def _compare(planned: Planned, node: Mapping[str, Any]) -> dict[str, Any]:
    if planned.searched is None:
        return {"single_node": {key: node[key] for key in ("ram_peak", "arena", "flash", "macs")}}
    return {scheme: dict(values) for scheme, values in planned.searched.compare.items()}
