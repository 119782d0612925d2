"""A cluster's runs: who is asked what, in which order, and which error a run that fails becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hil.errors import (
    DeviceFault,
    DeviceRefused,
    HilError,
    LinkLost,
    LinkTimeout,
    NodeFailed,
    NodeLost,
    UsageError,
    WireFailed,
)
from hil.link import RunResult, RunState
from hil.model import inputs as input_sets
from tests.support.clusters import SILENT, FakeLink, deployed_cluster, finished, hello, linked, planned_cluster
from tests.support.fakes import tiny_model

DEPLOYMENT = deployed_cluster(planned_cluster(3, tiny_model(4096), objective="ram"))
VALUES = input_sets.generate(DEPLOYMENT.graph, 1, 0)[0]
OK = finished()
TIMEOUT, ABORTED, BROKEN = 14, 15, 16


def failing(ends: Sequence[RunResult | HilError | None], deaf: Sequence[int] = ()) -> tuple[HilError, tuple[int, ...]]:
    """The error of a run that ends so, and the nodes that are lost then."""
    with linked(ends, DEPLOYMENT) as cluster:
        cluster.run_limit = lambda _repeat=1: 0.05  # type: ignore[method-assign]
        for node in deaf:
            cluster.duts[node].link.back = SILENT  # type: ignore[attr-defined]
        with pytest.raises(HilError) as caught:
            cluster.infer(VALUES)
        for dut in cluster.duts:
            assert ("abort", None) in dut.link.asked, "every node is asked back"  # type: ignore[attr-defined]
        return caught.value, cluster.lost


def test_every_node_gets_its_pieces_and_node_0_starts_last() -> None:
    order: list[int] = []
    with linked([OK, OK, OK], DEPLOYMENT) as cluster:
        for number, dut in enumerate(cluster.duts):
            plain = dut.link.begin_run
            dut.link.begin_run = lambda *, _of=(number, plain), **options: (order.append(_of[0]), _of[1](**options))  # type: ignore[method-assign,assignment,misc]
        found = cluster.infer(VALUES)
        assert order == [2, 1, 0]
        for dut in cluster.duts:
            link = dut.link
            assert isinstance(link, FakeLink)
            wrote = [size for what, size in link.asked if what == "write"]
            assert wrote == [piece.span.bytes for piece in dut.deployment.plan.pieces]
        assert (found.microseconds, found.cycles, found.per_node) == (40, 5000, (40, 40, 40))
        assert found.outputs[0].shape == DEPLOYMENT.graph.tensors[DEPLOYMENT.graph.outputs[0]].shape


def test_runs_on_the_network_are_numbered_on() -> None:
    with linked([OK, OK, OK], DEPLOYMENT) as cluster:
        cluster.infer(VALUES)
        cluster.infer(VALUES, repeat=5)
        cluster.infer(VALUES)
        for dut in cluster.duts:
            link = dut.link
            assert isinstance(link, FakeLink)
            assert [asked for what, asked in link.asked if what == "begin"] == [(1, 1), (2, 5), (7, 1)]


def test_a_node_that_vanished_is_named_before_those_that_waited_for_it() -> None:
    error, lost = failing([finished(TIMEOUT, 0, 1), LinkLost("the port closed"), finished(TIMEOUT, 0, 1)], deaf=[1])
    assert isinstance(error, NodeLost)
    assert lost == (1,)
    assert error.exit_status == 4
    for part in ("node 1 (fake board 1)", "vanished: the port closed", "before node 0's step 0", "node 2 waited for"):
        assert part in error.message


def test_a_fault_is_named_before_a_silence() -> None:
    error, lost = failing([finished(TIMEOUT, 0, 2), OK, DeviceFault("hard fault on core 0 in step 3")])
    assert isinstance(error, NodeFailed)
    assert error.exit_status == 5
    assert error.message.startswith("node 2 (fake board 2), ")
    assert "hard fault on core 0 in step 3" in error.message
    assert lost == ()


def test_a_node_that_does_not_come_back_hangs() -> None:
    error, lost = failing([finished(TIMEOUT, 0, 1), None, OK], deaf=[1])
    assert isinstance(error, NodeFailed)
    assert lost == (1,)
    assert "node 1 (fake board 1)" in error.message
    assert "hangs" in error.message


def test_a_node_that_restarted_is_named() -> None:
    error, _ = failing([OK, finished(TIMEOUT, 0, 2), DeviceRefused("the device restarted since HELLO")])
    assert isinstance(error, NodeFailed)
    assert "node 2 (fake board 2), before node 1's step 0" in error.message
    assert "restarted" in error.message


def test_another_board_that_answers_is_lost() -> None:
    with linked([finished(TIMEOUT, 0, 1), OK, OK], DEPLOYMENT) as cluster:
        link = cluster.duts[1].link
        assert isinstance(link, FakeLink)
        link.back = replace(hello(DEPLOYMENT.nodes[1]), build_id="f" * 32)
        with pytest.raises(NodeFailed):
            cluster.infer(VALUES)
        assert cluster.lost == (1,)
        assert not cluster.usable


def test_an_engines_status_is_in_words() -> None:
    error, _ = failing([OK, finished(8, 5), OK])
    assert isinstance(error, NodeFailed)
    assert "node 1 (fake board 1), step 5" in error.message
    assert "values contradict each other" in error.message


def test_nodes_that_are_well_and_do_not_hear_each_other_are_the_wires_fault() -> None:
    error, lost = failing([finished(TIMEOUT, 0, 2), finished(ABORTED), finished(TIMEOUT, 0, 0)])
    assert isinstance(error, WireFailed)
    assert error.exit_status == 4
    assert error.hint
    assert lost == ()
    assert error.message.startswith("node 0 (fake board 0), step 0")
    assert "nothing came from node 2" in error.message
    assert "node 2 waited for node 0" in error.message


def test_a_broken_protocol_is_told_of_the_node_that_saw_it() -> None:
    error, _ = failing([OK, finished(BROKEN, 0, 2), OK])
    assert isinstance(error, WireFailed)
    assert "node 1 (fake board 1)" in error.message


def test_a_slow_node_is_named_when_others_gave_up() -> None:
    error, lost = failing([finished(TIMEOUT, 0, 1), None, OK])
    assert isinstance(error, NodeFailed)
    assert lost == ()
    assert "node 1 (fake board 1)" in error.message
    assert "not ready" in error.message


def test_a_node_that_never_heard_of_the_run_has_a_wire_that_failed() -> None:
    with linked([finished(TIMEOUT, 0, 1), None, OK], DEPLOYMENT) as cluster:
        cluster.run_limit = lambda _repeat=1: 0.05  # type: ignore[method-assign]
        link = cluster.duts[1].link
        assert isinstance(link, FakeLink)
        link.late = RunResult(RunState.RUNNING, 1, 0, 0, 0, 0)
        with pytest.raises(WireFailed, match=r"node 0 .*nothing came from node 1"):
            cluster.infer(VALUES)
        first = cluster.duts[0].link
        assert isinstance(first, FakeLink)
        first.ends = OK
        with pytest.raises(WireFailed, match=r"node 1 .*never came to it"):
            cluster.infer(VALUES)
        assert cluster.usable


def test_who_forgot_the_run_restarted() -> None:
    with linked([OK, None, OK], DEPLOYMENT) as cluster:
        cluster.run_limit = lambda _repeat=1: 0.05  # type: ignore[method-assign]
        link = cluster.duts[1].link
        assert isinstance(link, FakeLink)
        link.late = RunResult(RunState.NEVER_RAN, 0, 0, 0, 0, 0)
        with pytest.raises(NodeFailed, match=r"node 1 .*restarted"):
            cluster.infer(VALUES)
        link.late = replace(finished(), run=2)
        cluster.infer(VALUES)


def test_an_error_outside_of_runs_names_the_node_too() -> None:
    with linked([OK, OK, OK], DEPLOYMENT) as cluster:
        cluster.duts[1].link.write = lambda *_: (_ for _ in ()).throw(LinkTimeout("no answer"))  # type: ignore[method-assign]
        with pytest.raises(NodeFailed, match=r"^node 1 \(fake board 1\), at no step, while its inputs were written"):
            cluster.infer(VALUES)
        assert (cluster.lost, cluster.usable) == ((1,), False)


def test_nodes_that_never_end_are_stopped_at_the_limit() -> None:
    error, _ = failing([None, None, None])
    assert isinstance(error, NodeFailed)
    assert "node 0 (fake board 0)" in error.message
    assert "had not ended in time" in error.message


def test_a_node_that_refuses_to_begin_ends_the_run_of_all() -> None:
    with linked([OK, OK, OK], DEPLOYMENT) as cluster:
        link, first = cluster.duts[1].link, cluster.duts[0].link
        assert isinstance(link, FakeLink)
        assert isinstance(first, FakeLink)
        link.refuses = DeviceRefused("RUN refused: no program")
        with pytest.raises(NodeFailed, match=r"node 1 .*RUN refused"):
            cluster.infer(VALUES)
        assert not [what for what, _ in first.asked if what == "begin"]


def test_a_cluster_that_failed_and_came_back_is_usable() -> None:
    with linked([finished(TIMEOUT, 0, 1), OK, OK], DEPLOYMENT) as cluster:
        with pytest.raises(WireFailed):
            cluster.infer(VALUES)
        assert cluster.usable
        link = cluster.duts[0].link
        assert isinstance(link, FakeLink)
        link.ends = OK
        cluster.infer(VALUES)
        cluster.duts[2].station.alive_now = False  # type: ignore[attr-defined]
        assert not cluster.usable


def test_inputs_of_another_form_are_a_usage_error() -> None:
    with linked([OK, OK, OK], DEPLOYMENT) as cluster:
        for wrong in ((), (VALUES[0], VALUES[0]), (VALUES[0].reshape(-1, 1),), (VALUES[0].astype(np.float32),)):
            with pytest.raises(UsageError, match=r"^tiny"):
                cluster.infer(wrong)


def test_where_the_time_went_is_read_from_the_trace() -> None:
    with linked([OK, finished(us=100), OK], DEPLOYMENT) as cluster:
        found = cluster.infer(VALUES)
        program = cluster.duts[1].deployment.plan.program
        spans = program.exchanges()
        assert spans, "the model is split"
        assert program.trace_at is not None
        link = cluster.duts[1].link
        assert isinstance(link, FakeLink)
        words = np.array([[10 * k, 10 * k + 7, 3] for k in range(len(spans))], "<u4")
        link.write(program.trace_at, words.tobytes())
        assert [(x.first, x.end) for x in cluster.exchanges(1)] == list(spans)
        time = cluster.times(found)[1]
        count = len(spans)
        assert (time.total, time.compute, time.wait, time.wire) == (100, 100 - 7 * count, 3 * count, 4 * count)
