"""The firmware on the virtual board: it boots, talks, runs, counts, and reports its own faults."""

from __future__ import annotations

import os
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hil import board as boards
from hil import virtual
from hil.errors import DeviceFault, DeviceHang, LinkLost, LinkTimeout
from hil.image.build import TOOLCHAINS, Image, build
from hil.image.elf import Elf
from hil.link import Faults, FaultyTransport, Link, RunState, open_url
from hil.plan.kernels.lookup import Lookup
from hil.plan.program import Program, Span, Step, encode
from hil.plan.records import Arena, Blob

SIZE = 3000
TABLE = bytes((i * 7 + 3) & 255 for i in range(256))
STEPS = 4
needs = {"gcc": pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is missing")}
BOARDS = ("rp2040", "rp2350", "nrf52840dk", "nucleo-l4r5zi")


def each(kinds: tuple[str, ...]) -> list[Any]:
    """Every one of these boards with every toolchain."""
    return [
        pytest.param((board, name), marks=needs.get(name, ()), id=f"{board}-{name}")
        for board in kinds
        for name in TOOLCHAINS
    ]


def lookups() -> Program:
    """STEPS times every byte through a table; the first into a second buffer, then in place."""
    into = Lookup(Arena(0), Arena(SIZE), Blob(TABLE), 1, SIZE)
    again = replace(into, input=Arena(SIZE))
    records = [into] + [again] * (STEPS - 1)
    steps = [Step(i, record.extent().whole()) for i, record in enumerate(records)]
    return encode(records, steps, [Span(0, SIZE)], [Span(SIZE, SIZE)], arena_bytes=2 * SIZE)


def looked_up(data: bytes, times: int) -> bytes:
    for _ in range(times):
        data = bytes(TABLE[value ^ 0x80] for value in data)
    return data


@pytest.fixture(scope="module", params=each(BOARDS))
def image(request: pytest.FixtureRequest) -> Image:
    board, toolchain = request.param
    return build(boards.load(board), lookups().data, toolchain=toolchain)


@contextmanager
def running(image: Image) -> Iterator[tuple[virtual.VirtualBoard, Link]]:
    with virtual.start(image.board, image.elf) as board, Link.open(board.uart0_url, symbolize=image.symbolize) as link:
        yield board, link


def test_it_boots_and_says_who_it_is(image: Image) -> None:
    program = lookups()
    with running(image) as (_, link):
        hello = link.hello()
        assert (hello.board, hello.build_id, hello.clock_hz, hello.cores) == (
            image.board,
            image.build_id,
            boards.load(image.board).clock_hz,
            boards.load(image.board).cores,
        )
        assert (hello.load_status, hello.steps, hello.program_bytes) == (0, STEPS, len(program.data))
        assert (hello.program_crc, hello.arena_needed) == (program.crc, 2 * SIZE)
        assert hello.arena_room == image.arena_room


def test_it_computes_whole_and_in_parts(image: Image) -> None:
    data = bytes(range(256)) * 11 + bytes(SIZE - 2816)
    with running(image) as (_, link):
        (source,), (target,) = link.device.inputs, link.device.outputs
        link.write(source.offset, data)
        whole = link.run()
        assert (whole.state, whole.step) == (RunState.FINISHED, STEPS - 1)
        assert link.read(target.offset, target.bytes) == looked_up(data, STEPS)
        for step in range(STEPS):
            link.run(step, 1)
            assert link.read(target.offset, target.bytes) == looked_up(data, step + 1)
        assert link.retries == 0


def test_counters_agree_and_repeat(image: Image) -> None:
    mhz = boards.load(image.board).clock_hz // 1_000_000
    with running(image) as (board, link):
        link.write(0, bytes(SIZE))
        runs = [link.run() for _ in range(3)]
        assert len({run.cycles for run in runs}) == 1
        for run in runs:
            assert abs(run.cycles - mhz * run.us) <= 2 * mhz
        before, start = link.time().us, board.probe.clock().nanoseconds
        for _ in range(20):
            link.read(0, SIZE)
        after, end = link.time().us, board.probe.clock().nanoseconds
        assert abs((after - before) * 1000 - (end - start)) < 10_000


def test_peak_ram_is_measured_and_below_the_bound(image: Image) -> None:
    with running(image) as (_, link):
        used = []
        for paint in (0x00, 0xA5):
            link.paint(paint)
            link.write(0, bytes(range(250)) * 12)
            link.run()
            used.append(link.memory())
        assert max(m.arena_used for m in used) == 2 * SIZE
        assert used[0].static == image.static_ram
        kernels = ("conv", "depthwise", "pool", "softmax", "mean", "add", "mul", "copy", "quantise")
        stack, *idle = used[0].stacks
        assert [(other.size, other.used) for other in idle] == [(4096, 0)] * (boards.load(image.board).cores - 1)
        assert 0 < stack.used <= image.stack_bound().bytes
        assert stack.used <= image.stack_bound(f"hil_run_{name}" for name in kernels).bytes


def patched(image: Image, folder: Path, function: str, code: int) -> Image:
    """The image with the first instruction of a function replaced."""
    elf = Elf(image.elf)
    address = elf.value(function) & ~1
    segment = next(s for s in elf.segments if s.virtual <= address < s.virtual + len(s.data))
    data = bytearray(image.elf.read_bytes())
    struct.pack_into("<H", data, segment.offset + address - segment.virtual, code)
    broken = folder / "patched.elf"
    broken.write_bytes(data)
    return replace(image, elf=broken)


def test_a_fault_is_reported_with_its_function_again_and_again(image: Image, tmp_path: Path) -> None:
    undefined = patched(image, tmp_path, "hil_run_lookup", 0xDE00)
    with running(undefined) as (_, link):
        link.hello()
        with pytest.raises(DeviceFault, match=r"hard fault on core 0 in step 2 at pc 0x\w+ \(hil_run_lookup\+0x0\)"):
            link.run(2, 1)
        with pytest.raises(DeviceFault, match="hil_run_lookup"):
            link.hello()


def test_a_device_that_hangs_is_named(image: Image, tmp_path: Path) -> None:
    forever = patched(image, tmp_path, "hil_run_lookup", 0xE7FE)
    with running(forever) as (_, link):
        link.hello()
        link.timeout, link.tries = 0.2, 2
        with pytest.raises(DeviceHang, match=rf"{image.board} on socket://.*no sign of run 1"):
            link.run(limit=0.5)


def test_a_board_that_is_unplugged_is_lost_at_once(image: Image) -> None:
    with running(image) as (board, link):
        link.hello()
        link.timeout = 600
        os.kill(board.pid, signal.SIGKILL)
        with pytest.raises(LinkLost, match=f"{image.board} on socket://"):
            link.echo(b"anyone?")


def test_noise_between_requests_does_no_harm(image: Image) -> None:
    with running(image) as (_, link):
        link.hello()
        link.transport.write(bytes((37 * k + 11) % 256 for k in range(3000)))
        assert link.echo(b"still there") == b"still there"


def test_a_bad_line_is_survived(image: Image) -> None:
    """Lost, damaged, doubled and late bytes in both directions; a step that ran twice would show in the output."""
    data = bytes(range(250)) * 12
    with virtual.start(image.board, image.elf) as board:
        faults = Faults(drop=0.0002, damage=0.0002, double=0.0002, delay=0.0002, delay_seconds=0.005)
        line = FaultyTransport(open_url(board.uart0_url, 921600), faults, seed=7)
        with Link(line, timeout=0.2, tries=12, poll=0.5) as link:
            (source,), (target,) = link.device.inputs, link.device.outputs
            for _ in range(5):
                link.write(source.offset, data)
                link.run()
                link.run(1, 1)
                assert link.read(target.offset, target.bytes) == looked_up(data, STEPS + 1)
            assert line.count > 10
            assert link.retries > 0


@pytest.mark.parametrize("call", [lambda link: link.hello(), lambda link: link.run()])
def test_no_answer_ends_in_bounded_time(image: Image, tmp_path: Path, call: Callable[[Link], object]) -> None:
    deaf = patched(image, tmp_path, "main", 0xE7FE)
    with running(deaf) as (_, link):
        link.timeout, link.tries = 0.2, 2
        with pytest.raises(LinkTimeout, match="no valid answer to HELLO"):
            call(link)
