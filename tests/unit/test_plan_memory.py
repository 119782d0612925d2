"""Memory planning, held against a byte-exact simulation that knows nothing of how the planner thinks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.model.graph import Graph, NoOptions, Operator, Tensor
from hil.plan import memory
from hil.plan.lower.context import Job, Lowered
from hil.plan.memory import ALIGN, Layout, allocate
from hil.plan.records import Act, Arena, Blob, Box, Const, Extent, Record, Ref, Work


@dataclass(frozen=True)
class Fake(Record):
    """A kernel that reads `a` and `b` whole and writes `out` whole; it may run in place where the flags say so.

    `adds`: it writes only parts, and needs what an earlier kernel of its operator wrote into the others.
    """

    KIND: ClassVar[int] = 0
    COST: ClassVar[str] = "copy"
    NAME: ClassVar[str] = "fake"

    a: Ref
    b: Ref
    out: Ref
    over_a: bool
    over_b: bool
    adds: bool = False

    def extent(self) -> Extent:
        return Extent(1, 1)

    def work(self, box: Box) -> Work:
        return Work(0, 1)

    def may_overwrite(self) -> tuple[Ref, ...]:
        flagged = ((self.a, self.over_a), (self.b, self.over_b))
        # A kernel never promises this for a source that it also reads in a way that is not element by element.
        refused = {ref for ref, over in flagged if not over}
        return tuple(ref for ref, over in flagged if over and ref not in refused)


@dataclass(frozen=True)
class Model:
    graph: Graph
    lowered: Lowered


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Graphs with branches, renamings, constants, operators of several kernels and outputs that nobody reads."""
    sizes = st.integers(1, 40)
    count = draw(st.integers(1, 3))
    tensors = [draw(sizes) for _ in range(count)]
    operators: list[Operator] = []
    jobs: list[Job] = []
    aliases: dict[int, Act | Blob] = {}
    for index in range(draw(st.integers(0, 9))):
        kind = draw(st.sampled_from(["compute"] * 4 + ["two outputs", "in two parts", "rename", "constant"]))
        pick = st.integers(0, len(tensors) - 1)
        if kind == "rename":
            source = draw(pick)
            tensors.append(tensors[source])
            aliases[len(tensors) - 1] = Act(source)
            made = [len(tensors) - 1]
        elif kind == "constant":
            tensors.append(draw(sizes))
            aliases[len(tensors) - 1] = Blob(bytes(tensors[-1]))
            made = [len(tensors) - 1]
        else:
            a, b = draw(pick), draw(pick)
            made = []
            for _ in range(2 if kind == "two outputs" else 1):
                tensors.append(draw(st.one_of(sizes, st.just(tensors[a]))))
                made.append(len(tensors) - 1)
                second: Ref = Act(b) if draw(st.booleans()) else Blob(b"constant")
                if kind == "in two parts":
                    jobs.append(Job(index, Fake(Blob(b""), Blob(b""), Act(made[-1]), False, False)))
                flags = draw(st.booleans()), draw(st.booleans())
                jobs.append(Job(index, Fake(Act(a), second, Act(made[-1]), *flags, adds=kind == "in two parts")))
        operators.append(Operator(index, "FAKE", 1, (), tuple(made), NoOptions()))
    computed = [t for op in operators for t in op.outputs if not isinstance(aliases.get(t), Blob)]
    rooted = [t for t in computed if _root(aliases, t) is not None] or [0]
    outputs = draw(st.lists(st.sampled_from(rooted), min_size=1, max_size=3, unique=True))
    graph = Graph(
        "random", "0" * 64,
        tuple(Tensor(i, f"t{i}", (size,), "int8", None) for i, size in enumerate(tensors)),
        tuple(operators), tuple(range(count)), tuple(outputs), b"",
    )  # fmt: skip
    return Model(graph, Lowered(tuple(jobs), aliases))


def _root(aliases: dict[int, Act | Blob], tensor: int) -> int | None:
    """The tensor that `tensor` is a name of, or None for a constant."""
    while tensor in aliases:
        alias = aliases[tensor]
        if isinstance(alias, Blob):
            return None
        tensor = alias.tensor
    return tensor


class Simulation:
    """An arena whose every byte remembers whose it is: (root tensor, byte)."""

    def __init__(self, model: Model, layout: Layout) -> None:
        self.model, self.layout = model, layout
        self.arena: list[tuple[int, int] | None] = [None] * layout.arena_bytes

    def size(self, tensor: int) -> int:
        return self.model.graph.tensors[tensor].bytes

    def span(self, tensor: int) -> range:
        place = self.layout.place(Act(tensor))
        assert isinstance(place, Arena)
        assert place.offset % ALIGN == 0
        assert place.offset + self.size(tensor) <= self.layout.arena_bytes
        return range(place.offset, place.offset + self.size(tensor))

    def write(self, tensor: int) -> None:
        root = _root(self.model.lowered.aliases, tensor)
        assert root is not None
        for k, at in enumerate(self.span(tensor)):
            self.arena[at] = (root, k)

    def check(self, tensor: int, when: str) -> None:
        root = _root(self.model.lowered.aliases, tensor)
        if root is None:
            assert isinstance(self.layout.place(Act(tensor)), Blob | Const)
            return
        for k, at in enumerate(self.span(tensor)):
            assert self.arena[at] == (root, k), f"byte {k} of t{tensor} is lost {when}"

    def run(self) -> None:
        for tensor in self.model.graph.inputs:
            self.write(tensor)
        for tensor in self.model.graph.inputs:
            self.check(tensor, "before the first job")
        done = 0
        jobs = self.model.lowered.jobs
        for operator in self.model.graph.operators:
            while done < len(jobs) and jobs[done].operator == operator.index:
                self.job(jobs[done].record, done)
                done += 1
            for tensor in operator.outputs:
                # A renaming can be read when what it names is made; later that may be gone.
                if tensor not in self.model.lowered.aliases:
                    self.check(tensor, f"right after {operator}")
        for tensor in self.model.graph.outputs:
            self.check(tensor, "at the end")

    def job(self, record: Record, number: int) -> None:
        target = record.target
        assert isinstance(target, Act)
        assert isinstance(record, Fake)
        out = set(self.span(target.tensor))
        if record.adds:
            self.check(target.tensor, f"when job {number} adds to it")
        for ref in record.sources():
            if isinstance(ref, Act) and _root(self.model.lowered.aliases, ref.tensor) is not None:
                self.check(ref.tensor, f"when job {number} reads it")
                read = self.span(ref.tensor)
                if out & set(read):
                    assert ref in record.may_overwrite(), f"job {number} overwrites t{ref.tensor} unasked"
                    assert read.start == min(out), f"job {number} overwrites t{ref.tensor} at a shift"
        self.write(target.tensor)


@settings(max_examples=5 * settings().max_examples)
@given(models())
def test_every_value_is_there_when_it_is_read(model: Model) -> None:
    Simulation(model, allocate(model.graph, model.lowered)).run()


@given(models())
def test_without_in_place_nothing_is_overwritten_in_its_own_job(model: Model) -> None:
    layout = allocate(model.graph, model.lowered, in_place=False)
    simulation = Simulation(model, layout)
    simulation.run()
    for job in model.lowered.jobs:
        target = job.record.target
        assert isinstance(target, Act)
        for ref in job.record.sources():
            if isinstance(ref, Act) and _root(model.lowered.aliases, ref.tensor) is not None:
                assert not set(simulation.span(target.tensor)) & set(simulation.span(ref.tensor))


@given(models())
def test_sizes_are_what_they_say(model: Model) -> None:
    """The total is at least the lower bound (up to the last storage's padding), and in place costs nothing."""
    layout = allocate(model.graph, model.lowered)
    assert layout.arena_bytes > layout.lower_bound - ALIGN
    assert max(layout.live, default=0) <= layout.lower_bound
    assert len(layout.live) == len(model.lowered.jobs)
    apart = allocate(model.graph, model.lowered, in_place=False)
    assert layout.lower_bound <= apart.lower_bound


def first_fit(model: Model) -> int:
    """The arena of the simplest planner there is: largest first, each as low as its life allows."""
    jobs, lives = model.lowered.jobs, {t: [-1] for t in model.graph.inputs}
    for j, job in enumerate(jobs):
        for ref in job.record.refs().values():
            if isinstance(ref, Act) and (root := _root(model.lowered.aliases, ref.tensor)) is not None:
                lives.setdefault(root, []).append(j)
        target = job.record.target
        assert isinstance(target, Act)
        lives[target.tensor].append(max(k for k, other in enumerate(jobs) if other.operator == job.operator))
    for tensor in model.graph.outputs:
        root = _root(model.lowered.aliases, tensor)
        assert root is not None
        lives.setdefault(root, []).append(len(jobs))
    placed: list[tuple[int, int, int]] = []
    for tensor in sorted(lives, key=lambda t: (-model.graph.tensors[t].bytes, min(lives[t]), t)):
        size, at = -(-model.graph.tensors[tensor].bytes // ALIGN) * ALIGN, 0
        for start, end, other in sorted(placed):
            together = min(lives[tensor]) <= max(lives[other]) and min(lives[other]) <= max(lives[tensor])
            if together and start < at + size and at < end:
                at = end
        placed.append((at, at + size, tensor))
    return max((end for _, end, _ in placed), default=0)


@settings(max_examples=5 * settings().max_examples)
@given(models())
def test_the_arena_is_no_larger_than_the_simplest_planners(model: Model) -> None:
    layout = allocate(model.graph, model.lowered, in_place=False)
    assert layout.lower_bound - ALIGN < layout.arena_bytes <= first_fit(model)


@given(models())
def test_the_same_graph_gives_the_same_layout(model: Model) -> None:
    first, second = (allocate(model.graph, model.lowered) for _ in range(2))
    assert first == second


# -- known cases -------------------------------------------------------------------------------------------------------


def chain(sizes: Sequence[int], *, over: bool = False) -> Model:
    """t0 -> t1 -> ... one kernel each."""

    def steps() -> Iterator[Job]:
        for k in range(len(sizes) - 1):
            yield Job(k, Fake(Act(k), Blob(b""), Act(k + 1), over, False))

    graph = Graph(
        "chain", "0" * 64,
        tuple(Tensor(i, f"t{i}", (size,), "int8", None) for i, size in enumerate(sizes)),
        tuple(Operator(k, "FAKE", 1, (k,), (k + 1,), NoOptions()) for k in range(len(sizes) - 1)),
        (0,), (len(sizes) - 1,), b"",
    )  # fmt: skip
    return Model(graph, Lowered(tuple(steps()), {}))


def test_a_chain_takes_its_two_largest_neighbours() -> None:
    model = chain([100, 40, 80, 60, 4])
    layout = allocate(model.graph, model.lowered)
    assert layout.live == (140, 120, 140, 64)
    assert (layout.arena_bytes, layout.lower_bound) == (140, 140)


def test_a_chain_in_place_takes_its_largest() -> None:
    model = chain([100, 100, 60, 60], over=True)
    layout = allocate(model.graph, model.lowered)
    assert (layout.arena_bytes, set(layout.offsets.values())) == (100, {0})


def test_a_larger_output_does_not_go_in_place() -> None:
    model = chain([60, 100], over=True)
    assert allocate(model.graph, model.lowered).arena_bytes == 160


def test_an_input_that_is_read_again_is_not_overwritten() -> None:
    tensors = tuple(Tensor(i, f"t{i}", (8,), "int8", None) for i in range(3))
    operators = (Operator(0, "FAKE", 1, (0,), (1,), NoOptions()), Operator(1, "FAKE", 1, (0, 1), (2,), NoOptions()))
    graph = Graph("again", "0" * 64, tensors, operators, (0,), (2,), b"")
    jobs = (
        Job(0, Fake(Act(0), Blob(b""), Act(1), True, False)),
        Job(1, Fake(Act(0), Act(1), Act(2), True, True)),
    )
    layout = allocate(graph, Lowered(jobs, {}))
    assert layout.offsets[0] != layout.offsets[1]
    assert layout.offsets[2] in (layout.offsets[0], layout.offsets[1])
    assert layout.arena_bytes == 16


def test_a_renaming_takes_no_bytes_and_keeps_what_it_names() -> None:
    tensors = tuple(Tensor(i, f"t{i}", (8,), "int8", None) for i in range(4))
    operators = tuple(Operator(k, "FAKE", 1, (k,), (k + 1,), NoOptions()) for k in range(3))
    graph = Graph("alias", "0" * 64, tensors, operators, (0,), (3,), b"")
    jobs = (
        Job(0, Fake(Act(0), Blob(b""), Act(1), False, False)),
        Job(2, Fake(Act(2), Blob(b""), Act(3), False, False)),
    )
    layout = allocate(graph, Lowered(jobs, {2: Act(1)}))
    assert layout.offsets[1] == layout.offsets[2]
    assert layout.arena_bytes == 16


def test_a_renamed_constant_is_that_constant() -> None:
    tensors = tuple(Tensor(i, f"t{i}", (4,), "int8", None) for i in range(4))
    operators = tuple(Operator(k, "FAKE", 1, (), (k + 1,), NoOptions()) for k in range(3))
    graph = Graph("constant", "0" * 64, tensors, operators, (0,), (3,), b"")
    jobs = (Job(2, Fake(Act(0), Act(2), Act(3), False, False)),)
    layout = allocate(graph, Lowered(jobs, {1: Blob(b"abcd"), 2: Act(1)}))
    assert layout.place(Act(2)) == Blob(b"abcd")
    assert layout.place(Act(2, 1)) == Blob(b"bcd")
    assert sorted(layout.offsets) == [0, 3]


def test_a_graph_without_operators_is_its_input() -> None:
    model = chain([12])
    layout = allocate(model.graph, model.lowered)
    assert (layout.arena_bytes, layout.offsets, layout.live) == (12, {0: 0}, ())


def test_a_small_output_does_not_hold_a_large_input_alive() -> None:
    """In place, the 4 bytes of t1 would keep the 100 of t0 while t2's 100 are made: 200 for what fits in 104."""
    model = chain([100, 4, 100], over=True)
    layout = allocate(model.graph, model.lowered)
    assert (layout.arena_bytes, layout.lower_bound) == (104, 104)


def test_a_smaller_output_goes_in_place_where_that_is_smaller() -> None:
    model = chain([100, 40, 4], over=True)
    assert allocate(model.graph, model.lowered).arena_bytes == 100


def test_one_storage_under_two_names_is_overwritten_only_where_both_allow_it() -> None:
    tensors = tuple(Tensor(i, f"t{i}", (8,), "int8", None) for i in range(4))
    operators = tuple(Operator(k, "FAKE", 1, (k,), (k + 1,), NoOptions()) for k in range(3))
    graph = Graph("names", "0" * 64, tensors, operators, (0,), (3,), b"")
    first = Job(0, Fake(Act(0), Blob(b""), Act(1), False, False))
    for over_second, arena in ((False, 16), (True, 16)):
        job = Job(2, Fake(Act(1), Act(2), Act(3), True, over_second))
        layout = allocate(graph, Lowered((first, job), {2: Act(1)}))
        assert layout.arena_bytes == arena
        assert (layout.offsets[3] == layout.offsets[1]) == over_second


@pytest.mark.parametrize("seed", range(5))
def test_of_all_orders_that_were_tried_the_best_is_taken(seed: int) -> None:
    """A bound that cannot be reached makes the search try all of its orders; the first is largest first."""
    draw = random.Random(seed)
    groups = []
    for _ in range(12):
        first = draw.randrange(10)
        groups.append(memory._Storage(4 * draw.randint(1, 30), first, first + draw.randrange(5)))

    def end(places: dict[int, int]) -> int:
        return max(places[id(storage)] + storage.size for storage in groups)

    plain = memory._first_fit(sorted(groups, key=lambda s: (-s.size, s.first)))
    found = end(memory._search(groups, 0))
    assert found <= end(plain)
    assert found <= end(memory._first_fit(groups))
    assert found == end(memory._search(groups, found)), "stopping as soon as it is reached finds no other size"
