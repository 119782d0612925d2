"""Divisions that nobody would choose."""

from __future__ import annotations

import numpy as np

from hil.model.graph import Graph
from hil.plan.split.choices import Choices, cuts
from hil.plan.split.splitter import divisible
from hil.plan.split.units import Unit


def random_units(graph: Graph, nodes: int, seed: int) -> list[Unit]:
    """At every point any of the ways there are, with any shares."""
    draw = np.random.default_rng(seed)
    model = divisible(graph)
    positions = cuts(graph, model.operations, model.results)
    units: list[Unit] = []
    at = 0
    while at < len(positions) - 1:
        weights = [float(draw.integers(0, 4)) for _ in range(nodes)]
        weights[int(draw.integers(nodes))] += 1.0
        choices = Choices(model.operations, weights, results=model.results, homes=range(nodes))
        end = min(len(positions) - 1, at + int(draw.integers(1, 5)))
        ways = list(choices.of(positions[at], positions[end], atomic=end == at + 1))
        if not ways:
            end = at + 1
            ways = list(choices.of(positions[at], positions[end], atomic=True))
        units += ways[int(draw.integers(len(ways)))]
        at = end
    return units
