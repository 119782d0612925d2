"""Sliding windows: output sizes and padding as TFLite's `ComputePaddingHeightWidth` gives them."""

from __future__ import annotations

from hil.model.graph import Padding, Tensor
from hil.plan.lower.context import Context


def slide(
    context: Context, tensor: Tensor, size: int, taps: int, *, stride: int, dilation: int, padding: Padding
) -> tuple[int, int]:
    """(output size, padding before the first element) along one axis of `tensor`.

    Where SAME needs an odd number of padding elements, the larger half comes last.
    """
    reach = (taps - 1) * dilation + 1
    if padding == "SAME":
        out = (size + stride - 1) // stride
        return out, max((out - 1) * stride + reach - size, 0) // 2
    out = (size + stride - reach) // stride
    if out < 1:
        context.malformed(f"a filter that reaches over {reach} elements does not fit into {size}", tensor)
    return out, 0
