"""From a graph to kernel calls; here an operator, type or option that the engine does not run is refused."""

from __future__ import annotations

from collections.abc import Mapping

from hil.errors import UnsupportedModel
from hil.model.graph import Graph
from hil.plan.lower.context import Context, Job, Lowered, Lowering
from hil.plan.lower.convolution import lower_conv, lower_depthwise, lower_fully_connected
from hil.plan.records import Act, Blob

LOWERINGS: Mapping[str, Lowering] = {
    "CONV_2D": lower_conv,
    "DEPTHWISE_CONV_2D": lower_depthwise,
    "FULLY_CONNECTED": lower_fully_connected,
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
