"""From a graph to a plan: what is predicted, what is refused and with which numbers, and what can be read when."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil import board
from hil.board import Cost
from hil.errors import BoardFileError, DoesNotFit, MalformedModel, UnsupportedModel
from hil.model import tflite
from hil.model.graph import Graph
from hil.model.work import macs
from hil.plan import Footprint, Interpreter, Plan, plan
from hil.plan.lower import LOWERINGS, lower
from hil.plan.memory import allocate
from hil.plan.records import Act, Arena, Blob, Const, Memory, Ref
from tests.support.fakes import FOOTPRINT, tiny_model
from tests.support.single import random_inputs
from tests.support.tflite_writer import ModelWriter

PICO = board.load("rp2040")


def dense(sizes: list[int], seed: int = 0) -> bytes:
    """FULLY_CONNECTED layers of these widths."""
    draw = np.random.default_rng(seed)
    w = ModelWriter("dense")
    at = first = w.activation("x", (1, sizes[0]), scale=0.05, zero_point=2)
    for k, (inside, outside) in enumerate(pairwise(sizes)):
        values = draw.integers(-127, 128, (outside, inside)).astype(np.int8)
        kernel = w.constant(f"k{k}", values, scale=0.02, zero_point=0)
        bias = w.constant(f"b{k}", np.zeros(outside, np.int32), scale=0.001, zero_point=0)
        after = w.activation(f"y{k}", (1, outside), scale=0.05, zero_point=2)
        w.operator("FULLY_CONNECTED", [at, kernel, bias], [after], activation="RELU" if k % 2 else "NONE")
        at = after
    return w.finish([first], [at])


def mixed(seed: int) -> bytes:
    """Convolutions with a residual branch, renamings, tables in place: everything that shares memory in a graph."""
    draw = np.random.default_rng(seed)
    w = ModelWriter("mixed")
    channels, side = int(draw.integers(1, 5)), int(draw.integers(3, 7))
    shape = (1, side, side, channels)
    x = at = w.activation("x", shape, scale=0.05, zero_point=1)
    for k in range(int(draw.integers(1, 6))):
        after = w.activation(f"t{k}", shape, scale=0.05, zero_point=1)
        match int(draw.integers(0, 4)):
            case 0:
                kernel = draw.integers(-127, 128, (channels, 3, 3, channels)).astype(np.int8)
                bias = w.constant(f"b{k}", np.zeros(channels, np.int32), scale=0.001, zero_point=0)
                w.operator("CONV_2D", [at, w.constant(f"k{k}", kernel, scale=0.02, zero_point=0), bias], [after],
                           padding="SAME")  # fmt: skip
            case 1:
                w.operator("ADD", [at, x], [after])
            case 2:
                w.operator("LOGISTIC", [at], [w.activation(f"l{k}", shape, scale=1 / 256, zero_point=-128)])
                w.operator("RELU", [at], [after])
            case _:
                flat = w.activation(f"f{k}", (1, side * side * channels), scale=0.05, zero_point=1)
                w.operator("RESHAPE", [at], [flat], new_shape=(1, side * side * channels))
                w.operator("RESHAPE", [flat], [after], new_shape=shape)
        at = after
    last = w.activation("last", shape, scale=0.05, zero_point=1)
    w.operator("RELU", [at], [last])
    return w.finish([x], [last])


def recomputed(graph: Graph, inputs: list[np.ndarray]) -> dict[int, bytes]:
    """Every activation, from the same kernels with a place of its own for each tensor: nothing is shared or lost."""
    lowered = lower(graph)
    places: dict[int, int] = {}
    end = 0
    for tensor in graph.tensors:
        places[tensor.index] = end
        end += (tensor.bytes + 15) // 16 * 16
    constants = bytearray()

    def root(ref: Ref) -> Ref:
        while isinstance(ref, Act) and ref.tensor in lowered.aliases:
            ref = lowered.aliases[ref.tensor]
        return ref

    def place(ref: Ref) -> Ref:
        ref = root(ref)
        if isinstance(ref, Act):
            return Arena(places[ref.tensor] + ref.offset)
        if isinstance(ref, Blob):
            constants.extend(bytes(-len(constants) % 16))
            constants.extend(ref.data)
            return Const(len(constants) - len(ref.data))
        return ref

    records = [job.record.placed(place) for job in lowered.jobs]
    memory = Memory(np.zeros(end, np.uint8), bytes(constants))
    for index, value in zip(graph.inputs, inputs, strict=True):
        memory.arena[places[index] : places[index] + value.nbytes] = np.frombuffer(value.tobytes(), np.uint8)
    for record in records:
        record.run(memory, record.extent().whole())
    found = {}
    for tensor in (graph.tensors[t] for op in graph.operators for t in op.outputs):
        ref = root(Act(tensor.index))
        if isinstance(ref, Act):
            found[tensor.index] = memory.arena[places[ref.tensor] :][: tensor.bytes].tobytes()
    return found


def layers_as_read(made: Plan, inputs: list[np.ndarray]) -> dict[int, bytes]:
    """Every layer, read at the one moment that the plan names."""
    interpreter = Interpreter(made.program)
    for index, value in enumerate(inputs):
        interpreter.write(index, value.tobytes())
    done, found = 0, {}
    for layer in made.layers:
        assert layer.steps >= done, "layers come in the order of their steps"
        for step in range(done, layer.steps):
            interpreter.step(step)
        done = layer.steps
        found[layer.tensor] = interpreter.read(layer.span)
    return found


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.booleans())
def test_every_layer_can_be_read_when_the_plan_says(seed: int, in_place: bool) -> None:
    graph = tflite.parse(mixed(seed), "mixed")
    inputs = random_inputs(graph, seed)
    made = plan(graph, PICO, in_place=in_place)
    expected = recomputed(graph, inputs)
    assert layers_as_read(made, inputs) == expected
    assert Interpreter(made.program).run(inputs) == tuple(expected[t] for t in graph.outputs)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_in_place_never_takes_more(seed: int) -> None:
    graph = tflite.parse(mixed(seed), "mixed")
    lowered = lower(graph)
    assert allocate(graph, lowered).lower_bound <= allocate(graph, lowered, in_place=False).lower_bound


def test_every_operator_has_its_layers() -> None:
    graph = tflite.parse(mixed(3), "mixed")
    made = plan(graph, PICO)
    assert sorted(layer.tensor for layer in made.layers) == sorted(t for op in graph.operators for t in op.outputs)
    assert {layer.operator for layer in made.layers} == {op.index for op in graph.operators}
    assert all(0 <= layer.steps <= len(made.program.steps) for layer in made.layers)


def test_a_plan_is_the_same_every_time() -> None:
    graph = tflite.parse(mixed(5), "mixed")
    first, second = plan(graph, PICO), plan(graph, PICO)
    assert first.program.data == second.program.data
    assert first == second


def test_what_is_predicted() -> None:
    graph = tflite.parse(tiny_model(), "tiny")
    made = plan(graph, PICO)
    assert made.macs == macs(graph) == 8 * 6 + 6 * 4
    plain = replace(PICO, costs={"conv": Cost((("macs", 6.4), ("outputs", 183.0)))})
    assert plan(graph, plain).cycles == round(6.4 * 72 + 183.0 * 10 + 2 * PICO.step_cost + PICO.run_cost)
    assert made.arena_bytes == 8 + 6, "input and hidden layer"
    assert made.tightest.operator == "operator 0 FULLY_CONNECTED"
    assert "'hidden'" in made.tightest.tensor
    assert made.ram_peak(FOOTPRINT) == 1_000 + 14 + 500
    assert made.kernels == {"conv"}
    assert made.operators == (0, 1)


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_too_much_ram_is_refused_with_the_numbers() -> None:
    graph = tflite.parse(dense([8, 150_000, 1]), "wide")
    made = plan(graph, PICO)
    small = replace(PICO, ram=replace(PICO.ram, bytes=100_000))
    with pytest.raises(DoesNotFit) as caught:
        replace(made, board=small).check_fit(FOOTPRINT)
    error = caught.value
    assert (error.needed, error.available) == (1_000 + made.arena_bytes, 100_000)
    assert error.operator == "operator 0 FULLY_CONNECTED"
    assert "'y0' (int8 1x150000)" in error.tensor
    for part in ("wide", "rp2040", str(error.needed), "100000", error.operator, error.tensor, "150008", "1000 static"):
        assert part in error.message, part
    assert error.exit_status == 3


def test_a_model_that_fills_the_ram_exactly_fits() -> None:
    made = plan(tflite.parse(tiny_model(), "tiny"), PICO)
    exact = replace(PICO, ram=replace(PICO.ram, bytes=FOOTPRINT.ram_static + made.arena_bytes))
    replace(made, board=exact).check_fit(FOOTPRINT)
    with pytest.raises(DoesNotFit):
        replace(made, board=replace(exact, ram=replace(exact.ram, bytes=exact.ram.bytes - 1))).check_fit(FOOTPRINT)


def test_too_much_flash_is_refused_with_the_numbers() -> None:
    made = plan(tflite.parse(tiny_model(), "tiny"), PICO)
    program = len(made.program.data)
    small = replace(PICO, flash=replace(PICO.flash, bytes=10_000 + program - 1))
    with pytest.raises(DoesNotFit) as caught:
        replace(made, board=small).check_fit(FOOTPRINT)
    assert (caught.value.needed, caught.value.available) == (10_000 + program, 10_000 + program - 1)
    for part in ("flash", f"{program} for the program", "10000 for code"):
        assert part in caught.value.message
    replace(made, board=replace(PICO, flash=replace(PICO.flash, bytes=10_000 + program))).check_fit(FOOTPRINT)


def test_before_the_firmware_is_known_nothing_is_said_of_it() -> None:
    made = plan(tflite.parse(tiny_model(), "tiny"), PICO)
    nothing = Footprint(0, 0, ())
    for small, why in (
        (replace(PICO, ram=replace(PICO.ram, bytes=1)), f"({made.arena_bytes} for tensors alone)"),
        (replace(PICO, flash=replace(PICO.flash, bytes=1)), f"({len(made.program.data)} for the program alone)"),
    ):
        with pytest.raises(DoesNotFit) as caught:
            replace(made, board=small).check_fit(nothing)
        assert why in caught.value.message


def test_a_stack_that_is_too_deep_is_refused() -> None:
    made = plan(tflite.parse(tiny_model(), "tiny"), PICO)
    made.check_fit(Footprint(0, 0, (PICO.stack_per_core,)))
    with pytest.raises(DoesNotFit, match="core 0's stack needs 4097 bytes, 4096 are available"):
        made.check_fit(Footprint(0, 0, (PICO.stack_per_core + 1,)))


def test_an_unknown_operator_is_refused_by_name() -> None:
    graph = tflite.parse(tiny_model(), "tiny")
    odd = replace(graph, operators=(graph.operators[0], replace(graph.operators[1], kind="SVDF")))
    with pytest.raises(UnsupportedModel) as caught:
        plan(odd, PICO)
    for part in ("tiny", "operator 1 SVDF", "'y'", "is not supported", "supported: ", "FULLY_CONNECTED"):
        assert part in caught.value.message
    assert all(kind in caught.value.message for kind in LOWERINGS)


def test_a_float_model_is_refused_before_anything_is_planned() -> None:
    w = ModelWriter("float")
    x, y = w.activation("x", (1, 4), dtype="float32"), w.activation("y", (1, 2), dtype="float32")
    w.operator("FULLY_CONNECTED", [x, w.constant("k", np.ones((2, 4), np.float32)), -1], [y])
    data = w.finish([x], [y])
    with pytest.raises(UnsupportedModel, match=r"operator 0 FULLY_CONNECTED, tensor .* float32"):
        plan(tflite.parse(data, "float"), PICO)


def test_a_board_without_the_cost_of_a_kernel_is_named() -> None:
    graph = tflite.parse(tiny_model(), "tiny")
    poor = replace(PICO, costs={k: v for k, v in PICO.costs.items() if k != "conv"})
    with pytest.raises(BoardFileError, match=r"^rp2040\.toml: cost\.conv: missing"):
        plan(graph, poor)


def test_a_cost_of_what_nobody_counts_is_named() -> None:
    odd = replace(PICO, costs=PICO.costs | {"conv": Cost((("turns", 1.0), ("bends", 2.0)))})
    with pytest.raises(BoardFileError, match=r"^rp2040\.toml: cost\.conv\.bends: nothing is counted by that name"):
        plan(tflite.parse(tiny_model(), "tiny"), odd)


def test_damage_is_refused_as_malformed() -> None:
    data = tiny_model()
    with pytest.raises(MalformedModel):
        tflite.parse(data[: len(data) // 2], "half")
