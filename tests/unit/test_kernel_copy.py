"""COPY and FILL: the operators that move data, against LiteRT; and the records themselves, numpy against C."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.model.tflite import parse
from hil.plan.kernels import Copy, Fill
from hil.plan.lower import lower
from hil.plan.program import Program, Span, Step, encode
from hil.plan.records import Arena, Record
from tests.support.hostile import assert_survives
from tests.support.single import assert_exact, build, run_both, tiling
from tests.support.tensors import ints, model
from tests.support.tflite_writer import ModelWriter

DTYPES = st.sampled_from(["int8", "int8", "float32"])
SIZES = st.integers(1, 5)
SEEDS = st.integers(0, 1 << 20)
few = settings(max_examples=25)


def shapes(least: int, most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(SIZES, min_size=least, max_size=most).map(tuple)


def put(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


@few
@given(shapes(1, 6).flatmap(lambda s: st.tuples(st.just(s), st.permutations(range(len(s))))), DTYPES, SEEDS)
def test_transpose(case: Any, dtype: str, seed: int) -> None:
    shape, order = case
    negative = [axis - len(shape) * (seed >> k & 1) for k, axis in enumerate(order)]
    assert_exact(model("TRANSPOSE", [shape, ints(*negative)], [tuple(shape[a] for a in order)], dtype), seed)


@few
@given(shapes(1, 5), st.data(), DTYPES, SEEDS)
def test_concatenation(shape: tuple[int, ...], data: st.DataObject, dtype: str, seed: int) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    at = axis % len(shape)
    sizes = data.draw(st.lists(SIZES, min_size=1, max_size=4))
    parts = [put(shape, at, size) for size in sizes]
    assert_exact(model("CONCATENATION", parts, [put(shape, at, sum(sizes))], dtype, axis=axis), seed)


def test_concatenation_of_a_tensor_with_itself_and_of_a_constant() -> None:
    w = ModelWriter()
    x = w.activation("x", (2, 3), 0.1, 3)
    c = w.constant("c", np.arange(6, dtype=np.int8).reshape(2, 3), 0.1, 3)
    y = w.activation("y", (2, 12), 0.1, 3)
    w.operator("CONCATENATION", [x, c, x, x], [y], axis=1)
    assert_exact(w.finish([x], [y]))


@few
@given(shapes(1, 5), st.data(), DTYPES, SEEDS)
def test_split_into_equal_parts(shape: tuple[int, ...], data: st.DataObject, dtype: str, seed: int) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    count = data.draw(st.integers(1, 4))
    whole = put(shape, axis % len(shape), shape[axis] * count)
    assert_exact(model("SPLIT", [ints(axis), whole], [shape] * count, dtype, num_splits=count), seed)


@few
@given(shapes(1, 5), st.data(), DTYPES, SEEDS)
def test_split_by_sizes(shape: tuple[int, ...], data: st.DataObject, dtype: str, seed: int) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    sizes = data.draw(st.lists(SIZES, min_size=1, max_size=4))
    rest = data.draw(st.integers(0, len(sizes)))
    given_sizes = [-1 if k == rest else size for k, size in enumerate(sizes)]
    table = np.array(given_sizes, np.int64 if seed & 1 else np.int32)
    whole = put(shape, axis % len(shape), sum(sizes))
    parts = [put(shape, axis % len(shape), size) for size in sizes]
    assert_exact(model("SPLIT_V", [whole, table, ints(axis)], parts, dtype, num_splits=len(sizes)), seed)


@few
@given(shapes(0, 4), st.data(), DTYPES, SEEDS)
def test_pack_and_unpack(shape: tuple[int, ...], data: st.DataObject, dtype: str, seed: int) -> None:
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    count = data.draw(st.integers(1, 4))
    at = axis % (len(shape) + 1)
    whole = (*shape[:at], count, *shape[at:])
    assert_exact(model("PACK", [shape] * count, [whole], dtype, values_count=count, axis=axis), seed)
    assert_exact(model("UNPACK", [whole], [shape] * count, dtype, num=count, axis=axis), seed)


@few
@given(shapes(1, 5), st.data(), DTYPES, SEEDS)
def test_pad(shape: tuple[int, ...], data: st.DataObject, dtype: str, seed: int) -> None:
    paddings = data.draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=len(shape), max_size=len(shape))
    )
    table = np.array(paddings, np.int64 if seed & 1 else np.int32)
    padded = tuple(size + before + after for size, (before, after) in zip(shape, paddings, strict=True))
    zero = data.draw(st.integers(-128, 127))  # of the output alone: the bytes are copied, whatever they mean
    out: Any = padded if dtype == "float32" else (padded, 0.1, zero)
    assert_exact(model("PAD", [shape, table], [out], dtype), seed)


@st.composite
def slices(draw: Any) -> Any:
    """A slice in numpy's terms and the operator's: (input shape, begin, end, strides, masks, output shape)."""
    shape = draw(shapes(1, 4))
    masks = dict.fromkeys(("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"), 0)
    entries: list[tuple[int, int, int]] = []
    index: list[Any] = []
    named = 0
    cut = draw(st.integers(0, len(shape)))
    ellipsis_at = draw(st.integers(-1, cut)) if cut < len(shape) else -1
    for k in range(cut + 1):
        if k == ellipsis_at:
            masks["ellipsis_mask"] |= 1 << len(entries)
            entries.append((7, -7, 1))
            index.append(...)
            named += len(shape) - cut
        if len(shape) + len(entries) < 5 and ellipsis_at != k and draw(st.integers(0, 5)) == 0:
            masks["new_axis_mask"] |= 1 << len(entries)
            entries.append((3, 9, -1))
            index.append(None)
        if k == cut:
            break
        size = shape[named]
        named += 1
        if draw(st.integers(0, 3)) == 0:
            begin = draw(st.integers(-size, size - 1))
            masks["shrink_axis_mask"] |= 1 << len(entries)
            entries.append((begin, draw(st.integers(-9, 9)), 1))
            index.append(begin)
            continue
        stride = draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        begin, end = draw(st.integers(-size - 2, size + 2)), draw(st.integers(-size - 2, size + 2))
        wanted = slice(begin, end, stride)
        if not range(size)[wanted]:
            masks["begin_mask"] |= 1 << len(entries)
            masks["end_mask"] |= 1 << len(entries)
            wanted = slice(None, None, stride)
        entries.append((begin, end, stride))
        index.append(wanted)
    out = np.zeros(shape)[tuple(index)].shape
    return shape, entries, masks, out


@settings(max_examples=80)
@given(slices(), DTYPES, SEEDS)
def test_strided_slice(case: Any, dtype: str, seed: int) -> None:
    shape, entries, masks, out = case
    if not entries:  # an empty vector is no tensor
        return
    begin, end, strides = (ints(*column) for column in zip(*entries, strict=True))
    assert_exact(model("STRIDED_SLICE", [shape, begin, end, strides], [out], dtype, **masks), seed)


def test_strided_slice_with_ends_that_count_from_the_start() -> None:
    inputs: list[Any] = [(5, 6), ints(1, -4), ints(2, 3), ints(1, 2)]
    assert_exact(model("STRIDED_SLICE", inputs, [(2, 2)], offset=True))


# -- the records themselves ------------------------------------------------------------------------------------------


def alone(record: Record, arena_bytes: int, rng: np.random.Generator | None, inputs: Span) -> Program:
    boxes = [record.extent().whole()] if rng is None else tiling(record.extent(), rng)
    outputs = [Span(0, arena_bytes)]
    return encode([record], [Step(0, box) for box in boxes], [inputs], outputs, arena_bytes=arena_bytes)


@settings(max_examples=60)
@given(st.data(), st.sampled_from([1, 1, 4]), SEEDS)
def test_copies_of_any_strides(data: st.DataObject, unit: int, seed: int) -> None:
    """Random dense outputs, inputs walked in any order and direction, at any alignment, as random boxes."""
    rng = np.random.default_rng(seed)
    dims = tuple(data.draw(st.lists(st.integers(1, 9), min_size=6, max_size=6)))
    while np.prod(dims) > 1500:
        dims = tuple(max(1, size // 2) for size in dims)
    in_strides, out_strides, at = [0] * 6, [0] * 6, 1
    for axis in rng.permutation(6) if seed & 1 else range(5, -1, -1):
        out_strides[axis], at = at, at * dims[axis]
    out_units, at = at, 1
    for axis in rng.permutation(6) if seed & 2 else range(5, -1, -1):
        in_strides[axis], at = at * int(rng.choice([1, 1, -1] if seed & 4 else [1])), at * dims[axis]
        if rng.integers(8) == 0:
            in_strides[axis] = 0
    start = sum(-step * (size - 1) for step, size in zip(in_strides, dims, strict=True) if step < 0)
    first = 4 * int(rng.integers(1, 4)) + (int(rng.integers(4)) if unit == 1 else 0)
    out = first + at * unit + (int(rng.integers(4)) if unit == 1 else 0)
    record = Copy(Arena(first), Arena(out), unit, start, dims, tuple(in_strides), tuple(out_strides))
    arena_bytes = (out + out_units * unit + 7) // 4 * 4
    source = rng.integers(-128, 128, at * unit).astype(np.int8)
    arena = np.frombuffer(run_both(alone(record, arena_bytes, rng, Span(first, at * unit)), [source])[0], np.int8)
    got = arena[out : out + out_units * unit].reshape(out_units, unit)
    expected = np.zeros_like(got)
    for index in product(*map(range, dims)):
        place = start + int(np.dot(index, in_strides))
        expected[int(np.dot(index, out_strides))] = source.reshape(-1, unit)[place]
    assert np.array_equal(got, expected)


@few
@given(st.integers(1, 40), st.integers(1, 40), st.integers(-128, 127), SEEDS)
def test_fills(rows: int, channels: int, value: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    out = int(rng.integers(1, 9))
    arena_bytes = (out + rows * channels + 7) // 4 * 4
    arena = np.frombuffer(
        run_both(alone(Fill(Arena(out), rows, channels, value), arena_bytes, rng, Span(0, 1)), [np.zeros(1, np.int8)])[
            0
        ],
        np.int8,
    )
    assert np.all(arena[out : out + rows * channels] == value)
    assert np.all(arena[out + rows * channels :] == np.int8(-91))  # the paint


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "data",
    [
        model("PAD", [(2, 3, 4), np.ones((3, 2), np.int32)], [(4, 5, 6)]),
        model("STRIDED_SLICE", [(4, 9, 2), ints(3, 7, 0), ints(0, 0, 2), ints(-1, -2, 1)], [(3, 4, 2)]),
        model("TRANSPOSE", [(3, 4, 5), ints(2, 0, 1)], [(5, 3, 4)], "float32"),
    ],
    ids=["pad", "slice", "transpose"],
)
def test_damaged_records_do_no_harm(data: bytes, seed: int) -> None:
    graph = parse(data, "damaged")
    assert_survives(build(graph, lower(graph), tiles=np.random.default_rng(seed)), seed)
