"""Divisions that nobody would choose, through firmware: built, linked and run on virtual boards that are wired up."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hil import api, board
from hil.deployment import build_cluster, planned_cluster
from hil.model import inputs as input_sets
from hil.model import tflite
from hil.model.graph import Graph
from hil.plan.split import Node
from hil.plan.split.splitter import divisible, finished, lay
from hil.record import ClusterProfile
from hil.wire import wire
from tests.support.divisions import random_units
from tests.support.forks import FORKS
from tests.support.pictures import picture

PICO, PICO2 = "rp2040", "rp2350"


@dataclass(frozen=True)
class Case:
    """What is divided, over which boards, on which wire; `seed` draws the division."""

    name: str
    data: bytes
    boards: tuple[str, ...]
    link: str
    seed: int
    cores: int = 1
    apart: bool = False

    @property
    def graph(self) -> Graph:
        return tflite.parse(self.data, self.name)


def drawn(seed: int, boards: tuple[str, ...], link: str, cores: int = 1, *, apart: bool = False) -> Case:
    return Case(f"picture{seed}", picture(seed), boards, link, seed, cores, apart)


CASES = (
    drawn(3, (PICO,) * 3, "uart-3M"),
    drawn(11, (PICO, PICO2, PICO), "ethernet-100M", 2, apart=True),
    drawn(12, (PICO,) * 5, "spi-20M", 2),
    drawn(19, (PICO2,) * 2, "uart-3M", apart=True),
    drawn(27, (PICO,) * 4, "ethernet-100M"),
    Case("fork", FORKS["fork"](), (PICO, PICO2), "uart-3M", 5, 2),
)


def profiled(case: Case) -> ClusterProfile:
    graph = case.graph
    nodes = [Node(board.load(name), case.cores) for name in case.boards]
    laid = lay(divisible(graph), random_units(graph, len(nodes), case.seed), nodes, apart=case.apart)
    deployment = build_cluster(planned_cluster(finished(laid, wire(case.link), "latency", {})))
    values = input_sets.generate(graph, 2, case.seed)
    request = api.Request(board=",".join(case.boards), warmup=1, repeats=1)
    with api.running_cluster(deployment) as running:
        return api.profile_on_cluster(running, values, api.expected(graph, values), request)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{len(case.boards)}-{case.link}")
def test_any_division_runs_as_planned(case: Case) -> None:
    profile = profiled(case)
    assert profile.reasons == ()
    assert abs(profile.error) < 0.1
    assert sum(node.plan.bytes_sent for node in profile.deployment.nodes) > 0, "nothing was divided: take another seed"
    for node, found in zip(profile.deployment.nodes, profile.measured.nodes, strict=True):
        assert 0.9 * node.planned.ram_predicted <= found.ram.peak <= node.planned.ram_predicted
