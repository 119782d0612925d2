"""A small model, and a board that is not there: its `Dut` runs the program in numpy, by the program's own bytes.

For tests of what stands above a board (records, plugin, command line). Tests of the board itself use the virtual one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hil import api, board
from hil.bench import ANYWHERE, Source, Where
from hil.deployment import Deployment, Planned, Say, Tensors, silent
from hil.dut import Dut, Inference
from hil.image.build import Image
from hil.link import Hello, Memory, StackUse
from hil.measure import Comparison, Latency, Measured, OperatorTime, RamUse
from hil.model import tflite
from hil.model.graph import Tensor
from hil.plan import Footprint, Interpreter, Part, plan
from tests.support.tflite_writer import ModelWriter

FOOTPRINT = Footprint(flash_code=10_000, ram_static=1_000, stacks=(500,))
"""What the firmware would take; the fake board uses exactly this much."""


def tiny_model(width: int = 8, tensor_name: str = "hidden") -> bytes:
    """Two FULLY_CONNECTED layers, `width` -> 6 -> 4; the bytes depend on the arguments only."""
    draw = np.random.default_rng(7)
    writer = ModelWriter("tiny")
    x = writer.activation("x", (1, width), scale=0.05, zero_point=3)
    hidden = writer.activation(tensor_name, (1, 6), scale=0.11, zero_point=-4)
    y = writer.activation("y", (1, 4), scale=0.2, zero_point=1)
    for name, source, target, shape, scale in (("a", x, hidden, (6, width), 0.05), ("b", hidden, y, (4, 6), 0.11)):
        weights = draw.integers(-127, 128, shape).astype(np.int8)
        bias = draw.integers(-500, 500, shape[0]).astype(np.int32)
        w = writer.constant(f"{name}_weights", weights, scale=0.02, zero_point=0)
        b = writer.constant(f"{name}_bias", bias, scale=scale * 0.02, zero_point=0)
        writer.operator("FULLY_CONNECTED", [source, w, b], [target])
    return writer.finish([x], [y])


def planned(data: bytes | None = None, name: str = "tiny") -> Planned:
    """The tiny model, planned for rp2040."""
    graph = tflite.parse(data or tiny_model(), name)
    return Planned(plan(graph, board.load("rp2040")), FOOTPRINT, "zig")


def deployed(of: Planned | None = None) -> Deployment:
    """A deployment whose image was never built: its files do not exist."""
    made = of or planned()
    program = len(made.plan.program.data)
    image = Image(
        board=made.board.name,
        build_id="0123456789abcdef" * 2,
        elf=Path("absent.elf"),
        bin=Path("absent.bin"),
        uf2=None,
        code=FOOTPRINT.flash_code,
        program=program,
        flash=FOOTPRINT.flash_code + program,
        static_ram=FOOTPRINT.ram_static,
        arena_room=200_000,
    )
    return Deployment(made, image)


def measured(deployment: Deployment, **changes: Any) -> Measured:
    """A good measurement of `deployment`; `changes` replaces fields."""
    good = Measured(
        outputs=Comparison(elements=16, mismatches=0, max_abs_diff=0.0),
        inputs=4,
        reference="ai-edge-litert 1.2.0 BUILTIN_REF double-rounding",
        latency=Latency(samples=(40, 40), median=40.0, p95=40.0, min=40, max=40, cycles_median=5000),
        clock_ratio=1.0,
        ram=RamUse(FOOTPRINT.ram_static, deployment.plan.arena_bytes, FOOTPRINT.stacks),
        layers=None,
        operators=(OperatorTime("operator 0 ADD", 5000, 1.0),),
        repeats_identical=True,
    )
    return replace(good, **changes)


class FakeStation:
    """A station that is alive until `alive_now` is set to False."""

    def __init__(self, source: Source = "virtual") -> None:
        self.source: Source = source
        self.place = "fake rp2040 at nowhere"
        self.url = "loop://"
        self.alive_now = True
        self.now_ns = 0

    def clock_ns(self) -> int:
        return self.now_ns

    def alive(self) -> bool:
        return self.alive_now

    def diagnostics(self) -> str:
        return ""


class FakeDut(Dut):
    """Computes in numpy. `us` and `cycles` are what every run counts; `broken` is raised by every inference."""

    def __init__(self, deployment: Deployment, station: FakeStation | None = None) -> None:
        self.deployment = deployment
        self.fake_station = station or FakeStation()
        self.station = self.fake_station
        self.interpreter = Interpreter(deployment.plan.program)
        self.us, self.cycles = 40, 5000
        self.drift = 1.0
        self.flip = 0
        self.broken: Exception | None = None
        self.painted: list[int] = []
        self.runs = 0

    @property
    def hello(self) -> Hello:  # type: ignore[override]
        raise AssertionError("a fake board has no link")

    def infer(self, inputs: Tensors, *, jitter: int = 0) -> Inference:
        if self.broken is not None:
            raise self.broken
        self.runs += 1
        self.fake_station.now_ns += int(self.us * 1000 * self.drift)
        tensors = self._tensors(self.deployment.graph.outputs)
        raw = self.interpreter.run(inputs)
        outputs = tuple(
            self._array(bytes([data[0] ^ self.flip]) + data[1:], tensor)
            for data, tensor in zip(raw, tensors, strict=True)
        )
        return Inference(outputs, self.us, self.cycles)

    def layers(self, inputs: Tensors) -> Iterator[tuple[Tensor, npt.NDArray[np.generic]]]:
        for index, value in enumerate(inputs):
            self.interpreter.write(index, value.tobytes())
        done = 0
        for layer in self.deployment.plan.layers:
            for step in range(done, layer.steps):
                self.interpreter.step(step)
            done = max(done, layer.steps)
            tensor = self.deployment.graph.tensors[layer.tensor]
            yield tensor, self._array(self.interpreter.read(layer.span), tensor)

    def parts(self, inputs: Tensors) -> Iterator[tuple[Part, int]]:
        for part in self.deployment.plan.parts:
            yield part, self.cycles

    def paint(self, pattern: int) -> None:
        self.painted.append(pattern)

    def memory(self) -> Memory:
        stacks = tuple(StackUse(4096, FOOTPRINT.stacks[0]) for _ in range(self.deployment.board.cores))
        return Memory(FOOTPRINT.ram_static, self.deployment.plan.arena_bytes, self.painted[-1], stacks)

    def clocks(self) -> tuple[int, int]:
        return self.runs * self.us, self.fake_station.now_ns


def install(patch: pytest.MonkeyPatch) -> list[FakeDut]:
    """Let every door of `hil` use fake boards and build nothing; gives the list of boards started since."""
    started: list[FakeDut] = []

    def plan_one(path: Path, request: api.Request, *, say: Say = silent) -> Planned:
        say("planning")
        graph = tflite.load(path)
        made = Planned(plan(graph, board.load(request.board), cores=request.cores), FOOTPRINT, request.toolchain)
        made.plan.check_fit(FOOTPRINT)
        return made

    def prepare(path: Path, request: api.Request, *, say: Say = silent) -> Deployment:
        return deployed(plan_one(path, request, say=say))

    @contextmanager
    def running(deployment: Deployment, *, where: Where = ANYWHERE, say: Say = silent) -> Iterator[Dut]:
        say("starting")
        dut = FakeDut(deployment)
        started.append(dut)
        try:
            yield dut
        finally:
            dut.fake_station.alive_now = False

    patch.setattr(api, "plan", plan_one)
    patch.setattr(api, "prepare", prepare)
    patch.setattr(api, "running", running)
    return started
