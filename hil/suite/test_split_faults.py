"""What a cluster must survive: frames that are lost, spoilt, late or many; nodes that restart, hang, vanish or crawl.

Each run ends in the right answer, or in an error that names node, step and cause, in bounded time; and the next run is
right. What goes wrong, and when, is drawn from the number of the run alone.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from hil.bench import Breakable
from hil.cases import Case
from hil.cluster import Cluster
from hil.errors import NodeFailed, NodeLost, WireFailed
from hil.link.switch import Fault
from hil.measure import compare
from hil.plan.program import Receive
from hil.pytest_session import Session

_WIRE = ("drop", "damage", "double", "reorder", "delay", "cut")
_NODE = ("reset", "halt", "unplug", "slow")
_NAMED = re.compile(r"^node \d+ \(.+?\), [^:]*step.*: \S")
_REQUEST_US = 820
"""What telling a node to run takes on its console, in its time, roughly."""


@dataclass(frozen=True)
class _Trouble:
    """Something that goes wrong in a run."""

    what: str
    begin: Callable[[], None]
    end: Callable[[], None]
    spoils: int | None = None
    """The node that cannot be used any more."""


def test_fault(
    hil_fault: int,
    hil_kin: tuple[Case, ...],
    hil_session: Session,
    request: pytest.FixtureRequest,
) -> None:
    """One run with one kind of fault, and one after it without."""
    case = _talking(hil_kin, hil_session)
    values, expected = hil_session.inputs(case)[0], hil_session.reference(case).outputs[0]
    with hil_session.cluster(case) as cluster:
        trouble = _drawn(hil_fault, cluster)
        told = request.node.user_properties
        told.append(("hil.fault", trouble.what))
        started, limit = time.monotonic(), cluster.run_limit() + 60
        try:
            outputs = cluster.infer(values, armed=trouble.begin).outputs
        except (NodeFailed, NodeLost, WireFailed) as error:
            said = error.message
            told.append(("hil.outcome", said))
            assert _NAMED.match(said), f"{trouble.what}: {said}"
        else:
            wrong = sum(compare(got, want).mismatches for got, want in zip(outputs, expected, strict=True))
            told.append(("hil.outcome", "the right answer"))
            assert wrong == 0, f"{trouble.what}: {wrong} elements are wrong, and nobody noticed"
            if trouble.spoils is not None:
                cluster.lost = (trouble.spoils,)  # it may come later, and is not meant for the next run
        finally:
            if cluster.usable:
                trouble.end()
        assert time.monotonic() - started < limit, trouble.what
    with hil_session.cluster(case) as cluster:
        outputs = cluster.infer(values).outputs
    for got, want in zip(outputs, expected, strict=True):
        assert compare(got, want).mismatches == 0, f"the run after {trouble.what}"


def _talking(cases: tuple[Case, ...], session: Session) -> Case:
    """The smallest model whose nodes have something to say to each other."""
    for case in cases:
        if any(plan.program.exchanges() for plan in session.cluster_deployment(case).split.plans):
            return case
    pytest.skip("no model of this run is worth a message between nodes")


def _drawn(number: int, cluster: Cluster) -> _Trouble:
    draw = random.Random(number)
    kind = (_WIRE + _NODE)[number % (len(_WIRE) + len(_NODE))]
    wires, nodes = cluster.rack.wires, len(cluster.duts)
    if kind in _WIRE:
        if wires is None:
            pytest.skip("this bench cannot interfere with its wires")
        fault = _fault(kind, draw, cluster)
        return _Trouble(str(fault), lambda: wires.fault(fault), wires.clear)
    node = draw.randrange(nodes)
    station = cluster.duts[node].station
    if not isinstance(station, Breakable):
        pytest.skip("this bench cannot break its boards")
    when = nodes * _REQUEST_US + draw.random() * cluster.deployment.split.timing.total_us
    board: Breakable = station
    begin = {
        "reset": lambda: board.reset(when),
        "halt": lambda: board.halt(when),
        "unplug": lambda: board.unplug(when),
        "slow": lambda: board.slow(10, when),
    }[kind]
    after = (lambda: board.slow(1)) if kind == "slow" else (lambda: None)
    spoils = None if kind == "slow" else node
    return _Trouble(f"{kind} of node {node} after {when:.0f} us", begin, after, spoils)


def _messages(cluster: Cluster) -> int:
    """Messages that nodes get in an inference; each takes three frames at least."""
    return sum(isinstance(step, Receive) for dut in cluster.duts for step in dut.deployment.plan.program.steps)


def _fault(kind: str, draw: random.Random, cluster: Cluster) -> Fault:
    nodes = len(cluster.duts)
    node = draw.randrange(nodes)
    others = [other for other in range(nodes) if other != node]
    first = draw.randrange(2 * _messages(cluster))
    if kind == "cut":
        return Fault("cut", node=node, first=first, count=draw.choice([None, 1, 5, 20]))
    return Fault(
        kind,  # type: ignore[arg-type]
        source=draw.choice([None, draw.choice(others)]),
        node=draw.choice([None, node]),
        first=first,
        count=draw.choice([None, 1, 3, 30]),
        probability=draw.choice([1.0, 0.5, 0.2, 0.05]),
        seed=draw.randrange(1 << 32),
        microseconds=draw.choice([50, 2_000, 40_000]) if kind == "delay" else 0,
    )
