"""Boards that QEMU runs: the whole line, the probe, faults, and that nothing is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hil import api, virtual
from hil import board as boards
from hil.deployment import Deployment
from hil.errors import DeviceFault, LinkLost, ToolMissing
from hil.image.elf import Elf
from hil.link import Link
from hil.model import inputs as input_sets
from hil.paths import ZOO
from hil.record import profile_record

DIGITS = ZOO / "digits" / "digits.tflite"
TINY = ZOO / "op_tiny" / "op_tiny.tflite"
UNDEFINED = {"rv32imac": b"\x00\x00", "thumb-v8m": b"\x00\xde"}


def emulated() -> Iterator[object]:
    """The boards that QEMU runs; where it is missing they are skipped, and say what brings it."""
    for name in boards.names():
        found = boards.load(name).virtual
        if found is None or found.runner != "qemu":
            continue
        missing = shutil.which(str(found.program)) is None
        why = f"{found.program} is missing: apt-get install {found.package}"
        yield pytest.param(name, marks=pytest.mark.skipif(missing, reason=why))


EACH = list(emulated())
each_board = pytest.mark.parametrize("board", EACH)


@contextmanager
def running(deployment: Deployment) -> Iterator[tuple[virtual.VirtualBoard, Link]]:
    image = deployment.image
    with (
        virtual.start(image.board, image.elf) as board,
        Link.open(board.uart0_url, board=image.board, symbolize=image.symbolize) as link,
    ):
        yield board, link


def emulators(board: virtual.VirtualBoard) -> list[int]:
    """The processes that a virtual board has started."""
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(board.pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def gone(process: int) -> bool:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not Path(f"/proc/{process}").exists()


@each_board
def test_the_whole_line_twice_the_same(board: str) -> None:
    request = api.Request(board, inputs=3, layers=True)
    first, second = (profile_record(api.profile(DIGITS, request)) for _ in range(2))
    assert first == second
    assert (first["verdict"], first["bench"], first["outputs"]["mismatches"]) == ("pass", "virtual", 0)
    assert all(layer["mismatches"] == 0 for layer in first["layers"])
    memory = first["memory"]
    assert 0.9 * memory["ram_predicted"] <= memory["ram_peak"] <= memory["ram_predicted"]


@each_board
def test_all_cores_agree_and_pay(board: str) -> None:
    """Outputs with delays between the cores, and the assembled latency: equal every time, less with each core."""
    counts: list[int] = []
    for cores in range(1, boards.load(board).cores + 1):
        deployment = api.prepare(DIGITS, api.Request(board, cores=cores))
        values = input_sets.generate(deployment.graph, 1, 0)
        expected = api.expected(deployment.graph, values).outputs[0]
        with api.running(deployment) as dut:
            assert dut.takes_turns == (cores > 1)
            for jitter in range(5):
                outputs = dut.infer(values[0], jitter=jitter).outputs
                assert all((got == want).all() for got, want in zip(outputs, expected, strict=True))
            found = {dut.in_turn(values[0])[1] for _ in range(2)}
        assert len(found) == 1
        counts += found
    assert counts == sorted(counts, reverse=True)
    assert counts[0] / counts[-1] > 0.75 * len(counts)


@each_board
def test_several_cores_twice_the_same(board: str) -> None:
    request = api.Request(board, cores=boards.load(board).cores, inputs=2)
    first, second = (profile_record(api.profile(DIGITS, request)) for _ in range(2))
    assert first["latency"]["assembled"] is True
    assert first == second
    assert (first["verdict"], first["outputs"]["mismatches"]) == ("pass", 0)


@each_board
def test_it_says_who_it_is_and_its_memory_can_be_read(board: str) -> None:
    kind = boards.load(board)
    deployment = api.prepare(TINY, api.Request(board))
    with running(deployment) as (machine, link):
        hello = link.hello()
        assert (hello.board, hello.cores, hello.clock_hz) == (board, kind.cores, kind.clock_hz)
        assert [stack.size for stack in link.memory().stacks] == [kind.stack_per_core] * kind.cores
        program = deployment.plan.program.data
        at = Elf(deployment.image.elf).value("__hil_program_start")
        assert machine.probe.read(at + 1, len(program) - 1) == program[1:]


@each_board
def test_time_stands_still_while_the_board_waits_and_agrees_otherwise(board: str) -> None:
    with running(api.prepare(TINY, api.Request(board))) as (machine, link):
        link.hello()
        idle = machine.probe.wait_idle()
        time.sleep(0.2)
        assert machine.probe.clock().nanoseconds == idle.nanoseconds
        before, start = link.time().us, machine.probe.wait_idle().nanoseconds
        while machine.probe.wait_idle().nanoseconds - start < 30_000_000:
            link.echo(bytes(range(256)) * 4)
        after, end = link.time().us, machine.probe.wait_idle().nanoseconds
        assert abs((after - before) * 1000 - (end - start)) < 0.01 * (end - start)


@each_board
def test_a_reset_is_noticed_and_survived(board: str) -> None:
    with running(api.prepare(TINY, api.Request(board))) as (machine, link):
        link.hello()
        link.run()
        machine.probe.reset()
        hello = link.hello()
        assert hello.board == board
        link.run()


@each_board
def test_a_fault_is_reported_with_its_function(board: str, tmp_path: Path) -> None:
    deployment = api.prepare(DIGITS, api.Request(board))
    elf = Elf(deployment.image.elf)
    code = elf.value("hil_run_conv") & ~1
    segment = next(s for s in elf.segments if s.virtual <= code < s.virtual + len(s.data))
    data = bytearray(deployment.image.elf.read_bytes())
    at = segment.offset + code - segment.virtual
    data[at : at + 2] = UNDEFINED[deployment.board.isa]
    broken = tmp_path / "broken,with comma.elf"
    broken.write_bytes(data)
    values = input_sets.generate(deployment.graph, 1, 0)
    with api.running(replace(deployment, image=replace(deployment.image, elf=broken))) as dut:
        with pytest.raises(DeviceFault, match=rf"{board}.*hard fault on core 0.*hil_run_conv\+0x0.*r0"):
            dut.infer(values[0])
        with pytest.raises(DeviceFault, match="hil_run_conv"):
            dut.link.hello()


@each_board
def test_an_unplugged_board_is_lost_and_leaves_nothing(board: str) -> None:
    with running(api.prepare(TINY, api.Request(board))) as (machine, link):
        link.hello()
        (emulator,) = emulators(machine)
        link.timeout = 600
        os.kill(machine.pid, signal.SIGKILL)
        assert gone(emulator)
        with pytest.raises(LinkLost, match=rf"{board} on socket://"):
            link.echo(b"anyone?")


@each_board
def test_a_crashed_emulator_ends_the_board(board: str) -> None:
    with running(api.prepare(TINY, api.Request(board))) as (machine, link):
        link.hello()
        (emulator,) = emulators(machine)
        os.kill(emulator, signal.SIGKILL)
        with pytest.raises(LinkLost):
            link.echo(b"anyone?")
        deadline = time.monotonic() + 10
        while machine.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not machine.alive
        assert "QEMU" in machine.diagnostics()


@each_board
def test_stopping_it_ends_the_emulator(board: str) -> None:
    deployment = api.prepare(TINY, api.Request(board))
    with running(deployment) as (machine, _):
        (emulator,) = emulators(machine)
    assert gone(emulator)


@pytest.mark.parametrize("board", [name for name in boards.names() if "qemu" in str(boards.load(name).virtual)])
def test_a_missing_emulator_is_named_with_its_package(board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = boards.load(board).virtual
    assert kind is not None
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ToolMissing, match=f"{kind.program} is not on the PATH") as caught:
        virtual.start(board, Path("none.elf"))
    assert caught.value.hint == f"apt-get install {kind.package}"
