"""Pipelines: every node computes a stage of the model, so that several inferences can be on their way."""

from __future__ import annotations

from collections.abc import Sequence

from hil.plan.split.estimate import Target
from hil.plan.split.operations import Operation
from hil.plan.split.search import Search
from hil.plan.split.units import Unit, on_one


def stages(search: Search, operations: Sequence[Operation], targets: Sequence[Target]) -> tuple[Unit, ...] | None:
    """The stages whose slowest is fastest, within every node's memory; None where they do not fit.

    Nodes follow one another from 1 to the last; node 0, which answers, has the last stage.
    """
    order = [*range(1, len(targets)), 0]
    positions = search.cuts
    # best[p]: the slowest stage so far, and the cuts chosen, with the calls before positions[p] done.
    best: list[tuple[float, tuple[int, ...]] | None] = [(0.0, ())] + [None] * (len(positions) - 1)
    for node in order:
        after: list[tuple[float, tuple[int, ...]] | None] = [None] * len(positions)
        for begin, known in enumerate(best):
            if known is None:
                continue
            for end in range(begin, len(positions)):
                took = _stage(search, operations[positions[begin] : positions[end]], node, targets[node])
                if took is None:
                    break
                slowest = max(known[0], took)
                old = after[end]
                if old is None or slowest < old[0]:
                    after[end] = (slowest, (*known[1], positions[end]))
        best = after
    if best[-1] is None:
        return None
    units: list[Unit] = []
    first = 0
    for node, end in zip(order, best[-1][1], strict=True):
        units += [on_one([op], node, len(targets)) for op in operations[first:end]]
        first = end
    return tuple(units)


def _stage(search: Search, calls: Sequence[Operation], node: int, target: Target) -> float | None:
    """Microseconds of calls on a node, with what it sends on; None where they do not fit."""
    took, flash = 0.0, 0
    for op in calls:
        compute, ram, weights = search.alone(op, node)
        took, flash = took + compute, flash + weights
        if ram > target.ram or flash > target.flash:
            return None
    return took + (search.carry(calls[-1].out.view.bytes) if calls and node else 0.0)
