"""Reading `.tflite`: what a file says is in the graph; what contradicts itself or is not run is refused by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as generated

from hil.errors import HilError, MalformedModel, UnsupportedModel, UsageError
from hil.model import graph as g
from hil.model import schema, tflite
from hil.model.work import macs
from tests.support.models import public_models, small_model, small_writer
from tests.support.tflite_writer import OPERATORS, ModelWriter


def test_the_small_model_reads_back() -> None:
    data = small_model()
    graph = tflite.parse(data, "small")
    assert (graph.name, graph.source, graph.inputs, graph.outputs) == ("small", data, (0,), (4,))
    assert graph.tensors[0] == g.Tensor(0, "x", (1, 4, 4, 2), "int8", g.Quantisation((float(np.float32(0.05)),), (3,)))
    weights = graph.tensors[1]
    assert weights.quantisation is not None
    assert weights.quantisation.per_channel
    assert weights.quantisation.scale == tuple(float(np.float32(s)) for s in (0.01, 0.02, 0.03))
    assert weights.data is not None
    assert weights.data.dtype == np.int8
    assert np.array_equal(weights.data.ravel(), np.arange(54) - 27)
    with pytest.raises(ValueError, match="read-only"):
        weights.data[0, 0, 0, 0] = 1
    conv, softmax = graph.operators
    assert conv == g.Operator(0, "CONV_2D", 3, (0, 1, 2), (3,), g.Conv2D("SAME", (2, 2), (1, 1), "RELU"))
    assert softmax == g.Operator(1, "SOFTMAX", 2, (3,), (4,), g.Softmax(1.0))
    assert macs(graph) == 2 * 2 * 3 * 3 * 3 * 2


# kind -> options as the writer takes them, and what the graph must hold
OPTIONS: dict[str, tuple[dict[str, Any], g.Options]] = {
    "CONV_2D": (
        {"padding": "SAME", "stride": (2, 3), "dilation": (4, 5), "activation": "RELU6"},
        g.Conv2D("SAME", (2, 3), (4, 5), "RELU6"),
    ),
    "DEPTHWISE_CONV_2D": (
        {"padding": "VALID", "stride": (2, 3), "dilation": (4, 5), "activation": "RELU", "depth_multiplier": 2},
        g.DepthwiseConv2D("VALID", (2, 3), (4, 5), 2, "RELU"),
    ),
    "FULLY_CONNECTED": (
        {"activation": "RELU_N1_TO_1", "keep_num_dims": True, "weights_format": 1, "asymmetric_quantize_inputs": True},
        g.FullyConnected("RELU_N1_TO_1", True, 1, True),
    ),
    "AVERAGE_POOL_2D": (
        {"padding": "SAME", "stride": (2, 3), "filter": (4, 5), "activation": "TANH"},
        g.Pool2D("SAME", (2, 3), (4, 5), "TANH"),
    ),
    "MAX_POOL_2D": ({"stride": (1, 2), "filter": (2, 1)}, g.Pool2D("VALID", (1, 2), (2, 1), "NONE")),
    "ADD": ({"activation": "SIGN_BIT"}, g.Elementwise("SIGN_BIT")),
    "SUB": ({"activation": "RELU"}, g.Elementwise("RELU")),
    "MUL": ({}, g.Elementwise("NONE")),
    "MEAN": ({"keep_dims": True}, g.Reducer(True)),
    "PAD": ({}, g.NoOptions()),
    "RESHAPE": ({"new_shape": (2, -1)}, g.Reshape((2, -1))),
    "SQUEEZE": ({"dims": (0, -1)}, g.Squeeze((0, -1))),
    "EXPAND_DIMS": ({}, g.NoOptions()),
    "TRANSPOSE": ({}, g.NoOptions()),
    "CONCATENATION": ({"axis": -1, "activation": "RELU"}, g.Concatenation(-1, "RELU")),
    "SPLIT": ({"num_splits": 1}, g.Split(1)),
    "SPLIT_V": ({"num_splits": 1}, g.Split(1)),
    "STRIDED_SLICE": (
        {
            "begin_mask": 1,
            "end_mask": 2,
            "ellipsis_mask": 4,
            "new_axis_mask": 8,
            "shrink_axis_mask": 16,
            "offset": True,
        },
        g.StridedSlice(1, 2, 4, 8, 16, True),
    ),
    "PACK": ({"values_count": 2, "axis": 3}, g.Pack(2, 3)),
    "UNPACK": ({"num": 1, "axis": -2}, g.Unpack(1, -2)),
    "SOFTMAX": ({"beta": 0.5}, g.Softmax(0.5)),
    "LOG_SOFTMAX": ({}, g.NoOptions()),
    "LOGISTIC": ({}, g.NoOptions()),
    "TANH": ({}, g.NoOptions()),
    "RELU": ({}, g.NoOptions()),
    "RELU6": ({}, g.NoOptions()),
    "LEAKY_RELU": ({"alpha": -0.25}, g.LeakyRelu(-0.25)),
    "HARD_SWISH": ({}, g.NoOptions()),
    "QUANTIZE": ({}, g.NoOptions()),
    "DEQUANTIZE": ({}, g.NoOptions()),
}
COUNTS = {"CONV_2D": 3, "FULLY_CONNECTED": 3, "STRIDED_SLICE": 4, "SPLIT_V": 3} | dict.fromkeys(
    ("DEPTHWISE_CONV_2D", "ADD", "SUB", "MUL", "MEAN", "PAD", "EXPAND_DIMS", "TRANSPOSE", "SPLIT", "PACK"), 2
)


def _one(kind: str, options: dict[str, Any], *, inputs: int | None = None, version: int | None = None) -> bytes:
    """A model of one operator; its inputs after the first are constants (the shapes fit DEPTHWISE_CONV_2D)."""
    w = ModelWriter()
    x = w.activation("x", (1, 2, 2, 3), 0.1, 0)
    more = range(1, COUNTS.get(kind, 1) if inputs is None else inputs)
    constants = [w.constant("c", np.zeros((1, 1, 1, 6), np.int8), 0.1, 0) for _ in more]
    y = w.activation("y", (1, 2, 2, 6), 0.1, 0)
    w.operator(kind, [x, *constants], [y], version=version, **options)
    return w.finish([x], [y])


def test_the_table_of_options_is_complete() -> None:
    assert set(OPTIONS) == set(OPERATORS) == set(schema.KINDS)


@pytest.mark.parametrize("kind", sorted(OPTIONS))
def test_options_read_back(kind: str) -> None:
    given, wanted = OPTIONS[kind]
    operator = tflite.parse(_one(kind, given), "m").operators[0]
    assert (operator.kind, operator.options) == (kind, wanted)


@pytest.mark.parametrize("kind", sorted(OPTIONS))
def test_versions_and_counts_are_held(kind: str) -> None:
    given, _ = OPTIONS[kind]
    for version in (0, -1, schema.KINDS[kind].versions + 1, 2**31 - 1):
        with pytest.raises(UnsupportedModel, match=f"operator 0 {kind}: version"):
            tflite.parse(_one(kind, given, version=version), "m")
    most = schema.KINDS[kind].inputs[1]
    if most is not None:
        with pytest.raises(MalformedModel, match=f"operator 0 {kind}: {most + 1} inputs"):
            tflite.parse(_one(kind, given, inputs=most + 1), "m")


def test_numbers_of_the_schema() -> None:
    def members(enum: type) -> dict[int, str]:
        return {number: name for name, number in vars(enum).items() if not name.startswith("_")}

    operators, types = members(generated.BuiltinOperator), members(generated.TensorType)
    assert tuple(operators[k] for k in range(len(operators))) == schema.BUILTIN_OPERATORS
    assert tuple(types[k].lower() for k in range(len(types))) == schema.TENSOR_TYPES
    assert tuple(members(generated.ActivationFunctionType).values()) == schema.ACTIVATIONS
    for name, number in schema.UNION_NUMBERS.items():
        assert getattr(generated.BuiltinOptions, name) == number
    assert set(get_args(schema.Union)) == set(schema.UNION_NUMBERS)


def _changed(change: Callable[[ModelWriter], object]) -> bytes:
    """The small model after a change to the writer's objects."""
    w, x, z = small_writer()
    w.graph.inputs, w.graph.outputs = [x], [z]
    change(w)
    builder = flatbuffers.Builder(1024)
    builder.Finish(w.model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _set(target: str, value: object) -> Callable[[ModelWriter], object]:
    """A change of one attribute; `target` is a path such as `graph.tensors[1].type`."""

    def change(w: ModelWriter) -> None:
        owner, _, attribute = target.rpartition(".")
        setattr(eval(owner, {"model": w.model, "graph": w.graph}), attribute, value)

    return change


def _quantisation(scale: list[float], zero_point: list[int], axis: int = 0, details: int = 0) -> Any:
    entry = generated.QuantizationParametersT()
    entry.scale, entry.zeroPoint, entry.quantizedDimension, entry.detailsType = scale, zero_point, axis, details
    return entry


def _metadata(buffer: int) -> Any:
    entry = generated.MetadataT()
    entry.name, entry.buffer = "note", buffer
    return entry


def _signature(tensor: int, subgraph: int) -> Any:
    entry, signature = generated.TensorMapT(), generated.SignatureDefT()
    entry.name, entry.tensorIndex = "x", tensor
    signature.inputs, signature.outputs, signature.signatureKey, signature.subgraphIndex = [entry], [], "k", subgraph
    return signature


def _external(w: ModelWriter) -> None:
    w.model.buffers.append(generated.BufferT())
    w.model.buffers[-1].offset, w.model.buffers[-1].size = 4096, 54


MALFORMED: dict[str, tuple[Callable[[ModelWriter], object], str]] = {
    "schema version": (_set("model.version", 2), "schema version 2"),
    "no inputs": (_set("graph.inputs", []), "0 inputs"),
    "no outputs": (_set("graph.outputs", []), "0 outputs"),
    "no operators": (_set("graph.operators", []), "0 operators"),
    "no buffers": (_set("model.buffers", []), "no buffers"),
    "input out of range": (_set("graph.inputs", [5]), "graph inputs: tensor 5 of 5"),
    "negative input": (_set("graph.inputs", [-1]), "tensor -1"),
    "input twice": (_set("graph.inputs", [0, 0]), "name a tensor twice"),
    "input is a constant": (_set("graph.inputs", [0, 1]), "tensor 1 'k' .* is a constant"),
    "nobody makes the output": (
        lambda w: (w.activation("n", (1,), 1.0, 0), _set("graph.outputs", [5])(w)),
        "made by no",
    ),
    "operator code": (_set("graph.operators[0].opcodeIndex", 2), "operator 0: operator code 2 of 2"),
    "operator input": (_set("graph.operators[0].inputs", [0, 1, 9]), "operator 0 CONV_2D: inputs: tensor 9"),
    "absent input": (_set("graph.operators[0].inputs", [0, 1, -1]), "operator 0 CONV_2D: input 2 is absent"),
    "absent output": (_set("graph.operators[0].outputs", [-1]), "operator 0 CONV_2D: outputs: tensor -1"),
    "no operator outputs": (_set("graph.operators[0].outputs", []), "operator 0 CONV_2D: 0 outputs"),
    "order": (lambda w: w.graph.operators.reverse(), "operator 0 SOFTMAX: tensor 3 'y' .* before anything makes it"),
    "made twice": (_set("graph.operators[1].outputs", [3]), "operator 1 SOFTMAX: .* already made"),
    "overwrites the input": (_set("graph.operators[1].outputs", [0]), "operator 1 SOFTMAX: .* already made"),
    "overwrites a constant": (_set("graph.operators[1].outputs", [1]), "operator 1 SOFTMAX: its output .* constant"),
    "other options": (_set("graph.operators[0].builtinOptionsType", 11), "CONV_2D: its options are of type 11"),
    "no options": (_set("graph.operators[0].builtinOptions", None), "CONV_2D: stride height is 0"),
    "stride": (_set("graph.operators[0].builtinOptions.strideW", 0), "CONV_2D: stride width is 0"),
    "dilation": (_set("graph.operators[0].builtinOptions.dilationHFactor", -1), "CONV_2D: dilation height is -1"),
    "padding": (_set("graph.operators[0].builtinOptions.padding", 2), "CONV_2D: padding 2"),
    "activation": (_set("graph.operators[0].builtinOptions.fusedActivationFunction", 6), "fused activation 6"),
    "beta": (_set("graph.operators[1].builtinOptions.beta", math.nan), "operator 1 SOFTMAX: .* nan"),
    "tensor type": (_set("graph.tensors[1].type", 19), "tensor 1 'k': type 19"),
    "buffer": (_set("graph.tensors[1].buffer", 3), "tensor 1 'k': buffer 3 of 3"),
    "bytes": (_set("graph.tensors[1].shape", [3, 3, 3, 3]), "tensor 1 'k': int8 .* needs 81 bytes, its buffer has 54"),
    "bytes of the type": (_set("graph.tensors[2].type", 4), "tensor 2 'b': int64 .* needs 24 bytes, its buffer has 12"),
    "scale 0": (_set("graph.tensors[0].quantization", _quantisation([0.0], [0])), "tensor 0 'x': a scale"),
    "scale below 0": (_set("graph.tensors[0].quantization", _quantisation([-1.0], [0])), "tensor 0 'x': a scale"),
    "scale nan": (_set("graph.tensors[0].quantization", _quantisation([math.nan], [0])), "tensor 0 'x': a scale"),
    "scale inf": (_set("graph.tensors[0].quantization", _quantisation([math.inf], [0])), "tensor 0 'x': a scale"),
    "zero point": (
        _set("graph.tensors[0].quantization", _quantisation([1.0], [128])),
        "zero point is outside -128 to 127",
    ),
    "zero point of a bias": (
        _set("graph.tensors[2].quantization", _quantisation([1.0], [1])),
        "zero point is outside 0",
    ),
    "no zero point": (_set("graph.tensors[0].quantization", _quantisation([1.0], [])), "1 scales but 0 zero points"),
    "too few zero points": (
        _set("graph.tensors[1].quantization", _quantisation([1.0] * 3, [0])),
        "3 scales but 1 zero",
    ),
    "axis": (_set("graph.tensors[1].quantization", _quantisation([1.0] * 3, [0] * 3, 4)), "along axis 4"),
    "negative axis": (_set("graph.tensors[0].quantization", _quantisation([1.0], [0], -1)), "along axis -1"),
    "scales along an axis": (
        _set("graph.tensors[1].quantization", _quantisation([1.0] * 2, [0] * 2)),
        "2 scales along",
    ),
    "no quantisation": (_set("graph.tensors[3].quantization", None), "operator 0 CONV_2D: tensor 3 'y' .* no quantis"),
    "input not quantised": (
        _set("graph.tensors[0].quantization", None),
        "graph input: tensor 0 'x' .* no quantisation",
    ),
    "metadata": (_set("model.metadata", [_metadata(3)]), "metadata 0: buffer 3 of 3"),
    "signature": (_set("model.signatureDefs", [_signature(5, 0)]), "signature 0: .* tensor 5 of 5"),
    "signature's subgraph": (_set("model.signatureDefs", [_signature(0, 1)]), "signature 0: subgraph 1"),
}
UNSUPPORTED: dict[str, tuple[Callable[[ModelWriter], object], str]] = {
    "two subgraphs": (lambda w: w.model.subgraphs.append(w.graph), "2 subgraphs; exactly one"),
    "no subgraph": (_set("model.subgraphs", []), "0 subgraphs"),
    "float16 input": (_set("graph.tensors[0].type", 1), "graph input tensor 0 'x' .* int8 and float32"),
    "int16 input": (
        lambda w: (_set("graph.tensors[0].type", 7)(w), _set("graph.tensors[0].quantization.zeroPoint", [0])(w)),
        "graph input tensor 0 'x' .* int16; supported are int8"),
    "int4 weights": (_set("graph.tensors[1].type", 17), "operator 0 CONV_2D: tensor 1 'k'"),
    "string": (_set("graph.tensors[3].type", 5), "operator 0 CONV_2D: tensor 3 'y'"),
    "rank": (_set("graph.tensors[3].shape", [1] * 9), "tensor 3 'y': 9 dimensions; up to 8"),
    "empty": (_set("graph.tensors[0].shape", [1, 0, 4, 2]), "tensor 0 'x': shape .* fixed dimensions of at least 1"),
    "open": (_set("graph.tensors[0].shape", [-1, 4, 4, 2]), "tensor 0 'x': shape .* fixed dimensions"),
    "huge": (_set("graph.tensors[0].shape", [2**14, 2**14]), "268435456 elements"),
    "overflow": (_set("graph.tensors[0].shape", [2**31 - 1] * 8), "elements; fewer than"),
    "variable": (_set("graph.tensors[3].isVariable", True), "tensor 3 'y': a variable tensor"),
    "sparse": (_set("graph.tensors[1].sparsity", generated.SparsityParametersT()), "tensor 1 'k': a sparse tensor"),
    "external": (_external, "outside the flatbuffer"),
    "custom quantisation": (
        _set("graph.tensors[0].quantization", _quantisation([1.0], [0], 0, 1)), "tensor 0 'x': custom"),
    "scale per channel of an activation": (
        _set("graph.tensors[3].quantization", _quantisation([1.0] * 3, [0] * 3, 3)), "tensor 3 'y' .* per channel"),
    "custom operator": (
        lambda w: [_set(f"model.operatorCodes[0].{k}", v)(w) for k, v in (("builtinCode", 32), ("customCode", "Mine"))],
        "operator 0 CUSTOM 'Mine' on tensor 0 'x' .*: not supported; supported are ADD, "),
    "other operator": (_set("model.operatorCodes[0].builtinCode", 27), "operator 0 SVDF on tensor 0 'x'"),
    "newest operator": (
        _set("model.operatorCodes[0].builtinCode", len(schema.BUILTIN_OPERATORS) - 1), "operator 0 STABLEHLO_CASE"),
    "unknown operator": (
        _set("model.operatorCodes[0].builtinCode", len(schema.BUILTIN_OPERATORS)), "operator code 0: builtin operator"),
    "bias type": (_set("graph.operators[0].builtinOptions.quantizedBiasType", 4), "CONV_2D: quantised bias type 4"),
    "output twice": (_set("graph.outputs", [4, 4]), "name a tensor twice"),
    "output is a constant": (_set("graph.outputs", [1]), "graph output tensor 1 'k' .* not computed"),
    "output is the input": (_set("graph.outputs", [0]), "graph output tensor 0 'x' .* not computed"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(MALFORMED))
def test_malformed(case: str) -> None:
    change, words = MALFORMED[case]
    with pytest.raises(MalformedModel, match=f"^model bad: .*{words}"):
        tflite.parse(_changed(change), "bad")


@pytest.mark.parametrize("case", sorted(UNSUPPORTED))
def test_unsupported(case: str) -> None:
    change, words = UNSUPPORTED[case]
    with pytest.raises(UnsupportedModel, match=f"^model bad: .*{words}"):
        tflite.parse(_changed(change), "bad")


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("SPLIT", {"num_splits": 2}, "1 outputs, its options say 2"),
        ("UNPACK", {"num": 3}, "1 outputs, its options say 3"),
        ("PACK", {"values_count": 3}, "2 inputs, its options say 3"),
        ("DEPTHWISE_CONV_2D", {"depth_multiplier": 3}, "depth multiplier 3 does not lead from"),
        ("STRIDED_SLICE", {"begin_mask": 256}, "mask 256"),
        ("STRIDED_SLICE", {"end_mask": -1}, "mask -1"),
        ("MAX_POOL_2D", {"filter": (0, 1)}, "filter height is 0"),
        ("FULLY_CONNECTED", {"weights_format": 2}, "weights format 2"),
        ("LEAKY_RELU", {"alpha": math.inf}, ".* is inf"),
    ],
)
def test_options_that_contradict(kind: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(MalformedModel, match=f"operator 0 {kind}: {words}"):
        tflite.parse(_one(kind, options), "m")


def test_what_does_not_matter_is_accepted() -> None:
    for change in (
        _set("model.metadata", [_metadata(2)]),
        _set("model.signatureDefs", [_signature(0, 0)]),
        _set("graph.tensors[0].shapeSignature", [-1, 4, 4, 2]),
        _set("graph.tensors[0].name", None),
        _set("graph.operators[1].inputs", [3]),
        lambda w: w.activation("unused", (7,), dtype="int16"),
    ):
        assert tflite.parse(_changed(change), "m").operator_counts() == {"CONV_2D": 1, "SOFTMAX": 1}


def test_buffer_0_has_no_data_whatever_it_holds() -> None:
    def fill(w: ModelWriter) -> None:
        w.model.buffers[0].data = np.zeros(32, np.uint8)

    assert tflite.parse(_changed(fill), "m").tensors[0].data is None


def test_the_larger_operator_code_counts() -> None:
    graph = tflite.parse(
        _changed(_set("model.operatorCodes[0].builtinCode", 0)), "m"
    )  # an old file: only the old field
    assert graph.operators[0].kind == "CONV_2D"


def test_the_axis_of_a_bias_is_mended_for_the_reference() -> None:
    old = _changed(_set("graph.tensors[2].quantization", _quantisation([1.0, 2.0, 3.0], [0, 0, 0], 3)))
    graph = tflite.parse(old, "old")
    assert graph.tensors[2].quantisation == g.Quantisation((1.0, 2.0, 3.0), (0, 0, 0), 0)
    again = tflite.parse(tflite.for_reference(graph), "mended")
    assert (again.tensors, again.operators) == (graph.tensors, graph.operators)
    assert sum(a != b for a, b in zip(again.source, old, strict=True)) == 1
    sound = tflite.parse(small_model(), "sound")
    assert tflite.for_reference(sound) == sound.source


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "some.name.tflite"
    path.write_bytes(small_model())
    assert tflite.load(path).name == "some.name"
    with pytest.raises(UsageError, match="no such file"):
        tflite.load(tmp_path / "none.tflite")
    with pytest.raises(UsageError, match="not a file"):
        tflite.load(tmp_path)
    with pytest.raises(UsageError, match="not a file"):
        tflite.load(Path("/dev/zero"))
    with pytest.raises(UsageError, match="null"):
        tflite.load(tmp_path / "a\0b")
    with pytest.raises(HilError, match="cannot be read"):
        tflite.load(path / "inside")
    big = tmp_path / "big.tflite"
    with big.open("wb") as handle:
        handle.truncate(tflite.MAX_FILE_BYTES + 1)
    with pytest.raises(UnsupportedModel, match="up to"):
        tflite.load(big)


def test_public_models() -> None:
    folder = public_models()
    for entry in json.loads((folder / "MANIFEST.json").read_text()):
        graph = tflite.load(folder / f"{entry['name']}.tflite")
        assert graph.sha256 == entry["sha256"]
        assert graph.operator_counts() == dict(sorted(entry["ops"].items()))
        assert macs(graph) == entry["macs"]
        shapes = [list(graph.tensors[index].shape) for index in (*graph.inputs, *graph.outputs)]
        assert shapes == [tensor["shape"] for tensor in (*entry["inputs"], *entry["outputs"])]
