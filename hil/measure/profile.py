"""The measurement: run inputs on a DUT, hold outputs against the reference, count latency and peak RAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hil.bench import Source
from hil.deployment import Say, Tensors, silent
from hil.dut import Dut, Inference
from hil.errors import UsageError
from hil.link import Memory
from hil.measure.compare import Comparison, compare
from hil.measure.latency import Latency, clock_ratio, summarise
from hil.model.reference import ReferenceResult

PAINTS = (0xA5, 0x5A)
"""Two patterns in two runs of one input: a byte of data may look like one of them, never like both."""


@dataclass(frozen=True)
class Counts:
    """How often to run: warm-ups, then repeats of the first input set. Every other input set runs once."""

    warmup: int
    repeats: int

    @classmethod
    def default(cls, source: Source, *, counted: bool = True) -> Counts:
        """2 and 10 where time passes; on a virtual board that counts its time 1 and 2, which are identical."""
        return cls(1, 2) if source == "virtual" and counted else cls(2, 10)


@dataclass(frozen=True)
class RamUse:
    """Bytes used at the peak: static data, arena high-water, and each used core's stack high-water."""

    static: int
    arena: int
    stacks: tuple[int, ...]

    @property
    def peak(self) -> int:
        return self.static + self.arena + sum(self.stacks)


@dataclass(frozen=True)
class LayerResult:
    """One operator's output tensor over all input sets."""

    operator: str
    tensor: str
    result: Comparison


@dataclass(frozen=True)
class OperatorTime:
    """One operator run alone. `bound`: the speed-up over one core that its tiling allows at most."""

    operator: str
    cycles: int
    bound: float


@dataclass(frozen=True)
class Measured:
    """Everything one profile run found. Nothing here is judged yet."""

    outputs: Comparison
    inputs: int
    reference: str
    latency: Latency
    clock_ratio: float
    ram: RamUse
    layers: tuple[LayerResult, ...] | None
    operators: tuple[OperatorTime, ...]
    repeats_identical: bool
    assembled: bool = False
    """The latency is put together from the cores' parts, each timed alone: see `Dut.in_turn`."""


def measure(
    dut: Dut,
    inputs: Sequence[Tensors],
    reference: ReferenceResult,
    counts: Counts,
    *,
    layers: bool = False,
    say: Say = silent,
) -> Measured:
    """Run all input sets. Every inference is compared, warm-ups and repeats too. `layers` compares every tensor.

    Raises DeviceError or InfrastructureError; a wrong output is a result, not an error.
    """
    name = dut.deployment.graph.name
    clock = dut.clocks()
    runs: list[Inference] = []
    marks: list[RamUse] = []
    total = max(counts.warmup + counts.repeats, len(PAINTS))
    compared = Comparison()
    for turn in range(total):
        say(f"{name}: run {turn + 1} of {total} of input 1 of {len(inputs)}")
        if turn < len(PAINTS):
            dut.paint(PAINTS[turn])
        runs.append(dut.infer(inputs[0]))
        if turn < len(PAINTS):
            marks.append(ram_use(dut))
        compared += against(runs[-1].outputs, reference.outputs[0])
    for index in range(1, len(inputs)):
        say(f"{name}: input {index + 1} of {len(inputs)}")
        compared += against(dut.infer(inputs[index]).outputs, reference.outputs[index])
    ratio = clock_against(dut, clock)
    timed = [(r.microseconds, r.cycles) for r in runs[total - counts.repeats :]]
    if dut.takes_turns:
        say(f"{name}: the cores' parts one by one")
        timed = [dut.in_turn(inputs[0]) for _ in range(counts.repeats)]
    return Measured(
        outputs=compared,
        inputs=len(inputs),
        reference=reference.name,
        latency=summarise([us for us, _ in timed], [cycles for _, cycles in timed]),
        clock_ratio=ratio,
        ram=most(marks),
        layers=compare_layers(dut, inputs, reference, say=say) if layers else None,
        operators=operator_times(dut, inputs[0]),
        repeats_identical=len({cycles for _, cycles in timed}) == 1,
        assembled=dut.takes_turns,
    )


def compare_layers(
    dut: Dut, inputs: Sequence[Tensors], reference: ReferenceResult, *, say: Say = silent
) -> tuple[LayerResult, ...]:
    """Every operator's output tensor, read from the device while it is alive, against the reference's."""
    graph = dut.deployment.graph
    if reference.layers is None:
        raise UsageError(f"{graph.name}: this reference was made without layers")
    producer = {t: str(op) for op in graph.operators for t in op.outputs}
    found: dict[int, Comparison] = {}
    for index, values in enumerate(inputs):
        say(f"{graph.name}: layers of input {index + 1} of {len(inputs)}")
        for tensor, value in dut.layers(values):
            result = compare(value, reference.layers[index][tensor.index])
            found[tensor.index] = found.get(tensor.index, Comparison()) + result
    return tuple(LayerResult(producer[t], str(graph.tensors[t]), result) for t, result in sorted(found.items()))


def operator_times(dut: Dut, inputs: Tensors) -> tuple[OperatorTime, ...]:
    """One more inference, operator by operator; each count includes what starting and ending a run costs."""
    operators = dut.deployment.graph.operators
    return tuple(OperatorTime(str(operators[part.operator]), cycles, part.bound) for part, cycles in dut.parts(inputs))


def ram_use(dut: Dut) -> RamUse:
    """High-water marks since the last paint."""
    return memory_use(dut, dut.memory())


def memory_use(dut: Dut, memory: Memory) -> RamUse:
    """What a device told, for the cores that its program uses."""
    return RamUse(memory.static, memory.arena_used, tuple(s.used for s in memory.stacks[: dut.deployment.plan.cores]))


def most(marks: Sequence[RamUse]) -> RamUse:
    """The highest of several high-water marks, part by part."""
    stacks = zip(*(mark.stacks for mark in marks), strict=True)
    return RamUse(marks[0].static, max(mark.arena for mark in marks), tuple(map(max, stacks)))


def against(outputs: Tensors, expected: Tensors) -> Comparison:
    """All outputs of one inference against the reference's."""
    total = Comparison()
    for got, want in zip(outputs, expected, strict=True):
        total += compare(got, want)
    return total


def clock_against(dut: Dut, before: tuple[int, int]) -> float:
    """The device's clock over the bench's since `before`. Raises `ClockMismatch`."""
    after = dut.clocks()
    timed = dut.station.source == "hardware" or not dut.deployment.board.counted
    return clock_ratio(after[0] - before[0], after[1] - before[1], jitter=timed, where=dut.place)
