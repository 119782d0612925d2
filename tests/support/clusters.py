"""A cluster that is not there: links that end a run as a test says, and boards that compute in numpy together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hil import api, board
from hil.bench import ANYWHERE, Source, Where
from hil.cluster import Cluster, ClusterInference, ExchangeTime, NodeTime
from hil.deployment import ClusterDeployment, Deployment, Planned, PlannedCluster, Say, Tensors, silent
from hil.dut import Dut
from hil.errors import HilError, LinkTimeout
from hil.link import Hello, Memory, RunResult, RunState, StackUse
from hil.model import tflite
from hil.plan import split as several
from hil.plan.split import Node, split
from hil.wire import wire
from tests.support.fakes import FOOTPRINT, FakeStation, deployed, tiny_model

LINK = "uart-3M"


def planned_cluster(nodes: int | Sequence[str] = 2, data: bytes | None = None, **options: Any) -> PlannedCluster:
    """The tiny model (or `data`), split over boards of rp2040 (or those named)."""
    graph = tflite.parse(data or tiny_model(), "tiny")
    names = ["rp2040"] * nodes if isinstance(nodes, int) else list(nodes)
    kinds = [Node(board.load(name), 1, FOOTPRINT) for name in names]
    made = split(graph, kinds, wire(LINK), **options)
    return PlannedCluster(made, tuple(Planned(plan, FOOTPRINT, "zig", made.wire) for plan in made.plans))


def deployed_cluster(of: PlannedCluster | None = None) -> ClusterDeployment:
    """Images that were never built, with an id for each node."""
    planned = of or planned_cluster()
    nodes = []
    for number, node in enumerate(planned.nodes):
        made = deployed(node)
        nodes.append(Deployment(node, replace(made.image, build_id=f"{number:032x}", elf=Path(f"absent{number}.elf"))))
    return ClusterDeployment(planned, tuple(nodes))


def hello(of: Deployment) -> Hello:
    """What a board says that runs `of`."""
    program = of.plan.program
    return Hello(
        mtu=1024, clock_hz=of.board.clock_hz, tick_mask=0xFF_FFFF, cores=2, load_status=0, load_step=0,
        program_bytes=len(program.data), program_crc=program.crc, arena_needed=program.arena_bytes,
        arena_room=200_000, steps=len(program.steps), input_count=len(program.inputs),
        output_count=len(program.outputs), program_cores=1, build_id=of.image.build_id, board=of.board.name,
    )  # fmt: skip


class FakeLink:
    """A link whose run ends as `ends` says: with a result, an error, or never (None). It keeps what it was asked."""

    def __init__(self, node: Deployment, ends: RunResult | HilError | None) -> None:
        self.node, self.ends = node, ends
        self.arena = np.zeros(max(1, node.plan.arena_bytes), np.uint8)
        self.asked: list[tuple[str, Any]] = []
        self.tries = 4
        self.back: Hello | HilError = hello(node)
        self.refuses: HilError | None = None
        self.late: RunResult | HilError = LinkTimeout("no answer to STATUS")
        """What STATUS says of a run that does not end."""

    def begin_run(self, *, run: int, repeat: int = 1, patience_us: int, retry_us: int) -> None:
        self.asked.append(("begin", (run, repeat)))
        assert 0 < retry_us < patience_us
        if self.refuses:
            raise self.refuses

    def poll_run(self, _limit: float) -> RunResult | None:
        self.asked.append(("poll", None))
        if isinstance(self.ends, HilError):
            raise self.ends
        return self.ends

    def status(self) -> RunResult:
        self.asked.append(("status", None))
        if isinstance(self.late, HilError):
            raise self.late
        return self.late

    def abort(self, *, limit: float) -> Hello:
        assert limit > 0
        self.asked.append(("abort", None))
        if isinstance(self.back, HilError):
            raise self.back
        return self.back

    def write(self, offset: int, data: bytes) -> None:
        self.asked.append(("write", len(data)))
        self.arena[offset : offset + len(data)] = np.frombuffer(data, np.uint8)

    def read(self, offset: int, length: int) -> bytes:
        return self.arena[offset : offset + length].tobytes()


def finished(status: int = 0, step: int = 0, peer: int | None = None, us: int = 40) -> RunResult:
    """The end of a run; 14 is a time-out of the network."""
    return RunResult(RunState.FINISHED, 1, status, step, us, 125 * us, peer)


SILENT = LinkTimeout("no valid answer to HELLO")


class FakeRack:
    """Boards that are nowhere."""

    wires = None

    def __init__(self, nodes: int, source: Source = "virtual") -> None:
        self.stations = tuple(FakeStation(source) for _ in range(nodes))
        for number, station in enumerate(self.stations):
            station.place = f"fake board {number}"


@contextmanager
def linked(ends: Sequence[RunResult | HilError | None], of: ClusterDeployment | None = None) -> Iterator[Cluster]:
    """A cluster whose links are `FakeLink`s."""
    deployment = of or deployed_cluster(planned_cluster(len(ends)))
    rack = FakeRack(len(ends))
    duts = [
        Dut(node, station, FakeLink(node, end), hello(node))  # type: ignore[arg-type]
        for node, station, end in zip(deployment.nodes, rack.stations, ends, strict=True)
    ]
    with ThreadPoolExecutor(len(ends)) as pool:
        yield Cluster(deployment, rack, duts, pool)


class _FakeNode(Dut):
    """A node that is never spoken to alone, but for its clock."""

    def __init__(self, deployment: Deployment, station: FakeStation) -> None:
        self.deployment = deployment
        self.fake_station = station
        self.station = station
        self.runs = 0

    def clocks(self) -> tuple[int, int]:
        return self.runs * 40, self.runs * 40_000


class FakeCluster(Cluster):
    """Computes in numpy, by the programs of all nodes. `broken` is raised by every inference; `flip` spoils outputs."""

    def __init__(self, deployment: ClusterDeployment) -> None:
        self.deployment = deployment
        rack = FakeRack(len(deployment.nodes))
        self.rack = rack
        self.stations = rack.stations
        self.nodes = [_FakeNode(node, station) for node, station in zip(deployment.nodes, rack.stations, strict=True)]
        self.duts = tuple(self.nodes)
        self.lost = ()
        self.broken: Exception | None = None
        self.flip = 0
        self.runs = 0
        self.us = round(deployment.split.timing.total_us) + 1

    def infer(self, inputs: Tensors, *, repeat: int = 1, armed: Callable[[], None] | None = None) -> ClusterInference:
        if armed is not None:
            armed()
        if self.broken is not None:
            raise self.broken
        self.runs += 1
        self.nodes[0].runs += 1
        raw = several.Cluster(self.deployment.split.plans).run(inputs)
        graph = self.deployment.graph
        kinds = {"int8": np.int8, "float32": np.float32}
        outputs = tuple(
            np.frombuffer(bytes([data[0] ^ self.flip]) + data[1:], kinds[tensor.dtype]).reshape(tensor.shape)
            for data, tensor in zip(raw, (graph.tensors[index] for index in graph.outputs), strict=True)
        )
        us = self.us * repeat
        return ClusterInference(outputs, us, 125 * us, (us,) * len(self.nodes))

    def times(self, inference: ClusterInference) -> tuple[NodeTime, ...]:
        """Every exchange lasts three microseconds, in one of which nothing moves."""
        found = []
        for us, node in zip(inference.per_node, self.deployment.nodes, strict=True):
            spans = node.plan.program.exchanges()
            traced = tuple(ExchangeTime(*span, 4 * k + 1, 4 * k + 4, 1) for k, span in enumerate(spans))
            count = len(traced)
            found.append(NodeTime(us, us - 3 * count, count, 2 * count, traced))
        return tuple(found)

    def paint(self, pattern: int) -> None:
        self.pattern = pattern

    def memory(self) -> tuple[Memory, ...]:
        stacks = (StackUse(4096, FOOTPRINT.stacks[0]),) * 2
        return tuple(
            Memory(FOOTPRINT.ram_static, node.plan.arena_bytes, self.pattern, stacks) for node in self.deployment.nodes
        )


def install(patch: pytest.MonkeyPatch) -> list[FakeCluster]:
    """Let every door use fake clusters and build nothing; gives those started since."""
    started: list[FakeCluster] = []

    def plan_several(path: Path, request: api.Request, *, say: Say = silent) -> PlannedCluster:
        say("planning")
        return planned_cluster(request.boards, path.read_bytes(), objective=request.objective or "latency")

    def prepare_several(path: Path, request: api.Request, *, say: Say = silent) -> ClusterDeployment:
        return deployed_cluster(plan_several(path, request, say=say))

    @contextmanager
    def running(deployment: ClusterDeployment, *, where: Where = ANYWHERE, say: Say = silent) -> Iterator[Cluster]:
        say("starting")
        made = FakeCluster(deployment)
        started.append(made)
        try:
            yield made
        finally:
            for station in made.stations:
                station.alive_now = False

    patch.setattr(api, "plan_cluster", plan_several)
    patch.setattr(api, "prepare_cluster", prepare_several)
    patch.setattr(api, "running_cluster", running)
    return started
