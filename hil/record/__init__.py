"""Records and verdicts: what a run found, as data, whether it is good, and the history of all runs."""

from hil.record import queries
from hil.record.cluster import ClusterProfile, cluster_plan_record, cluster_record, judged_cluster
from hil.record.exchange import exported, imported
from hil.record.history import History, Result, Usage, Writer, history_file
from hil.record.measurement import MEASURES, Found, Measure, Measurement, Subject, found_in
from hil.record.origin import Origin, here
from hil.record.profile import Profile, judged, model_record, plan_record, profile_record, refusal_record
from hil.record.verdict import NO_LIMITS, Limits, as_planned

__all__ = [
    "MEASURES",
    "NO_LIMITS",
    "ClusterProfile",
    "Found",
    "History",
    "Limits",
    "Measure",
    "Measurement",
    "Origin",
    "Profile",
    "Result",
    "Subject",
    "Usage",
    "Writer",
    "as_planned",
    "cluster_plan_record",
    "cluster_record",
    "exported",
    "found_in",
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
]
