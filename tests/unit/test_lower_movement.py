"""What the operators that move or rename data refuse, and what they rename without any work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hil.errors import MalformedModel, UnsupportedModel
from hil.model.tflite import parse
from hil.plan.lower import lower
from hil.plan.records import Act, Blob
from tests.support.single import assert_exact
from tests.support.tensors import FLOAT, ints, model
from tests.support.tflite_writer import ModelWriter

OTHER = (0.2, 3)
UNSUPPORTED, MALFORMED = UnsupportedModel, MalformedModel


def slice_of(
    shape: tuple[int, ...],
    begin: Sequence[int],
    end: Sequence[int],
    strides: Sequence[int],
    out: tuple[int, ...],
    **masks: Any,
) -> bytes:
    return model("STRIDED_SLICE", [shape, ints(*begin), ints(*end), ints(*strides)], [out], **masks)


REFUSED = [
    (model("TRANSPOSE", [(2, 3), ints(0, 0)], [(2, 2)]), MALFORMED, "no permutation"),
    (model("TRANSPOSE", [(2, 3), ints(1, 2)], [(3, 2)]), MALFORMED, "axis 2"),
    (model("TRANSPOSE", [(2, 3), ints(1, 0)], [(2, 3)]), MALFORMED, r"computes shape \[3, 2\]"),
    (model("TRANSPOSE", [(2, 3), np.array([1, 0])], [(3, 2)]), UNSUPPORTED, "int32 is supported"),
    (model("TRANSPOSE", [(2, 3), ints(1, 0)], [(3, 2)], out_dtype=FLOAT), MALFORMED, "float32 where the other"),
    (model("CONCATENATION", [(2, 3), (2, 4)], [(4, 3)], axis=0), MALFORMED, "does not fit"),
    (model("CONCATENATION", [(2, 3), ((2, 3), *OTHER)], [(4, 3)], axis=0), MALFORMED, "quantisation differs"),
    (model("CONCATENATION", [(2, 3)] * 2, [((4, 3), 0.1, 4)], axis=0), MALFORMED, "quantisation differs"),
    (model("CONCATENATION", [(2, 3)] * 2, [(4, 3)], axis=0, activation="RELU"), UNSUPPORTED, "activation RELU"),
    (model("CONCATENATION", [(2, 3)] * 2, [(4, 3)], axis=2), MALFORMED, "axis 2"),
    (model("SPLIT", [ints(0), (3, 2)], [(1, 2)] * 2, num_splits=2), MALFORMED, "2 equal parts"),
    (model("SPLIT", [ints(0, 1), (4, 2)], [(2, 2)] * 2, num_splits=2), MALFORMED, "2 values"),
    (model("SPLIT_V", [(5, 2), ints(2, 2), ints(0)], [(2, 2)] * 2, num_splits=2), MALFORMED, "not those of dimension"),
    (model("SPLIT_V", [(5, 2), ints(-1, -1), ints(0)], [(2, 2)] * 2, num_splits=2), MALFORMED, r"\[-1, -1\]"),
    (model("SPLIT_V", [(5, 2), ints(6, -1), ints(0)], [(2, 2)] * 2, num_splits=2), MALFORMED, r"\[6, -1\]"),
    (model("PACK", [(2,), (3,)], [(2, 2)], values_count=2), MALFORMED, "shape differs"),
    (model("PACK", [(2,), ((2,), *OTHER)], [(2, 2)], values_count=2), MALFORMED, "quantisation differs"),
    (model("UNPACK", [(2, 3)], [((3,), *OTHER)] * 2, num=2), MALFORMED, "quantisation differs"),
    (model("UNPACK", [(3, 3)], [(3,)] * 2, num=2), MALFORMED, "the number of outputs"),
    (model("PAD", [(2,), np.array([[-1, 1]], np.int32)], [(2,)]), MALFORMED, r"\[-1, 1\]"),
    (model("PAD", [(2,), ints(1, 1)], [(4,)]), MALFORMED, "two numbers for each"),
    (model("PAD", [(1,) * 6, np.ones((6, 2), np.int32)], [(3,) * 6]), UNSUPPORTED, "6 dimensions"),
    (model("RESHAPE", [(2, 3), ints(7)], [(7,)]), MALFORMED, "do not fit"),
    (model("RESHAPE", [(2, 3), ints(-1, -1)], [(2, 3)]), MALFORMED, "new shape"),
    (model("RESHAPE", [(2, 3), ints(-1, 4)], [(2, 4)]), MALFORMED, "do not fit"),
    (model("RESHAPE", [(2, 3), ints(6)], [(3, 2)]), MALFORMED, "computes shape"),
    (model("RESHAPE", [(2, 3), np.array([[6]], np.int32)], [(6,)]), UNSUPPORTED, "not a vector"),
    (model("RESHAPE", [(2, 3), np.array([6])], [(6,)]), UNSUPPORTED, "int64"),
    (model("SQUEEZE", [(1, 2)], [(1,)], dims=(1,)), MALFORMED, "is not 1"),
    (model("EXPAND_DIMS", [(2, 3), ints(0)], [((1, 2, 3), *OTHER)]), MALFORMED, "quantisation differs"),
    (model("EXPAND_DIMS", [(2, 3), ints(3)], [(2, 3, 1)]), MALFORMED, "axis 3"),
    (model("EXPAND_DIMS", [(2, 3), ints(0, 1)], [(1, 2, 3)]), MALFORMED, "2 values"),
    (slice_of((4,), [0], [2], [0], (2,)), MALFORMED, "stride is 0"),
    (slice_of((4,), [0, 0], [2, 1], [1, 1], (2,)), MALFORMED, "2 dimensions are cut"),
    (slice_of((4,), [3], [1], [1], (1,)), UNSUPPORTED, "empty"),
    (slice_of((4, 2), [4], [1], [1], (2,), shrink_axis_mask=1), MALFORMED, "outside"),
    (slice_of((4, 2), [1], [1], [-1], (2,), shrink_axis_mask=1), UNSUPPORTED, "negative stride"),
    (slice_of((4,), [1], [9], [1], (9,), offset=True), MALFORMED, "outside"),
    (slice_of((4, 2), [1], [1], [1], (1, 2), offset=True), UNSUPPORTED, "count from the start"),
    (slice_of((4,), [3], [-2], [-1], (2,), offset=True), UNSUPPORTED, "count from the start"),
    (slice_of((4, 2), [0, 0, 0], [1, 1, 1], [1, 1, 1], (1, 1), ellipsis_mask=2), UNSUPPORTED, "stands for no dim"),
    (slice_of((4, 2), [0, 0], [1, 1], [1, 1], (4, 2), ellipsis_mask=3), MALFORMED, "ellipsis mask"),
    (slice_of((4, 2), [0], [1], [1], (1, 2), new_axis_mask=2), MALFORMED, "new axis mask"),
    (slice_of((1,) * 6, [0], [1], [1], (1,) * 6), UNSUPPORTED, "6 dimensions"),
    (model("TRANSPOSE", [(1, 2), (2,)], [(2, 1)]), UNSUPPORTED, "int8 where int32"),
]


@pytest.mark.parametrize(("data", "error", "words"), REFUSED)
def test_what_is_refused(data: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        lower(parse(data, "m"))


@pytest.mark.parametrize(
    "data",
    [
        model("RESHAPE", [(2, 6), ints(3, -1)], [(3, 4)]),
        model("RESHAPE", [(2, 6), ints(12)], [(12,)], new_shape=(4, 3)),  # the input wins
        model("RESHAPE", [(2, 6)], [(4, 3)], new_shape=(4, -1)),
        model("RESHAPE", [(1, 1)], [()], new_shape=(0,)),
        model("SQUEEZE", [(1, 2, 1, 3)], [(2, 3)]),
        model("SQUEEZE", [(1, 2, 1, 3)], [(1, 2, 3)], dims=(-2,)),
        model("EXPAND_DIMS", [(2, 3), ints(-1)], [(2, 3, 1)]),
        model("EXPAND_DIMS", [(2, 3), np.array([0])], [(1, 2, 3)]),
        model("TRANSPOSE", [(1, 4, 1, 3), ints(1, 0, 3, 2)], [(4, 1, 3, 1)]),
        model("PAD", [(2, 3), np.zeros((2, 2), np.int32)], [(2, 3)]),
        model("PACK", [(2, 3)], [(2, 1, 3)], values_count=1, axis=1),
        model("CONCATENATION", [(2, 3)], [(2, 3)], axis=1),
        slice_of((2, 3), [0, 0], [9, 9], [1, 1], (1, 2, 3), new_axis_mask=1),
    ],
)
def test_what_is_only_another_name(data: bytes) -> None:
    graph = parse(data, "m")
    assert lower(graph).aliases == {graph.outputs[0]: Act(graph.inputs[0])}
    assert_exact(data)


def test_the_new_name_of_a_constant_is_the_constant() -> None:
    w = ModelWriter()
    x = w.activation("x", (2, 3), 0.1, 3)
    c = w.constant("c", np.arange(6, dtype=np.int8), 0.1, 3)
    shape = w.constant("shape", ints(2, 3))
    renamed = w.activation("renamed", (2, 3), 0.1, 3)
    both = w.activation("both", (4, 3), 0.1, 3)
    flipped = w.activation("flipped", (2, 3), 0.1, 3)
    w.operator("RESHAPE", [c, shape], [renamed])
    w.operator("CONCATENATION", [x, renamed], [both], axis=0)
    numbers = [w.constant(name, ints(*v)) for name, v in (("b", (1, 2)), ("e", (-9, -9)), ("s", (-1, -1)))]
    w.operator("STRIDED_SLICE", [renamed, *numbers], [flipped], end_mask=3)
    data = w.finish([x], [both, flipped])
    assert lower(parse(data, "m")).aliases == {renamed: Blob(bytes(range(6)))}
    assert_exact(data)


def test_a_shape_that_the_model_computes_is_refused() -> None:
    w = ModelWriter()
    x = w.activation("x", (2, 3), 0.1, 3)
    shape = w.activation("shape", (2,), dtype="int32")
    y = w.activation("y", (3, 2), 0.1, 3)
    w.operator("RESHAPE", [x, shape], [y])
    with pytest.raises(MalformedModel, match="read before anything makes it"):
        lower(parse(w.finish([x], [y]), "m"))
