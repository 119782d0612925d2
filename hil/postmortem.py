"""Why a run of a cluster failed: what each node said, or did not say, as one error with node, step and cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hil.deployment import ClusterDeployment
from hil.errors import DeviceFault, DeviceRefused, HilError, LinkLost, NodeFailed, NodeLost, WireFailed
from hil.link.messages import ENGINE_TEXT, RunResult
from hil.plan import Plan
from hil.plan.program import Receive, Send, Step

NET_TIMEOUT, NET_ABORTED, NET_BROKEN = 14, 15, 16
"""Engine statuses of a run that stopped for what another node did, or did not."""


@dataclass
class End:
    """How a run ended on one node, as far as is known."""

    node: int
    result: RunResult | None = None
    error: HilError | None = None
    late: bool = False
    """It had not ended when there was no more time."""
    waits: bool = False
    """It is late because it waits for others: it said so."""
    back: bool = True
    """It answered afterwards, as the board that it was."""

    @property
    def over(self) -> bool:
        return self.result is not None or self.error is not None

    @property
    def good(self) -> bool:
        return self.result is not None and self.result.status == 0

    @property
    def bad(self) -> bool:
        return self.over and not self.good

    @property
    def waited_in_vain(self) -> bool:
        """It stopped because a peer was silent."""
        return self.result is not None and self.result.status == NET_TIMEOUT


def explain(deployment: ClusterDeployment, places: Sequence[str], ends: Sequence[End], patience_us: int) -> HilError:
    """One error for a run that failed. What a node itself suffered comes before what others noticed of it."""
    report = _Report(deployment, places, ends, patience_us)
    for end in ends:
        if isinstance(end.error, LinkLost):
            return NodeLost(report.about(end, f"vanished: {end.error.message}"), hint=_AGAIN)
    for end in ends:
        if isinstance(end.error, DeviceFault):
            return NodeFailed(report.about(end, end.error.message), hint=_AGAIN)
    for end in ends:
        if not end.back:
            return NodeFailed(report.about(end, "hangs: no answer to HELLO"), hint=_AGAIN)
    for end in ends:
        if isinstance(end.error, DeviceRefused):
            return NodeFailed(report.about(end, end.error.message), hint=_AGAIN)
    for end in ends:
        if end.result is not None and end.result.status not in (0, NET_TIMEOUT, NET_ABORTED, NET_BROKEN):
            why = ENGINE_TEXT.get(end.result.status, f"engine status {end.result.status}")
            return NodeFailed(report.about(end, f"the engine stopped: {why}"))
    return _of_wires(report, ends)


_AGAIN = "run it again: the cluster is started anew"


def _of_wires(report: _Report, ends: Sequence[End]) -> HilError:
    """Every node is well: one broke the protocol, one is too slow, or the wire does not carry."""
    for end in ends:
        if end.result is not None and end.result.status == NET_BROKEN:
            return WireFailed(report.about(end, "a frame arrived that its peer can never have sent"))
    silent = [end for end in ends if end.waited_in_vain]
    for end in silent:
        peer = next((e for e in ends if end.result is not None and e.node == end.result.peer), None)
        if peer is not None and peer.late and not peer.waits:
            return NodeFailed(report.about(peer, "was not ready when others had waited their time"))
    if not silent and (deaf := [end for end in ends if end.waits]):
        return WireFailed(report.about(deaf[0], "waited for a run that never came to it"), hint=_WIRES)
    if silent:
        return WireFailed(report.about(silent[0], f"nothing came from {report.peer(silent[0])}"), hint=_WIRES)
    for end in ends:
        if end.error is not None:
            return NodeFailed(report.about(end, end.error.message))
    late = next((end for end in ends if not end.good), ends[0])
    return NodeFailed(report.about(late, "had not ended in time, and was stopped"))


_WIRES = "check the wires between these nodes"


class _Report:
    """The words of the error."""

    def __init__(
        self, deployment: ClusterDeployment, places: Sequence[str], ends: Sequence[End], patience_us: int
    ) -> None:
        self._deployment, self._places, self._ends, self._patience_us = deployment, places, ends, patience_us

    def about(self, end: End, cause: str) -> str:
        """What happened to a node, where, in which step, and what the others saw of it."""
        own = f"node {end.node} ({self._places[end.node]}), {self._step(end)}: {cause}"
        seen = [
            f"node {other.node} waited for {self.peer(other)} in vain, {self._step(other)}"
            for other in self._ends
            if other is not end and other.waited_in_vain
        ]
        return "; ".join([own, *seen])

    def peer(self, end: End) -> str:
        assert end.result is not None
        return f"node {end.result.peer} for {self._patience_us / 1000:g} ms"

    def _step(self, end: End) -> str:
        if end.waits:
            return "step unknown, in an exchange or before the first step"
        if end.result is not None:
            return step_text(self._deployment.nodes[end.node].plan, end.result.step)
        # It cannot say itself: the first exchange in which another waited for it is as far as it came.
        for other in self._ends:
            if other.waited_in_vain and other.result is not None and other.result.peer == end.node:
                step = step_text(self._deployment.nodes[other.node].plan, other.result.step)
                return f"before node {other.node}'s {step}"
        return "at a step that no other node saw"


def step_text(plan: Plan, step: int) -> str:
    """A step of a node's program as people know it: 'step 14 (receive from node 2, for operator 5 CONV_2D)'."""
    steps = plan.program.steps
    if not 0 <= step < len(steps):
        return f"step {step}"
    what = "compute"
    match steps[step]:
        case Send(peers=peers):
            nodes = [str(node) for node in range(plan.nodes) if peers >> node & 1]
            what = f"send to node {', '.join(nodes)}"
        case Receive(peer=peer):
            what = f"receive from node {peer}"
    return f"step {step} ({what}{_operator(plan, step)})"


def _operator(plan: Plan, step: int) -> str:
    """The operator of the next step that computes, or of the last one."""
    steps = plan.program.steps
    for index in [*range(step, len(steps)), *range(step - 1, -1, -1)]:
        found = steps[index]
        if isinstance(found, Step) and (number := plan.operators[found.operator]) >= 0:
            return (
                f", {'at' if index == step else 'before' if index > step else 'behind'} {plan.graph.operators[number]}"
            )
    return ""
