"""The firmware with both cores of virtual boards: equal answers, a stack each, faults that name their core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hil import board as boards
from hil import virtual
from hil.errors import DeviceFault
from hil.image.build import Image, build
from hil.link import Link, RunState
from hil.plan.program import Program
from tests.support.teams import relay, relayed
from tests.virtual.test_firmware_boot import BOARDS, each, patched

ROUNDS = 25
SIZE = 64
DATA = bytes(range(2 * SIZE))


@pytest.fixture(scope="module", params=each(tuple(name for name in BOARDS if boards.load(name).cores == 2)))
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Board and toolchain."""
    board, toolchain = request.param
    return board, toolchain


def built(program: Program, kind: tuple[str, str]) -> Image:
    board, toolchain = kind
    return build(boards.load(board), program.data, toolchain=toolchain)


@pytest.fixture(scope="module")
def image(kind: tuple[str, str]) -> Image:
    return built(relay(2, ROUNDS, size=SIZE), kind)


@contextmanager
def running(image: Image) -> Iterator[Link]:
    with virtual.start(image.board, image.elf) as board, Link.open(board.uart0_url, symbolize=image.symbolize) as link:
        yield link


def test_both_cores_run_a_program_whole_in_parts_and_delayed(image: Image) -> None:
    expected = relayed(DATA, 2, ROUNDS)
    with running(image) as link:
        hello = link.hello()
        assert (hello.load_status, hello.cores, hello.program_cores) == (0, 2, 2)
        (source,), (target,) = hello.inputs, hello.outputs
        for jitter in (0, 1, 2, 0xFFFF_FFFF):
            link.write(source.offset, DATA)
            done = link.run(jitter=jitter)
            assert (done.state, done.step) == (RunState.FINISHED, hello.steps - 1)
            assert link.read(target.offset, target.bytes) == expected, jitter
        link.write(source.offset, DATA)
        for step in range(hello.steps):
            link.run(step, 1)
        assert link.read(target.offset, target.bytes) == expected
        assert link.retries == 0


def test_counts_repeat_and_delays_cost_time(image: Image) -> None:
    with running(image) as link:
        link.write(0, DATA)
        plain = {link.run().cycles for _ in range(3)}
        delayed = {link.run(jitter=5).cycles for _ in range(3)}
        assert len(plain) == len(delayed) == 1
        assert min(delayed) > max(plain)


def test_a_barrier_costs_about_a_microsecond(kind: tuple[str, str]) -> None:
    """125 or 150 cycles, counted. A core that wakes late, or in another's future, would show here."""

    def cycles(barrier: bool) -> int:
        with running(built(relay(2, 100, size=SIZE, barrier=barrier), kind)) as link:
            return link.run().cycles

    assert 50 < (cycles(True) - cycles(False)) / 99 < 200


def test_each_core_has_a_stack_that_is_measured_and_below_its_bound(image: Image) -> None:
    with running(image) as link:
        for _ in range(2):
            link.paint(0)
            link.write(0, DATA)
            link.run()
            stacks = link.memory().stacks
            assert [stack.size for stack in stacks] == [4096, 4096]
            for core, stack in enumerate(stacks):
                assert 0 < stack.used <= image.stack_bound(core=core).bytes


def test_a_stack_shrinks_again_with_the_next_paint(image: Image) -> None:
    """The parked core paints its own: what an earlier run left is gone."""
    with running(image) as link:
        link.run()
        used = [stack.used for stack in link.memory().stacks]
        link.paint(0)
        assert all(a.used < before for a, before in zip(link.memory().stacks, used, strict=True))


def test_a_core_that_the_program_does_not_use_is_left_alone(kind: tuple[str, str]) -> None:
    one = built(relay(1, 4), kind)
    with running(one) as link:
        link.run()
        assert link.device.program_cores == 1
        assert link.memory().stacks[1].used == 0


def test_a_fault_of_the_other_core_is_reported_with_its_number(kind: tuple[str, str], tmp_path: Path) -> None:
    """Core 0 is at the barrier then, and stays there."""
    broken = patched(built(relay(2, 1, idle=0), kind), tmp_path, "hil_run_lookup", 0xDE00)
    with running(broken) as link:
        link.hello()
        with pytest.raises(DeviceFault, match=r"hard fault on core 1 in step 0 at pc 0x1\w+ \(hil_run_lookup\+0x0\)"):
            link.run()
        with pytest.raises(DeviceFault, match="on core 1"):
            link.hello()


def test_when_all_cores_fault_one_reports(image: Image, tmp_path: Path) -> None:
    broken = patched(image, tmp_path, "hil_run_lookup", 0xDE00)
    with running(broken) as link:
        link.hello()
        for _ in range(3):
            with pytest.raises(DeviceFault, match=r"hard fault on core [01] in step [01] at pc .*hil_run_lookup"):
                link.run()
