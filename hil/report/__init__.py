"""Reports: what a person reads. Drawing only."""

from hil.report.cluster import cluster_plan_view, cluster_profile_view, comparison
from hil.report.gate import gate_markdown, gate_view
from hil.report.junit import junit_text
from hil.report.outcome import Outcome
from hil.report.terminal import duration, plain, plan_view, profile_view, show, size, table

__all__ = [
    "Outcome",
    "cluster_plan_view",
    "cluster_profile_view",
    "comparison",
    "duration",
    "gate_markdown",
    "gate_view",
    "junit_text",
    "plain",
    "plan_view",
    "profile_view",
    "show",
    "size",
    "table",
]
