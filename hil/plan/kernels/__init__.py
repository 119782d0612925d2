"""The engine's kernels as the host knows them: records, and a numpy twin of each."""

from hil.plan.kernels.conv import Conv
from hil.plan.kernels.depthwise import Depthwise
from hil.plan.kernels.lookup import Lookup
from hil.plan.records import registry

KERNELS = registry(Conv, Depthwise, Lookup)

__all__ = ["KERNELS", "Conv", "Depthwise", "Lookup"]
