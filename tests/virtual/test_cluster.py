"""Whole clusters: real firmware on boards that share a network. The same run takes the same cycles; faults of the wires
and boards of two kinds change no answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hil import api
from hil.cluster import Cluster
from hil.deployment import Tensors
from hil.link.switch import Fault
from hil.measure import compare
from hil.model import inputs as input_sets
from hil.paths import ZOO

MODEL = ZOO / "dscnn" / "dscnn.tflite"
LOSSY = (Fault("drop", probability=0.05, seed=1), Fault("damage", probability=0.05, seed=2))


@contextmanager
def running(board: str, link: str) -> Iterator[tuple[Cluster, Tensors]]:
    """A model on a cluster, and an input for it."""
    deployment = api.prepare_cluster(MODEL, api.Request(board, link=link, inputs=1))
    assert any(plan.program.exchanges() for plan in deployment.split.plans), "nobody has anything to say"
    with api.running_cluster(deployment) as cluster:
        yield cluster, input_sets.generate(deployment.graph, 1, 0)[0]


def right(cluster: Cluster, values: Tensors) -> object:
    """Runs an inference, which must be that of the reference; what it took."""
    (expected,) = api.expected(cluster.deployment.graph, (values,)).outputs
    found = cluster.infer(values)
    assert sum(compare(got, want).mismatches for got, want in zip(found.outputs, expected, strict=True)) == 0
    return cluster.times(found)


@pytest.mark.parametrize("link", ["uart-3M", "spi-20M"])
@pytest.mark.parametrize("faults", [(), LOSSY], ids=["clean", "lossy"])
def test_the_same_run_takes_the_same_time(link: str, faults: tuple[Fault, ...]) -> None:
    def run() -> list[object]:
        with running("rp2040*2,rp2350", link) as (cluster, values):
            assert cluster.rack.wires is not None
            cluster.rack.wires.fault(*faults)
            return [right(cluster, values), right(cluster, values)]

    assert run() == run()


def test_boards_that_are_processes_survive_lossy_wires() -> None:
    with running("native*3", "loopback") as (cluster, values):
        right(cluster, values)
        assert cluster.rack.wires is not None
        cluster.rack.wires.fault(*LOSSY)
        right(cluster, values)
        right(cluster, values)
