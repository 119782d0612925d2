"""ADD, SUB and MUL."""

from __future__ import annotations

from dataclasses import dataclass

from hil.model.graph import Elementwise, Tensor
from hil.plan.arithmetic import float32, quantise_multiplier_below_one
from hil.plan.kernels.elementwise import LEFT_SHIFT, Add, Mul
from hil.plan.lower.context import Context, Job
from hil.plan.lower.quantised import fused_range, multiplier, scale_of
from hil.plan.lower.strides import collapse, repeated, row_dims
from hil.plan.records import RANK, Act, Ref


@dataclass(frozen=True)
class _Walk:
    """The fields that ADD and MUL share."""

    a: Ref
    b: Ref
    out: Ref
    dims: tuple[int, ...]
    a_strides: tuple[int, ...]
    b_strides: tuple[int, ...]
    width: int
    channels: int
    a_width: int
    a_channel: int
    b_width: int
    b_channel: int
    a_zp: int
    b_zp: int
    out_zp: int
    lo: int
    hi: int


def lower_add(context: Context) -> list[Job]:
    """ADD (`add.cc` Prepare)."""
    return _lower_sum(context, 1)


def lower_sub(context: Context) -> list[Job]:
    """SUB (`sub.cc` PrepareGeneralSubOp): as ADD, but the second input is subtracted after it is scaled."""
    return _lower_sum(context, -1)


def lower_mul(context: Context) -> list[Job]:
    """MUL (`mul.cc` Prepare); the multiplier is computed in float32."""
    walk = _walk(context)
    first, second, output = context.input(0), context.input(1), context.output()
    a, b, out = (scale_of(context, tensor)[0] for tensor in (first, second, output))
    factor, shift = multiplier(context, float32(float32(a * b) / out), output)
    return [context.job(Mul(**vars(walk), multiplier=factor, shift=shift))]


def _lower_sum(context: Context, sign: int) -> list[Job]:
    walk = _walk(context)
    output = context.output()
    a, b, out = (scale_of(context, tensor)[0] for tensor in (context.input(0), context.input(1), output))
    common = float32(2 * max(a, b))
    try:
        a_multiplier, a_shift = quantise_multiplier_below_one(a / common)
        b_multiplier, b_shift = quantise_multiplier_below_one(b / common)
        factor, shift = quantise_multiplier_below_one(common / float32((1 << LEFT_SHIFT) * out))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        context.unsupported(f"its scales {a:g}, {b:g} and {out:g} lie too far apart for TFLite: {error}", output)
    record = Add(
        **vars(walk),
        a_multiplier=a_multiplier,
        a_shift=a_shift,
        b_multiplier=b_multiplier,
        b_shift=b_shift,
        multiplier=factor,
        shift=shift,
        sign=sign,
    )
    return [context.job(record)]


def _walk(context: Context) -> _Walk:
    """Shapes (`CalculateShapeForBroadcast`), zero points and activation range."""
    context.count((2,))
    options = context.operator.options
    assert isinstance(options, Elementwise)
    first, second, output = context.input(0), context.input(1), context.output()
    shape = _broadcast(context, first, second)
    context.shape(output, shape)
    if first.shape != second.shape and len(shape) > RANK:
        context.unsupported(f"broadcasting over {len(shape)} dimensions is not supported (supported: {RANK})", output)
    zero_points = [scale_of(context, tensor)[1] for tensor in (first, second, output)]
    lo, hi = fused_range(context, options.activation, output)
    a, b = repeated(first.shape, shape), repeated(second.shape, shape)
    rows = row_dims(shape)
    dims, (a_strides, b_strides) = collapse(context, shape[:rows], a[:rows], b[:rows])
    in_row = len(shape) - rows
    return _Walk(
        a=context.ref(first), b=context.ref(second), out=Act(output.index),
        dims=dims, a_strides=a_strides, b_strides=b_strides,
        width=shape[-2] if in_row == 2 else 1,
        channels=shape[-1] if in_row else 1,
        a_width=a[-2] if in_row == 2 else 0, a_channel=a[-1] if in_row else 0,
        b_width=b[-2] if in_row == 2 else 0, b_channel=b[-1] if in_row else 0,
        a_zp=zero_points[0], b_zp=zero_points[1], out_zp=zero_points[2], lo=lo, hi=hi,
    )  # fmt: skip


def _broadcast(context: Context, first: Tensor, second: Tensor) -> tuple[int, ...]:
    rank = max(len(first.shape), len(second.shape))
    a = (1,) * (rank - len(first.shape)) + first.shape
    b = (1,) * (rank - len(second.shape)) + second.shape
    if any(x != y and 1 not in (x, y) for x, y in zip(a, b, strict=True)):
        context.malformed(f"its shape cannot be broadcast with {second}", first)
    return tuple(max(x, y) for x, y in zip(a, b, strict=True))
