"""What a person reads of several boards: a table with a line for each node, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding

from hil.report.terminal import duration, facts, size, table, verdict

_SCHEMES = {
    "this": "this plan",
    "single_node": "one node, layer by layer",
    "single_node_line_buffered": "one node, line buffers",
    "kernel_wise": "kernel-wise, as published",
}
_TITLES = {"ram_peak": "RAM", "macs": "MACs", "bytes_received": "in"}


def cluster_profile_view(record: Mapping[str, Any], *, steps: bool = False) -> list[RenderableType]:
    """A `hil.profile/1` record of several boards; with `steps` the time of every exchange of every node."""
    model, out, lat, mem = record["model"], record["outputs"], record["latency"], record["memory"]
    spread = f"{lat['min']}..{lat['max']} us over {len(lat['samples'])} repeats"
    predicted = lat["predicted"]
    rows = [
        ("outputs", f"{out['mismatches']} of {out['elements']} elements differ, {out['inputs']} inputs"),
        ("reference", out["reference"]),
        ("latency", f"{duration(lat['median'])} median ({lat['cycles_median']} {lat['counts']}; {spread}) "
                    f"[{record['bench']}]"),
        ("", f"compute {duration(lat['compute'])}, wait {duration(lat['wait'])}, wire {duration(lat['wire'])}"),
        ("predicted", f"{duration(predicted['total'])} ({100 * lat['prediction_error']:+.1f} %)"),
        ("peak RAM", f"{mem['ram_peak']} B ({size(mem['ram_peak'])}) on node {record['fullest_node']}, predicted "
                     f"{mem['ram_predicted']} B"),
        ("work", f"{model['macs']} multiply-accumulates"),
    ]  # fmt: skip
    if "throughput" in record:
        many = record["throughput"]
        rows.insert(5, ("throughput", f"{many['per_second']:.2f} inferences a second, {many['inferences']} in a row"))
    boards = record["board"] if "," in record["board"] else f"{record['nodes']} x {record['board']}"
    title = f"{model['name']} on {boards} ({_bench(record)}), {record['cores']} core, {record['link']}"
    nodes = [
        (
            str(node["node"]), node["board"], short(node["memory"]["ram_peak"]), short(node["memory"]["flash"]),
            _millions(node["macs"]), short(node["bytes_sent"]), short(node["bytes_received"]),
            *(duration(node["latency"][part]) for part in ("compute", "wait", "wire")),
        )
        for node in record["per_node"]
    ]  # fmt: skip
    columns = ["node", "board", "RAM", "flash", "MACs", "out", "in", "compute", "wait", "wire"]
    course = [_nodes(["node", "begin", "compute", "wait", "wire", "exchange"], _course(record))] if steps else []
    return [facts(title, rows), _nodes(columns, nodes), *course, *verdict(record)]


def _course(record: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What each node did, one after the other: it computes, then it exchanges."""
    return [
        (
            str(node["node"]),
            *(duration(step[part]) for part in ("begin", "compute", "wait", "wire")),
            step["what"],
        )
        for node in record["per_node"]
        for step in node["steps"]
    ]


def cluster_plan_view(record: Mapping[str, Any]) -> list[RenderableType]:
    """A `hil.plan/1` record of several boards."""
    latency, tight = record["latency"], record["tightest"]
    rows = [
        ("latency", f"about {duration(latency['total'])} (predicted)"),
        ("", f"compute {duration(latency['compute'])}, wait {duration(latency['wait'])}, "
             f"wire {duration(latency['wire'])}"),
        ("tightest", f"node {tight['node']}: {tight['operator']}, {tight['tensor']}"),
    ]  # fmt: skip
    nodes = [
        (
            str(node["node"]), node["board"], short(node["ram_peak"]), short(node["ram_available"]),
            short(node["arena"]), short(node["flash"]), short(node["flash_available"]), _millions(node["macs"]),
            short(node["bytes_sent"]), short(node["bytes_received"]),
        )
        for node in record["nodes"]
    ]  # fmt: skip
    columns = ["node", "board", "RAM", "of", "arena", "flash", "of ", "MACs", "out", "in"]
    title = (
        f"{record['model']['name']} on {len(record['nodes'])} nodes, {record['cores']} core, {record['link']}: fits, "
        f"planned for {record['objective']}"
    )
    return [facts(title, rows), _nodes(columns, nodes), *comparison(record)]


def comparison(record: Mapping[str, Any]) -> list[RenderableType]:
    """What a plan takes of its fullest node, and what other ways to deploy the same model would take."""
    nodes: Sequence[Mapping[str, Any]] = record["nodes"]
    own = {name: max(node[name] for node in nodes) for name in ("arena", "flash", "macs", "bytes_received")}
    compare: Mapping[str, Mapping[str, int]] = record["compare"]
    names = list(dict.fromkeys(name for values in compare.values() for name in values))
    rows = [
        [_SCHEMES.get(scheme, scheme), *(_value(name, values.get(name)) for name in names)]
        for scheme, values in {"this": own, **compare}.items()
    ]
    titles = [_TITLES.get(name, name) for name in names]
    return [Padding(table(None, ["fullest node", *titles], rows, right=titles), (1, 0, 0, 2))] if compare else []


def short(count: float) -> str:
    """Bytes in few letters, for tables: '312', '22.4K', '1.50M'."""
    return size(count).removesuffix(" B").replace(" KiB", "K").replace(" MiB", "M")


def _value(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return duration(value) if name.endswith("_us") else _millions(value) if name == "macs" else short(value)


def _millions(count: float) -> str:
    return f"{count / 1e6:.2f}M" if count >= 1e6 else f"{count:.0f}"


def _nodes(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Padding:
    return Padding(table(None, columns, rows, right=set(columns) - {"board", "exchange"}), (1, 0, 1, 2))


def _bench(record: Mapping[str, Any]) -> str:
    return "virtual boards" if record["bench"] == "virtual" else "hardware"
