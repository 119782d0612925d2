"""Whose fault a failure is, by the class of its error."""

from __future__ import annotations

from hil.errors import DeviceError, HilError, InfrastructureError
from hil.record.history import Cause


def cause_of(error: BaseException) -> Cause:
    """The lab's ('infrastructure'), the device's, that of what was asked for ('refused'), or the test said no."""
    if isinstance(error, InfrastructureError):
        return "infrastructure"
    if isinstance(error, DeviceError):
        return "device"
    return "refused" if isinstance(error, HilError) else "assertion"
