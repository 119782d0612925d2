"""The data of the charts of a run's page, as its script takes them. All of it also stands in tables of the page."""

from __future__ import annotations

from typing import Any

from hil.record.parts import MemoryMap, NodePart
from hil.record.queries import Point
from hil.report.numbers import value_of
from hil.report.page import count, when
from hil.report.run import Case, RunView, Series

SAMPLES = 1000
"""Repeats of a latency that are drawn, the first ones."""


def chart_data(view: RunView) -> dict[str, Any]:
    """One object for each case, by its anchor; the runs of their histories; and the spreads of all."""
    runs = _Runs()
    cases = {case.anchor: _case(case, runs) for case in view.cases}
    return {"cases": cases, "runs": runs.rows, "spread": [_spread(case) for case in view.cases if case.timed]}


def _spread(case: Case) -> dict[str, Any]:
    """Repeats as percents off their median."""
    latency = case.profiled.found.get("latency")
    samples = latency.samples if latency else ()
    middle = latency.value if latency else 0.0
    return {
        "anchor": case.anchor,
        "title": case.title,
        "off": [round(100 * (sample / middle - 1), 4) for sample in samples[:SAMPLES]] if middle else [],
    }


def _case(case: Case, runs: _Runs) -> dict[str, Any]:
    latency = case.profiled.found.get("latency")
    before = next((c.before for c in case.compared.changes if c.name == "latency"), None)
    return {
        "title": case.title,
        "latency": {
            "now": list(latency.samples[:SAMPLES]) if latency else [],
            "before": list(before.samples[-SAMPLES:]) if before else [],
            "baseline": case.compared.title,
        },
        "operators": [{"name": o.name, "cycles": o.cycles} for o in case.parts.operators],
        "nodes": [_node(node) for node in case.parts.nodes],
        "history": [_series(series, runs) for series in case.history],
    }


def _node(node: NodePart) -> dict[str, Any]:
    return {
        "number": node.number,
        "board": node.board,
        "times": None if node.times is None else vars(node.times),
        "course": course(node),
        "arena": node.memory.arena,
        "map": None if node.map is None else _map(node.map),
    }


def course(node: NodePart) -> list[dict[str, Any]]:
    """A node's inference piece by piece: what it did, from when, for how many microseconds.

    The trace tells how long a node waited in an exchange, not when: the wait is drawn first.
    """
    found: list[dict[str, Any]] = []
    for stage in node.course:
        at = stage.begin
        for what, length in vars(stage.times).items():
            if length > 0:
                found.append({"what": what, "start": at, "length": length, "behind": stage.what})
            at += length
    return found


def _map(found: MemoryMap) -> dict[str, Any]:
    return {
        "columns": found.columns,
        "arena": found.arena,
        "places": [[p.tensor, p.offset, p.bytes, p.first, p.last] for p in found.places],
    }


def _series(series: Series, runs: _Runs) -> dict[str, Any]:
    """A point: its run, value, least and most of the repeats, whether it passed, and what begins with it."""
    points = []
    for point in series.points:
        one, step = point.measurement, series.step_at(point)
        points.append(
            [
                runs.number(point),
                one.value,
                min(one.samples, default=one.value),
                max(one.samples, default=one.value),
                int(point.passed),
                "" if step is None else "worse" if step.worse else "better",
            ]
        )
    return {"name": series.name, "unit": series.unit, "points": points}


class _Runs:
    """Numbers runs: their names are long, and every series has the same."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.rows: list[tuple[str, str, str]] = []

    def number(self, point: Point) -> int:
        if point.run not in self._numbers:
            self._numbers[point.run] = len(self.rows)
            self.rows.append((point.run, when(point.at), point.revision[:12]))
        return self._numbers[point.run]


def series_summary(series: Series) -> str:
    """What the chart of a history shows, in a sentence."""
    last = series.points[-1]
    said = f"{series.name}: {count(len(series.points), 'run')}, now {value_of(last.measurement.value, series.unit)}"
    return f"{said}, {count(len(series.steps), 'step') if series.steps else 'no step'}"
