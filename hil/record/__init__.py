"""Records and verdicts: what a run found, as data, and whether it is good."""

from hil.record.cluster import ClusterProfile, cluster_plan_record, cluster_record, judged_cluster
from hil.record.profile import (
    Profile,
    judged,
    model_record,
    plan_record,
    profile_record,
    refusal_record,
    variant_record,
)
from hil.record.verdict import NO_LIMITS, Limits, as_planned

__all__ = [
    "NO_LIMITS",
    "ClusterProfile",
    "Limits",
    "Profile",
    "as_planned",
    "cluster_plan_record",
    "cluster_record",
    "judged",
    "judged_cluster",
    "model_record",
    "plan_record",
    "profile_record",
    "refusal_record",
    "variant_record",
]
