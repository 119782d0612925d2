"""Everything that can go wrong, and what it means for the exit status.

    HilError
    +-- UsageError             2  a flag, a path, a board name, a configuration file
    |   |-- BoardFileError     2  boards/*.toml: names file and key
    |   |-- LabFileError       2  lab.toml: names file and key
    |   |-- GateFileError      2  gate.toml, baselines/*.json: names file and key
    |   `-- MalformedRecord    2  a record of a run that is none
    +-- Refused                3  known before anything runs
    |   +-- ModelError
    |   |   +-- MalformedModel     not a model, or one that contradicts itself
    |   |   `-- UnsupportedModel   a sound model that the engine does not run
    |   `-- PlanError
    |       `-- DoesNotFit         needs more RAM or flash than the board has
    +-- InfrastructureError    4  the lab, not the model: worth another try
    |   +-- BoardMissing           no board, or it vanished
    |   |   `-- BenchLost              what it is reached through is gone: an exporter, a coordinator
    |   +-- BoardBusy              somebody else holds it, and longer than we wait
    |   +-- BoardQuarantined       set aside, until 'hil lab release'
    |   +-- StateFailed            what is known of a lab's boards, or of runs, cannot be written down, or read
    |   +-- FlashFailed
    |   +-- LinkError
    |   |   +-- LinkLost           the port closed or the board was unplugged
    |   |   |   `-- NodeLost           it was a node of a cluster that runs
    |   |   +-- LinkTimeout        no valid answer within the limit
    |   |   `-- WireFailed         nodes that are well did not hear each other
    |   +-- ToolMissing            compiler, emulator, runtime
    |   +-- BuildFailed            the compiler said no
    |   `-- ReferenceFailed        TFLite crashed, hung or refused
    `-- DeviceError            5  the device itself said, or showed, that it failed
        +-- DeviceFault            a fault handler reported
        +-- DeviceRefused          a request or program that the firmware rejects
        +-- DeviceHang             alive on the bus, or once was, but never done
        +-- NodeFailed             a node of a cluster stopped, restarted or went silent in a run
        `-- ClockMismatch          its clock disagrees with the bench's: no latency of it is true

A bad verdict (exit status 1) is a result, not an error, and has no class here.
"""

from __future__ import annotations


class HilError(Exception):
    """Base of all errors that `hil` raises on purpose.

    `message` says what was tried and on what; `hint` is the next command to type, or None.
    """

    exit_status = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.hint}" if self.hint else self.message


class UsageError(HilError):
    """The command line, a path or a configuration file is wrong."""


class BoardFileError(UsageError):
    """A board description is wrong; the message names file and key."""


class LabFileError(UsageError):
    """A lab file is wrong; the message names file, key and value."""


class GateFileError(UsageError):
    """A gate or a baseline is wrong; the message names file, key and value."""


class MalformedRecord(UsageError):
    """A file or line that should be a record of a run is not one."""


class Refused(HilError):
    """Refused before anything was built or run."""

    exit_status = 3


class ModelError(Refused):
    """Something about the model itself."""


class MalformedModel(ModelError):
    """The file is not a model, is damaged, or contradicts itself."""


class UnsupportedModel(ModelError):
    """A sound model with an operator, type or option that the engine does not run."""


class PlanError(Refused):
    """No plan exists for this model on these boards."""


class DoesNotFit(PlanError):
    """The plan needs more memory than the board has. `node`: the tightest one, where there are several.

    `nodes`: the fewest such boards on which it fits, if that was found out.
    """

    nodes: int | None = None

    def __init__(
        self,
        message: str,
        *,
        needed: int,
        available: int,
        operator: str,
        tensor: str,
        node: int = 0,
        hint: str | None = None,
    ):
        super().__init__(message, hint=hint)
        self.node = node
        self.needed = needed
        self.available = available
        self.operator = operator
        self.tensor = tensor


class InfrastructureError(HilError):
    """The lab failed, not the model.

    `of_a_board`: whether such an error speaks against the board that it happens on. `boards`: identity and name of a
    lab's boards that failed, and why, where a bench knows.
    """

    exit_status = 4
    of_a_board = False
    boards: tuple[tuple[str, str, str], ...] = ()


class BoardMissing(InfrastructureError):
    """No board where one was expected."""

    of_a_board = True


class BenchLost(BoardMissing):
    """Another machine that has the board, or tells who has it, does not answer. Nothing is known against the board."""


class BoardBusy(InfrastructureError):
    """All boards that would do are held by others; the message says by whom."""


class BoardQuarantined(InfrastructureError):
    """The boards that would do were set aside because they did not come back to life."""


class StateFailed(InfrastructureError):
    """Leases and quarantines, or the history of runs, cannot be used: no right to, no room on the disk, damaged."""


class FlashFailed(InfrastructureError):
    """The image did not get onto the board."""

    of_a_board = True


class LinkError(InfrastructureError):
    """The connection to the board."""

    of_a_board = True


class LinkLost(LinkError):
    """The port closed: unplugged, powered off, or its process ended."""


class NodeLost(LinkLost):
    """A node of a cluster vanished in a run; the message names node, step and cause."""


class LinkTimeout(LinkError):
    """No valid answer arrived within the time limit."""


class WireFailed(LinkError):
    """Nodes of a cluster that are well did not hear each other; the message names nodes, step and cause."""

    of_a_board = False


class ToolMissing(InfrastructureError):
    """A compiler, an emulator or a runtime is not installed."""


class BuildFailed(InfrastructureError):
    """A compiler or linker refused; the message carries what it said."""


class ReferenceFailed(InfrastructureError):
    """The host reference crashed, hung, or refused the model."""


class DeviceError(HilError):
    """The device failed."""

    exit_status = 5


class DeviceFault(DeviceError):
    """The device's fault handler reported; registers are in the message."""


class DeviceRefused(DeviceError):
    """The firmware answered a request with an error status."""


class DeviceHang(DeviceError):
    """The device did not finish within its time limit."""


class NodeFailed(DeviceError):
    """A node of a cluster stopped, restarted or went silent in a run; the message names node, step and cause."""


class ClockMismatch(DeviceError):
    """The device's clock disagrees with the bench's."""
