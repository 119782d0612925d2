"""From kernel calls to what can be divided: each is recognised by what its record says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from hil.model.graph import Concatenation, Graph
from hil.plan.kernels import Conv, Copy, Depthwise, Lookup, Mean
from hil.plan.lower import Job
from hil.plan.records import Act, Ref
from hil.plan.split.geometry import View
from hil.plan.split.operations import (
    Convolution,
    DepthwiseConvolution,
    Elementwise,
    Joined,
    MeanOfPicture,
    Operand,
    Operation,
    Pair,
    Pool,
    Pooling,
    RowConvolution,
)


def operations(graph: Graph, jobs: Sequence[Job], names: Mapping[int, int]) -> list[Operation]:
    """Every kernel call with what it can be divided by. `names`: the tensor that owns another one's bytes.

    A concatenation of pictures is one operation, of several calls.
    """
    written: dict[int, int] = {}
    for job in jobs:
        assert isinstance(job.record.target, Act)
        root = names.get(job.record.target.tensor, job.record.target.tensor)
        written[root] = written.get(root, 0) + 1
    found: list[Operation] = []
    for number, group in groupby(jobs, key=lambda job: job.operator):
        calls = list(group)
        joined = _joined(graph, len(found), number, calls, names)
        if joined is not None:
            found.append(joined)
            continue
        found += [_operation(graph, len(found) + k, job, names, written) for k, job in enumerate(calls)]
    views = views_of(graph, found)
    return [replace(op, reshaped=any(o.view != views[o.tensor] for o in op.inputs)) for op in found]


def _joined(graph: Graph, index: int, number: int, calls: Sequence[Job], names: Mapping[int, int]) -> Operation | None:
    """A concatenation along the channels of pictures, all computed; None for any other operator."""
    operator = graph.operators[number]
    target = graph.tensors[operator.outputs[0]]
    tensors = [graph.tensors[t] for t in (*operator.inputs, operator.outputs[0])] if operator.inputs else []
    whole = _picture(target.shape)
    options = operator.options
    if (
        not isinstance(options, Concatenation)
        or options.axis % max(len(target.shape), 1) != len(target.shape) - 1
        or whole is None
        or any(t.dtype != "int8" for t in tensors)
        or len(calls) != len(operator.inputs)
        or not all(isinstance(job.record, Copy) and isinstance(job.record.input, Act) for job in calls)
    ):
        return None
    inputs = []
    for tensor in operator.inputs:
        view = _picture(graph.tensors[tensor].shape)
        assert view is not None
        inputs.append(Operand(names.get(tensor, tensor), view))
    out = Operand(names.get(target.index, target.index), whole)
    return Joined(index, calls[0], out, ("input",) * len(inputs), tuple(inputs), reshaped=False)


def _operation(graph: Graph, index: int, job: Job, names: Mapping[int, int], written: Mapping[int, int]) -> Operation:
    record = job.record
    fields = tuple(name for name, ref in record.refs().items() if name != record.OUTPUT and isinstance(ref, Act))

    def root(ref: Ref) -> int:
        assert isinstance(ref, Act)
        return names.get(ref.tensor, ref.tensor)

    def made(kind: type[Operation], out: View, *views: View) -> Operation:
        inputs = tuple(Operand(root(getattr(record, field)), v) for field, v in zip(fields, views, strict=True))
        return kind(index, job, Operand(root(record.target), out), fields, inputs, reshaped=False)

    refs = [getattr(record, name) for name in fields] + [record.target]
    plain = all(not ref.offset for ref in refs) and written[root(record.target)] == 1
    if plain and isinstance(record, Conv) and record.batch == 1 and len(fields) == 1:
        kind = Convolution if record.groups == 1 and record.weight_zp == 0 else RowConvolution
        return made(kind, View(record.oh, record.ow, record.oc), View(record.ih, record.iw, record.ic))
    if plain and isinstance(record, Depthwise) and record.batch == 1 and len(fields) == 1:
        return made(DepthwiseConvolution, View(record.oh, record.ow, record.oc), View(record.ih, record.iw, record.ic))
    if plain and isinstance(record, Pool) and record.batch == 1 and len(fields) == 1:
        return made(
            Pooling,
            View(record.oh, record.ow, record.channels), View(record.ih, record.iw, record.channels),
        )  # fmt: skip
    view = _picture(graph.tensors[refs[-1].tensor].shape)
    same = all(graph.tensors[ref.tensor].shape == graph.tensors[refs[-1].tensor].shape for ref in refs)
    if plain and same and view is not None and isinstance(record, Pair) and len(fields) == 2:
        return made(Elementwise, view, view, view)
    if plain and same and view is not None and isinstance(record, Lookup) and len(fields) == 1:
        return made(Elementwise, view, view)
    if plain and isinstance(record, Mean) and len(fields) == 1:
        source = _picture(graph.tensors[refs[0].tensor].shape)
        over = math.prod(record.reduced) * record.run_length
        if (
            source is not None
            and over == source.rows * source.width
            and record.channels == source.channels
            and record.channel_stride == 1
            and math.prod(record.dims) * record.width == 1
        ):
            return made(MeanOfPicture, View(1, 1, record.channels), source)
    sizes = [View(1, 1, graph.tensors[root(ref)].bytes) for ref in refs]
    return made(Operation, sizes[-1], *sizes[:-1])


def _picture(shape: tuple[int, ...]) -> View | None:
    """An int8 tensor's shape as one picture; None where it is not one."""
    lead = math.prod(shape[:-3])
    if not shape or lead != 1:
        return None
    height, width, channels = (1,) * (3 - len(shape[-3:])) + tuple(shape[-3:])
    return View(height, width, channels)


def views_of(graph: Graph, operations: Sequence[Operation]) -> dict[int, View]:
    """How each tensor's bytes are seen: by the call that writes it; an input, by its readers if they agree."""
    views = {operation.out.tensor: operation.out.view for operation in operations}
    read: dict[int, set[View]] = {}
    for operation in operations:
        for operand in operation.inputs:
            read.setdefault(operand.tensor, set()).add(operand.view)
    for tensor in graph.inputs:
        seen = read.get(tensor, set())
        views[tensor] = next(iter(seen)) if len(seen) == 1 else View(1, 1, graph.tensors[tensor].bytes)
    return views
