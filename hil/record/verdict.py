"""A verdict: a measurement held against reference, prediction and limit, with a reason for every 'no'."""

from __future__ import annotations

from dataclasses import dataclass

from hil.bench import Source
from hil.deployment import Deployment
from hil.measure import Comparison, Measured, RamUse


@dataclass(frozen=True)
class Limits:
    """What a release allows; None means no limit."""

    latency_us: float | None = None
    ram_bytes: int | None = None


NO_LIMITS = Limits()


def reasons(deployment: Deployment, measured: Measured, source: Source, limits: Limits) -> tuple[str, ...]:
    """Why the verdict is bad; empty where it is good."""
    found = output_reasons(measured.outputs)
    found += [
        f"{layer.operator}, {layer.tensor}: {layer.result.mismatches} of {layer.result.elements} elements differ, "
        f"by at most {layer.result.max_abs_diff:g}"
        for layer in measured.layers or ()
        if layer.result.mismatches
    ]
    found += ram_reasons(deployment, measured.ram, limits)
    if limits.latency_us is not None and measured.latency.median > limits.latency_us:
        found.append(f"latency {measured.latency.median:g} us is over the limit of {limits.latency_us:g} us")
    if source == "virtual" and deployment.board.counted and not measured.repeats_identical:
        found.append("repeats on a virtual board counted different cycles: its time is not deterministic")
    return tuple(found)


def output_reasons(out: Comparison) -> list[str]:
    """The outputs against the reference."""
    if not out.mismatches:
        return []
    return [
        f"{out.mismatches} of {out.elements} output elements differ from the reference, by at most {out.max_abs_diff:g}"
    ]


def ram_reasons(deployment: Deployment, ram: RamUse, limits: Limits) -> list[str]:
    """Peak RAM against prediction and limit."""
    found = []
    if ram.peak > deployment.ram_predicted:
        found.append(f"peak RAM {ram.peak} bytes is over the predicted {deployment.ram_predicted}")
    if not as_planned(deployment, ram):
        found.append(f"the arena's high-water is {ram.arena} bytes, {deployment.plan.arena_bytes} were planned")
    if limits.ram_bytes is not None and ram.peak > limits.ram_bytes:
        found.append(f"peak RAM {ram.peak} bytes is over the limit of {limits.ram_bytes}")
    return found


def as_planned(deployment: Deployment, ram: RamUse) -> bool:
    """Whether the arena was used up to its last byte; of a node of several, to its last word."""
    planned = deployment.plan.arena_bytes
    return ram.arena == planned or (deployment.plan.nodes > 1 and planned - 3 <= ram.arena <= planned)
