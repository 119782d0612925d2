"""Records and verdicts: what a run found, as data, and whether it is good."""

from hil.record.profile import Profile, judged, model_record, plan_record, profile_record
from hil.record.verdict import NO_LIMITS, Limits

__all__ = ["NO_LIMITS", "Limits", "Profile", "judged", "model_record", "plan_record", "profile_record"]
