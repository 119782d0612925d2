"""A division of a model: which node computes which box of every call, as a list of units in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hil.plan.records import Box
from hil.plan.split.operations import Operation
from hil.plan.split.strips import boxes_for

Span = tuple[int, int]
"""[first, end) of rows or channels; empty where both are equal."""


@dataclass(frozen=True)
class Boxes:
    """One call, or several computed row by row: the box that each node computes of each tensor, None for nothing.

    With several calls the tensors between them exist as line buffers only.
    """

    group: tuple[Operation, ...]
    boxes: tuple[Mapping[int, Box] | None, ...]
    """For each node: what it computes, by the tensor that the call writes."""


@dataclass(frozen=True)
class Partial:
    """A convolution whose input channels are divided: nodes sum over their part, and owners of rows add up the sums.

    `group` ends with the convolution; the calls before it are computed for the node's part alone, row by row. With
    `rounds`, sums are sent as soon as an owner's rows are done and only two owners'
    worth of them is kept; without, all are kept and sent at once.
    """

    group: tuple[Operation, ...]
    parts: tuple[Span, ...]
    """Input channels of the convolution, for each node."""
    rows: tuple[Span, ...]
    """Rows of the output that each node owns."""
    rounds: bool


Unit = Boxes | Partial


def divide(count: int, weights: Sequence[float], grain: int = 1) -> tuple[Span, ...]:
    """[0, count) in parts in proportion to `weights`, one after the other, cut at multiples of `grain` if possible.

    A node whose share is less than half of a grain gets nothing.
    """
    total = sum(weights)
    if total <= 0:
        raise ValueError("no node can take a share")
    if count < grain * sum(w > 0 for w in weights):
        grain = 1
    cuts, at = [0], 0.0
    for weight in weights:
        at += weight
        cuts.append(min(count, max(cuts[-1], round(count * at / total / grain) * grain)))
    last = max(index for index, weight in enumerate(weights) if weight > 0)
    for index in range(last + 1, len(cuts)):
        cuts[index] = count
    return tuple((cuts[k], cuts[k + 1]) for k in range(len(weights)))


def by_rows(group: Sequence[Operation], spans: Sequence[Span]) -> Boxes:
    """Every node computes its rows of the last output, and of the tensors before what these need."""
    last = group[-1].out.view
    made = [boxes_for(group, Box(r0, r1, 0, last.channels)) if r0 < r1 else None for r0, r1 in spans]
    return Boxes(tuple(group), tuple(made))


def by_channels(operation: Operation, spans: Sequence[Span]) -> Boxes:
    """Every node computes its channels of all rows."""
    rows = operation.out.view.rows
    made = [{operation.out.tensor: Box(0, rows, c0, c1)} if c0 < c1 else None for c0, c1 in spans]
    return Boxes((operation,), tuple(made))


def on_one(group: Sequence[Operation], node: int, nodes: int) -> Boxes:
    """One node computes everything."""
    spans = [(0, group[-1].out.view.rows) if k == node else (0, 0) for k in range(nodes)]
    return by_rows(group, spans)
