"""Small models through the whole engine: LiteRT's reference kernels == numpy interpreter == C, box by box.

    assert_exact(data, seed=3)

lowers the model, places its activations one after the other with painted gaps between them, and holds outputs and the
whole arena of interpreter and C engine against each other and against LiteRT: as whole boxes, as random boxes in
random order, and in place where a record allows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter as Litert
from ai_edge_litert.interpreter import OpResolverType

from hil.model.graph import Graph
from hil.model.tflite import parse
from hil.plan.interpreter import Interpreter
from hil.plan.lower import Lowered, lower
from hil.plan.program import Program, Span, Step, encode
from hil.plan.records import Act, Arena, Blob, Box, Extent, Record, Ref
from tests.support.engine import NativeEngine

Array = npt.NDArray[np.generic]
_GAP = 5  # odd, so that the gaps also shift alignment of int8 tensors


def reference(data: bytes, inputs: Sequence[Array]) -> list[Array]:
    """What LiteRT's reference kernels give, in order of the model's outputs."""
    litert = Litert(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    litert.allocate_tensors()
    for detail, value in zip(litert.get_input_details(), inputs, strict=True):
        litert.set_tensor(detail["index"], value)
    litert.invoke()
    return [litert.get_tensor(detail["index"]) for detail in litert.get_output_details()]


def random_inputs(graph: Graph, seed: int) -> list[Array]:
    """Uniform int8, or float32 within -4..4, for every input."""
    rng = np.random.default_rng(seed)
    values: list[Array] = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if tensor.dtype == "float32":
            values.append(rng.uniform(-4, 4, tensor.shape).astype(np.float32))
        else:
            values.append(rng.integers(-128, 128, tensor.shape).astype(np.int8))
    return values


def tiling(extent: Extent, rng: np.random.Generator) -> list[Box]:
    """Boxes that cover the extent once, at random cuts, in random order."""

    def cuts(size: int) -> list[int]:
        inner = rng.integers(1, size, min(3, size - 1)) if size > 1 else np.zeros(0, np.int64)
        return [0, *sorted(set(inner.tolist())), size]

    rows = cuts(extent.rows)
    channels = [0, extent.channels] if extent.whole_channels else cuts(extent.channels)
    boxes = [Box(r0, r1, c0, c1) for r0, r1 in pairwise(rows) for c0, c1 in pairwise(channels)]
    return [boxes[i] for i in rng.permutation(len(boxes))]


def build(
    graph: Graph,
    lowered: Lowered,
    *,
    tiles: np.random.Generator | None = None,
    in_place: bool = False,
) -> Program:
    """The program: whole boxes, or random ones with `tiles`; `in_place` lets outputs take over graph inputs."""
    places: dict[int, int] = {}
    end = 0

    def root(ref: Ref) -> Ref:
        while isinstance(ref, Act) and ref.tensor in lowered.aliases:
            alias = lowered.aliases[ref.tensor]
            ref = Act(alias.tensor, alias.offset + ref.offset) if isinstance(alias, Act) else alias
        return ref

    def allocate(tensor: int) -> int:
        nonlocal end
        if tensor not in places:
            word = graph.tensors[tensor].dtype in ("float32", "int32")
            places[tensor] = (end + 3) // 4 * 4 if word else end
            end = places[tensor] + graph.tensors[tensor].bytes + _GAP
        return places[tensor]

    def place(ref: Ref) -> Ref:
        ref = root(ref)
        return Arena(allocate(ref.tensor) + ref.offset) if isinstance(ref, Act) else ref

    for index in graph.inputs:
        allocate(index)
    for job in lowered.jobs:
        target = root(job.record.target)
        for ref in job.record.may_overwrite() if in_place else ():
            source = root(ref)
            if isinstance(source, Act) and isinstance(target, Act) and source.tensor in graph.inputs:
                places.setdefault(target.tensor, places[source.tensor] + source.offset - target.offset)
    records = [job.record.placed(place) for job in lowered.jobs]
    steps = [
        Step(index, box)
        for index, record in enumerate(records)
        for box in (tiling(record.extent(), tiles) if tiles else [record.extent().whole()])
    ]
    spans = [
        [Span(place(Act(index)).offset, graph.tensors[index].bytes) for index in side]  # type: ignore[union-attr]
        for side in (graph.inputs, graph.outputs)
    ]
    return encode(records, steps, *spans, arena_bytes=(end + 3) // 4 * 4)


def run_both(program: Program, inputs: Sequence[Array]) -> tuple[bytes, ...]:
    """The outputs, after interpreter and C engine left the same arena."""
    interpreter = Interpreter(program)
    outputs = interpreter.run(inputs)
    native = NativeEngine(program.data, program.arena_bytes)
    assert native.run(inputs) == outputs
    arena = np.frombuffer(bytes(native.arena), np.uint8)[: program.arena_bytes]
    wrong = np.flatnonzero(interpreter.arena != arena)
    assert wrong.size == 0, f"arenas differ at {wrong[:8]}"
    return outputs


def assert_exact(data: bytes, seed: int = 0, inputs: Sequence[Array] | None = None) -> Graph:
    """Hold LiteRT, interpreter and C engine against each other on the model; gives its graph."""
    graph = parse(data, "single")
    lowered = lower(graph)
    values = random_inputs(graph, seed) if inputs is None else inputs
    expected = [output.tobytes() for output in reference(data, values)]
    rng = np.random.default_rng(seed)
    for tiles, in_place in ((None, False), (rng, False), (rng, True)):
        if in_place and not any(job.record.may_overwrite() for job in lowered.jobs):
            continue
        outputs = run_both(build(graph, lowered, tiles=tiles, in_place=in_place), values)
        for index, (got, wanted) in enumerate(zip(outputs, expected, strict=True)):
            if got != wanted:
                _differ(graph, index, got, wanted, lowered.jobs[-1].record)
    return graph


def _differ(graph: Graph, index: int, got: bytes, wanted: bytes, record: Record) -> None:
    dtype = np.float32 if graph.tensors[graph.outputs[index]].dtype == "float32" else np.int8
    a, b = np.frombuffer(got, dtype), np.frombuffer(wanted, dtype)
    where = np.flatnonzero(a != b)
    raise AssertionError(
        f"output {index}: {len(where)} of {a.size} differ, first {a[where[:5]]} for {b[where[:5]]}; {record}"
    )


def const(array: Array) -> Blob:
    """A constant of a record that a test builds by hand."""
    return Blob(np.ascontiguousarray(array).tobytes())
