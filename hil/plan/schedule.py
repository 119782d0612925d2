"""The step list of a plan: every call's shares, in order, with the meetings of cores that its data needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hil.board import Board
from hil.model.graph import Graph
from hil.plan.lower import Job
from hil.plan.memory import Layout
from hil.plan.program import Barrier, Step
from hil.plan.records import Act, Arena, Record, Ref
from hil.plan.tiles import Meetings, Tiling, Touch, tile


@dataclass(frozen=True)
class Schedule:
    """`steps`, and for each job the number of steps after which it is complete, and its tiling.

    `cycles` is the predicted time: between two meetings the slowest core counts.
    """

    steps: tuple[Step | Barrier, ...]
    ends: tuple[int, ...]
    tilings: tuple[Tiling, ...]
    cycles: float


def schedule(
    graph: Graph, jobs: Sequence[Job], records: Sequence[Record], layout: Layout, *, board: Board, cores: int
) -> Schedule:
    """Tile every call for `cores` cores and put barriers where data crosses. `records` are the jobs' placed records."""
    steps: list[Step | Barrier] = []
    ends: list[int] = []
    tilings: list[Tiling] = []
    meetings, spent, total = Meetings(), dict.fromkeys(range(cores), 0.0), 0.0
    for index, (job, record) in enumerate(zip(jobs, records, strict=True)):
        touches = _touches(graph, job, layout)
        tiling = tile(record, board, cores, divisible=_divisible(touches))
        if meetings.needed(tiling.cores, touches):
            steps.append(Barrier())
            total += max(spent.values()) + board.step_cost
            spent = dict.fromkeys(spent, 0.0)
        for share in tiling.tiles:
            steps.append(Step(index, share.box, share.core))
            spent[share.core] += tiling.slowest
        ends.append(len(steps))
        tilings.append(tiling)
    return Schedule(tuple(steps), tuple(ends), tuple(tilings), total + max(spent.values()))


def _touches(graph: Graph, job: Job, layout: Layout) -> list[Touch]:
    """The bytes that a call reads and writes, whole tensors each."""
    target = job.record.target
    found = [_touch(graph, ref, layout, writes=False) for ref in job.record.sources()]
    return [touch for touch in (*found, _touch(graph, target, layout, writes=True)) if touch]


def _touch(graph: Graph, ref: Ref, layout: Layout, *, writes: bool) -> Touch | None:
    place = layout.place(ref)
    if not isinstance(ref, Act) or not isinstance(place, Arena):
        return None
    start = place.offset - ref.offset
    return Touch(start, start + graph.tensors[ref.tensor].bytes, writes)


def _divisible(touches: Sequence[Touch]) -> bool:
    """Whether shares of one call leave each other's bytes alone.

    An output in its input's place keeps element by element to itself only where both are of one size: with another
    size, one share would write what another has yet to read.
    """
    out = next(touch for touch in touches if touch.writes)
    overlapping = [t for t in touches if not t.writes and t.start < out.end and out.start < t.end]
    return all((t.start, t.end) == (out.start, out.end) for t in overlapping)
