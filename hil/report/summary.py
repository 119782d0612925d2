"""The table at the end of a pytest run: a line for each model on each board or cluster, worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hil import board as boards
from hil.nodes import board_kinds
from hil.report.changes import change_table
from hil.report.terminal import duration, plain, size, table

WIDE = 110
"""Columns from which on tables have more of them."""


def summary_lines(rows: Sequence[Mapping[str, Any]], width: int, *, operators: bool = False) -> list[str]:
    """Lines of at most `width` columns from the JUnit properties of each case, plus counts `passed` and `failed`.

    With `operators`, the speed-up of every operator stands below that of every model.
    """
    wide = width >= WIDE
    columns = ["model", "on", "tests", "differ", "latency", "peak RAM"] + (
        ["cycles", "predicted", "flash"] if wide else []
    )
    ordered = sorted(rows, key=_worst_first)
    drawn = table(None, columns, [_row(row, wide) for row in ordered], right=columns[2:])
    lines = _lines(drawn, width)
    if gains := _gains(rows):
        columns = ["model", "on", "speed-up", "bound", "held by", "gains"][: 6 if wide else 5]
        gains = [row[: len(columns)] for row in gains]
        lines += ["", *_lines(table(None, columns, gains, right=["speed-up", "bound", "gains"]), width)]
    if clusters := _clusters(rows):
        columns = ["model", "on", "latency", "error", "compute", "wait", "wire", "received"][: 8 if wide else 7]
        clusters = [row[: len(columns)] for row in clusters]
        lines += ["", *_lines(table(None, columns, clusters, right=columns[2:]), width)]
    lines += _changes(rows, width, every=operators)
    if operators and (each := _operator_gains(rows)):
        columns = ["model", "on", "operator", "speed-up", "bound"]
        lines += ["", *_lines(table(None, columns, each, right=["speed-up", "bound"]), width)]
    seen = [str(row["hil.board"]) for row in rows if row.get("hil.bench") == "virtual"]
    virtual = sorted({name for text in seen for name in board_kinds(text)})
    timed = [name for name in virtual if not boards.load(name).counted]
    if len(virtual) > len(timed):
        lines.append("virtual: the same machine code on a virtual board; cycles are counted, not timed")
    several = {str(row["hil.board"]) for row in rows if row["hil.cores"] > 1}
    assembled = [name for name in virtual if name in several and _shares_a_clock(name)]
    if assembled:
        lines.append(f"{', '.join(assembled)}: more cores than one are timed part by part, without their barriers")
    if timed:
        lines.append(f"{', '.join(timed)}: the same engine as a process of this machine, timed by its clock")
    return lines


def _changes(rows: Sequence[Mapping[str, Any]], width: int, *, every: bool) -> list[str]:
    """What changed since the baseline, worst first, and what cannot be compared with it."""
    held = [row for row in rows if "changes" in row]
    if not held:
        return []
    known = [row for row in held if row["changes"]["known"]]
    found = [
        (str(row["hil.model"]), _on(row), change)
        for row in known
        for change in row["changes"]["changes"]
        if change["kind"] != "same"
    ]
    title = held[0]["changes"]["baseline"]
    lines = [""]
    below: list[str] = []
    if found:
        drawn = change_table(found, wide=width >= WIDE, every=every)
        lines += [*_text(f"since {title}:", width), *_lines(drawn.table, width)]
        below += drawn.notes
    elif known:
        count = sum(len(row["changes"]["changes"]) for row in known)
        below.append(f"since {title}: all {count} measurements are the same")
    for row in sorted(known, key=_worst_first):
        below += [f"{' on '.join(_who(row))}: {note}" for note in row["changes"]["notes"]]
    if new := [" on ".join(_who(row)) for row in held if not row["changes"]["known"]]:
        some = ", ".join(new[:3]) + (f" and {len(new) - 3} more" if len(new) > 3 else "")
        below.append(f"not in {title}: {some}")
    return lines + [line for text in below for line in _text(text, width)]


def _text(text: str, width: int) -> list[str]:
    return _lines(Text(plain(text), overflow="fold"), width)


def _shares_a_clock(name: str) -> bool:
    virtual = boards.load(name).virtual
    return virtual is not None and virtual.clock == "shared"


def _worst_first(row: Mapping[str, Any]) -> tuple[int, int, str, str, int, int]:
    failed, wrong = row["failed"], int(row.get("hil.mismatches", 0))
    return -failed, -wrong, str(row["hil.model"]), str(row["hil.board"]), _nodes(row), int(row["hil.cores"])


def _nodes(row: Mapping[str, Any]) -> int:
    return int(row.get("hil.nodes", 1))


def _clusters(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """How far off the prediction of every cluster's latency was, and where its time went, by node 0.

    In the end what the node received that received most.
    """
    return [
        [
            *_who(row),
            duration(row["hil.latency_us_median"]),
            f"{100 * (row['hil.latency_us_predicted'] / row['hil.latency_us_median'] - 1):+.1f} %",
            *(duration(row[f"hil.{part}_us"]) for part in ("compute", "wait", "wire")),
            size(row["hil.bytes_received_worst"]),
        ]
        for row in sorted(rows, key=lambda row: (row["hil.model"], row["hil.board"], _nodes(row), row["hil.cores"]))
        if "hil.latency_us_predicted" in row
    ]


def _lines(drawn: Table | Text, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(drawn)
    text = console.file.getvalue() if isinstance(console.file, StringIO) else ""
    return [line.rstrip() for line in text.splitlines()]


def _pairs(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Each case on several cores after the same on one, where both were measured."""
    rows = [row for row in rows if _nodes(row) == 1]
    one = {(row["hil.model"], row["hil.board"]): row for row in rows if row["hil.cores"] == 1}
    for row in sorted(rows, key=lambda row: (row["hil.model"], row["hil.board"], row["hil.cores"])):
        base = one.get((row["hil.model"], row["hil.board"]))
        if row["hil.cores"] != 1 and base is not None and {"hil.operator_cycles", _CYCLES} <= row.keys() & base.keys():
            yield base, row


def _who(row: Mapping[str, Any]) -> list[str]:
    return [str(row["hil.model"]), _on(row)]


def _on(row: Mapping[str, Any]) -> str:
    """The boards, and what is not one of it: cores as 'x2', nodes as '4 nodes'."""
    words = [str(row["hil.board"]), *(["x" + str(row["hil.cores"])] if row["hil.cores"] != 1 else [])]
    return " ".join([*words, *([f"{_nodes(row)} nodes"] if _nodes(row) != 1 else [])])


def _gains(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """What more cores bring over one, with the bound that the tiling allows, and the operator that loses most."""
    found = []
    for base, row in _pairs(rows):
        name, gain, bound = _holds(base["hil.operator_cycles"], row["hil.operator_cycles"])
        whole = [f"{base[_CYCLES] / row[_CYCLES]:.2f}", f"{row['hil.speedup_bound']:.2f}"]
        found.append([*_who(row), *whole, name, f"{gain:.2f} of {bound:.2f}"])
    return found


def _operator_gains(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The same for every operator."""
    return [
        [*_who(row), name, f"{alone / shared:.2f}", f"{bound:.2f}"]
        for base, row in _pairs(rows)
        for (_, alone, _), (name, shared, bound) in zip(
            _operators(base["hil.operator_cycles"]), _operators(row["hil.operator_cycles"]), strict=True
        )
    ]


_CYCLES = "hil.latency_cycles_median"


def _holds(one: str, more: str) -> tuple[str, float, float]:
    """The operator whose speed-up falls furthest, in cycles, behind what its share of the cores would give."""
    worst, most = ("-", 1.0, 1.0), -1.0
    for alone, shared in zip(_operators(one), _operators(more), strict=True):
        lost = shared[1] - alone[1] / shared[2]
        if lost > most:
            worst, most = (shared[0], alone[1] / shared[1], shared[2]), lost
    return worst


def _operators(text: str) -> list[tuple[str, int, float]]:
    """The property `hil.operator_cycles` as name, cycles and bound of each operator."""
    parts = [part.rsplit(" ", 2) for part in text.split("; ") if part]
    return [(name, int(cycles), float(bound)) for name, cycles, bound in parts]


def _row(row: Mapping[str, Any], wide: bool) -> list[str]:
    def known(name: str, form: Any = str) -> str:
        return form(row[name]) if name in row else "-"

    bench = row.get("hil.bench", "")
    failed, total = row["failed"], row["failed"] + row["passed"]
    cells = [
        str(row["hil.model"]),
        f"{_on(row)} {bench}".rstrip(),
        f"{failed} of {total} FAILED" if failed else f"{total} ok",
        known("hil.mismatches"),
        known("hil.latency_us_median", duration),
        known("hil.ram_peak_bytes", size),
    ]
    if wide:
        cells += [known("hil.latency_cycles_median"), known("hil.ram_predicted_bytes", size)]
        cells += [known("hil.flash_bytes", size)]
    return cells
