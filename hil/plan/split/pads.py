"""PAD before a window: convolutions pad by themselves, so that the padded tensor need not exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hil.model.graph import Graph, Operator
from hil.plan.kernels import Conv, Depthwise, Fill
from hil.plan.lower import Job
from hil.plan.records import Act, Record


def without_pads(graph: Graph, jobs: Sequence[Job], names: Mapping[int, int]) -> list[Job]:
    """The calls without those PADs whose rows and columns the convolutions behind them can pad themselves.

    A PAD fills with the zero point, as a convolution's own padding reads: the sums are the same.
    """
    kept = list(jobs)
    for operator in graph.operators:
        if operator.kind == "PAD" and operator.outputs[0] not in graph.outputs:
            kept = _without(graph, operator, kept, names)
    return kept


def _without(graph: Graph, operator: Operator, jobs: Sequence[Job], names: Mapping[int, int]) -> list[Job]:
    source, padded = operator.inputs[0], operator.outputs[0]
    table = graph.tensors[operator.inputs[1]].data
    shape = graph.tensors[source].shape
    own = [job for job in jobs if job.operator == operator.index]
    others = [job for job in jobs if job.operator != operator.index]
    readers = [job for job in others if padded in _read(job.record, names)]
    computed = graph.tensors[source].data is None
    if table is None or not computed or len(shape) != 4 or shape[0] != 1 or graph.tensors[source].dtype != "int8":
        return list(jobs)
    before, after = (np.asarray(table).reshape(-1, 2)[:, side] for side in (0, 1))
    fills = [job.record.value for job in own if isinstance(job.record, Fill)]
    if before[0] or before[3] or after[0] or after[3] or not readers or names.get(padded, padded) != padded:
        return list(jobs)
    made: dict[int, Record] = {}
    for job in readers:
        record = _padding(job.record, Act(names.get(source, source)), shape, (int(before[1]), int(before[2])), fills)
        if record is None:
            return list(jobs)
        made[id(job)] = record
    return [Job(job.operator, made[id(job)]) if id(job) in made else job for job in others]


def _read(record: Record, names: Mapping[int, int]) -> set[int]:
    return {names.get(ref.tensor, ref.tensor) for ref in record.sources() if isinstance(ref, Act)}


def _padding(
    record: Record, source: Act, shape: Sequence[int], before: tuple[int, int], fills: Sequence[int]
) -> Record | None:
    """The call with the PAD's rows and columns as its own; None where it cannot pad so."""
    if not isinstance(record, Conv | Depthwise) or record.batch != 1 or fills != [record.in_zp]:
        return None
    top, left = record.pad_top + before[0], record.pad_left + before[1]
    _, height, width, _ = shape
    if top > (record.kh - 1) * record.dilation_h or left > (record.kw - 1) * record.dilation_w:
        return None  # a window would lie in the padding alone, which the kernels refuse
    if (record.oh - 1) * record.stride_h - top >= height or (record.ow - 1) * record.stride_w - left >= width:
        return None
    return replace(record, input=source, ih=height, iw=width, pad_top=top, pad_left=left, in_rows=height)
