"""What each kernel call needs of its inputs to compute a box, and its record for a part of the tensors.

A call that is not understood here is *whole*: one node computes all of it from whole inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from hil.plan.kernels import Add, Conv, ConvPartial, Copy, Depthwise, Lookup, Mean, Mul, PoolAverage, PoolMax
from hil.plan.kernels.channels import Channel
from hil.plan.lower import Job
from hil.plan.records import Act, Blob, Box, Record, Ref
from hil.plan.split.geometry import Storage, View

Pair = Add | Mul
Pool = PoolAverage | PoolMax
CHANNEL_BYTES = len(Channel.pack([Channel(0, 0, 0, 0)]))


@dataclass(frozen=True)
class Operand:
    """A tensor as a call sees it: the graph's tensor that owns the bytes, and rows, columns and channels."""

    tensor: int
    view: View


@dataclass(frozen=True)
class Operation:
    """One kernel call. `record` is the whole call; `inputs` are its activations, in the order of `fields`."""

    index: int
    job: Job
    out: Operand
    fields: tuple[str, ...]
    inputs: tuple[Operand, ...]
    reshaped: bool
    """Whether it sees an input in another shape than the call that writes it: then it needs all of that."""

    BY_ROWS: ClassVar[bool] = False
    BY_CHANNELS: ClassVar[bool] = False
    rings: ClassVar[bool] = False
    """Whether it can read and write storages whose rows overwrite each other."""

    @property
    def record(self) -> Record:
        return self.job.record

    @property
    def by_rows(self) -> bool:
        """Whether a node may compute some rows of it."""
        return self.BY_ROWS

    @property
    def by_channels(self) -> bool:
        """Whether a node may compute some channels of it, with weights for these alone."""
        return self.BY_CHANNELS and not self.reshaped

    def needs(self, box: Box) -> tuple[Box, ...]:  # noqa: ARG002  others look
        """The box of every input that `box` of the output is computed from."""
        return tuple(operand.view.whole for operand in self.inputs)

    def local(self, box: Box, out: Storage, inputs: Sequence[Storage]) -> Record:  # noqa: ARG002
        """The record that computes `box`, with rows and channels counted from the box's own corner."""
        record = self.record
        places = dict(zip((*self.fields, record.OUTPUT), (*inputs, out), strict=True))
        moved = {field: Act(s.number, getattr(record, field).offset) for field, s in places.items()}
        return _changed(record, **moved)

    def locals(self, box: Box, out: Storage, inputs: Sequence[Storage]) -> list[Record]:
        """The records that together compute `box`: one, of most calls."""
        return [self.local(box, out, inputs)]

    def constants(self, box: Box) -> int:  # noqa: ARG002
        """Bytes of weights and tables that a node needs for `box`, roughly."""
        return sum(len(ref.data) for ref in self.record.refs().values() if isinstance(ref, Blob))


def _changed(record: Record, **values: Any) -> Record:
    """A copy of a record, whichever it is, with other values of some fields."""
    changed: Record = replace(record, **values)
    return changed


class _Windowed(Operation):
    """Convolutions and pools of one picture: a window slides over the input's rows."""

    BY_ROWS: ClassVar[bool] = True
    rings: ClassVar[bool] = True

    @property
    def _axis(self) -> tuple[int, int, int, int]:
        """Rows of the input, the window's reach in rows, stride, and padding above."""
        r = self.record
        assert isinstance(r, Conv | Depthwise | Pool)
        dilation = r.dilation_h if isinstance(r, Conv | Depthwise) else 1
        return r.ih, (r.kh - 1) * dilation + 1, r.stride_h, r.pad_top

    def _rows(self, box: Box) -> tuple[int, int]:
        """Input rows under the windows of the box's rows; at least one, even where all is padding."""
        size, reach, stride, pad = self._axis
        first = min(max(0, box.r0 * stride - pad), size - 1)
        return first, max(first + 1, min(size, (box.r1 - 1) * stride - pad + reach))

    def _channels(self, box: Box) -> tuple[int, int]:  # noqa: ARG002
        return 0, self.inputs[0].view.channels

    def needs(self, box: Box) -> tuple[Box, ...]:
        return (Box(*self._rows(box), *self._channels(box)),)

    def _window(self, box: Box, out: Storage, source: Storage) -> tuple[Act, Act, dict[str, int]]:
        """Where the local call reads and writes, and its vertical sizes."""
        _, _, stride, pad = self._axis
        first, last = self._rows(box)
        if source.ring:
            skip, held = 0, source.box.r1 - source.box.r0
        else:  # start at the first row that is needed
            skip, held = first - source.box.r0, last - first
        top = pad + source.box.r0 + skip - box.r0 * stride
        ahead = 0 if out.ring else box.r0 - out.box.r0
        assert min(top, skip) >= 0
        assert not out.ring or box.r0 == out.box.r0
        sizes = {
            "ih": held, "oh": box.r1 - box.r0, "pad_top": top,
            "in_rows": source.rows if source.ring else held,
            "out_rows": out.rows if out.ring else box.r1 - box.r0,
        }  # fmt: skip
        return Act(source.number, skip * source.row_bytes), Act(out.number, ahead * out.row_bytes), sizes


def _sliced(blob: Ref, shape: Sequence[int], axis: int, first: int, last: int) -> Blob:
    """Elements [first, last) along `axis` of constant int8 weights."""
    assert isinstance(blob, Blob)
    if (first, last) == (0, shape[axis]):
        return blob
    weights = np.frombuffer(blob.data, np.int8).reshape(shape)
    return Blob(np.take(weights, range(first, last), axis=axis).tobytes())


def _params(blob: Ref, first: int, last: int) -> Blob:
    assert isinstance(blob, Blob)
    return Blob(blob.data[CHANNEL_BYTES * first : CHANNEL_BYTES * last])


class Convolution(_Windowed):
    """CONV of one picture and one group; a fully connected layer is one of them."""

    @property
    def by_channels(self) -> bool:
        return True  # it needs all of its input in any case

    def local(self, box: Box, out: Storage, inputs: Sequence[Storage]) -> Record:
        r = self.record
        assert isinstance(r, Conv)
        source, target, sizes = self._window(box, out, inputs[0])
        weights = _sliced(r.weights, (r.oc, r.kh, r.kw, r.ic), 0, box.c0, box.c1)
        return replace(
            r, input=source, out=target, weights=weights, params=_params(r.params, box.c0, box.c1),
            oc=box.c1 - box.c0, **sizes,
        )  # fmt: skip

    def constants(self, box: Box) -> int:
        r = self.record
        assert isinstance(r, Conv)
        return (box.c1 - box.c0) * (r.kh * r.kw * r.ic + CHANNEL_BYTES)

    def partial_constants(self, inputs: int) -> int:
        """Bytes of weights and start values for a slice of `inputs` input channels."""
        r = self.record
        assert isinstance(r, Conv)
        return r.oc * (r.kh * r.kw * inputs + 4)

    def partial(self, box: Box, part: tuple[int, int], out: Storage, source: Storage) -> ConvPartial:
        """The record that sums over input channels [part[0], part[1]) alone, for the box's rows and all channels."""
        r = self.record
        assert isinstance(r, Conv)
        at, target, sizes = self._window(box, out, source)
        weights = _sliced(r.weights, (r.oc, r.kh, r.kw, r.ic), 3, *part)
        sums = np.frombuffer(weights.data, np.int8).reshape(r.oc, -1).sum(axis=1, dtype=np.int64)
        starts = (-r.in_zp * sums).astype("<i4").tobytes()
        return ConvPartial(
            input=at, out=target, weights=weights, sums=Blob(starts),
            batch=1, ih=sizes["ih"], iw=r.iw, ic=part[1] - part[0], oh=sizes["oh"], ow=r.ow, oc=r.oc,
            kh=r.kh, kw=r.kw, stride_h=r.stride_h, stride_w=r.stride_w,
            dilation_h=r.dilation_h, dilation_w=r.dilation_w, pad_top=sizes["pad_top"], pad_left=r.pad_left,
            in_zp=r.in_zp, in_rows=sizes["in_rows"], out_rows=sizes["out_rows"],
        )  # fmt: skip


class RowConvolution(_Windowed):
    """CONV of one picture with several groups, or weights with a zero point: by rows only."""

    def local(self, box: Box, out: Storage, inputs: Sequence[Storage]) -> Record:
        source, target, sizes = self._window(box, out, inputs[0])
        return _changed(self.record, input=source, out=target, **sizes)


class DepthwiseConvolution(_Windowed):
    """DEPTHWISE of one picture."""

    BY_CHANNELS: ClassVar[bool] = True

    def _channels(self, box: Box) -> tuple[int, int]:
        r = self.record
        assert isinstance(r, Depthwise)
        each = r.oc // r.ic
        return box.c0 // each, -(-box.c1 // each)

    def local(self, box: Box, out: Storage, inputs: Sequence[Storage]) -> Record:
        r = self.record
        assert isinstance(r, Depthwise)
        source, target, sizes = self._window(box, out, inputs[0])
        each = r.oc // r.ic
        assert box.c0 % each == box.c1 % each == 0
        return replace(
            r, input=source, out=target, weights=_sliced(r.weights, (r.kh, r.kw, r.oc), 2, box.c0, box.c1),
            params=_params(r.params, box.c0, box.c1), ic=(box.c1 - box.c0) // each, oc=box.c1 - box.c0, **sizes,
        )  # fmt: skip

    def constants(self, box: Box) -> int:
        r = self.record
        assert isinstance(r, Depthwise)
        return (box.c1 - box.c0) * (r.kh * r.kw + CHANNEL_BYTES)


class Pooling(_Windowed):
    """A pool of one picture."""

    BY_CHANNELS: ClassVar[bool] = True

    def _channels(self, box: Box) -> tuple[int, int]:
        return box.c0, box.c1

    def local(self, box: Box, out: Storage, inputs: Sequence[Storage]) -> Record:
        source, target, sizes = self._window(box, out, inputs[0])
        return _changed(self.record, input=source, out=target, channels=box.c1 - box.c0, **sizes)


class Elementwise(Operation):
    """Every element from the elements in the same place of inputs of the same shape."""

    BY_ROWS: ClassVar[bool] = True
    BY_CHANNELS: ClassVar[bool] = True

    def needs(self, box: Box) -> tuple[Box, ...]:
        return tuple(box for _ in self.inputs)

    def local(self, box: Box, out: Storage, inputs: Sequence[Storage]) -> Record:
        r, rows, channels = self.record, box.r1 - box.r0, box.c1 - box.c0
        places = {
            field: Act(storage.number, (box.r0 - storage.box.r0) * storage.row_bytes)
            for field, storage in zip((*self.fields, r.OUTPUT), (*inputs, out), strict=True)
        }
        assert all(s.channels == channels and not s.ring for s in (*inputs, out))
        width = self.out.view.width
        if isinstance(r, Lookup):
            return _changed(r, rows=rows * width, channels=channels, **places)
        assert isinstance(r, Pair)
        dims, strides = (1, 1, 1, 1, 1, rows), (0, 0, 0, 0, 0, width * channels)
        return _changed(
            r, dims=dims, a_strides=strides, b_strides=strides, width=width, channels=channels,
            a_width=channels, a_channel=1, b_width=channels, b_channel=1, **places,
        )  # fmt: skip

    def rows_of(self, local: Box) -> Box:
        """A box in local rows as the record counts them: a table is looked up pixel by pixel."""
        width = self.out.view.width
        return Box(local.r0 * width, local.r1 * width, 0, local.c1) if isinstance(self.record, Lookup) else local


class MeanOfPicture(Operation):
    """The mean over all rows and columns of one picture."""

    BY_CHANNELS: ClassVar[bool] = True

    def needs(self, box: Box) -> tuple[Box, ...]:
        return (Box(0, self.inputs[0].view.rows, box.c0, box.c1),)

    def local(self, box: Box, out: Storage, inputs: Sequence[Storage]) -> Record:
        r, source, channels = self.record, inputs[0], box.c1 - box.c0
        assert isinstance(r, Mean)
        assert source.channels == channels
        assert not source.ring
        whole = self.inputs[0].view.channels
        return replace(
            r, input=Act(source.number), out=Act(out.number, 0), channels=channels,
            reduced_strides=tuple(stride // whole * channels for stride in r.reduced_strides),
            run_stride=r.run_stride // whole * channels,
        )  # fmt: skip


class Joined(Operation):
    """Pictures put together along their channels, of each input some channels of the output."""

    BY_ROWS: ClassVar[bool] = True

    def needs(self, box: Box) -> tuple[Box, ...]:
        return tuple(Box(box.r0, box.r1, 0, operand.view.channels) for operand in self.inputs)

    def locals(self, box: Box, out: Storage, inputs: Sequence[Storage]) -> list[Record]:
        made: list[Record] = []
        first = 0
        for operand, source in zip(self.inputs, inputs, strict=True):
            channels = operand.view.channels
            made.append(copied(Box(box.r0, box.r1, 0, channels), source, out, first))
            first += channels
        return made


def copied(part: Box, source: Storage, target: Storage, to: int) -> Copy:
    """A record that copies `part` of a source; its first channel becomes channel `to` of the target's tensor."""
    view = source.view
    start = (part.r0 - source.box.r0) * source.row_bytes + (part.c0 - source.box.c0) * view.size
    place = (part.r0 - target.box.r0) * target.row_bytes + (to - target.box.c0) * view.size
    dims = (part.r1 - part.r0, 1, 1, 1, view.width, (part.c1 - part.c0) * view.size)
    return Copy(
        input=Act(source.number), out=Act(target.number, place), unit=1, start=start, dims=dims,
        in_strides=(source.row_bytes, 0, 0, 0, source.channels * view.size, 1),
        out_strides=(target.row_bytes, 0, 0, 0, target.channels * view.size, 1),
    )  # fmt: skip


def counted(operation: Operation, whole: Box, box: Box, record: Record) -> Box:
    """A box, counted from the corner of `whole` in the rows and channels of one of the operation's records."""
    local = Box(box.r0 - whole.r0, box.r1 - whole.r0, box.c0 - whole.c0, box.c1 - whole.c0)
    if isinstance(operation, Joined):
        return Box(local.r0, local.r1, 0, record.extent().channels)
    if isinstance(operation, Elementwise):
        return operation.rows_of(local)
    return local if operation.by_rows or operation.by_channels else record.extent().whole()
