"""Records of profiles that nobody measured, for tests of what keeps and reads them."""

from __future__ import annotations

from typing import Any

SHA256 = "5" * 64


def profile(
    model: str = "kws", board: str = "rp2040", *, latency: float = 1000.0, source: str = "virtual", **more: Any
) -> dict[str, Any]:
    """A `hil.profile/1` with all that `hil.record.measurement` reads; `more` replaces its keys."""
    memory = {
        "ram_peak": 4420, "ram_static": 2448, "arena": 1280, "stacks": [692], "ram_predicted": 4420,
        "flash": 33028, "flash_code": 20528, "flash_program": 12500,
    }  # fmt: skip
    samples = [latency, latency]
    return {
        "schema": "hil.profile/1",
        "model": {"name": model, "sha256": SHA256, "operators": {"ADD": 1}, "macs": 88064},
        "board": board,
        "bench": source,
        "firmware": {"engine": "hil", "build": "ab" * 16, "toolchain": "zig"},
        "cores": 1,
        "nodes": 1,
        "outputs": {"inputs": 4, "elements": 60, "mismatches": 0, "max_abs_diff": 0.0, "reference": "none"},
        "latency": {
            "samples": samples, "median": latency, "p95": latency, "min": latency, "max": latency,
            "cycles_median": round(125 * latency), "counts": "cycles", "clock_ratio": 1.0,
        },
        "memory": memory,
        "per_node": [{"node": 0, "board": board, "memory": memory, "bytes_sent": 0, "bytes_received": 0}],
        "verdict": "pass",
        "reasons": [],
    } | more  # fmt: skip
