"""Splits are right whatever the division: the programs of all nodes together compute what one node does."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil import board
from hil.errors import DoesNotFit
from hil.model import tflite
from hil.model.graph import Graph
from hil.plan import Interpreter, plan
from hil.plan.program import Receive, Send
from hil.plan.split import Cluster, Node, Objective, Split, split
from hil.plan.split.splitter import divisible, finished, lay
from hil.wire import wire
from tests.support.divisions import random_units
from tests.support.forks import FORKS
from tests.support.pictures import picture
from tests.support.single import random_inputs

PICO, PICO2 = board.load("rp2040"), board.load("rp2350")
UART = wire("uart-3M")
SEEDS = st.integers(0, 10_000_000)


def alone(graph: Graph, seed: int) -> tuple[bytes, ...]:
    return Interpreter(plan(graph, PICO).program).run(random_inputs(graph, seed))


def together(found: Split, seed: int) -> tuple[bytes, ...]:
    return Cluster(found.plans).run(random_inputs(found.graph, seed))


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.integers(1, 6), st.integers(1, 2), st.booleans(), st.booleans())
def test_any_division_computes_the_same(seed: int, nodes: int, cores: int, apart: bool, kept: bool) -> None:
    graph = tflite.parse(picture(seed), "picture")
    units = random_units(graph, nodes, seed)
    laid = lay(divisible(graph), units, [Node(PICO, cores)] * nodes, apart=apart, keep_inputs=kept)
    found = finished(laid, UART, "latency", {})
    cluster = Cluster(found.plans)
    values = random_inputs(graph, seed)
    assert cluster.run(values) == alone(graph, seed)
    for made, arrangement in zip(found.plans, laid.arrangements, strict=True):
        assert arrangement.live < made.arena_bytes + 4
        sizes = [
            made.program.operators[step.operator].size(step.first, step.end)  # type: ignore[attr-defined]
            * (step.peers.bit_count() if isinstance(step, Send) else 1)
            for step in made.program.steps
            if isinstance(step, Send | Receive)
        ]
        assert sum(sizes) == made.bytes_sent + made.bytes_received
    assert sum(p.bytes_sent for p in found.plans) == sum(p.bytes_received for p in found.plans)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.lists(st.sampled_from([PICO, PICO2]), min_size=1, max_size=5), st.data())
def test_what_is_chosen_computes_the_same_and_fits(seed: int, boards: list[board.Board], data: st.DataObject) -> None:
    graph = tflite.parse(picture(seed), "picture")
    objective = data.draw(st.sampled_from(["latency", "ram", "traffic", "throughput"]))
    link = data.draw(st.sampled_from(["uart-3M", "ethernet-100M", "uart-115200"]))
    found = split(graph, [Node(b) for b in boards], wire(link), objective=objective)
    assert together(found, seed) == alone(graph, seed)
    timing = found.timing
    assert timing.total_us == pytest.approx(timing.compute_us + timing.wire_us + timing.wait_us)
    assert found.plans == split(graph, [Node(b) for b in boards], wire(link), objective=objective).plans


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(2, 5))
def test_less_ram_is_kept_to_or_refused(seed: int, nodes: int) -> None:
    graph = tflite.parse(picture(seed), "picture")
    least = split(graph, [Node(PICO)] * nodes, UART, objective="ram")
    ram = max(p.arena_bytes for p in least.plans)
    small = dataclasses.replace(PICO, ram=dataclasses.replace(PICO.ram, bytes=ram))
    found = split(graph, [Node(small)] * nodes, UART)
    assert max(p.arena_bytes for p in found.plans) <= ram
    assert together(found, seed) == alone(graph, seed)
    none = dataclasses.replace(PICO, ram=dataclasses.replace(PICO.ram, bytes=2))
    with pytest.raises(DoesNotFit) as refused:
        split(graph, [Node(none)] * nodes, UART)
    assert refused.value.needed > refused.value.available == 2


@pytest.mark.parametrize("objective", ["latency", "ram", "traffic", "throughput"])
@pytest.mark.parametrize("name", FORKS)
def test_models_with_several_ends(name: str, objective: Objective) -> None:
    graph = tflite.parse(FORKS[name](), name)
    for nodes in 1, 2, 3, 5:
        found = split(graph, [Node(PICO)] * nodes, UART, objective=objective)
        assert together(found, 1) == alone(graph, 1)


@pytest.mark.parametrize("name", FORKS)
@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_any_division_of_models_with_several_ends(name: str, seed: int, nodes: int) -> None:
    graph = tflite.parse(FORKS[name](), name)
    laid = lay(divisible(graph), random_units(graph, nodes, seed), [Node(PICO)] * nodes)
    assert together(finished(laid, UART, "latency", {}), seed) == alone(graph, seed)


@pytest.mark.parametrize("name", FORKS)
def test_a_lone_node_is_given_every_input_as_it_is(name: str) -> None:
    graph = tflite.parse(FORKS[name](), name)
    for objective in "latency", "ram":
        (made,) = split(graph, [Node(PICO)], UART, objective=objective).plans
        whole = [span.bytes for span in plan(graph, PICO).program.inputs]
        assert [span.bytes for span in made.program.inputs] == whole
        assert Interpreter(made.program).run(random_inputs(graph, 3)) == alone(graph, 3)


def test_a_node_without_work_uses_one_core() -> None:
    graph = tflite.parse(FORKS["one"](), "one")
    found = split(graph, [Node(PICO, 2)] * 3, UART, objective="throughput")
    assert [p.cores for p in found.plans] == [p.program.cores for p in found.plans] == [2, 1, 1]
