"""Boards of unlike speed in one cluster: who waits for a slow one must not keep it busy with questions."""

from __future__ import annotations

import pytest

from hil import api
from hil import board as boards
from hil.deployment import ClusterDeployment, build_cluster, model_named, planned_cluster
from hil.model import inputs as input_sets
from hil.paths import ZOO
from hil.plan.split import Node, split
from hil.wire import wire

BOARDS = ["rp2040", "rp2040", "rp2040:62.5MHz:64K"]
MODEL = ZOO / "resnet8" / "resnet8.tflite"


def deployed(link: str, *, equal: bool) -> ClusterDeployment:
    nodes = [Node(boards.load(name)) for name in BOARDS]
    return build_cluster(planned_cluster(split(model_named(MODEL), nodes, wire(link), equal=equal)))


@pytest.mark.parametrize("link", ["uart-3M", "ethernet-100M"])
def test_a_slow_node_is_waited_for_quietly_and_given_less(link: str) -> None:
    graph = model_named(MODEL)
    values = input_sets.generate(graph, 1, 0)
    expected = api.expected(graph, values)
    measured = {}
    for equal in True, False:
        deployment = deployed(link, equal=equal)
        with api.running_cluster(deployment) as cluster:
            found = cluster.infer(values[0])
            assert cluster.rack.wires is not None
            counts = cluster.rack.wires.counts()
        assert [o.tobytes() for o in found.outputs] == [o.tobytes() for o in expected.outputs[0]]
        assert found.microseconds == pytest.approx(deployment.split.timing.total_us, rel=0.05)
        assert not any(count.lost or count.dropped for count in counts)
        for count, node in zip(counts, deployment.nodes, strict=True):
            assert count.bytes_received < 2 * node.plan.bytes_received + 20_000  # nothing was sent over and over
        measured[equal] = found.microseconds
    assert measured[False] < 0.8 * measured[True]
