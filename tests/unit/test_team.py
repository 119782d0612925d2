"""Programs for several cores: equal results on threads, in any order between barriers, with any delays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hil.plan.interpreter import Interpreter
from tests.support.engine import NativeEngine, run_sanitized, sanitizing_compiler
from tests.support.teams import relay, relayed

NO_CORES = 12
BAD_ARGUMENT = 11


def value(cores: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, cores * 8).astype(np.int8)


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 8])
def test_threads_interpreter_and_arithmetic_agree(cores: int) -> None:
    program, data = relay(cores, 40), value(cores)
    expected = (relayed(data.tobytes(), cores, 40),)
    assert Interpreter(program).run([data]) == expected
    native = NativeEngine(program.data, program.arena_bytes)
    for jitter in range(6):
        assert native.run([data], jitter=jitter) == expected, jitter


def test_cores_in_any_order_agree() -> None:
    program, data = relay(3, 7), value(3)
    expected = (relayed(data.tobytes(), 3, 7),)
    for order in itertools.permutations(range(3)):
        assert Interpreter(program, order=order).run([data]) == expected
        assert NativeEngine(program.data, program.arena_bytes).run([data], order=order) == expected


def test_core_0_can_run_the_parts_of_all_one_by_one() -> None:
    """It passes barriers by, touches nothing that is another part's, and refuses a core that there is not."""
    program, data = relay(3, 7), value(3)
    expected = (relayed(data.tobytes(), 3, 7),)
    native = NativeEngine(program.data, program.arena_bytes)
    assert native.run([data], parts=(0, 1, 2)) == expected
    assert native.run([data], parts=(2, 0, 1)) == expected
    assert native.run([data], parts=(0, 1)) != expected
    assert native.part(0, 0, 3) == BAD_ARGUMENT
    assert native.part(len(program.steps), 1, 0) == BAD_ARGUMENT


def test_a_missing_barrier_shows() -> None:
    program, data = relay(2, 6, barrier=False), value(2)
    orders = [(0, 1), (1, 0)]
    results = {Interpreter(program, order=order).run([data]) for order in orders}
    assert len(results) == 2
    assert results == {NativeEngine(program.data, program.arena_bytes).run([data], order=o) for o in orders}


def test_many_inferences_of_one_team_agree() -> None:
    """Meetings are counted on from run to run."""
    program = relay(2, 3)
    native = NativeEngine(program.data, program.arena_bytes)
    for seed in range(100):
        data = value(2, seed)
        assert native.run([data], jitter=seed) == (relayed(data.tobytes(), 2, 3),)


def test_counts_of_meetings_may_wrap() -> None:
    program, data = relay(2, 9), value(2)
    native = NativeEngine(program.data, program.arena_bytes)
    for mate in native.engine.mates:
        mate.met = 2**32 - 4
    assert native.run([data]) == (relayed(data.tobytes(), 2, 9),)
    assert native.engine.mates[0].met < 100


@pytest.mark.parametrize(("cores", "room", "status"), [(2, 1, NO_CORES), (2, 2, 0), (8, 8, 0), (9, 64, NO_CORES)])
def test_a_program_for_more_cores_than_there_are_is_refused(cores: int, room: int, status: int) -> None:
    program = relay(cores, 1)
    assert NativeEngine(program.data, program.arena_bytes, cores=room).status == status


@pytest.mark.skipif(sanitizing_compiler() is None, reason="no gcc or clang for the sanitizers")
def test_a_team_stays_inside_its_memory() -> None:
    program, data = relay(4, 25), value(4)
    status, step, arena = run_sanitized(program.data, program.arena_bytes, data.tobytes())
    assert (status, step) == (0, len(program.steps) - 1)
    (result,) = program.outputs
    assert arena[result.offset : result.offset + result.bytes] == relayed(data.tobytes(), 4, 25)
