"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hil.model.graph import Conv2D, DepthwiseConv2D, FullyConnected, Tensor
from hil.plan.arithmetic import float32, wrap32
from hil.plan.kernels.channels import Channel
from hil.plan.kernels.conv import Conv
from hil.plan.kernels.depthwise import Depthwise
from hil.plan.lower.context import Context, Job
from hil.plan.lower.quantised import fused_range, multiplier, scale_of
from hil.plan.lower.window import slide
from hil.plan.records import Act, Blob

Int64s = npt.NDArray[np.int64]


def lower_conv(context: Context) -> list[Job]:
    """CONV_2D (`conv.cc` Prepare): weights [oc, kh, kw, ic / groups], a bias, everything constant but the input."""
    context.count((3,))
    options = context.operator.options
    assert isinstance(options, Conv2D)
    data, filters, output = context.input(0), context.input(1), context.output()
    weights = _weights(context, filters, rank=4, axis=0)
    batch, ih, iw, ic = _image(context, data)
    oc, kh, kw, depth = weights.shape
    if ic % depth != 0 or oc % (ic // depth) != 0:
        context.malformed(f"{filters} does not fit {ic} input channels", data)
    oh, top = slide(
        context, data, ih, kh, stride=options.stride[0], dilation=options.dilation[0], padding=options.padding
    )
    ow, left = slide(
        context, data, iw, kw, stride=options.stride[1], dilation=options.dilation[1], padding=options.padding
    )
    context.shape(output, (batch, oh, ow, oc))
    in_zp, out_zp = scale_of(context, data)[1], scale_of(context, output)[1]
    lo, hi = fused_range(context, options.activation, output)
    bias = _bias(context, oc)
    assert bias is not None
    scales = _channel_scales(context, data, filters, output, oc)
    params = _channels(bias, weights.sum(axis=(1, 2, 3)), in_zp, scales)
    record = Conv(
        input=context.ref(data),
        out=Act(output.index),
        weights=Blob(weights.astype(np.int8).tobytes()),
        params=params,
        batch=batch, ih=ih, iw=iw, ic=ic, oh=oh, ow=ow, oc=oc, kh=kh, kw=kw,
        stride_h=options.stride[0], stride_w=options.stride[1],
        dilation_h=options.dilation[0], dilation_w=options.dilation[1],
        pad_top=top, pad_left=left, groups=ic // depth,
        in_zp=in_zp, out_zp=out_zp, lo=lo, hi=hi, weight_zp=0,
        in_rows=batch * ih, out_rows=batch * oh,
    )  # fmt: skip
    return [context.job(record)]


def lower_depthwise(context: Context) -> list[Job]:
    """DEPTHWISE_CONV_2D (`depthwise_conv.cc` Prepare): weights [1, kh, kw, oc]; the depth multiplier is oc / ic."""
    context.count((2, 3))
    options = context.operator.options
    assert isinstance(options, DepthwiseConv2D)
    data, filters, output = context.input(0), context.input(1), context.output()
    weights = _weights(context, filters, rank=4, axis=3)
    batch, ih, iw, ic = _image(context, data)
    one, kh, kw, oc = weights.shape
    if one != 1 or oc % ic != 0:
        context.malformed(f"{filters} does not fit {ic} input channels", data)
    oh, top = slide(
        context, data, ih, kh, stride=options.stride[0], dilation=options.dilation[0], padding=options.padding
    )
    ow, left = slide(
        context, data, iw, kw, stride=options.stride[1], dilation=options.dilation[1], padding=options.padding
    )
    context.shape(output, (batch, oh, ow, oc))
    in_zp, out_zp = scale_of(context, data)[1], scale_of(context, output)[1]
    lo, hi = fused_range(context, options.activation, output)
    bias = _bias(context, oc)
    scales = _channel_scales(context, data, filters, output, oc)
    sums = weights.sum(axis=(0, 1, 2))
    params = _channels(np.zeros(oc, np.int64) if bias is None else bias, sums, in_zp, scales)
    record = Depthwise(
        input=context.ref(data),
        out=Act(output.index),
        weights=Blob(weights.astype(np.int8).tobytes()),
        params=params,
        batch=batch, ih=ih, iw=iw, ic=ic, oh=oh, ow=ow, oc=oc, kh=kh, kw=kw,
        stride_h=options.stride[0], stride_w=options.stride[1],
        dilation_h=options.dilation[0], dilation_w=options.dilation[1],
        pad_top=top, pad_left=left,
        in_zp=in_zp, out_zp=out_zp, lo=lo, hi=hi,
        in_rows=batch * ih, out_rows=batch * oh,
    )  # fmt: skip
    return [context.job(_of_one_channel(record, weights) if ic == 1 else record)]


def _of_one_channel(record: Depthwise, weights: Int64s) -> Conv:
    """A depthwise convolution of one input channel is a convolution, whose kernel is the faster one."""
    turned = np.ascontiguousarray(weights[0].transpose(2, 0, 1)).astype(np.int8)
    return Conv(**vars(record) | {"weights": Blob(turned.tobytes()), "groups": 1, "weight_zp": 0})


def lower_fully_connected(context: Context) -> list[Job]:
    """FULLY_CONNECTED (`fully_connected.cc` Prepare): weights [oc, ic], plain layout, bias optional.

    The input's elements are taken as rows of ic, whatever its shape.
    """
    context.count((2, 3))
    options = context.operator.options
    assert isinstance(options, FullyConnected)
    data, filters, output = context.input(0), context.input(1), context.output()
    if options.weights_format != 0:
        context.unsupported(f"weights format {options.weights_format} is not supported (supported: 0, plain)", filters)
    weights = _weights(context, filters, rank=2, axis=0, zero_point=True)
    oc, ic = weights.shape
    if data.elements % ic != 0 or (options.keep_num_dims and data.shape[-1:] != (ic,)):
        context.malformed(f"{filters} takes rows of {ic} elements", data)
    rows = data.elements // ic
    context.shape(output, (*data.shape[:-1], oc) if options.keep_num_dims else (rows, oc))
    in_zp, out_zp = scale_of(context, data)[1], scale_of(context, output)[1]
    lo, hi = fused_range(context, options.activation, output)
    bias = _bias(context, oc)
    quantisation = context.quantisation(filters)
    if quantisation.per_channel:
        scales, weight_zp = _channel_scales(context, data, filters, output, oc), 0
    else:
        scales, weight_zp = _row_scales(context, data, filters, output, oc), quantisation.zero_point[0]
    sums = (weights - weight_zp).sum(axis=1)
    params = _channels(np.zeros(oc, np.int64) if bias is None else bias, sums, in_zp, scales)
    record = Conv(
        input=context.ref(data),
        out=Act(output.index),
        weights=Blob(weights.astype(np.int8).tobytes()),
        params=params,
        batch=rows, ih=1, iw=1, ic=ic, oh=1, ow=1, oc=oc, kh=1, kw=1,
        stride_h=1, stride_w=1, dilation_h=1, dilation_w=1, pad_top=0, pad_left=0, groups=1,
        in_zp=in_zp, out_zp=out_zp, lo=lo, hi=hi, weight_zp=weight_zp,
        in_rows=rows, out_rows=rows,
    )  # fmt: skip
    return [context.job(record)]


def _image(context: Context, tensor: Tensor) -> tuple[int, int, int, int]:
    """Batch, height, width and channels of a 4-D input."""
    if len(tensor.shape) != 4:
        context.malformed("the input must have 4 dimensions (batch, height, width, channels)", tensor)
    batch, height, width, channels = tensor.shape
    return batch, height, width, channels


def _weights(context: Context, tensor: Tensor, *, rank: int, axis: int, zero_point: bool = False) -> Int64s:
    """Constant int8 weights, quantised along `axis` or as a whole.

    `zero_point`: one that is not 0 is supported where the scale is a single one. The convolutions of the reference
    ignore zero points of weights or refuse them.
    """
    context.dtype(tensor, "int8")
    if tensor.data is None:
        context.unsupported("weights that are computed are not supported (supported: constants)", tensor)
    if len(tensor.shape) != rank:
        context.malformed(f"the weights must have {rank} dimensions", tensor)
    quantisation = context.quantisation(tensor)
    if quantisation.per_channel and (quantisation.axis != axis or len(quantisation.scale) != tensor.shape[axis]):
        context.malformed(f"the scales must be one, or one for each of {tensor.shape[axis]} along axis {axis}", tensor)
    if any(quantisation.zero_point) and (quantisation.per_channel or not zero_point):
        context.unsupported("weights with a zero point are not supported here (supported: 0)", tensor)
    if not all(-128 <= zero <= 127 for zero in quantisation.zero_point):
        context.malformed("the zero point is outside of int8", tensor)
    return tensor.data.astype(np.int64)


def _bias(context: Context, channels: int) -> Int64s | None:
    """The int32 bias, or None if the operator has none."""
    if not context.has_input(2):
        if context.operator.kind == "CONV_2D":
            context.malformed("the bias (input 2) is missing")
        return None
    tensor = context.input(2)
    context.dtype(tensor, "int32")
    if tensor.data is None:
        context.unsupported("a bias that is computed is not supported (supported: constants)", tensor)
    if tensor.elements != channels:
        context.malformed(f"the bias must have {channels} elements", tensor)
    if tensor.quantisation is not None and any(tensor.quantisation.zero_point):
        context.malformed("the bias must have zero point 0", tensor)
    return tensor.data.astype(np.int64).reshape(channels)


def _channel_scales(
    context: Context, data: Tensor, filters: Tensor, output: Tensor, channels: int
) -> list[tuple[int, int]]:
    """Multiplier and shift of each channel (`PopulateConvolutionQuantizationParams`), in double precision."""
    in_scale, out_scale = scale_of(context, data)[0], scale_of(context, output)[0]
    scales = context.quantisation(filters).scale
    made = [multiplier(context, in_scale * scale / out_scale, filters) for scale in scales]
    return made if len(made) == channels else made * channels


def _row_scales(
    context: Context, data: Tensor, filters: Tensor, output: Tensor, channels: int
) -> list[tuple[int, int]]:
    """One multiplier and shift for all channels (`GetQuantizedConvolutionMultipler`), its product in float32."""
    in_scale, out_scale = scale_of(context, data)[0], scale_of(context, output)[0]
    scale = context.quantisation(filters).scale[0]
    if context.has_input(2):
        bias = context.input(2)
        single = bias.quantisation is not None and not bias.quantisation.per_channel
        bias_scale = bias.quantisation.scale[0] if bias.quantisation is not None and single else 0.0
        if abs(in_scale * scale - bias_scale) / out_scale > 0.02:
            context.malformed(f"the bias's scale {bias_scale:g} is not input scale x weight scale", bias)
    return [multiplier(context, float32(in_scale * scale) / out_scale, filters)] * channels


def _channels(bias: Int64s, sums: Int64s, in_zp: int, scales: list[tuple[int, int]]) -> Blob:
    """The channel parameters; `sums` are each channel's sums of weights."""
    folded = wrap32(bias - in_zp * sums)
    return Blob(
        Channel.pack(
            [Channel(int(b), int(f), factor, shift) for b, f, (factor, shift) in zip(bias, folded, scales, strict=True)]
        )
    )
