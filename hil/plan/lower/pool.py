"""AVERAGE_POOL_2D and MAX_POOL_2D."""

from __future__ import annotations

from hil.model.graph import Pool2D
from hil.plan.kernels.pool import Pool, PoolAverage, PoolMax
from hil.plan.lower.context import Context, Job
from hil.plan.lower.quantised import fused_range, scale_of
from hil.plan.lower.window import slide
from hil.plan.records import Act

_LARGEST_FILTER = 4096
"""The format allows 2^31; what lies past a border is never read, so a larger one is a damaged file's, not a model's."""


def lower_average(context: Context) -> list[Job]:
    """AVERAGE_POOL_2D."""
    return _lower(context, PoolAverage)


def lower_max(context: Context) -> list[Job]:
    """MAX_POOL_2D."""
    return _lower(context, PoolMax)


def _lower(context: Context, kernel: type[Pool]) -> list[Job]:
    """`pooling.cc` GenericPrepare. The pools do not rescale, so input and output must be quantised alike."""
    context.count((1,))
    options = context.operator.options
    assert isinstance(options, Pool2D)
    data, output = context.input(0), context.output()
    if len(data.shape) != 4:
        context.malformed("the input must have 4 dimensions (batch, height, width, channels)", data)
    in_scale, in_zp = scale_of(context, data)
    out_scale, out_zp = scale_of(context, output)
    if abs(in_scale - out_scale) > 1e-6 or in_zp != out_zp:
        context.unsupported(
            "a pool between different scales or zero points is not supported (TFLite asserts it)", output
        )
    batch, ih, iw, channels = data.shape
    (kh, kw), (stride_h, stride_w) = options.filter, options.stride
    if max(kh, kw) > _LARGEST_FILTER:
        context.unsupported(f"a filter of {kh} x {kw} is not supported (at most {_LARGEST_FILTER} each way)", data)
    oh, top = slide(context, data, ih, kh, stride=stride_h, dilation=1, padding=options.padding)
    ow, left = slide(context, data, iw, kw, stride=stride_w, dilation=1, padding=options.padding)
    context.shape(output, (batch, oh, ow, channels))
    lo, hi = fused_range(context, options.activation, output)
    record = kernel(
        input=context.ref(data),
        out=Act(output.index),
        batch=batch, ih=ih, iw=iw, channels=channels, oh=oh, ow=ow, kh=kh, kw=kw,
        stride_h=stride_h, stride_w=stride_w, pad_top=top, pad_left=left, lo=lo, hi=hi,
        in_rows=batch * ih, out_rows=batch * oh,
    )  # fmt: skip
    return [context.job(record)]
