"""The map of the arena tells what the plan does: places and lives of tensors, as the program's own bytes have them."""

from __future__ import annotations

from itertools import combinations

import pytest

from hil import api
from hil.model import tflite
from hil.paths import ZOO
from hil.plan import plan
from hil.plan.occupancy import Occupancy, Tenant
from hil.record.profile import MAP_TENSORS, memory_map
from tests.support.fakes import deployed, planned, tiny_model

MODELS = {path.stem: path for path in ZOO.glob("*/*.tflite")}


def meet(a: Tenant, b: Tenant) -> bool:
    """Whether two tensors want the same bytes at the same time."""
    times = a.first <= b.last and b.first <= a.last
    return times and a.offset < b.offset + b.bytes and b.offset < a.offset + a.bytes


def top(occupancy: Occupancy) -> int:
    return max(one.offset + one.bytes for one in occupancy.tenants)


@pytest.mark.parametrize("name", ["digits", "dscnn", "resnet8", "op_multi_io", "op_shape_moves"])
def test_no_two_tensors_want_the_same_bytes(name: str) -> None:
    graph = tflite.parse(MODELS[name].read_bytes(), name)
    found = plan(graph, planned().board, in_place=False)
    assert [(a, b) for a, b in combinations(found.occupancy.tenants, 2) if meet(a, b)] == []
    assert 0 <= found.arena_bytes - top(found.occupancy) < 4


@pytest.mark.parametrize("name", ["digits", "dscnn", "resnet8", "op_multi_io", "op_shape_moves"])
def test_outputs_lie_where_the_program_leaves_them(name: str) -> None:
    found = plan(tflite.parse(MODELS[name].read_bytes(), name), planned().board)
    places = {(one.name.split(",")[0], one.offset, one.bytes) for one in found.occupancy.tenants}
    graph, told = found.graph, 0
    for layer in found.layers:
        key = (f"tensor {layer.tensor}", layer.span.offset, layer.span.bytes)
        owner = any((offset, size) == key[1:] for _, offset, size in places)
        assert owner, f"{graph.tensors[layer.tensor]} is at {layer.span}, which the map does not have"
        told += key in places
    assert told > 0
    assert 0 <= found.arena_bytes - top(found.occupancy) < 4


@pytest.mark.parametrize("nodes", [1, 2, 4])
def test_the_nodes_of_a_split_have_maps_too(nodes: int) -> None:
    request = api.Request("rp2040", nodes=nodes, objective="ram")
    plans = (
        [node.plan for node in api.plan_cluster(MODELS["dscnn"], request).nodes]
        if nodes > 1
        else [api.plan(MODELS["dscnn"], request).plan]
    )
    assert len(plans) == nodes
    for one in plans:
        columns, tenants = one.occupancy.columns, one.occupancy.tenants
        assert all(0 <= t.first <= t.last < len(columns) for t in tenants)
        trace = one.program.trace_at if one.program.trace_at is not None else one.arena_bytes
        assert 0 <= trace - top(one.occupancy) < 4
        in_turns = {k for k, name in enumerate(columns) if name.endswith("in turns")}
        for a, b in combinations(tenants, 2):
            shared = set(range(max(a.first, b.first), min(a.last, b.last) + 1))
            if meet(a, b) and a.offset != b.offset:  # not one that takes the other's place
                assert shared <= in_turns, (columns, a, b)


def test_a_record_holds_the_largest_of_very_many() -> None:
    graph = tflite.parse(tiny_model(tensor_name="x" * 5000), "tiny")
    deployment = deployed(planned(tiny_model(tensor_name="x" * 5000)))
    found = memory_map(deployment)
    assert found["columns"] == [str(operator) for operator in graph.operators]
    assert max(len(row["tensor"]) for row in found["tensors"]) == 120
    assert found["left_out"] == 0
    many = Occupancy(("one",), tuple(Tenant("t", 4 * k, k, 0, 0) for k in range(2 * MAP_TENSORS)))
    object.__setattr__(deployment.plan, "occupancy", many)
    found = memory_map(deployment)
    assert (len(found["tensors"]), found["left_out"]) == (MAP_TENSORS, MAP_TENSORS)
    assert min(row["bytes"] for row in found["tensors"]) == MAP_TENSORS
