"""Whether a graph holds together: order of operators, producers, edges, and options that must agree with tensors."""

from __future__ import annotations

from hil.errors import MalformedModel, UnsupportedModel
from hil.model.graph import DepthwiseConv2D, Graph, Operator, Pack, Split, Tensor, Unpack

# What a graph can take in and give back.
EDGE_TYPES = ("int8", "float32")


def check_graph(graph: Graph) -> None:
    """Raise `MalformedModel` or `UnsupportedModel` where the graph does not hold together."""
    if not graph.inputs or not graph.outputs or not graph.operators:
        raise MalformedModel(
            f"{len(graph.inputs)} inputs, {len(graph.outputs)} outputs, {len(graph.operators)} operators; "
            "a model has at least one of each"
        )
    _check_inputs(graph)
    made = set(graph.inputs)
    for operator in graph.operators:
        _check_operator(graph, operator, made)
    _check_outputs(graph, made)


def _check_inputs(graph: Graph) -> None:
    if len(set(graph.inputs)) != len(graph.inputs):
        raise MalformedModel(f"graph inputs {graph.inputs} name a tensor twice")
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if tensor.data is not None:
            raise MalformedModel(f"graph input {tensor} is a constant")
        _check_edge("graph input", tensor)


def _check_outputs(graph: Graph, made: set[int]) -> None:
    if len(set(graph.outputs)) != len(graph.outputs):
        raise UnsupportedModel(f"graph outputs {graph.outputs} name a tensor twice; each may be given back once")
    for index in graph.outputs:
        tensor = graph.tensors[index]
        if tensor.data is not None or index in graph.inputs:
            raise UnsupportedModel(f"graph output {tensor} is not computed; an operator's output is supported")
        if index not in made:
            raise MalformedModel(f"graph output {tensor} is made by no operator")
        _check_edge("graph output", tensor)


def _check_edge(side: str, tensor: Tensor) -> None:
    if tensor.dtype not in EDGE_TYPES:
        raise UnsupportedModel(f"{side} {tensor}: {tensor.dtype}; supported are {' and '.join(EDGE_TYPES)}")
    _check_activation(side, tensor)


def _check_activation(owner: str, tensor: Tensor) -> None:
    """An int8 activation has one scale: TFLite gives it the scale 0 where it has none, or several."""
    if tensor.dtype != "int8":
        return
    if tensor.quantisation is None:
        raise MalformedModel(f"{owner}: {tensor} has no quantisation")
    if tensor.quantisation.per_channel:
        raise UnsupportedModel(f"{owner}: {tensor} has a scale per channel; only constants may")


def _check_operator(graph: Graph, operator: Operator, made: set[int]) -> None:
    """Check what the operator reads and makes, and add what it makes to `made`."""
    for index in (*operator.inputs, *operator.outputs):
        if index >= 0 and graph.tensors[index].dtype in ("other", "int4"):
            raise UnsupportedModel(f"{operator}: {graph.tensors[index]} has a type that is not read; int8 is supported")
    for index in operator.inputs:
        if index >= 0 and graph.tensors[index].data is None and index not in made:
            raise MalformedModel(f"{operator}: {graph.tensors[index]} is read before anything makes it")
    for index in operator.outputs:
        tensor = graph.tensors[index]
        if tensor.data is not None:
            raise MalformedModel(f"{operator}: its output {tensor} is a constant")
        if index in made:
            raise MalformedModel(f"{operator}: its output {tensor} is already made, or a graph input")
        _check_activation(str(operator), tensor)
        made.add(index)
    _check_counts(graph, operator)


def _check_counts(graph: Graph, operator: Operator) -> None:
    """Hold options that repeat a number of tensors or channels against those; TFLite believes the tensors."""
    options = operator.options
    match options:
        case Split(num_splits=count) | Unpack(num=count):
            if count != len(operator.outputs):
                raise MalformedModel(f"{operator}: {len(operator.outputs)} outputs, its options say {count}")
        case Pack(values_count=count):
            if count != len(operator.inputs):
                raise MalformedModel(f"{operator}: {len(operator.inputs)} inputs, its options say {count}")
        case DepthwiseConv2D(depth_multiplier=multiplier):
            data, filters = (graph.tensors[index] for index in operator.inputs[:2])
            if len(data.shape) != 4 or len(filters.shape) != 4 or data.shape[3] * multiplier != filters.shape[3]:
                raise MalformedModel(
                    f"{operator}: depth multiplier {multiplier} does not lead from {data} to {filters}"
                )
        case _:
            pass
