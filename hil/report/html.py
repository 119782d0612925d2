"""The page of a run: one HTML file that needs no other file and no network."""

from __future__ import annotations

import math

from markupsafe import Markup

from hil.record.parts import MemoryMap, NodePart
from hil.report.charts import SAMPLES, chart_data, course, series_summary
from hil.report.numbers import grouped, value_of
from hil.report.page import data_json, own, plotly, policy, rendered, when
from hil.report.run import Case, RunView, Series, changed_text, headline
from hil.report.terminal import duration

_TESTS = 2000
"""Tests that the page lists."""


def run_page(view: RunView) -> str:
    """The page, complete."""
    library = plotly() if view.cases else Markup("")
    script = own("theme.js") + own("run.js")
    subjects = [case.profiled.found.subject for case in view.cases]
    ordered = sorted(view.results, key=lambda result: ("failed", "skipped", "passed").index(result.outcome))
    return rendered(
        "run.html",
        view=view,
        policy=policy([library, script]),
        style=own("style.css"),
        plotly=library,
        script=script,
        data=data_json(chart_data(view)),
        sentences=headline(view),
        changed=view.changed,
        known=sum(case.compared.known for case in view.cases),
        boards=sorted({subject.board for subject in subjects}),
        cores=sorted({subject.cores for subject in subjects}),
        nodes=sorted({subject.nodes for subject in subjects}),
        spread=[row for case in view.cases if case.timed for row in [_spread(case)]],
        tests=[(r.name, r.outcome, r.cause, f"{r.seconds:.2f}", r.model, r.board, r.place) for r in ordered[:_TESTS]],
        tests_left_out=max(0, len(ordered) - _TESTS),
        texts=changed_text,
        value_of=value_of,
        grouped=lambda number: "-" if number is None else grouped(number),
        by=_by,
        series_summary=series_summary,
        samples=lambda case: [(str(k), grouped(us)) for k, us in enumerate(case.samples[:SAMPLES], 1)],
        most_samples=SAMPLES,
        operators=_operators,
        nodes_of=_nodes,
        times_of=_times,
        courses_of=_courses,
        ram_of=_ram,
        places_of=_places,
        points_of=_points,
    )


def _by(case: Case) -> float:
    """What the column of changes is sorted by."""
    change = case.latency_change
    return 0.0 if change is None or change.ratio is None else change.ratio - 1


def _spread(case: Case) -> tuple[str, ...]:
    ordered = sorted(case.samples)
    times = (case.get("latency") or 0.0, ordered[0], ordered[-1], ordered[math.ceil(0.95 * len(ordered)) - 1])
    return (case.title, str(len(ordered)), *map(duration, times))


def _operators(case: Case) -> list[tuple[str, ...]]:
    total = sum(one.cycles for one in case.parts.operators) or 1
    return [
        (
            one.name,
            grouped(one.cycles),
            f"{100 * one.cycles / total:.1f} %",
            f"{one.bound:.2f}",
            "-" if one.differ is None else grouped(one.differ),
        )
        for one in case.parts.operators
    ]


def _nodes(case: Case) -> list[tuple[str, ...]]:
    return [
        (
            str(n.number), n.board,
            *map(grouped, (n.memory.peak, n.memory.predicted, n.memory.flash, n.macs, n.sent, n.received)),
        )
        for n in case.parts.nodes
    ]  # fmt: skip


def _times(case: Case) -> list[tuple[str, ...]]:
    rows = []
    for node in case.parts.nodes:
        if node.times is None:
            continue
        cells = []
        for part in ("compute", "wait", "wire"):
            cells += [duration(getattr(node.times, part))]
            cells += ["-" if node.predicted is None else duration(getattr(node.predicted, part))]
        rows.append((str(node.number), *cells))
    return rows


def _courses(case: Case) -> list[tuple[str, ...]]:
    return [
        (str(node.number), piece["what"], duration(piece["start"]), duration(piece["length"]), piece["behind"])
        for node in case.parts.nodes
        for piece in course(node)
    ]


def _ram(node: NodePart) -> list[tuple[str, str, str]]:
    """Static data is not predicted otherwise than it is measured: both read the linker's symbols."""
    memory, found = node.memory, node.map
    arena = grouped(found.arena) if found else "-"
    stacks = [grouped(size) for size in found.stacks] if found else []
    rows = [
        ("static data", grouped(memory.static), grouped(memory.static)),
        ("arena", arena, grouped(memory.arena)),
        *(
            (f"stack of core {core}", stacks[core] if core < len(stacks) else "-", grouped(used))
            for core, used in enumerate(memory.stacks)
        ),
    ]
    return [*rows, ("peak", grouped(memory.predicted), grouped(memory.peak))]


def _places(found: MemoryMap) -> list[tuple[str, ...]]:
    return [
        (
            place.tensor, grouped(place.offset), grouped(place.bytes),
            found.columns[place.first] if found.columns else "-", found.columns[place.last] if found.columns else "-",
        )
        for place in found.places
    ]  # fmt: skip


def _points(series: Series) -> list[tuple[str, ...]]:
    """Newest first. Of runs that measured the same one after the other, the first."""
    rows: list[tuple[str, ...]] = []
    before = None
    for point in series.points:
        step = series.step_at(point)
        said = "" if step is None else f"{'worse' if step.worse else 'better'}: {step}"
        value = value_of(point.measurement.value, series.unit)
        if step is not None or before is None or point.measurement.value != before:
            rows.append((point.run, when(point.at), value, point.revision[:12], said))
        before = point.measurement.value
    return rows[::-1]
