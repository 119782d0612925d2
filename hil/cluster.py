"""Several devices under test that run one deployment together: they compute what they are given, and tell what it cost.

A run that fails ends in one error that names the node, the step and the cause, whichever node noticed first. By then
every node has been asked back; those that did not come are in `lost`, and the cluster has to be started again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hil.bench import Bench, Rack
from hil.deployment import ClusterDeployment, Say, Tensors, silent
from hil.dut import TYPES, Dut, check_identity, connected
from hil.errors import (
    DeviceError,
    DeviceRefused,
    HilError,
    InfrastructureError,
    LinkLost,
    LinkTimeout,
    NodeFailed,
    NodeLost,
    UsageError,
)
from hil.link import Link, Memory
from hil.link.messages import RunResult, RunState
from hil.model.graph import Tensor
from hil.postmortem import End, explain

T = TypeVar("T")

_WORDS = 3  # of a traced exchange: begin, end, waited, in microseconds
_FRAME = 512 + 36  # bytes of a full frame: payload, header and checksum
_GRACE = 2.0  # seconds that nodes get, beside their patience, to end their runs once one of them failed
_BACK = 3.0  # seconds that a node gets to come back, beside the time-outs of asking it
_TRIES = 2


@dataclass(frozen=True)
class ExchangeTime:
    """One exchange of a node: the steps [first, end), and microseconds since the run's start."""

    first: int
    end: int
    begin_us: int
    end_us: int
    wait_us: int


@dataclass(frozen=True)
class NodeTime:
    """Where one node's time of an inference went, in microseconds; compute, wait and wire add up to total."""

    total: int
    compute: int
    wait: int
    """In exchanges, while no byte moved."""
    wire: int
    """In exchanges, while bytes moved."""
    exchanges: tuple[ExchangeTime, ...] = ()
    """The exchanges in their order; empty where the node keeps no trace."""


@dataclass(frozen=True)
class ClusterInference:
    """One run: the outputs, what node 0 counted from its first step to the last, and what each node counted."""

    outputs: Tensors
    microseconds: int
    cycles: int
    per_node: tuple[int, ...]


class Cluster:
    """A running deployment on several boards. Inputs and outputs are arrays of the model's own shapes and types."""

    def __init__(
        self, deployment: ClusterDeployment, rack: Rack, duts: Sequence[Dut], pool: ThreadPoolExecutor
    ) -> None:
        self.deployment = deployment
        self.rack = rack
        self.duts = tuple(duts)
        self.lost: tuple[int, ...] = ()
        """Nodes that did not come back after a run that failed."""
        self._pool = pool
        self._run_number = 0

    @property
    def place(self) -> str:
        """Where its first node is, for messages."""
        return self.duts[0].place

    @property
    def counted(self) -> bool:
        """Whether all its boards are virtual ones of the kind that counts its time."""
        return counted(self.deployment, self.rack)

    @property
    def usable(self) -> bool:
        """Whether every node is there, as far as is known, and can run again."""
        return not self.lost and all(dut.station.alive() for dut in self.duts)

    def infer(self, inputs: Tensors, *, repeat: int = 1, armed: Callable[[], None] | None = None) -> ClusterInference:
        """Write the inputs, run, read the outputs of the last of `repeat` inferences, which follow one another closely.

        `armed` is called when all nodes have their inputs, before any is started.
        Raises `NodeFailed`, `NodeLost` or `WireFailed`, with node, step and cause.
        """
        self._check(inputs)
        self._each(lambda node: self._load(node, inputs), "while its inputs were written")
        if armed is not None:
            armed()
        results = self._run(repeat)
        return self._outcome(results)

    def _outcome(self, results: Sequence[RunResult]) -> ClusterInference:
        first = self.duts[0]
        graph = self.deployment.graph
        spans = first.deployment.plan.program.outputs
        tensors = [graph.tensors[index] for index in graph.outputs]
        outputs = tuple(
            _array(first.link.read(span.offset, span.bytes), tensor)
            for span, tensor in zip(spans, tensors, strict=True)
        )
        took = first.microseconds(results[0])
        return ClusterInference(outputs, took, results[0].cycles, (took, *(result.us for result in results[1:])))

    def exchanges(self, node: int) -> tuple[ExchangeTime, ...]:
        """When the exchanges of the last inference began and ended on a node; empty where it keeps no trace."""
        program = self.duts[node].deployment.plan.program
        spans = program.exchanges()
        if program.trace_at is None or not spans:
            return ()
        with self._named(node, "while its trace was read"):
            data = self.duts[node].link.read(program.trace_at, 4 * _WORDS * len(spans))
        words = np.frombuffer(data, "<u4").reshape(-1, _WORDS)
        return tuple(
            ExchangeTime(first, end, *(int(word) for word in row))
            for (first, end), row in zip(spans, words, strict=True)
        )

    def times(self, inference: ClusterInference) -> tuple[NodeTime, ...]:
        """Where each node's time of `inference`, the last one, went."""
        found = []
        for node, total in enumerate(inference.per_node):
            traced = self.exchanges(node)
            wait = sum(exchange.wait_us for exchange in traced)
            talked = sum(exchange.end_us - exchange.begin_us for exchange in traced)
            found.append(NodeTime(total, total - talked, wait, talked - wait, traced))
        return tuple(found)

    def paint(self, pattern: int) -> None:
        """Fill arenas and unused stacks of all nodes with `pattern`."""
        self._each(lambda node: self.duts[node].paint(pattern), "while its memory was painted")

    def memory(self) -> tuple[Memory, ...]:
        """Each node's static bytes, and high-water marks since `paint`."""
        return self._each(lambda node: self.duts[node].memory(), "while its memory was looked at")

    @property
    def patience_us(self) -> int:
        """Device time without progress after which a node gives up: enough for a peer at half its speed, and for
        asking many times over a line that is bad."""
        return round(max(250_000 + 2 * self.deployment.split.timing.total_us, 32 * self.retry_us))

    @property
    def retry_us(self) -> int:
        """Device time without progress after which a node first asks again: some frames there and back, and enough that
        a node which computes for long is not kept busy with questions."""
        wire = self.deployment.split.wire
        return round(20_000 + 6 * (2 * _FRAME * wire.byte_us + wire.delay_us))

    def run_limit(self, repeat: int = 1) -> float:
        """Seconds after which a run counts as a hang: generous, since virtual boards are slow."""
        seconds = repeat * self.deployment.split.timing.total_us / 1e6 + self.patience_us / 1e6
        return 30.0 + 20.0 * len(self.duts) * seconds

    # ---- a run

    def _check(self, inputs: Tensors) -> None:
        graph = self.deployment.graph
        tensors = [graph.tensors[index] for index in graph.inputs]
        if len(inputs) != len(tensors):
            raise UsageError(f"{graph.name} takes {len(tensors)} inputs, {len(inputs)} were given")
        for value, tensor in zip(inputs, tensors, strict=True):
            if value.shape != tensor.shape or value.dtype != TYPES[tensor.dtype]:
                raise UsageError(f"{graph.name}: input {tensor} was given {value.dtype} of shape {list(value.shape)}")

    def _load(self, node: int, inputs: Tensors) -> None:
        dut = self.duts[node]
        for piece in dut.deployment.plan.pieces:
            dut.link.write(piece.span.offset, piece.cut(inputs[piece.input]))

    def _run(self, repeat: int) -> list[RunResult]:
        """Start all nodes, node 0 last, and wait for all. Any failure becomes one error, after all were asked back."""
        run, self._run_number = self._run_number + 1, self._run_number + repeat
        ends = {node: End(node) for node in range(len(self.duts))}
        deadline = time.monotonic() + self.run_limit(repeat)
        for node in reversed(range(len(self.duts))):
            try:
                self.duts[node].link.begin_run(
                    run=run, repeat=repeat, patience_us=self.patience_us, retry_us=self.retry_us
                )
            except HilError as error:
                ends[node].error = error
                break
        else:
            self._wait(ends, run, deadline)
        if all(end.good for end in ends.values()):
            return [end.result for end in ends.values() if end.result is not None]
        raise self._failed(ends)

    def _wait(self, ends: dict[int, End], run: int, deadline: float) -> None:
        """Look at the nodes in turn until all are done, or had their time after one failed or node 0 was done."""
        waiting, begun = list(ends), time.monotonic()
        while waiting and (now := time.monotonic()) < deadline:
            for node in waiting:
                try:
                    ends[node].result = self.duts[node].link.poll_run(_LOOK)
                except HilError as error:
                    ends[node].error = error
            if any(ends[node].bad or (node == 0 and ends[node].good) for node in waiting):
                # Who waits for the start of a run that never comes, or has forgotten it, would wait for ever.
                deadline = min(deadline, now + max(_GRACE + 4e-6 * self.patience_us, 2 * (now - begun)))
            waiting = [node for node in waiting if not ends[node].over]
        ends |= {end.node: end for end in self._pool.map(lambda node: self._last_word(node, run), waiting)}

    def _last_word(self, node: int, run: int) -> End:
        """How it stands with a node that should have ended long ago."""
        link = self.duts[node].link
        try:
            with _brief(link):
                found = link.status()
        except LinkTimeout:
            return End(node, late=True)
        except HilError as error:
            return End(node, error=error)
        if found.state is RunState.FINISHED and found.run == run:
            return End(node, result=found)
        if found.state is RunState.RUNNING:
            return End(node, late=True, waits=True)
        return End(node, error=DeviceRefused("it knows nothing of the run: it restarted, or was never told"))

    def _failed(self, ends: dict[int, End]) -> HilError:
        for end, back in zip(ends.values(), self._each(self._back, "after the run"), strict=True):
            end.back = back
        self.lost = tuple(end.node for end in ends.values() if not end.back)
        return explain(self.deployment, [dut.place for dut in self.duts], list(ends.values()), self.patience_us)

    def _back(self, node: int) -> bool:
        """Ask a node back from whatever it does. False: it is gone, or deaf."""
        dut = self.duts[node]
        try:
            with _brief(dut.link):
                check_identity(dut.deployment, dut.station, dut.link.abort(limit=_BACK))
        except HilError:
            return False
        return True

    @contextmanager
    def _named(self, node: int, when: str) -> Iterator[None]:
        """An error of one node, named; it is lost then."""
        try:
            yield
        except (InfrastructureError, DeviceError) as error:
            self.lost = (*self.lost, node)
            kind = NodeLost if isinstance(error, LinkLost) else NodeFailed
            raise kind(f"node {node} ({self.duts[node].place}), at no step, {when}: {error.message}") from error

    def _each(self, do: Callable[[int], T], when: str) -> tuple[T, ...]:
        """Do something with every node: side by side, but where time is counted one after the other.

        There what comes first must not depend on this machine's threads, or no run would take the same time again.
        """

        def one(node: int) -> T:
            with self._named(node, when):
                return do(node)

        nodes = range(len(self.duts))
        return tuple(map(one, nodes) if self.counted else self._pool.map(one, nodes))


_LOOK = 0.02  # seconds to look at one node before it is the next one's turn


@contextmanager
def _brief(link: Link) -> Iterator[None]:
    """Ask less often than usual: whom this is asked has been silent for long."""
    usual, link.tries = link.tries, _TRIES
    try:
        yield
    finally:
        link.tries = usual


def counted(deployment: ClusterDeployment, rack: Rack) -> bool:
    """Whether all boards are virtual ones of the kind that counts its time."""
    virtual = all(station.source == "virtual" for station in rack.stations)
    return virtual and all(node.board.counted for node in deployment.nodes)


def _array(data: bytes, tensor: Tensor) -> npt.NDArray[np.generic]:
    return np.frombuffer(data, TYPES[tensor.dtype]).reshape(tensor.shape)


@contextmanager
def cluster_started(deployment: ClusterDeployment, bench: Bench, *, say: Say = silent) -> Iterator[Cluster]:
    """Boards with the deployment's images on them, each checked to be the right one; freed on exit, however that comes.

    They are started side by side.
    """
    nodes = deployment.nodes
    say(f"starting {len(nodes)} boards on the {bench.source} bench: {deployment.planned.boards}")
    images = [(node.board.name, node.image) for node in nodes]
    # The pool is left last: a thread that waits for a board ends when the board is gone.
    with (
        ThreadPoolExecutor(max_workers=len(nodes)) as pool,
        bench.start_cluster(images, deployment.split.wire, say=say) as rack,
        ExitStack() as links,
    ):

        def connect(node: int) -> Dut:
            try:
                return links.enter_context(connected(nodes[node], rack.stations[node]))
            except HilError as error:
                error.message = f"node {node}: {error.message}"
                error.args = (error.message,)
                raise

        numbers = range(len(nodes))
        duts = list(map(connect, numbers) if counted(deployment, rack) else pool.map(connect, numbers))
        yield Cluster(deployment, rack, duts, pool)
