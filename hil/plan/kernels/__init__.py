"""The engine's kernels as the host knows them: records, and a numpy twin of each."""

from hil.plan.kernels.lookup import Lookup
from hil.plan.records import registry

KERNELS = registry(Lookup)

__all__ = ["KERNELS", "Lookup"]
