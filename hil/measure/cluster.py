"""The measurement of a cluster: outputs against the reference, latency end to end, and what every node used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hil.cluster import Cluster, ClusterInference, NodeTime
from hil.deployment import Say, Tensors, silent
from hil.measure.compare import Comparison
from hil.measure.latency import Latency, summarise
from hil.measure.profile import PAINTS, Counts, RamUse, against, clock_against, memory_use, most
from hil.model.reference import ReferenceResult


@dataclass(frozen=True)
class NodeMeasured:
    """What one node used, and where its time of the last inference went."""

    ram: RamUse
    time: NodeTime


@dataclass(frozen=True)
class Throughput:
    """`inferences` one behind the other in `microseconds`, from node 0's first step to its last."""

    inferences: int
    microseconds: int

    @property
    def per_second(self) -> float:
        return self.inferences * 1e6 / self.microseconds


@dataclass(frozen=True)
class ClusterMeasured:
    """Everything one profile run of a cluster found. Nothing here is judged yet."""

    outputs: Comparison
    inputs: int
    reference: str
    latency: Latency
    clock_ratio: float
    nodes: tuple[NodeMeasured, ...]
    counted: bool
    """Whether time was counted on all boards, not timed."""
    throughput: Throughput | None

    @property
    def spread(self) -> float:
        """How far repeats are apart, as a share of the latency: nodes that wait for each other begin a run anywhere in
        their microsecond, so that not even counted repeats are the same to the cycle."""
        return (self.latency.max - self.latency.min) / self.latency.median


def measure_cluster(
    cluster: Cluster,
    inputs: Sequence[Tensors],
    reference: ReferenceResult,
    counts: Counts,
    *,
    in_flight: int = 1,
    say: Say = silent,
) -> ClusterMeasured:
    """Run all input sets. Every inference is compared; of `in_flight` that follow one another closely, the last one.

    Raises DeviceError or InfrastructureError; a wrong output is a result, not an error.
    """
    name = cluster.deployment.graph.name
    first = cluster.duts[0]
    clock = first.clocks()
    runs: list[ClusterInference] = []
    marks: list[tuple[RamUse, ...]] = []
    total = max(counts.warmup + counts.repeats, len(PAINTS))
    compared = Comparison()
    for turn in range(total):
        say(f"{name}: run {turn + 1} of {total} of input 1 of {len(inputs)}")
        if turn < len(PAINTS):
            cluster.paint(PAINTS[turn])
        runs.append(cluster.infer(inputs[0]))
        if turn < len(PAINTS):
            marks.append(tuple(map(memory_use, cluster.duts, cluster.memory())))
        compared += against(runs[-1].outputs, reference.outputs[0])
    times = cluster.times(runs[-1])
    for index in range(1, len(inputs)):
        say(f"{name}: input {index + 1} of {len(inputs)}")
        compared += against(cluster.infer(inputs[index]).outputs, reference.outputs[index])
    throughput = None
    if in_flight > 1:
        say(f"{name}: {in_flight} inferences one behind the other")
        many = cluster.infer(inputs[0], repeat=in_flight)
        compared += against(many.outputs, reference.outputs[0])
        throughput = Throughput(in_flight, many.microseconds)
    timed = runs[total - counts.repeats :]
    used = [most([mark[node] for mark in marks]) for node in range(len(cluster.duts))]
    return ClusterMeasured(
        outputs=compared,
        inputs=len(inputs),
        reference=reference.name,
        latency=summarise([run.microseconds for run in timed], [run.cycles for run in timed]),
        clock_ratio=clock_against(first, clock),
        nodes=tuple(map(NodeMeasured, used, times)),
        counted=cluster.counted,
        throughput=throughput,
    )
