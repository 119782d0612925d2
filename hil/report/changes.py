"""What changed since a baseline, as a table: worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from hil.report.terminal import table

_STYLES = {"worse": "bold red", "better": "green"}
_ORDER = ("worse", "changed", "new", "better", "same")
MOST = 20
"""Lines for what is no regression, unless all are asked for."""


@dataclass(frozen=True)
class Drawn:
    """A table of changes, and what is said below it."""

    table: Table
    notes: Sequence[str]


def change_table(rows: Sequence[tuple[str, str, Mapping[str, Any]]], *, wide: bool, every: bool) -> Drawn:
    """Model, board and `change_record` of everything that changed. All that is no regression is there if asked for."""
    ordered = sorted(rows, key=_worst_first)
    worse = sum(change["kind"] == "worse" for _, _, change in rows)
    shown = ordered if every else ordered[: worse + MOST]
    columns = ["model", "on", "measurement", "was", "is", "change"] + (["told by", "since"] if wide else [])
    drawn = table(None, columns, [_row(*row, wide) for row in shown], right=("was", "is", "change"))
    notes = []
    if not wide:
        since = Counter(change["since"] for _, _, change in rows if change["since"])
        notes += [f"{count} worse since {run}" for run, count in sorted(since.items())]
    if left_out := len(ordered) - len(shown):
        notes.append(f"and {left_out} more that are no regressions")
    return Drawn(drawn, notes)


def _worst_first(row: tuple[str, str, Mapping[str, Any]]) -> tuple[int, float, str, str, str]:
    model, on, change = row
    ratio = change["ratio"]
    effect = max(ratio, 1 / ratio) if ratio else float("inf")
    return _ORDER.index(change["kind"]), -effect, model, on, change["name"]


def _row(model: str, on: str, change: Mapping[str, Any], wide: bool) -> list[str | Text]:
    share = "" if change["ratio"] is None else f"{100 * (change['ratio'] - 1):+.3g} % "
    was = "-" if change["before"] is None else f"{change['before']:.10g}"
    word = Text(share + change["kind"], style=_STYLES.get(change["kind"], ""))
    cells: list[str | Text] = [model, on, _name(change), was, f"{change['after']:.10g}", word]
    return cells + ([change["why"], change["since"] or ""] if wide else [])


def _name(change: Mapping[str, Any]) -> str:
    """With its unit, unless the name says it."""
    name, unit = change["name"], change["unit"]
    return name if unit in name or name == "mismatches" else f"{name}, {'B' if unit == 'bytes' else unit}"
