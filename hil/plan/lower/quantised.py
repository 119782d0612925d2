"""Checks and numbers that lowerings of quantised operators share."""

from __future__ import annotations

from hil.model.graph import Activation, Tensor
from hil.plan.arithmetic import INT8_MAX, INT8_MIN, activation_range, quantise_multiplier
from hil.plan.lower.context import Context


def scale_of(context: Context, tensor: Tensor) -> tuple[float, int]:
    """Scale and zero point of a per-tensor int8 tensor; refuses a zero point that int8 does not hold."""
    scale, zero_point = context.quantised(tensor)
    if not INT8_MIN <= zero_point <= INT8_MAX:
        context.malformed(f"zero point {zero_point} is outside of int8", tensor)
    return scale, zero_point


def fused_range(context: Context, activation: Activation, output: Tensor) -> tuple[int, int]:
    """(lowest, highest) stored output value under the fused activation."""
    try:
        return activation_range(activation, *scale_of(context, output))
    except ValueError as error:
        context.unsupported(str(error), output)


def multiplier(context: Context, real: float, tensor: Tensor) -> tuple[int, int]:
    """Fixed-point multiplier and shift of `real`; `tensor` is named where there is none."""
    try:
        return quantise_multiplier(real)
    except ValueError as error:
        context.unsupported(str(error), tensor)


def not_empty(context: Context, *tensors: Tensor) -> None:
    """Refuse tensors without elements."""
    for tensor in tensors:
        if any(size < 1 for size in tensor.shape):
            context.unsupported("has a dimension below 1; only non-empty tensors are supported", tensor)
