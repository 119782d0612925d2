"""How much work a graph is."""

from __future__ import annotations

import math

from hil.model.graph import Graph, Operator


def operator_macs(graph: Graph, operator: Operator) -> int:
    """Multiply-accumulates of one operator: convolutions and fully connected ones, 0 for all others.

    Padding counts as if it were multiplied, as papers and MLPerf Tiny count.
    """
    if operator.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return 0
    weights = graph.tensors[operator.inputs[1]].shape
    outputs = graph.tensors[operator.outputs[0]].elements
    match operator.kind:
        case "CONV_2D":  # weights: output channels, height, width, input channels
            return outputs * math.prod(weights[1:])
        case "DEPTHWISE_CONV_2D":  # weights: 1, height, width, output channels
            return outputs * math.prod(weights[1:3])
        case _:  # weights: outputs, inputs
            return outputs * math.prod(weights[1:])


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one inference."""
    return sum(operator_macs(graph, operator) for operator in graph.operators)
