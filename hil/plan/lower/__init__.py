"""From a graph to kernel calls; here an operator, type or option that the engine does not run is refused."""

from __future__ import annotations

from collections.abc import Mapping

from hil.errors import UnsupportedModel
from hil.model.graph import Graph
from hil.plan.lower.context import Context, Job, Lowered, Lowering
from hil.plan.lower.convolution import lower_conv, lower_depthwise, lower_fully_connected
from hil.plan.lower.elementwise import lower_add, lower_mul, lower_sub
from hil.plan.lower.mean import lower_mean
from hil.plan.lower.movement import (
    lower_concatenation,
    lower_pack,
    lower_pad,
    lower_split,
    lower_split_v,
    lower_transpose,
    lower_unpack,
)
from hil.plan.lower.pool import lower_average, lower_max
from hil.plan.lower.renaming import lower_expand_dims, lower_reshape, lower_squeeze
from hil.plan.lower.softmax import lower_log_softmax, lower_softmax
from hil.plan.lower.strided_slice import lower_strided_slice
from hil.plan.lower.tables import (
    lower_dequantise,
    lower_hard_swish,
    lower_leaky_relu,
    lower_logistic,
    lower_relu,
    lower_relu6,
    lower_requantise_or_quantise,
    lower_tanh,
)
from hil.plan.records import Act, Blob

LOWERINGS: Mapping[str, Lowering] = {
    "CONV_2D": lower_conv,
    "DEPTHWISE_CONV_2D": lower_depthwise,
    "FULLY_CONNECTED": lower_fully_connected,
    "AVERAGE_POOL_2D": lower_average,
    "MAX_POOL_2D": lower_max,
    "ADD": lower_add,
    "SUB": lower_sub,
    "MUL": lower_mul,
    "MEAN": lower_mean,
    "CONCATENATION": lower_concatenation,
    "DEQUANTIZE": lower_dequantise,
    "EXPAND_DIMS": lower_expand_dims,
    "HARD_SWISH": lower_hard_swish,
    "LEAKY_RELU": lower_leaky_relu,
    "LOGISTIC": lower_logistic,
    "LOG_SOFTMAX": lower_log_softmax,
    "PACK": lower_pack,
    "PAD": lower_pad,
    "QUANTIZE": lower_requantise_or_quantise,
    "RELU": lower_relu,
    "RELU6": lower_relu6,
    "RESHAPE": lower_reshape,
    "SOFTMAX": lower_softmax,
    "SPLIT": lower_split,
    "SPLIT_V": lower_split_v,
    "SQUEEZE": lower_squeeze,
    "STRIDED_SLICE": lower_strided_slice,
    "TANH": lower_tanh,
    "TRANSPOSE": lower_transpose,
    "UNPACK": lower_unpack,
}

__all__ = ["LOWERINGS", "Context", "Job", "Lowered", "lower"]


def lower(graph: Graph) -> Lowered:
    """All operators as kernel calls, in order. Raises `UnsupportedModel` or `MalformedModel`."""
    jobs: list[Job] = []
    aliases: dict[int, Act | Blob] = {}
    for operator in graph.operators:
        lowering = LOWERINGS.get(operator.kind)
        if lowering is None:
            raise UnsupportedModel(
                f"{graph.name}: {operator} (output {graph.tensors[operator.outputs[0]]}) is not supported; "
                f"supported: {', '.join(sorted(LOWERINGS))}"
            )
        made = lowering(Context(graph, operator))
        if isinstance(made, list):
            jobs += made
        else:
            aliases[operator.outputs[0]] = made
    return Lowered(tuple(jobs), aliases)
