"""Starting several virtual boards on one network: in one process that counts their time, or a process each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from hil import board as boards
from hil.errors import UsageError
from hil.link.hub import UdpHub
from hil.link.switch import Counts, Fault, Switch
from hil.virtual import ClusterBoard, VirtualBoard, described, prepare
from hil.virtual.probe import Wires
from hil.virtual.process import Process
from hil.wire import Wire


class WireControl(Protocol):
    """What can be done to the wires of a cluster, and what they have carried."""

    def fault(self, *faults: Fault) -> None: ...
    def clear(self) -> None: ...
    def counts(self) -> tuple[Counts, ...]: ...


class VirtualCluster:
    """Running virtual boards on one network; node n is `boards[n]`."""

    def __init__(self, members: Sequence[VirtualBoard], wires: WireControl, end: ExitStack) -> None:
        self.boards: tuple[VirtualBoard, ...] = tuple(members)
        self.wires = wires
        self._end = end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def power_cycle(self) -> None:
        """All boards off and on at once: what is in their flash starts. Boards whose time is counted alone."""
        if not isinstance(self.wires, Wires):
            raise UsageError("boards that live by this machine's clock have no power switch")
        self.wires.power_cycle()

    def stop(self) -> None:
        """Unplug everything: all processes end, within seconds."""
        self._end.close()


Nodes = Sequence[tuple[str, Path | None]]


def start(nodes: Nodes, wire: Wire, *, limit: float) -> VirtualCluster:
    """See `hil.virtual.start_cluster`."""
    if not nodes:
        raise UsageError("a cluster without boards")
    runners = {described(board).runner for board, _ in nodes}
    for board, _ in nodes:
        if wire.port not in boards.load(board).network:
            known = ", ".join(boards.load(board).network) or "none at all"
            raise UsageError(f"{board} has no network port {wire.port!r} for the wire {wire.name}; it has {known}")
    if len(runners) > 1:
        raise UsageError("boards whose time is counted and boards that live by this machine's clock share no network")
    for board in sorted({board for board, _ in nodes}):
        prepare(board)
    with ExitStack() as end:
        members, wires = (_processes if runners == {"process"} else _one_process)(nodes, wire, limit, end)
        return VirtualCluster(members, wires, end.pop_all())


def _one_process(nodes: Nodes, wire: Wire, limit: float, end: ExitStack) -> tuple[Sequence[VirtualBoard], WireControl]:
    """All boards in a process that counts their time."""
    command = [sys.executable, "-m", "hil.virtual.cluster", "--wire", wire.name]
    for board, elf in nodes:
        command += ["--node", board if elf is None else f"{board}={elf.resolve()}"]
    process = Process(command, f"the virtual cluster of {', '.join(board for board, _ in nodes)}")
    end.callback(process.stop)
    greeting = process.greeting("hil.virtual.cluster/1", limit)
    ports = greeting.get("boards")
    if not isinstance(ports, list) or len(ports) != len(nodes) or type(greeting.get("wires")) is not int:
        raise process.missing(f"greeted with {greeting!r:.80}")
    members = [ClusterBoard(process, board, port, limit) for (board, _), port in zip(nodes, ports, strict=True)]
    for member in members:
        end.callback(member.probe.close)
    wires = Wires("127.0.0.1", greeting["wires"], limit, "virtual cluster's wires")
    end.callback(wires.close)
    return members, wires


def _processes(nodes: Nodes, wire: Wire, limit: float, end: ExitStack) -> tuple[Sequence[VirtualBoard], WireControl]:
    """A process for each board, in real time, and the switch here. Each knows from its program which node it is."""
    del wire
    hub = UdpHub(Switch(len(nodes)))
    end.callback(hub.stop)
    members = []
    for number, (board, elf) in enumerate(nodes):
        if elf is None:
            raise UsageError(f"the virtual {board} has no flash that could be empty")
        name = f"node {number}, the virtual {board}"
        process = Process([str(elf.resolve())], name, {"HIL_NETWORK": hub.address})
        end.callback(process.stop)
        members.append(VirtualBoard(process, board, process.greeting("hil.virtual/1", limit), limit))
    return members, hub
