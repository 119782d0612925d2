"""Does a cluster give the reference's answer, in the RAM and the time that were predicted."""

from __future__ import annotations

from hil.cluster import Cluster
from hil.deployment import Tensors
from hil.measure import compare
from hil.model.reference import ReferenceResult
from hil.record import ClusterProfile, as_planned

_RUNS = 8
SPREAD = 0.01
LATENCY_ERROR, LATENCY_US = 0.10, 20
"""How far the predicted latency may be from the measured one, where wires are modelled and time is counted: a share,
and microseconds for what beginning and ending a run take."""


def test_split_outputs(cluster_profile: ClusterProfile) -> None:
    """Every output element of every inference equals the reference's, on however many nodes."""
    outputs = cluster_profile.measured.outputs
    assert outputs.elements > 0
    assert outputs.mismatches == 0, f"{outputs.mismatches} of {outputs.elements}, by up to {outputs.max_abs_diff:g}"


def test_split_memory(cluster_profile: ClusterProfile) -> None:
    """Peak RAM of every node is at most its prediction, which is not padded; its arena is exactly as planned."""
    pairs = zip(cluster_profile.deployment.nodes, cluster_profile.measured.nodes, strict=True)
    for number, (node, found) in enumerate(pairs):
        ram, predicted = found.ram, node.ram_predicted
        assert as_planned(node, ram), f"node {number}: {ram.arena} bytes of {node.plan.arena_bytes}"
        assert 0.9 * predicted <= ram.peak <= predicted, f"node {number}: {ram.peak} bytes ({ram}), not {predicted}"


def test_split_latency(cluster_profile: ClusterProfile) -> None:
    """The parts make up the whole. Where time is counted, repeats agree, and the prediction holds."""
    measured = cluster_profile.measured
    for node, found in enumerate(measured.nodes):
        parts = found.time
        assert parts.compute + parts.wait + parts.wire == parts.total, f"node {node}: {parts}"
        assert min(parts.compute, parts.wait, parts.wire) >= 0, f"node {node}: {parts}"
    if measured.counted:
        samples = measured.latency.samples
        assert measured.spread <= SPREAD, f"{samples} us: virtual time must be counted, not timed"
        predicted = cluster_profile.deployment.split.timing.total_us
        assert abs(predicted - samples[0]) <= LATENCY_ERROR * samples[0] + LATENCY_US, (
            f"{samples[0]} us, predicted {predicted:.0f} us"
        )


def test_split_many_inferences(cluster: Cluster, model_inputs: tuple[Tensors, ...], reference: ReferenceResult) -> None:
    """Inference after inference, inputs in turn: nothing of one is left for the next, on no node."""
    for turn in range(_RUNS):
        index = turn % len(model_inputs)
        outputs = cluster.infer(model_inputs[index]).outputs
        for got, want in zip(outputs, reference.outputs[index], strict=True):
            assert compare(got, want).mismatches == 0, f"inference {turn + 1} of {_RUNS}, input {index + 1}"
