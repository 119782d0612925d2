"""Sums over slices of the input channels, added up and finished, are the plain convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.errors import PlanError
from hil.plan.kernels import Conv, ConvPartial, Finish, Transfer
from hil.plan.kernels.channels import Channel
from hil.plan.program import Program, Receive, Send, Span, Step, encode
from hil.plan.records import Arena, Blob, Box, Extent, Memory
from tests.support.engine import NativeEngine
from tests.support.hostile import assert_refused, assert_survives
from tests.support.nodes import NativeNodes
from tests.support.single import run_both, tiling

OK, BAD_RECORD = 0, 8
PARTIAL_FIELDS = ("batch", "ih", "iw", "oh", "ow", "oc", "kh", "kw", "stride_h", "stride_w", "dilation_h", "dilation_w",
                  "pad_top", "pad_left", "in_zp", "in_rows", "out_rows")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A plain convolution, its input and weights, and where its input channels are cut."""

    conv: Conv
    image: np.ndarray
    weights: np.ndarray
    cuts: tuple[int, ...]
    seed: int

    def pad(self, size: int) -> int:
        return (size + 3) // 4 * 4

    def partial(self, k: int, at: int = 0) -> tuple[ConvPartial, np.ndarray]:
        """Slice k: its record with the input at `at` and the sums behind it, and its part of the input."""
        c0, c1 = self.cuts[k : k + 2]
        image = np.ascontiguousarray(self.image[..., c0:c1])
        weights = np.ascontiguousarray(self.weights[..., c0:c1])
        start = (-self.conv.in_zp * weights.sum(axis=(1, 2, 3), dtype=np.int64)).astype(np.int32)
        values = {name: getattr(self.conv, name) for name in PARTIAL_FIELDS}
        made = ConvPartial(
            input=Arena(at), out=Arena(at + self.pad(image.size)), weights=Blob(weights.tobytes()),
            sums=Blob(start.tobytes()), ic=c1 - c0, **values,
        )  # fmt: skip
        return made, image

    @property
    def elements(self) -> int:
        return self.conv.batch * self.conv.oh * self.conv.ow * self.conv.oc

    def plain(self) -> bytes:
        """What the convolution gives in one piece."""
        at = self.pad(self.image.size)
        record = Conv(**vars(self.conv) | {"out": Arena(at)})
        spans = [Span(0, self.image.size)], [Span(at, self.elements)]
        program = encode([record], [Step(0, record.extent().whole())], *spans, arena_bytes=self.pad(at + self.elements))
        return run_both(program, [self.image])[0]

    def finish(self, at: int) -> Finish:
        """From the sums at `at` to the output right behind them."""
        conv = self.conv
        rows = conv.batch * conv.oh
        return Finish(
            input=Arena(at), out=Arena(at + 4 * self.elements), params=conv.params, rows=rows, width=conv.ow,
            channels=conv.oc, out_zp=conv.out_zp, lo=conv.lo, hi=conv.hi,
        )  # fmt: skip


@st.composite
def cases(draw: st.DrawFn, parts: int | None = None, batch: int | None = None) -> Case:
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    ic = draw(st.integers(parts or 1, 9))
    inner = draw(st.lists(st.integers(1, ic - 1), unique=True, max_size=3)) if ic > 1 and parts is None else []
    cuts = (0, *sorted(inner), ic) if parts is None else tuple(ic * k // parts for k in range(parts + 1))
    kh, kw = draw(st.sampled_from([(1, 1), (1, 1), (3, 3), (2, 3), (4, 1)]))
    dh, dw = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2)]))
    sh, sw = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    top, left = draw(st.integers(0, (kh - 1) * dh)), draw(st.integers(0, (kw - 1) * dw))
    ih, iw, oc = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.integers(1, 5))
    oh, ow = (ih - 1 + top) // sh + 1, (iw - 1 + left) // sw + 1
    n, zero = batch or draw(st.integers(1, 2)), draw(st.integers(-128, 127))
    weights = rng.integers(-128, 128, (oc, kh, kw, ic)).astype(np.int8)
    bias = rng.integers(-5000, 5000, oc)
    folded = bias - zero * weights.sum(axis=(1, 2, 3), dtype=np.int64)
    params = [Channel(int(b), int(f), 1 << 30, -8) for b, f in zip(bias, folded, strict=True)]
    conv = Conv(
        input=Arena(0), out=Arena(0), weights=Blob(weights.tobytes()), params=Blob(Channel.pack(params)), batch=n,
        ih=ih, iw=iw, ic=ic, oh=oh, ow=ow, oc=oc, kh=kh, kw=kw, stride_h=sh, stride_w=sw, dilation_h=dh, dilation_w=dw,
        pad_top=top, pad_left=left, groups=1, in_zp=zero, out_zp=draw(st.integers(-128, 127)), lo=-128,
        hi=draw(st.integers(0, 127)), weight_zp=0, in_rows=n * ih, out_rows=n * oh,
    )  # fmt: skip
    return Case(conv, rng.integers(-128, 128, (n, ih, iw, ic)).astype(np.int8), weights, cuts, seed)


@settings(max_examples=120)
@given(cases())
def test_partial_sums_and_finish_are_the_plain_convolution(case: Case) -> None:
    """In boxes of any cut and order, in interpreter and engine alike."""
    rng = np.random.default_rng(case.seed)
    total = np.zeros(case.elements, np.int32)
    for k in range(len(case.cuts) - 1):
        record, image = case.partial(k)
        assert isinstance(record.out, Arena)
        out = Span(record.out.offset, 4 * case.elements)
        steps = [Step(0, box) for box in tiling(record.extent(), rng)]
        program = encode([record], steps, [Span(0, image.size)], [out], arena_bytes=out.offset + out.bytes)
        total += np.frombuffer(run_both(program, [image])[0], np.int32)
    record_f = case.finish(0)
    steps = [Step(0, box) for box in tiling(record_f.extent(), rng)]
    spans = [Span(0, 4 * case.elements)], [Span(4 * case.elements, case.elements)]
    program = encode([record_f], steps, *spans, arena_bytes=case.pad(5 * case.elements))
    assert run_both(program, [total])[0] == case.plain()


@settings(max_examples=60)
@given(cases(batch=1), st.integers(0, 3), st.integers(1, 3))
def test_partial_sums_in_rings_equal_those_of_whole_tensors(case: Case, spare: int, rows: int) -> None:
    """The input is a ring that the host fills row by row; the last rows of the sums are left in a ring."""
    record, image = case.partial(0)
    reach = (record.kh - 1) * record.dilation_h + 1
    ring = min(record.ih, min(record.ih, reach) + spare)
    kept = min(record.oh, rows)
    row = record.iw * record.ic
    at = case.pad(ring * row)
    ringed = ConvPartial(**vars(record) | {"out": Arena(at), "in_rows": ring, "out_rows": kept})
    out = Span(at, 4 * kept * record.ow * record.oc)
    steps = [Step(0, Box(y, y + 1, 0, record.oc)) for y in range(record.oh)]
    program = encode([ringed], steps, [Span(0, 0)], [out], arena_bytes=out.offset + out.bytes)
    memory = Memory(np.zeros(program.arena_bytes, np.uint8), program.data)
    native = NativeEngine(program.data, program.arena_bytes)
    assert native.status == OK
    whole = encode(
        [record], [Step(0, record.extent().whole())], [Span(0, image.size)],
        [Span(case.pad(image.size), 4 * case.elements)], arena_bytes=case.pad(image.size) + 4 * case.elements,
    )  # fmt: skip
    expected = np.frombuffer(run_both(whole, [image])[0], np.int32).reshape(record.oh, -1)
    filled = 0
    for y in range(record.oh):
        while filled < min(record.ih, y * record.stride_h - record.pad_top + reach):
            place = filled % ring * row
            data = image.reshape(record.ih, row)[filled].tobytes()
            memory.arena[place : place + row] = np.frombuffer(data, np.uint8)
            native.arena[place : place + row] = data
            filled += 1
        program.operators[0].run(memory, Box(y, y + 1, 0, record.oc))
        assert native.part(y, 1, 0) == OK
        there = at + 4 * (y % kept) * record.ow * record.oc
        size = 4 * record.ow * record.oc
        assert bytes(native.arena[there : there + size]) == expected[y].tobytes()
        assert memory.arena[there : there + size].tobytes() == expected[y].tobytes()


def reduction(case: Case) -> list[Program]:
    """Node k computes slice k; nodes other than 0 send their sums to node 0, which adds and finishes them."""
    nodes, programs = len(case.cuts) - 1, []
    for k in range(nodes):
        record, _ = case.partial(k)
        assert isinstance(record.out, Arena)
        at = record.out.offset
        sums = Transfer(Arena(at), 4 * case.conv.oc, 4 * case.conv.oc, case.elements // case.conv.oc,
                        case.elements // case.conv.oc, add=1)  # fmt: skip
        compute = Step(0, record.extent().whole())
        if k == 0:
            moves = [Receive(1, 0, sums.runs, peer, peer) for peer in range(1, nodes)]
            steps = [compute, *moves, Step(2, Box(0, case.conv.batch * case.conv.oh, 0, case.conv.oc))]
            operators, out = [record, sums, case.finish(at)], [Span(at + 4 * case.elements, case.elements)]
        else:
            steps, operators, out = [compute, Send(1, 0, sums.runs, k, 1)], [record, sums], []
        programs.append(
            encode(operators, steps, [], out, arena_bytes=case.pad(at + 5 * case.elements), node=k, nodes=nodes)
        )
    return programs


@settings(max_examples=25, deadline=None)
@given(cases(parts=3), st.integers(0, 3))
def test_nodes_that_reduce_their_sums_give_the_plain_convolution(case: Case, jitter: int) -> None:
    programs = reduction(case)
    nodes = NativeNodes(programs)
    for k in range(3):
        nodes.write(k, case.partial(k)[1].tobytes())
    assert [status for status, _ in nodes.run(jitter)] == [OK] * 3
    (out,) = programs[0].outputs
    assert nodes.read(0, out.offset, out.bytes) == case.plain()


def example() -> Case:
    rng = np.random.default_rng(1)
    weights = rng.integers(-128, 128, (4, 3, 3, 6)).astype(np.int8)
    params = Channel.pack([Channel(100, 100, 1 << 30, -9)] * 4)
    conv = Conv(
        input=Arena(0), out=Arena(0), weights=Blob(weights.tobytes()), params=Blob(params), batch=1, ih=5, iw=4, ic=6,
        oh=5, ow=4, oc=4, kh=3, kw=3, stride_h=1, stride_w=1, dilation_h=1, dilation_w=1, pad_top=1, pad_left=1,
        groups=1, in_zp=0, out_zp=3, lo=-128, hi=127, weight_zp=0, in_rows=5, out_rows=5,
    )  # fmt: skip
    return Case(conv, rng.integers(-128, 128, (1, 5, 4, 6)).astype(np.int8), weights, (0, 6), 1)


def lone(record: ConvPartial | Finish, arena: int, inputs: int) -> Program:
    return encode([record], [Step(0, record.extent().whole())], [Span(0, inputs)], [], arena_bytes=arena)


def test_lying_partials_and_finishes_do_no_harm() -> None:
    case = example()
    partial, image = case.partial(0)
    assert_survives(lone(partial, case.pad(image.size) + 4 * case.elements, image.size), seed=3)
    assert_survives(lone(case.finish(0), case.pad(5 * case.elements), 4 * case.elements), seed=4)


@pytest.mark.parametrize(
    "change",
    [{"pad_top": 3}, {"pad_left": -1}, {"stride_h": 0}, {"dilation_w": 0}, {"in_zp": 128}, {"in_zp": -129},
     {"in_rows": 2}, {"in_rows": 6}, {"out_rows": 0}, {"out_rows": 6}, {"kh": 0}, {"ic": 0}, {"oc": 1 << 28}],
    ids=str,
)  # fmt: skip
def test_a_partial_that_contradicts_itself_is_refused(change: dict[str, int]) -> None:
    case = example()
    partial, image = case.partial(0)
    assert_refused(lone(partial, case.pad(image.size) + 4 * case.elements, image.size), **change)


@pytest.mark.parametrize("change", [{"rows": 0}, {"width": -1}, {"lo": -129}, {"hi": 128}, {"out_zp": 200}], ids=str)
def test_a_finish_that_contradicts_itself_is_refused(change: dict[str, int]) -> None:
    case = example()
    assert_refused(lone(case.finish(0), case.pad(5 * case.elements), 4 * case.elements), **change)


def test_references_end_inside_their_memory_and_words_are_aligned() -> None:
    case = example()
    partial, image = case.partial(0)
    arena, out = 4000, 4 * case.elements
    for field, room, step in (("input", image.size, 1), ("out", out, 4)):
        for shift, status in ((0, OK), (step, BAD_RECORD)):
            record = ConvPartial(**vars(partial) | {field: Arena(arena - room + shift)})
            assert NativeEngine(lone(record, arena, 0).data, arena).status == status, (field, shift)
    for field, room, step in (("input", out, 4), ("out", case.elements, 1)):
        for shift, status in ((0, OK), (step, BAD_RECORD)):
            record_f = Finish(**vars(case.finish(0)) | {field: Arena(arena - room + shift)})
            assert NativeEngine(lone(record_f, arena, 0).data, arena).status == status, (field, shift)
    for offset in (1, 2):
        moved = ConvPartial(**vars(partial) | {"out": Arena(400 + offset)})
        assert NativeEngine(lone(moved, arena, 0).data, arena).status == BAD_RECORD
        moved_f = Finish(**vars(case.finish(0)) | {"input": Arena(offset)})
        assert NativeEngine(lone(moved_f, arena, 0).data, arena).status == BAD_RECORD


def test_work_of_boxes_adds_up() -> None:
    case = example()
    for record, macs in ((case.partial(0)[0], 54 * case.elements), (case.finish(0), 0)):
        parts = [record.work(box) for box in tiling(record.extent(), np.random.default_rng(2))]
        assert (sum(p.macs for p in parts), sum(p.outputs for p in parts)) == (macs, case.elements)


# -- transfers ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(0, 3), st.integers(1, 6), st.integers(0, 4), st.data())
def test_a_message_is_what_lies_at_its_runs(run: int, gap: int, ring: int, more: int, data: st.DataObject) -> None:
    record = Transfer(Arena(3), run, run + gap, ring, ring + more, add=0)
    first = data.draw(st.integers(0, record.runs - 1))
    end = data.draw(st.integers(first + 1, min(record.runs, first + ring)))
    memory = Memory(np.arange(100, dtype=np.uint8), b"")
    runs = [3 + i % ring * (run + gap) for i in range(first, end)]
    message = record.gather(memory, first, end)
    assert message == b"".join(bytes(range(at, at + run)) for at in runs)
    assert len(message) == record.size(first, end)
    record.scatter(memory, first, end, bytes(b ^ 0xFF for b in message))
    changed = np.flatnonzero(memory.arena != np.arange(100))
    assert changed.tolist() == sorted(at + i for at in runs for i in range(run))


def test_words_that_are_added_wrap() -> None:
    record = Transfer(Arena(4), 8, 12, 2, 2, add=1)
    memory = Memory(np.zeros(32, np.uint8), b"")
    for value in (0x7FFF_FFFF, 2, 0x8000_0001):
        record.scatter(memory, 0, 2, np.full(4, value, "<u4").tobytes())
    assert np.frombuffer(record.gather(memory, 0, 2), "<u4").tolist() == [2] * 4
    assert memory.arena[:4].tolist() + memory.arena[12:16].tolist() == [0] * 8


@pytest.mark.parametrize(("first", "end"), [(0, 0), (2, 1), (-1, 1), (0, 4), (4, 6), (1, 5)])
def test_runs_that_there_are_not_are_no_message(first: int, end: int) -> None:
    record = Transfer(Arena(0), 2, 2, 3, 5, add=0)
    memory = Memory(np.zeros(16, np.uint8), b"")
    with pytest.raises(PlanError, match="are no runs of"):
        record.gather(memory, first, end)


def test_a_message_of_another_size_or_outside_of_the_arena_is_refused() -> None:
    record = Transfer(Arena(0), 2, 2, 3, 5, add=0)
    with pytest.raises(PlanError, match="are 4 bytes, not 3"):
        record.scatter(Memory(np.zeros(16, np.uint8), b""), 0, 2, bytes(3))
    with pytest.raises(PlanError, match="outside of 5"):
        record.scatter(Memory(np.zeros(5, np.uint8), b""), 0, 2, bytes(4))
    assert record.extent() == Extent(0, 0)


@pytest.mark.parametrize(
    ("change", "status"),
    [({}, OK), ({"run_bytes": 0}, BAD_RECORD), ({"runs": 0}, BAD_RECORD), ({"ring": 0}, BAD_RECORD),
     ({"ring": 6}, BAD_RECORD), ({"stride": 3}, BAD_RECORD), ({"stride": -4}, BAD_RECORD), ({"add": 2}, BAD_RECORD),
     ({"add": -1}, BAD_RECORD), ({"out": Arena(24)}, BAD_RECORD), ({"out": Arena(20)}, OK), ({"add": 1}, OK),
     ({"out": Arena(18), "add": 1}, BAD_RECORD), ({"out": Arena(18)}, OK), ({"stride": 6, "add": 1}, BAD_RECORD),
     ({"stride": 6}, OK), ({"runs": 1 << 28}, BAD_RECORD), ({"ring": 1, "stride": 0}, OK)],
    ids=str,
)  # fmt: skip
def test_a_transfer_that_contradicts_itself_is_refused(change: dict[str, Any], status: int) -> None:
    values = {"out": Arena(8), "run_bytes": 4, "stride": 4, "ring": 3, "runs": 5, "add": 0} | change
    program = encode([Transfer(**values)], [], [], [], arena_bytes=32, nodes=2)
    assert NativeEngine(program.data, 32).status == status
