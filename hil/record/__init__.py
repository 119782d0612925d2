"""Records and verdicts: what a run found, as data, whether it is good, and the history of all runs.

Names are loaded when they are asked for: whoever keeps or reads a history does not wait for numpy and the planner.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hil.record import queries
    from hil.record.baseline import Baseline, Compared, FileBaseline, HistoryBaseline, RunBaseline, held_against
    from hil.record.cause import cause_of
    from hil.record.cluster import ClusterProfile, cluster_plan_record, cluster_record, judged_cluster
    from hil.record.compare import Change, Reference, change_record, worst_first
    from hil.record.exchange import exported, imported
    from hil.record.health import Guard, Health, health_of
    from hil.record.history import History, Result, Usage, Writer, history_file
    from hil.record.measurement import MEASURES, Found, Measure, Measurement, Subject, found_in
    from hil.record.origin import Origin, here
    from hil.record.policy import Effect, Policies, Policy
    from hil.record.profile import (
        Profile,
        judged,
        model_record,
        plan_record,
        profile_record,
        refusal_record,
        variant_record,
    )
    from hil.record.steps import Step, first_bad
    from hil.record.uses import Uses
    from hil.record.verdict import NO_LIMITS, Limits, as_planned

_ROOMS = {
    "baseline": ("Baseline", "Compared", "FileBaseline", "HistoryBaseline", "RunBaseline", "held_against"),
    "cause": ("cause_of",),
    "cluster": ("ClusterProfile", "cluster_plan_record", "cluster_record", "judged_cluster"),
    "compare": ("Change", "Reference", "change_record", "worst_first"),
    "exchange": ("exported", "imported"),
    "health": ("Guard", "Health", "health_of"),
    "history": ("History", "Result", "Usage", "Writer", "history_file"),
    "measurement": ("MEASURES", "Found", "Measure", "Measurement", "Subject", "found_in"),
    "origin": ("Origin", "here"),
    "policy": ("Effect", "Policies", "Policy"),
    "profile": (
        "Profile",
        "judged",
        "model_record",
        "plan_record",
        "profile_record",
        "refusal_record",
        "variant_record",
    ),
    "steps": ("Step", "first_bad"),
    "uses": ("Uses",),
    "verdict": ("NO_LIMITS", "Limits", "as_planned"),
}
"""The public names, by the module that each is in: the imports above, for whoever runs and does not only check."""
_HOME = {name: module for module, names in _ROOMS.items() for name in names}

__all__ = [
    "MEASURES",
    "NO_LIMITS",
    "Baseline",
    "Change",
    "ClusterProfile",
    "Compared",
    "Effect",
    "FileBaseline",
    "Found",
    "Guard",
    "Health",
    "History",
    "HistoryBaseline",
    "Limits",
    "Measure",
    "Measurement",
    "Origin",
    "Policies",
    "Policy",
    "Profile",
    "Reference",
    "Result",
    "RunBaseline",
    "Step",
    "Subject",
    "Usage",
    "Uses",
    "Writer",
    "as_planned",
    "cause_of",
    "change_record",
    "cluster_plan_record",
    "cluster_record",
    "exported",
    "first_bad",
    "found_in",
    "health_of",
    "held_against",
    "here",
    "history_file",
    "imported",
    "judged",
    "judged_cluster",
    "model_record",
    "plan_record",
    "profile_record",
    "queries",
    "refusal_record",
    "variant_record",
    "worst_first",
]


def __getattr__(name: str) -> Any:
    if name == "queries":
        return import_module("hil.record.queries")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"hil.record.{_HOME[name]}"), name)
