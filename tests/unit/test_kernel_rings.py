"""Windows over rings of rows: three kernels fused row by row compute what they compute on whole tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.plan.kernels import Conv, Depthwise, PoolAverage, PoolMax
from hil.plan.kernels.channels import Channel
from hil.plan.kernels.pool import Pool
from hil.plan.program import Program, Span, Step, encode
from hil.plan.records import Arena, Blob, Box, Record
from tests.support.engine import NativeEngine, run_sanitized, sanitizing_compiler
from tests.support.single import run_both

BAD_RECORD = 8
Window = Conv | Depthwise | Pool
KINDS = ["conv", "conv of many channels", "conv in groups", "depthwise", "depthwise with copies", "average", "max"]


def channels(rng: np.random.Generator, count: int, sums: np.ndarray, in_zp: int) -> Blob:
    """Parameters whose outputs spread over int8."""
    bias = rng.integers(-500, 500, count)
    folded = bias - in_zp * sums
    return Blob(Channel.pack([Channel(int(b), int(f), 1 << 30, -7) for b, f in zip(bias, folded, strict=True)]))


def window(case: dict[str, Any], size: tuple[int, int], ic: int, rng: np.random.Generator) -> Window:
    """A whole-tensor record of the kind, placed nowhere yet. Padding is as much as the window allows, at most."""
    kind, (height, width) = case["kind"], size
    (kh, kw), (sh, sw), (dh, dw) = case["taps"], case["stride"], case["dilation"]
    if kind in ("average", "max"):
        dh = dw = 1
    top, left = min(case["pad"], (kh - 1) * dh), min(case["pad"], (kw - 1) * dw)
    oh = max(1, (height + 2 * top - (kh - 1) * dh - 1) // sh + 1)
    ow = max(1, (width + 2 * left - (kw - 1) * dw - 1) // sw + 1)
    oh, ow = min(oh, (height - 1 + top) // sh + 1), min(ow, (width - 1 + left) // sw + 1)
    common: dict[str, Any] = {
        "input": Arena(0), "out": Arena(0), "batch": 1, "ih": height, "iw": width, "oh": oh, "ow": ow, "kh": kh,
        "kw": kw, "stride_h": sh, "stride_w": sw, "pad_top": top, "pad_left": left, "lo": -128, "hi": 127,
        "in_rows": height, "out_rows": oh,
    }  # fmt: skip
    if kind in ("average", "max"):
        return (PoolAverage if kind == "average" else PoolMax)(channels=ic, **common)
    zero = {"in_zp": case["zero"], "out_zp": -case["zero"], "dilation_h": dh, "dilation_w": dw}
    if kind.startswith("depthwise"):
        oc = ic * (2 if kind.endswith("copies") else 1)
        weights = rng.integers(-128, 128, (kh, kw, oc)).astype(np.int8)
        params = channels(rng, oc, weights.sum(axis=(0, 1), dtype=np.int64), case["zero"])
        return Depthwise(ic=ic, oc=oc, weights=Blob(weights.tobytes()), params=params, **common, **zero)
    groups = ic if kind.endswith("groups") else 1
    oc = case["out"] * groups
    weights = rng.integers(-128, 128, (oc, kh, kw, ic // groups)).astype(np.int8)
    params = channels(rng, oc, weights.sum(axis=(1, 2, 3), dtype=np.int64), case["zero"])
    blob = Blob(weights.tobytes())
    return Conv(ic=ic, oc=oc, weights=blob, params=params, groups=groups, weight_zp=0, **common, **zero)


def rows_of(record: Window, r0: int, r1: int) -> tuple[int, int]:
    """Input rows [first, end) that the output rows [r0, r1) read."""
    dilation = 1 if isinstance(record, Pool) else record.dilation_h
    first = r0 * record.stride_h - record.pad_top
    end = (r1 - 1) * record.stride_h - record.pad_top + (record.kh - 1) * dilation + 1
    return max(0, first), min(record.ih, end)


def needed(record: Window, strip: int) -> int:
    """Rows that a ring must hold for boxes of `strip` rows."""
    starts = range(0, record.oh, strip)
    reach = max(b - a for a, b in (rows_of(record, y, min(y + strip, record.oh)) for y in starts))
    dilation = 1 if isinstance(record, Pool) else record.dilation_h
    return max(reach, min(record.ih, (record.kh - 1) * dilation + 1))


def size(record: Window, rows: int) -> int:
    return rows * record.ow * record.extent().channels


def chain(case: dict[str, Any]) -> list[Window]:
    """1x1 convolution, the kernel under test, 1x1 convolution."""
    rng = np.random.default_rng(case["seed"])
    middle = 20 if case["kind"] == "conv of many channels" else case["depth"]
    single = case | {"kind": "conv", "taps": (1, 1), "stride": (1, 1), "dilation": (1, 1), "out": middle}
    first = window(single, case["size"], 2, rng)
    second = window(case, case["size"], middle, rng)
    third = window(single | {"out": 3}, (second.oh, second.ow), second.extent().channels, rng)
    return [first, second, third]


def whole(records: list[Window]) -> Program:
    at = records[0].ih * records[0].iw * 2
    placed: list[Record] = []
    source = 0
    for record in records:
        placed.append(replace(record, input=Arena(source), out=Arena(at)))
        source, at = at, at + size(record, record.oh)
    steps = [Step(k, record.extent().whole()) for k, record in enumerate(placed)]
    spans = [Span(0, records[0].ih * records[0].iw * 2)], [Span(source, size(records[-1], records[-1].oh))]
    return encode(placed, steps, *spans, arena_bytes=(at + 3) // 4 * 4)


def fused(records: list[Window], case: dict[str, Any], *, hostile: bool = False) -> Program:
    """The same in strips: each kernel runs as soon as the next one needs its rows, through rings as small as drawn.

    `hostile`: with its boxes in an order that no planner would write.
    """
    first, second, third = records
    strip = case["strip"]
    rings = [min(first.oh, needed(second, strip) + case["spare"][0]), min(second.oh, strip + case["spare"][1])]
    bytes_in = first.ih * first.iw * 2
    places = [bytes_in + 3, 0, 0]
    places[1] = places[0] + size(first, rings[0]) + 5
    places[2] = places[1] + size(second, rings[1]) + 1
    placed = [
        replace(first, out=Arena(places[0]), out_rows=rings[0]),
        replace(second, input=Arena(places[0]), in_rows=rings[0], out=Arena(places[1]), out_rows=rings[1]),
        replace(third, input=Arena(places[1]), in_rows=rings[1], out=Arena(places[2])),
    ]
    steps: list[Step] = []
    done = 0
    for y in range(0, second.oh, strip):
        end = min(y + strip, second.oh)
        wanted = rows_of(second, y, end)[1]
        # One by one: no box may overtake its ring.
        steps += [Step(0, Box(row, row + 1, 0, first.oc)) for row in range(done, wanted)]
        done = max(done, wanted)
        middle = second.extent().channels
        cut = case["cut"] % middle
        boxes = [(0, middle)] if cut == 0 else [(0, cut), (cut, middle)]
        steps += [Step(1, Box(y, end, *box)) for box in boxes]
        steps.append(Step(2, Box(y, end, 0, third.oc)))
    if hostile:
        steps = steps[::-1] + [Step(k, record.extent().whole()) for k, record in enumerate(placed)]
    whole_out = size(third, third.oh)
    arena = (places[2] + whole_out + 3) // 4 * 4
    return encode(placed, steps, [Span(0, bytes_in)], [Span(places[2], whole_out)], arena_bytes=arena)


@st.composite
def cases(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    small = st.integers(1, 3)
    return {
        "kind": kind,
        "seed": draw(st.integers(0, 2**32 - 1)),
        "size": (draw(st.integers(1, 9)), draw(st.integers(1, 6))),
        "depth": draw(st.integers(1, 6)),
        "taps": (draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        "stride": (draw(small), draw(small)),
        "dilation": (draw(st.sampled_from([1, 1, 2])), draw(st.sampled_from([1, 1, 2]))),
        "pad": draw(st.integers(0, 3)),
        "zero": draw(st.integers(-100, 100)),
        "out": draw(st.integers(1, 5)),
        "strip": draw(small),
        "spare": (draw(st.integers(0, 3)), draw(st.integers(0, 2))),
        "cut": draw(st.integers(0, 5)),
    }


@settings(max_examples=80)
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_fused_rows_equal_whole_tensors(kind: str, data: st.DataObject) -> None:
    case = data.draw(cases(kind))
    records = chain(case)
    value = np.random.default_rng(case["seed"]).integers(-128, 128, records[0].ih * records[0].iw * 2).astype(np.int8)
    expected = run_both(whole(records), [value])
    assert run_both(fused(records, case), [value]) == expected


WRAPS: dict[str, Any] = {
    "seed": 5, "size": (12, 7), "depth": 5, "taps": (3, 3), "stride": (1, 1), "dilation": (1, 1), "pad": 1, "zero": 7,
    "out": 4, "strip": 1, "spare": (0, 0), "cut": 0,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "change", [{}, {"strip": 2}, {"spare": (1, 1)}, {"taps": (1, 1)}, {"pad": 0, "stride": (2, 2)}]
)
def test_the_smallest_rings_turn_often(kind: str, change: dict[str, Any]) -> None:
    """Three rows for twelve: every way to cut a window in two is met, and the arena is smaller for it."""
    case = WRAPS | change | {"kind": kind}
    records = chain(case)
    program = fused(records, case)
    rings = program.operators[1]
    assert isinstance(rings, Window)
    assert rings.in_rows < rings.ih
    assert rings.out_rows < rings.oh
    assert program.arena_bytes < whole(records).arena_bytes
    value = np.random.default_rng(3).integers(-128, 128, records[0].ih * records[0].iw * 2).astype(np.int8)
    assert run_both(program, [value]) == run_both(whole(records), [value])


@pytest.mark.parametrize("kind", KINDS)
def test_a_ring_that_is_one_row_too_small_is_refused(kind: str) -> None:
    """Windows of three rows need three; more rows than the tensor has are refused too, and rings of several images."""
    records = chain(WRAPS | {"kind": kind})
    for rings, status in (
        ({"in_rows": 3}, 0), ({"in_rows": 2}, BAD_RECORD), ({"in_rows": 13}, BAD_RECORD), ({"in_rows": 0}, BAD_RECORD),
        ({"in_rows": -3}, BAD_RECORD), ({"out_rows": 1}, 0), ({"out_rows": 0}, BAD_RECORD),
        ({"out_rows": 13}, BAD_RECORD), ({"batch": 2, "in_rows": 24, "out_rows": 24}, 0),
        ({"batch": 2, "in_rows": 23, "out_rows": 24}, BAD_RECORD),
        ({"batch": 2, "in_rows": 24, "out_rows": 3}, BAD_RECORD),
    ):  # fmt: skip
        record = replace(records[1], input=Arena(0), out=Arena(8000), **rings)  # type: ignore[arg-type]
        program = encode([record], [], [], [], arena_bytes=20000)
        assert NativeEngine(program.data, 20000).status == status, rings


@pytest.mark.parametrize("kind", KINDS)
def test_a_ring_at_the_arenas_end_is_read_and_written_to_its_last_byte(kind: str) -> None:
    records = chain(WRAPS | {"kind": kind})
    second = replace(records[1], in_rows=3, out_rows=2)
    bytes_in, bytes_out = 3 * second.iw * 5 if kind != KINDS[1] else 3 * second.iw * 20, size(second, 2)
    arena = 4000
    for field, room in (("input", bytes_in), ("out", bytes_out)):
        for shift, status in ((0, 0), (1, BAD_RECORD)):
            program = encode([replace(second, **{field: Arena(arena - room + shift)})], [], [], [], arena_bytes=arena)
            assert NativeEngine(program.data, arena).status == status, (field, shift)


@pytest.mark.skipif(sanitizing_compiler() is None, reason="no gcc or clang for the sanitizers")
@pytest.mark.parametrize("kind", KINDS)
def test_rings_stay_inside_their_memory(kind: str) -> None:
    """Also with boxes in an order that no planner would write: wrong numbers, but nothing out of bounds."""
    case = WRAPS | {"kind": kind}
    records = chain(case)
    program = fused(records, case)
    value = np.random.default_rng(3).integers(-128, 128, records[0].ih * records[0].iw * 2).astype(np.int8)
    status, _, arena = run_sanitized(program.data, program.arena_bytes, value.tobytes())
    (out,) = program.outputs
    assert status == 0
    assert (arena[out.offset : out.offset + out.bytes],) == run_both(whole(records), [value])
    hostile = fused(records, case, hostile=True)
    status, _, arena = run_sanitized(hostile.data, hostile.arena_bytes, value.tobytes())
    assert status == 0
    assert (arena[out.offset : out.offset + out.bytes],) == run_both(hostile, [value])
