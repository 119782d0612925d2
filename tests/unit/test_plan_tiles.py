"""Programs for several cores: tiles cover, barriers suffice, small work stays on one core."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil import board as boards
from hil.board import Cost
from hil.model import inputs as input_sets
from hil.model import tflite
from hil.paths import ZOO
from hil.plan import Barrier, Interpreter, Step, plan
from hil.plan.program import decode
from hil.plan.records import Arena, Box, Extent, Record, Ref, Work
from hil.plan.tiles import Meetings, Touch, tile

PICO = boards.load("rp2040")
PLAIN = replace(PICO, costs={"conv": Cost((("macs", 6.4), ("outputs", 80.0)))})
SMALL = [path for path in sorted(ZOO.glob("*/*.tflite")) if path.stat().st_size < 60_000]


@dataclass(frozen=True)
class Sums(Record):
    """A stand-in kernel whose cost is `each` multiply-accumulates an output."""

    KIND: ClassVar[int] = 999
    COST: ClassVar[str] = "conv"
    NAME: ClassVar[str] = "sums"

    out: Ref
    rows: int
    channels: int
    each: int
    whole: bool

    def extent(self) -> Extent:
        return Extent(self.rows, self.channels, self.whole)

    def work(self, box: Box) -> Work:
        outputs = (box.r1 - box.r0) * (box.c1 - box.c0)
        return Work(self.each * outputs, outputs)


@given(
    rows=st.integers(1, 70), channels=st.integers(1, 70), each=st.integers(1, 500), whole=st.booleans(),
    cores=st.integers(1, 8), divisible=st.booleans(),
)  # fmt: skip
def test_tiles_cover_the_output_once_and_never_cost_more(
    *, rows: int, channels: int, each: int, whole: bool, cores: int, divisible: bool
) -> None:
    made = tile(Sums(Arena(0), rows, channels, each, whole), PLAIN, cores, divisible=divisible)
    seen = np.zeros((rows, channels), int)
    for share in made.tiles:
        box = share.box
        assert box.r0 < box.r1
        assert box.c0 < box.c1
        assert not whole or (box.c0, box.c1) == (0, channels)
        seen[box.r0 : box.r1, box.c0 : box.c1] += 1
    assert (seen == 1).all()
    assert [share.core for share in made.tiles] == list(range(len(made.tiles)))
    assert len(made.tiles) <= (cores if divisible else 1)
    assert made.slowest <= made.whole
    assert 1 <= made.bound <= len(made.tiles)


def test_what_is_not_worth_a_meeting_stays_on_one_core() -> None:
    assert len(tile(Sums(Arena(0), 1, 2, 1, False), PLAIN, 2, divisible=True).tiles) == 1
    assert len(tile(Sums(Arena(0), 20, 20, 100, False), PLAIN, 2, divisible=True).tiles) == 2


def test_rows_that_do_not_divide_go_by_channels() -> None:
    boxes = [share.box for share in tile(Sums(Arena(0), 25, 64, 100, False), PLAIN, 2, divisible=True).tiles]
    assert boxes == [Box(0, 25, 0, 32), Box(0, 25, 32, 64)]


@pytest.mark.parametrize("cores", [2, 3, 4])
@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_cores_may_run_in_any_order_between_two_barriers(path: object, cores: int) -> None:
    """The answer of one core, whatever core is first: where a barrier were missing, some order would differ."""
    graph = tflite.load(path)  # type: ignore[arg-type]
    values = input_sets.generate(graph, 1, 0)[0]
    one = Interpreter(plan(graph, PICO).program).run(values)
    made = plan(graph, replace(PICO, cores=cores), cores=cores)
    assert made.program.cores == cores
    assert 1 <= made.bound <= cores
    for order in list(permutations(range(cores)))[:6]:
        assert Interpreter(made.program, order=order).run(values) == one
    assert [(part.first, part.end) for part in made.parts] == sorted((part.first, part.end) for part in made.parts)
    assert made.parts[-1].end == len(made.program.steps)


def test_without_its_barriers_the_order_of_cores_shows() -> None:
    """The check above can fail: take the barriers out, and a core reads what another has yet to write."""
    graph = tflite.load(ZOO / "digits" / "digits.tflite")
    values = input_sets.generate(graph, 1, 0)[0]
    program = plan(graph, PICO, cores=2).program
    steps = [step for step in program.steps if not isinstance(step, Barrier)]
    assert len(steps) < len(program.steps)
    bare = replace(program, steps=tuple(steps))
    right = Interpreter(program).run(values)
    assert any(Interpreter(bare, order=order).run(values) != right for order in ((0, 1), (1, 0)))


def test_programs_of_several_cores_survive_encoding() -> None:
    program = plan(tflite.load(ZOO / "digits" / "digits.tflite"), PICO, cores=2).program
    again = decode(program.data)
    assert again.steps == program.steps
    assert {step.core for step in again.steps if isinstance(step, Step)} == {0, 1}


def test_meetings_are_where_data_crosses() -> None:
    meet, both, first = Meetings(), frozenset({0, 1}), frozenset({0})
    assert not meet.needed(both, [Touch(0, 8, writes=True)])
    assert not meet.needed(both, [Touch(100, 108, writes=True)])  # nobody's bytes
    assert meet.needed(both, [Touch(0, 8, writes=False), Touch(8, 16, writes=True)])  # reads what the other wrote
    assert not meet.needed(both, [Touch(0, 8, writes=False), Touch(200, 208, writes=True)])  # both have read it before
    assert meet.needed(first, [Touch(4, 12, writes=True)])  # overwrites what the other read
    assert not meet.needed(first, [Touch(4, 12, writes=True)])  # a core need not wait for itself
