"""Profiles to gate: records of a board that is not there, and what a gate makes of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hil.record import Found, found_in, profile_record
from hil.record.findings import GateVerdict, Inputs, Judged, Taken
from hil.record.gate import evaluate
from hil.record.gate_changes import Standard
from hil.record.gatefile import read
from hil.record.verdict import NO_LIMITS
from tests.support.fakes import deployed, measured

NOW = 1_800_000_000.0
HOUR = 3600.0


def record(**changes: Any) -> dict[str, Any]:
    """A `hil.profile/1`; `changes`: of the top, and 'model_name', 'us', 'ram'."""
    from hil.record import judged

    deployment = deployed()
    made: dict[str, Any] = copy.deepcopy(profile_record(judged(deployment, measured(deployment), "virtual", NO_LIMITS)))
    if (name := changes.pop("model_name", None)) is not None:
        made["model"] = {**made["model"], "name": name}
    if (us := changes.pop("us", None)) is not None:
        made["latency"] |= {"median": us, "samples": [us, us]}
    if (ram := changes.pop("ram", None)) is not None:
        made["memory"]["ram_peak"] = ram
    if (wrong := changes.pop("mismatches", None)) is not None:
        made["outputs"]["mismatches"] = wrong
    return made | changes


def found(**changes: Any) -> Found:
    return found_in(record(**changes))


def on_hardware(one: Found, samples: tuple[float, ...]) -> Found:
    """The same with a clock that has noise."""
    subject = replace(one.subject, source="hardware")
    middle = sorted(samples)[len(samples) // 2]
    made = tuple(
        replace(m, exact=False, samples=samples, value=middle) if m.name == "latency" else m for m in one.measurements
    )
    return replace(one, subject=subject, measurements=made)


def inputs(*profiles: Found, age: float | None = HOUR, **more: Any) -> Inputs:
    at = None if age is None else NOW - age
    return Inputs(runs=("run",), profiles=tuple(Taken(one, "run", at, "place") for one in profiles), **more)


def judge(
    checks: str | Mapping[str, str], given: Inputs, standard: Standard | None = None, **more: Any
) -> tuple[GateVerdict, Judged]:
    """The verdict, and what became of the first condition."""
    named = {"it": checks} if isinstance(checks, str) else checks
    lines = "".join(f"{name} = '{check}'\n" for name, check in named.items())
    gate = read(Path("gate.toml"), f"schema = 1\n[conditions]\n{lines}")
    verdict = evaluate(gate, given, standard or Standard(None, gate.policies), now=NOW, **more)
    first = next(iter(named))
    return verdict, next(one for one in verdict.judged if one.name == first)
