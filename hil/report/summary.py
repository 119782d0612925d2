"""The table at the end of a pytest run: a line for each model on each board, worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from rich.console import Console

from hil import board as boards
from hil.report.terminal import duration, size, table


def summary_lines(rows: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Lines of at most `width` columns from the JUnit properties of each case, plus counts `passed` and `failed`."""
    wide = width >= 110
    columns = ["model", "on", "tests", "differ", "latency", "peak RAM"] + (
        ["cycles", "predicted", "flash"] if wide else []
    )
    ordered = sorted(rows, key=lambda row: (-row["failed"], -int(row.get("hil.mismatches", 0)), row["hil.model"]))
    drawn = table(None, columns, [_row(row, wide) for row in ordered], right=columns[2:])
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(drawn)
    text = console.file.getvalue() if isinstance(console.file, StringIO) else ""
    lines = [line.rstrip() for line in text.splitlines()]
    virtual = sorted({str(row["hil.board"]) for row in rows if row.get("hil.bench") == "virtual"})
    timed = [name for name in virtual if name in boards.names() and not boards.load(name).counted]
    if len(virtual) > len(timed):
        lines.append("virtual: the same machine code on a virtual board; cycles are counted, not timed")
    if timed:
        lines.append(f"{', '.join(timed)}: the same engine as a process of this machine, timed by its clock")
    return lines


def _row(row: Mapping[str, Any], wide: bool) -> list[str]:
    def known(name: str, form: Any = str) -> str:
        return form(row[name]) if name in row else "-"

    bench = row.get("hil.bench", "")
    failed, total = row["failed"], row["failed"] + row["passed"]
    cells = [
        str(row["hil.model"]),
        " ".join([str(row["hil.board"]), *(["x" + str(row["hil.cores"])] if row["hil.cores"] != 1 else []), bench]),
        f"{failed} of {total} FAILED" if failed else f"{total} ok",
        known("hil.mismatches"),
        known("hil.latency_us_median", duration),
        known("hil.ram_peak_bytes", size),
    ]
    if wide:
        cells += [known("hil.latency_cycles_median"), known("hil.ram_predicted_bytes", size)]
        cells += [known("hil.flash_bytes", size)]
    return cells
