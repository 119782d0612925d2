"""The virtual RP2040's cycles against those of rp2040js, an emulator by other people, on the same flash images.

Small programs that hold every class of instruction, and the engine alone on models of the zoo, at several levels of
optimisation. Instructions and the RAM that is left are equal; cycles are equal once the classes are counted in the one
way that docs/measurement.md names ("Held against a second emulator").
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from hil import board
from hil.model import tflite
from hil.paths import FIRMWARE
from hil.plan.planner import plan
from hil.virtual.chip.chips import RAM_BASE
from hil.virtual.chip.native import RAN_IDLE
from tests.support.models import zoo_file
from tests.support.virtual_programs import FLASH, RESULT, Rp2040, compiled, flashed

SCRIPT = Path(__file__).parents[1] / "support" / "rp2040js.cjs"
HOW = "npm install --prefix DIR rp2040js; export HIL_RP2040JS=DIR/node_modules/rp2040js"
PROGRAM_AT = FLASH + 0x80000  # PROGRAM in stop_engine.c
RAM_BYTES = 0x40000  # what programs use; the stack above it also keeps registers as the boot ROM left them
MOST = 100_000_000  # instructions that no program here comes near
BOOT = "nothing -O2"
# zig knows three levels: -O1 and -O3 are its -O2, and -Oz is its -Os. The last is how hil builds the engine.
O0, O2, OS, ENGINE = ("-O0",), ("-O2",), ("-Os",), ("-Os", "-mllvm", "-disable-lsr")
SMALL: dict[str, tuple[tuple[str, ...], ...]] = {
    "nothing": (O2,),
    "compiled": (O0, O2, OS),
    "devices": (O0, O2, OS),
    "classes": (O2,),
    "branch_next": (O2,),
    "svcall": (O2,),
}
MODELS = (
    *("op_tiny", "op_conv_corners", "op_depthwise_corners", "op_fully_connected_corners", "op_pool_pad"),
    *("op_elementwise", "op_activations", "op_shape_moves", "op_softmax", "digits"),
)
ENGINES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (ENGINE, MODELS),
    (O0, ("op_tiny", "op_conv_corners")),
    (O2, ("op_tiny", "op_conv_corners")),
)
NAMES = [
    *(f"{name} {level[0]}" for name, levels in SMALL.items() for level in levels),
    *(f"{model} {level[0]}" for level, models in ENGINES for model in models),
]
# What the virtual RP2040 counts more than rp2040js, for each one of a class.
CORRECTIONS = {"push_lr": 1, "pop_pc": 1, "branch_next": -1, "exception_entry": 15, "exception_return": 13}


@dataclass(frozen=True)
class Program:
    """A flash image, and the address where counting stops."""

    flash: bytes
    stop: int


@dataclass(frozen=True)
class Count:
    """What a program took, and the SHA-256 of the RAM that it leaves."""

    instructions: int
    cycles: int
    ram: str


@dataclass(frozen=True)
class Second:
    """What rp2040js counts from a program's first instruction to its stop, and the classes in it."""

    instructions: int
    cycles: int
    ram: str
    classes: Mapping[str, int]

    @property
    def corrected(self) -> int:
        return self.cycles + sum(CORRECTIONS[name] * count for name, count in self.classes.items())


@functools.cache
def programs() -> dict[str, Program]:
    """All of them by name; the first does nothing."""
    made: dict[str, Program] = {}
    for name, levels in SMALL.items():
        for level in levels:
            program = compiled(f"stop_{name}", "-g", *level)  # -g, or zig leaves out the symbols
            made[f"{name} {level[0]}"] = Program(flashed(program), program.value("stop") & ~1)
    sources = [*sorted((FIRMWARE / "engine").rglob("*.c")), FIRMWARE / "port" / "memory.c"]
    include = f"-I{FIRMWARE / 'engine'}"
    for level, models in ENGINES:
        engine = compiled("stop_engine", "-g", *level, include, *sources, inputs=FIRMWARE)
        image = flashed(engine).ljust(PROGRAM_AT - FLASH, b"\xff")
        for model in models:
            graph = tflite.parse(zoo_file(model).read_bytes(), model)
            data = plan(graph, board.load("rp2040")).program.data
            blob = len(data).to_bytes(4, "little").ljust(16, b"\0") + data
            made[f"{model} {level[0]}"] = Program(image + blob, engine.value("stop") & ~1)
    return made


@functools.cache
def virtual(name: str) -> Count:
    """Counts since power-on, boot and the sleep at the end included."""
    program = programs()[name]
    chip = Rp2040(program.flash)
    assert chip.run(1 << 40) == RAN_IDLE
    state = chip.state()
    assert state.pc[0] & ~1 == program.stop + 2, f"{name} ended at {state.pc[0]:#x}: {list(chip.notes())}"
    ram = chip.read(RAM_BASE, RAM_BYTES)
    assert ram is not None
    if name.split(maxsplit=1)[0] in MODELS:
        assert ram[RESULT - RAM_BASE :][:8] == bytes(8), f"{name}: the engine refused it"
    return Count(state.instructions[0], state.cycles, hashlib.sha256(ram).hexdigest())


def ours(name: str) -> Count:
    """The same from the program's first instruction to its stop: less what a program that does nothing takes."""
    whole, boot = virtual(name), virtual(BOOT)
    # That one program is its call of main and main's branch: 2 instructions, 3 + 2 cycles.
    return Count(whole.instructions - boot.instructions + 2, whole.cycles - boot.cycles + 5, whole.ram)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Second]:
    """All programs in rp2040js."""
    node, package = shutil.which("node"), os.environ.get("HIL_RP2040JS")
    if node is None or not package:
        missing = "node is not on the PATH" if node is None else "HIL_RP2040JS is not set"
        pytest.skip(f"{missing}; with node and npm: {HOW}")
    if not (Path(package) / "package.json").is_file():
        pytest.fail(f"HIL_RP2040JS={package} is not the folder of an npm package; {HOW}")
    folder = tmp_path_factory.mktemp("rp2040js")
    power_on = Rp2040(b"").read(RAM_BASE, RAM_BYTES)
    assert power_on is not None
    (folder / "ram").write_bytes(power_on)
    jobs = []
    for number, program in enumerate(programs().values()):
        flash = folder / f"{number}.bin"
        flash.write_bytes(program.flash)
        jobs.append({"flash": str(flash), "stop": program.stop, "most": MOST})
    file = folder / "jobs.json"
    file.write_text(json.dumps({"ram": str(folder / "ram"), "ram_bytes": RAM_BYTES, "programs": jobs}))
    done = subprocess.run([node, SCRIPT, file], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: Second(**said) for name, said in zip(programs(), json.loads(done.stdout), strict=True)}


@pytest.mark.parametrize("name", NAMES)
def test_instructions_memory_and_cycles_are_those_of_rp2040js(second: dict[str, Second], name: str) -> None:
    mine, other = ours(name), second[name]
    assert (mine.instructions, mine.ram) == (other.instructions, other.ram)
    assert mine.cycles == other.corrected, f"{name}: {mine.cycles - other.corrected:+} cycles; {other.classes}"


def test_every_named_class_comes_by(second: dict[str, Second]) -> None:
    """So that no correction goes untested, and the boot that is taken off is what it is held to be."""
    assert {name for one in second.values() for name, count in one.classes.items() if count} == set(CORRECTIONS)
    assert (second[BOOT].instructions, second[BOOT].cycles) == (2, 5)
