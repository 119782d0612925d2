"""Histories made by hand: records as `hil profile` writes them, of runs that never were."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hil.record.history import History, Result
from hil.record.origin import Origin

NOW = time.time()
OPERATORS = ("operator 0 CONV_2D", "operator 1 DEPTHWISE_CONV_2D", "operator 2 FULLY_CONNECTED")


def record(
    model: str = "kws",
    *,
    board: str = "rp2040",
    bench: str = "virtual",
    cores: int = 1,
    nodes: int = 1,
    samples: Sequence[int] = (1000, 1000),
    ram: int = 5000,
    mismatches: int = 0,
    tensor: str = "hidden",
) -> dict[str, Any]:
    """A whole `hil.profile/1`. It passes unless outputs differ."""
    ordered = sorted(samples)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    memory = {
        "ram_peak": ram, "ram_static": 1000, "arena": ram - 1500, "stacks": [500], "ram_predicted": ram,
        "flash": 30_000, "flash_code": 20_000, "flash_program": 10_000,
    }  # fmt: skip
    latency: dict[str, Any] = {
        "samples": list(samples), "median": middle, "p95": ordered[-1], "min": ordered[0], "max": ordered[-1],
        "cycles_median": round(125 * middle), "counts": "cycles", "clock_ratio": 1.0,
    }  # fmt: skip
    made: dict[str, Any] = {
        "schema": "hil.profile/1",
        "model": {"name": model, "sha256": "5e" * 32, "operators": {"CONV_2D": 1}, "macs": 12_345},
        "board": board,
        "bench": bench,
        "firmware": {"engine": "hil", "build": "0123456789abcdef", "toolchain": "zig"},
        "cores": cores,
        "nodes": nodes,
        "outputs": {
            "inputs": 4, "elements": 48, "mismatches": mismatches, "max_abs_diff": float(bool(mismatches)),
            "reference": "by hand",
        },
        "latency": latency,
        "memory": memory,
        "per_node": [_node(number, board, memory, latency, nodes, tensor) for number in range(nodes)],
        "operators": [
            {"operator": name, "cycles": 1000 * (3 - k), "speedup_bound": 1.0} for k, name in enumerate(OPERATORS)
        ],
        "verdict": "fail" if mismatches else "pass",
        "reasons": [f"{mismatches} of 48 output elements differ"] if mismatches else [],
    }  # fmt: skip
    if nodes > 1:
        made |= {"link": "uart-3M", "objective": "latency"}
        del made["operators"]
    return made


def _node(  # noqa: PLR0917
    number: int, board: str, memory: dict[str, Any], latency: dict[str, Any], nodes: int, tensor: str
) -> dict[str, Any]:
    arena = memory["arena"]
    node: dict[str, Any] = {
        "node": number, "board": board, "memory": memory, "macs": 5000, "bytes_sent": 64, "bytes_received": 128,
        "latency": latency,
        "memory_map": {
            "arena": arena, "stacks": memory["stacks"], "columns": list(OPERATORS), "left_out": 0,
            "tensors": [
                {"tensor": "tensor 0, int8 1x4: in", "offset": 0, "bytes": arena // 2, "first": 0, "last": 0},
                {"tensor": f"tensor 1, int8 1x4: {tensor}", "offset": arena // 2, "bytes": arena - arena // 2,
                 "first": 0, "last": 1},
                {"tensor": "tensor 2, int8 1x4: out", "offset": 0, "bytes": 40, "first": 1, "last": 2},
            ],
        },
    }  # fmt: skip
    if nodes > 1:
        node["latency"] = {"total": 1000, "compute": 700, "wait": 100 + number, "wire": 200 - number}
        node["predicted"] = {"compute": 690.0, "wait": 110.0, "wire": 190.0}
        compute = (300, 250, 150)
        wait, wire = (50, 50 + number, 0), (100, 100 - number, 0)
        begins = (0, 450, 850)
        node["steps"] = [
            {"steps": [4 * k, 4 * k + 2], "what": f"exchange {k}", "begin": begins[k], "compute": compute[k],
             "wait": wait[k], "wire": wire[k]}
            for k in range(3)
        ]  # fmt: skip
    return node


def origin(name: str, *, days_ago: float = 0.0, command: str = "pytest --board=rp2040", **changes: Any) -> Origin:
    """A run of branch main."""
    made = {
        "id": name, "began": NOW - 3600 - 86400 * days_ago, "command": command, "host": "lab-pc", "pid": 1,
        "version": "0.1.0", "revision": f"{name:0<40}", "branch": "main", "dirty": False, "bench": "virtual bench",
    }  # fmt: skip
    return Origin(**made | changes)


def filled(
    file: Path,
    nights: int = 12,
    *,
    slow_from: int | None = 8,
    extra: Sequence[dict[str, Any]] = (),
    results: Sequence[Result] = (),
    command: str = "pytest --board=rp2040 -n2",
) -> Path:
    """Nights of the same deployments. From `slow_from` on kws is 5 % slower; `extra` and `results` are of the last."""
    with History.open(file) as history:
        for night in range(nights):
            last = night == nights - 1
            run = origin(f"night-{night:02}", days_ago=nights - 1 - night, command=command)
            slow = slow_from is not None and night >= slow_from
            noise = [2000 + (7 * (k + night)) % 13 for k in range(10)]
            writer = history.begin(run)
            for one in (
                record(samples=[1050, 1050] if slow else [1000, 1000]),
                record("vww", samples=noise, bench="hardware", board="rp2350", cores=2),
                record("ic", nodes=4, samples=[3000, 3001]),
                *(extra if last else ()),
            ):
                writer.profiled(one, place="a board", at=run.began + 60)
            name = "suite/test_model.py::test_outputs[kws-rp2040]"
            writer.tested(Result(name, "passed", model="kws", board="rp2040", seconds=1.0, at=run.began + 61))
            for result in results if last else ():
                writer.tested(result)
            bad = last and (any(r.outcome == "failed" for r in results) or any(r["reasons"] for r in extra))
            writer.verdict("fail" if bad else "pass")
            writer.end(run.began + 600)
    return file
