"""A model over boards with Ethernet: the firmware as users get it, on good wires and on bad ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hil import api
from hil.cluster import Cluster
from hil.link.switch import Fault, FaultKind
from hil.model import inputs as input_sets
from hil.paths import ZOO
from hil.plan.split import Cluster as Interpreter

MODEL = ZOO / "dscnn" / "dscnn.tflite"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    request = api.Request(board="rp2040*2,rp2350", link="ethernet-100M")
    with api.running_cluster(api.prepare_cluster(MODEL, request)) as running:
        yield running


def right(cluster: Cluster) -> int:
    """Run once, see that the outputs are right, and give node 0's cycles."""
    values = input_sets.generate(cluster.deployment.graph, 1, 0)[0]
    found = cluster.infer(values)
    expected = Interpreter(cluster.deployment.split.plans).run(values)
    for output, want in zip(found.outputs, expected, strict=True):
        np.testing.assert_array_equal(np.frombuffer(output.tobytes(), np.int8), np.frombuffer(want, np.int8))
    return found.cycles


def test_it_computes_what_the_plan_says_in_the_time_that_it_says(cluster: Cluster) -> None:
    cycles = right(cluster)
    predicted = cluster.deployment.split.timing.total_us
    assert cycles / 125 == pytest.approx(predicted, rel=0.1)
    assert right(cluster) == pytest.approx(cycles, rel=1e-4)
    assert cluster.rack.wires is not None
    counts = cluster.rack.wires.counts()
    assert all(count.frames_sent and not count.dropped and not count.refused for count in counts)


@pytest.mark.parametrize("kind", ["drop", "damage", "double", "reorder", "delay"])
def test_it_is_right_on_a_bad_wire(cluster: Cluster, kind: FaultKind) -> None:
    wires = cluster.rack.wires
    assert wires is not None
    before = sum(count.dropped for count in wires.counts())
    wires.fault(Fault(kind, probability=0.1, seed=7, microseconds=3_000 if kind == "delay" else 0))
    try:
        right(cluster)
    finally:
        wires.clear()
    assert kind != "drop" or sum(count.dropped for count in wires.counts()) > before
    right(cluster)
