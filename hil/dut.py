"""One device under test: a leased, flashed, running board that computes what it is given and tells what it counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hil.bench import Bench, Station
from hil.deployment import Deployment, Say, Tensors, silent
from hil.errors import (
    ClockMismatch,
    DeviceHang,
    DeviceRefused,
    FlashFailed,
    HilError,
    LinkError,
    LinkTimeout,
    UsageError,
)
from hil.link import Hello, Link, Memory
from hil.link.messages import ENGINE_TEXT, RunResult
from hil.model.graph import Tensor
from hil.plan import Part
from hil.plan.program import Barrier, Step

_COUNTERS_DIFFER = 0.01  # at most, beside rounding and the reading itself, four microseconds
_PREEMPTED_US = 100_000  # what may pass between two readings where the board is a process among others
_EXCHANGES = 6
TYPES = {"int8": np.int8, "float32": np.float32}


@dataclass(frozen=True)
class Inference:
    """One run on the device: outputs, and what it counted around the inference alone."""

    outputs: Tensors
    microseconds: int
    cycles: int


class Dut:
    """A running deployment. Inputs and outputs are arrays of the model's own shapes and types."""

    def __init__(self, deployment: Deployment, station: Station, link: Link, hello: Hello) -> None:
        self.deployment = deployment
        self.station = station
        self.link = link
        self.hello = hello

    @property
    def place(self) -> str:
        return self.station.place

    @property
    def flashed(self) -> str:
        """How its image came onto it: by the tool of that name, or 'direct'; empty where the bench does not say."""
        return str(getattr(self.station, "flashed", ""))

    @property
    def usable(self) -> bool:
        """False once the board is known to be gone."""
        return self.station.alive()

    def infer(self, inputs: Tensors, *, jitter: int = 0) -> Inference:
        """Write the inputs, run once, read the outputs.

        `jitter` other than 0 seeds random delays of every core before each of its steps: outputs must not change.
        """
        try:
            self._load(inputs)
            counted = self.link.run(0, 0, jitter=jitter, limit=self.run_limit())
        except (DeviceHang, LinkTimeout) as error:
            _add_diagnostics(error, self.station)
            raise
        plan = self.deployment.plan
        outputs = tuple(
            self._array(self.link.read(span.offset, span.bytes), tensor)
            for span, tensor in zip(plan.program.outputs, self._tensors(plan.graph.outputs), strict=True)
        )
        return Inference(outputs, self.microseconds(counted), counted.cycles)

    def microseconds(self, counted: RunResult) -> int:
        """The run's time from the fine counter, which has no whole microseconds to start in the middle of.

        Raises `ClockMismatch` where the device's two counters contradict each other.
        """
        us = round(counted.cycles * 1_000_000 / self.hello.clock_hz)
        between = 4 if self.deployment.board.counted else _PREEMPTED_US
        if abs(us - counted.us) > between + us * _COUNTERS_DIFFER:
            raise ClockMismatch(
                f"{self.place}: a run took {counted.us} us by the device's timer and {us} us by its fine counter",
                hint="check clock_hz in the board's TOML; latencies of this device are not true",
            )
        return us

    def layers(self, inputs: Tensors) -> Iterator[tuple[Tensor, npt.NDArray[np.generic]]]:
        """Run step by step and give every operator's output tensor as soon as the device has it."""
        self._load(inputs)
        done = 0
        for layer in self.deployment.plan.layers:
            if layer.steps > done:
                self.link.run(done, layer.steps - done, limit=self.run_limit())
                done = layer.steps
            tensor = self.deployment.graph.tensors[layer.tensor]
            yield tensor, self._array(self.link.read(layer.span.offset, layer.span.bytes), tensor)

    def parts(self, inputs: Tensors) -> Iterator[tuple[Part, int]]:
        """Run operator by operator and give the cycles of each."""
        self._load(inputs)
        for part in self.deployment.plan.parts:
            if self.takes_turns:
                yield (
                    part,
                    sum(self._slowest(first, end) for first, end in self._between_meetings(part.first, part.end)),
                )
            else:
                yield part, self.link.run(part.first, part.end - part.first, limit=self.run_limit()).cycles

    @property
    def takes_turns(self) -> bool:
        """Whether the cores of this program share one clock: then a run counts what all of them do, one by one."""
        virtual = self.deployment.board.virtual
        shared = virtual is not None and virtual.clock == "shared"
        return shared and self.station.source == "virtual" and self.deployment.plan.cores > 1

    def in_turn(self, inputs: Tensors) -> tuple[int, int]:
        """Microseconds and cycles of an inference, assembled: between two meetings, the core that takes longest.

        Core 0 runs every core's steps, the others sleep. What the meetings themselves cost is not in it.
        """
        self._load(inputs)
        steps = len(self.deployment.plan.program.steps)
        cycles = sum(self._slowest(first, end) for first, end in self._between_meetings(0, steps))
        return round(cycles * 1_000_000 / self.hello.clock_hz), cycles

    def _between_meetings(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """The stretches of steps in [first, end) that have no barrier in them."""
        steps = self.deployment.plan.program.steps
        for at in range(first, end):
            if isinstance(steps[at], Barrier):
                if at > first:
                    yield first, at
                first = at + 1
        if end > first:
            yield first, end

    def _slowest(self, first: int, end: int) -> int:
        """Cycles of the core that takes longest for its steps in [first, end), each run alone."""
        limit = self.run_limit()
        steps = self.deployment.plan.program.steps[first:end]
        cores = sorted({step.core for step in steps if isinstance(step, Step)})
        return max(self.link.run(first, end - first, alone=core, limit=limit).cycles for core in cores)

    def paint(self, pattern: int) -> None:
        """Fill arena and unused stacks with `pattern`, so that `memory` can tell what was used since."""
        self.link.paint(pattern)

    def memory(self) -> Memory:
        """Static bytes, and high-water marks of arena and stacks since `paint`."""
        return self.link.memory()

    def clocks(self) -> tuple[int, int]:
        """The device's microseconds and the bench's nanoseconds, both at the end of one exchange on an idle board.

        Of several exchanges the one in which the bench read its clock soonest after the device.
        """
        pairs = [(self.link.time().us, self.station.clock_ns()) for _ in range(_EXCHANGES)]
        return min(pairs, key=lambda pair: pair[1] - 1000 * pair[0])

    def run_limit(self) -> float:
        """Seconds after which a run counts as a hang: generous, since a virtual board is slower than its clock says."""
        board = self.deployment.board
        return 20.0 + 40.0 * self.deployment.plan.cycles / board.clock_hz

    def _load(self, inputs: Tensors) -> None:
        plan = self.deployment.plan
        tensors = self._tensors(plan.graph.inputs)
        if len(inputs) != len(tensors):
            raise UsageError(f"{plan.graph.name} takes {len(tensors)} inputs, {len(inputs)} were given")
        for value, tensor, span in zip(inputs, tensors, plan.program.inputs, strict=True):
            if value.shape != tensor.shape or value.dtype != TYPES[tensor.dtype]:
                raise UsageError(
                    f"{plan.graph.name}: input {tensor} was given {value.dtype} of shape {list(value.shape)}"
                )
            self.link.write(span.offset, value.tobytes())

    def _tensors(self, indexes: tuple[int, ...]) -> list[Tensor]:
        return [self.deployment.graph.tensors[index] for index in indexes]

    @staticmethod
    def _array(data: bytes, tensor: Tensor) -> npt.NDArray[np.generic]:
        return np.frombuffer(data, TYPES[tensor.dtype]).reshape(tensor.shape)


@contextmanager
def started(deployment: Deployment, bench: Bench, *, say: Say = silent) -> Iterator[Dut]:
    """A board with the deployment's image on it, checked to be the right one; freed on exit, however that comes."""
    board = deployment.board
    say(f"starting {bench.source} {board.name}")
    with bench.start(board.name, deployment.image, say=say) as station, connected(deployment, station) as dut:
        yield dut


@contextmanager
def connected(deployment: Deployment, station: Station) -> Iterator[Dut]:
    """A link to a board that has been started, whose identity is checked."""
    board = deployment.board
    link = Link.open(station.url, board.baud, board=board.name, symbolize=deployment.image.symbolize)
    link.place = station.place
    with link:
        try:
            hello = link.hello()
        except LinkError as error:
            _add_diagnostics(error, station)
            raise
        check_identity(deployment, station, hello)
        yield Dut(deployment, station, link, hello)


def _add_diagnostics(error: HilError, station: Station) -> None:
    """Add what is known beside the link."""
    if said := station.diagnostics():
        error.args = (f"{error.message}; the board said: {said}",)
        error.message = error.args[0]


def check_identity(deployment: Deployment, station: Station, hello: Hello) -> None:
    """Raise unless the board that answers runs the deployment's own image."""
    board, program = deployment.board, deployment.plan.program
    if hello.board != board.name:
        raise FlashFailed(f"{station.place}: a {hello.board!r} answers where {board.name!r} was expected")
    if hello.build_id != deployment.image.build_id:
        raise FlashFailed(f"{station.place}: firmware {hello.build_id} runs, {deployment.image.build_id} was flashed")
    if not hello.loaded:
        why = ENGINE_TEXT.get(hello.load_status, f"status {hello.load_status}")
        raise DeviceRefused(f"{station.place}: the engine refuses the program at {hello.load_step}: {why}")
    if (hello.program_crc, hello.program_bytes) != (program.crc, len(program.data)):
        raise FlashFailed(f"{station.place}: another program is on the board than the one that was flashed")
