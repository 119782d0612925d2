"""The record of a profile and of a plan for several boards: the same objects as for one, with a part for each node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hil.bench import Source
from hil.cluster import NodeTime
from hil.deployment import ClusterDeployment, Deployment, Planned, PlannedCluster
from hil.measure import ClusterMeasured, NodeMeasured
from hil.postmortem import step_text
from hil.record.profile import latency_record, memory_map, memory_record, model_record, node_record
from hil.record.verdict import Limits, output_reasons, ram_reasons

_SPREAD = 0.01


@dataclass(frozen=True)
class ClusterProfile:
    """One profiled deployment on several boards, with its verdict."""

    deployment: ClusterDeployment
    measured: ClusterMeasured
    source: Source
    limits: Limits
    reasons: tuple[str, ...]
    flashed: str = ""
    """How the images came onto the boards, as in `Profile`; each way once, with commas."""

    @property
    def passed(self) -> bool:
        return not self.reasons

    @property
    def fullest(self) -> tuple[Deployment, NodeMeasured]:
        """The node with the highest predicted peak of RAM: whose memory stands for the cluster's in records."""
        node = self.deployment.planned.fullest
        return self.deployment.nodes[node], self.measured.nodes[node]

    @property
    def error(self) -> float:
        """The predicted latency over the measured one, less 1."""
        return self.deployment.split.timing.total_us / self.measured.latency.median - 1


def judged_cluster(
    deployment: ClusterDeployment, measured: ClusterMeasured, source: Source, limits: Limits, flashed: str = ""
) -> ClusterProfile:
    """Hold a measurement against reference, prediction and limits. Limits of RAM are each node's."""
    reasons = output_reasons(measured.outputs)
    for number, (node, found) in enumerate(zip(deployment.nodes, measured.nodes, strict=True)):
        reasons += [f"node {number}: {reason}" for reason in ram_reasons(node, found.ram, limits)]
    if limits.latency_us is not None and measured.latency.median > limits.latency_us:
        reasons.append(f"latency {measured.latency.median:g} us is over the limit of {limits.latency_us:g} us")
    if measured.counted and measured.spread > _SPREAD:
        reasons.append(f"repeats on virtual boards are {100 * measured.spread:.2f} % apart: their time is not counted")
    return ClusterProfile(deployment, measured, source, limits, tuple(reasons), flashed)


def cluster_record(profile: ClusterProfile) -> dict[str, Any]:
    """`hil.profile/1`; sizes in bytes, times in microseconds.

    Latency is node 0's counter, from its first step to its last. The top's `memory` is that of the fullest node.
    """
    deployment, measured = profile.deployment, profile.measured
    node, found = profile.fullest
    timing, planned = deployment.split.timing, deployment.planned
    spent = measured.nodes[0].time
    record = {
        "schema": "hil.profile/1",
        "model": model_record(deployment.graph),
        "board": planned.boards,
        "bench": profile.source,
        "flashed": profile.flashed,
        "firmware": {
            "engine": "hil",
            "build": [one.image.build_id for one in deployment.nodes],
            "toolchain": planned.toolchain,
        },
        "cores": planned.cores,
        "nodes": len(deployment.nodes),
        "link": deployment.split.wire.name,
        "objective": deployment.split.objective,
        "outputs": {
            "inputs": measured.inputs,
            "elements": measured.outputs.elements,
            "mismatches": measured.outputs.mismatches,
            "max_abs_diff": measured.outputs.max_abs_diff,
            "reference": measured.reference,
        },
        "latency": {
            **latency_record(measured.latency, deployment.nodes[0].board.counts, measured.clock_ratio),
            "compute": spent.compute,
            "wait": spent.wait,
            "wire": spent.wire,
            "predicted": {
                "total": round(timing.total_us, 1),
                "compute": round(timing.compute_us, 1),
                "wire": round(timing.wire_us, 1),
                "wait": round(timing.wait_us, 1),
            },
            "prediction_error": round(profile.error, 4),
        },
        "memory": memory_record(node, found.ram),
        "fullest_node": planned.fullest,
        "per_node": [_node(number, profile) for number in range(len(deployment.nodes))],
        "verdict": "pass" if profile.passed else "fail",
        "reasons": list(profile.reasons),
    }
    if measured.throughput is not None:
        record["throughput"] = {
            "inferences": measured.throughput.inferences,
            "microseconds": measured.throughput.microseconds,
            "per_second": round(measured.throughput.per_second, 3),
        }
    return record


def _node(number: int, profile: ClusterProfile) -> Mapping[str, Any]:
    node, found = profile.deployment.nodes[number], profile.measured.nodes[number]
    predicted = profile.deployment.split.timing.per_node[number]
    return {
        "node": number,
        "board": node.board.name,
        "memory": memory_record(node, found.ram),
        "macs": node.plan.macs,
        "bytes_sent": node.plan.bytes_sent,
        "bytes_received": node.plan.bytes_received,
        "latency": {part: getattr(found.time, part) for part in ("total", "compute", "wait", "wire")},
        "predicted": {part: round(getattr(predicted, part), 1) for part in ("compute", "wait", "wire")},
        "steps": _steps(node, found.time),
        "memory_map": memory_map(node),
    }


def _steps(node: Deployment, time: NodeTime) -> list[Mapping[str, Any]]:
    """A node's inference in its order, in microseconds since its start: what it computed, then the exchange behind it.

    `steps` are those of its program, [first, end), of the exchange; the last entry computes alone.
    """
    found: list[Mapping[str, Any]] = []
    begin = 0
    for exchange in time.exchanges:
        talked = exchange.end_us - exchange.begin_us
        found.append(
            {
                "steps": [exchange.first, exchange.end],
                "what": step_text(node.plan, exchange.first),
                "begin": begin,
                "compute": exchange.begin_us - begin,
                "wait": exchange.wait_us,
                "wire": talked - exchange.wait_us,
            }
        )
        begin = exchange.end_us
    if time.total > begin:
        steps = len(node.plan.program.steps)
        rest = {"steps": [steps, steps], "what": "to the end", "begin": begin, "compute": time.total - begin}
        found.append(rest | {"wait": 0, "wire": 0})
    return found


def cluster_plan_record(planned: PlannedCluster) -> dict[str, Any]:
    """`hil.plan/1` of a plan that fits; sizes in bytes, times in microseconds."""
    split = planned.split
    tightest = planned.fullest
    plan = planned.nodes[tightest].plan
    return {
        "schema": "hil.plan/1",
        "model": model_record(planned.graph),
        "cores": planned.cores,
        "link": split.wire.name,
        "objective": split.objective,
        "fits": True,
        "nodes": [_planned_node(number, node) for number, node in enumerate(planned.nodes)],
        "latency": {
            "total": round(split.timing.total_us, 1),
            "compute": round(split.timing.compute_us, 1),
            "wire": round(split.timing.wire_us, 1),
            "wait": round(split.timing.wait_us, 1),
        },
        "compare": {scheme: dict(values) for scheme, values in split.compare.items()},
        "tightest": {
            "node": tightest,
            "operator": plan.tightest.operator,
            "tensor": plan.tightest.tensor,
            "needed": planned.nodes[tightest].footprint.ram_static + plan.arena_bytes,
            "available": plan.board.ram.bytes,
        },
    }


def _planned_node(number: int, planned: Planned) -> Mapping[str, Any]:
    plan = planned.plan
    return node_record(planned) | {
        "node": number,
        "bytes_sent": plan.bytes_sent,
        "bytes_received": plan.bytes_received,
    }
