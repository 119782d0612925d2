"""Hostile files: whatever the bytes are, a graph or one of our errors comes out, after bounded work."""

from __future__ import annotations

import random
from functools import cache

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.errors import MalformedModel, ModelError
from hil.model import flatbuffer, tflite
from hil.model.flatbuffer import Reader
from hil.model.graph import Graph
from tests.support.models import small_model, zoo_file

# Files with all tables and options that are read, small enough to be hit where it matters.
VICTIMS = (
    "op_conv_corners", "op_depthwise_corners", "op_fully_connected_corners", "op_shape_moves", "op_pool_pad",
    "op_activations", "op_float_edges", "op_multi_io", "digits",
)  # fmt: skip


@cache
def _victim(name: str) -> bytes:
    return zoo_file(name).read_bytes()


def _survives(data: bytes) -> Graph | None:
    try:
        return tflite.parse(data, "mutant")
    except ModelError:
        return None


@pytest.mark.parametrize("name", VICTIMS)
def test_every_bit_flip_of_the_structure_is_a_graph_or_an_error(name: str) -> None:
    good = _victim(name)
    draw = random.Random(name)
    outcomes = set()
    for _ in range(800):
        mutant = bytearray(good)
        for _ in range(draw.randrange(1, 5)):
            mutant[draw.randrange(len(mutant))] ^= 1 << draw.randrange(8)
        outcomes.add(_survives(bytes(mutant)) is None)
    assert outcomes == {True, False}  # some are refused, and some only hit a weight


@settings(max_examples=300)
@given(data=st.data(), name=st.sampled_from(VICTIMS))
def test_bytes_and_words_replaced(data: st.DataObject, name: str) -> None:
    mutant = bytearray(_victim(name))
    for _ in range(data.draw(st.integers(1, 4))):
        at = 4 * data.draw(st.integers(0, len(mutant) // 4 - 1))
        value = data.draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(mutant), len(mutant) - at]))
        mutant[at : at + 4] = value.to_bytes(4, "little")
    _survives(bytes(mutant))


def test_every_prefix_is_refused() -> None:
    good = small_model()
    tflite.parse(good, "small")
    # The last bytes may be padding, or belong to a string's end, which nothing reads.
    kept = [n for n in range(len(good)) if _survives(good[:n]) is not None]
    assert all(n > len(good) - 8 for n in kept), kept


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_random_bytes_behind_the_identifier(tail: bytes) -> None:
    assert _survives(tail) is None
    assert _survives(tail[:4].ljust(4, b"\x10") + b"TFL3" + tail[4:]) is None


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\0" * 64, b"not a model\n" * 40, b"\x1c\0\0\0TFL3"])
def test_what_is_no_model(data: bytes) -> None:
    with pytest.raises(MalformedModel, match="mutant"):
        tflite.parse(data, "mutant")


def _shared_name(tensors: int, letters: int) -> bytes:
    """A model whose tensors all have the same long name: little to write, much to read."""
    builder = flatbuffers.Builder(1 << 16)
    name = builder.CreateString("n" * letters)
    schema.TensorStart(builder)
    schema.TensorAddName(builder, name)
    tensor = schema.TensorEnd(builder)
    schema.SubGraphStartTensorsVector(builder, tensors)
    for _ in range(tensors):
        builder.PrependUOffsetTRelative(tensor)
    vector = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, vector)
    graph = schema.SubGraphEnd(builder)
    schema.ModelStartSubgraphsVector(builder, 1)
    builder.PrependUOffsetTRelative(graph)
    graphs = builder.EndVector()
    schema.BufferStart(builder)
    buffer = schema.BufferEnd(builder)
    schema.ModelStartBuffersVector(builder, 1)
    builder.PrependUOffsetTRelative(buffer)
    buffers = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, graphs)
    schema.ModelAddBuffers(builder, buffers)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def test_bytes_read_over_and_over_are_refused() -> None:
    with pytest.raises(MalformedModel, match="far too often"):
        tflite.parse(_shared_name(60_000, 100_000), "bomb")
    with pytest.raises(MalformedModel, match="at most 65536"):
        tflite.parse(_shared_name(70_000, 10), "many")


def test_a_table_that_refers_to_itself_ends() -> None:
    # A root whose vtable and fields all lead back to the table: every slot is an offset to somewhere inside.
    data = bytearray(64)
    data[0:8] = (16).to_bytes(4, "little") + b"TFL3"
    data[16:20] = (8).to_bytes(4, "little")  # vtable at 8
    data[8:12] = (8).to_bytes(2, "little") + (40).to_bytes(2, "little")
    with pytest.raises(MalformedModel):
        tflite.parse(bytes(data), "ring")


def test_numbers_outside_are_refused_before_they_are_read() -> None:
    reader = Reader(bytes(range(16)))
    with pytest.raises(MalformedModel, match="outside"):
        reader.number(flatbuffer._U32, 16, "x")
    with pytest.raises(MalformedModel, match="outside"):
        reader.number(flatbuffer._U32, -4, "x")
    with pytest.raises(MalformedModel, match="outside"):
        reader.follow(0, "x")
    with pytest.raises(MalformedModel, match="outside"):
        reader.span(4, 1, "x")


def test_names_are_safe_to_print() -> None:
    data = small_model().replace(b"\x01\0\0\0k\0", b"\x01\0\0\0\x1b\0", 1)
    names = [tensor.name for tensor in tflite.parse(data, "m").tensors]
    assert "\N{REPLACEMENT CHARACTER}" in names
    assert all(name.isprintable() for name in names)


@pytest.mark.parametrize(
    ("new", "words"), [(b"\x01\0\0\0\xff\0", "not UTF-8"), (b"\x01\0\0\0kk", "does not end where it should")]
)
def test_texts_are_whole(new: bytes, words: str) -> None:
    with pytest.raises(MalformedModel, match=words):
        tflite.parse(small_model().replace(b"\x01\0\0\0k\0", new, 1), "m")


def test_alignment_is_that_of_tflite() -> None:
    with pytest.raises(MalformedModel, match="byte 2 is not aligned to 4"):
        Reader(bytes(16)).number(flatbuffer._U32, 2, "x")
