"""Tables for a terminal, 80 columns and wider. Draws what it is given; decides nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text


def size(count: float) -> str:
    """Bytes as people read them: '312 B', '22.4 KiB', '1.50 MiB'."""
    if count < 1024:
        return f"{count:.0f} B"
    return f"{count / 1024:.1f} KiB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.2f} MiB"


def duration(microseconds: float) -> str:
    """A time as people read it: '850 us', '12.3 ms', '1.20 s'."""
    if microseconds < 1000:
        return f"{microseconds:.0f} us"
    return f"{microseconds / 1000:.1f} ms" if microseconds < 1e6 else f"{microseconds / 1e6:.2f} s"


def plain(text: str) -> str:
    """Text that does nothing but be read: names come from files and devices, and may hold a terminal's commands."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def table(
    title: str | None, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, right: Collection[str] = ()
) -> Table:
    """A plain table; the columns named in `right` are right-aligned."""
    drawn = Table(
        title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0)
    )
    for name in columns:
        drawn.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        # Text, not markup.
        drawn.add_row(*(Text(plain(cell)) if isinstance(cell, str) else cell for cell in row))
    return drawn


def facts(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values in two columns under a title."""
    drawn = Table.grid(padding=(0, 2))
    drawn.title, drawn.title_justify = Text(plain(title), style="bold"), "left"
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in rows:
        drawn.add_row(Text("  " + name), Text(plain(value)))
    return drawn


def profile_view(record: Mapping[str, Any]) -> list[RenderableType]:
    """A `hil.profile/1` record."""
    model, out, lat, mem = record["model"], record["outputs"], record["latency"], record["memory"]
    bench = "virtual board" if record["bench"] == "virtual" else "hardware"
    spread = f"{lat['min']}..{lat['max']} us over {len(lat['samples'])} repeats"
    fine = f"{lat['cycles_median']} {lat['counts']}"
    rows = [
        ("outputs", f"{out['mismatches']} of {out['elements']} elements differ, {out['inputs']} inputs"),
        ("reference", out["reference"]),
        ("latency", f"{duration(lat['median'])} median ({fine}; {spread}) [{record['bench']}]"),
        ("peak RAM", f"{mem['ram_peak']} B ({size(mem['ram_peak'])}), predicted {mem['ram_predicted']} B"),
        ("", f"static {mem['ram_static']}, arena {mem['arena']}, stack {' + '.join(map(str, mem['stacks']))}"),
        _image_row(mem),
        ("work", f"{model['macs']} multiply-accumulates"),
    ]
    title = f"{model['name']} on {record['board']} ({bench}), {record['cores']} core, {record['nodes']} node"
    views: list[RenderableType] = [facts(title, rows)]
    if "layers" in record:
        layers = [(r["operator"], r["tensor"], str(r["elements"]), str(r["mismatches"])) for r in record["layers"]]
        views.append(table(None, ["operator", "tensor", "elements", "differ"], layers, right=("elements", "differ")))
    return [*views, *verdict(record)]


def _image_row(mem: Mapping[str, Any]) -> tuple[str, str]:
    """Where the image lies, and what it takes there."""
    where = "ram_image" if "ram_image" in mem else "flash"
    label = "image in RAM" if where == "ram_image" else "flash"
    parts = f"code {mem[f'{where}_code']}, program {mem[f'{where}_program']}"
    return label, f"{mem[where]} B ({size(mem[where])}): {parts}"


def verdict(record: Mapping[str, Any]) -> list[RenderableType]:
    """'pass', or 'fail' with the reasons."""
    word = Text(f"  {record['verdict']}", style="bold green" if record["verdict"] == "pass" else "bold red")
    return [word, *(Padding(Text("- " + plain(reason)), (0, 0, 0, 2)) for reason in record["reasons"])]


def plan_view(record: Mapping[str, Any]) -> list[RenderableType]:
    """A `hil.plan/1` record."""
    node, latency, tight = record["nodes"][0], record["latency"], record["tightest"]
    rows = [
        ("peak RAM", f"{node['ram_peak']} B of {node['ram_available']} ({size(node['ram_peak'])})"),
        ("", f"static {node['ram_static']}, arena {node['arena']}, stack {' + '.join(map(str, node['stacks']))}"),
        ("image in RAM", f"{node['ram_image']} B beside that ({size(node['ram_image'])})")
        if "ram_image" in node
        else ("flash", f"{node['flash']} B of {node['flash_available']} ({size(node['flash'])})"),
        ("work", f"{node['macs']} multiply-accumulates"),
        ("latency", f"about {duration(latency['total'])} (predicted)"),
        ("tightest", f"{tight['operator']}, {tight['tensor']}"),
    ]
    title = f"{record['model']['name']} on {node['board']}, {record['cores']} core: fits"
    return [facts(title, rows)]


def show(console: Console, views: Sequence[RenderableType]) -> None:
    """One below the other. What is plain text is a file, such as a lab file: it is neither cut nor wrapped."""
    for view in views:
        if isinstance(view, str):
            console.out(plain(view), highlight=False)
        else:
            console.print(view)
