"""What a debugger does to a board beside flashing: reset, halt, read memory, tell where the cores are.

    with hil.flash.debugger("E6614103E7171B29", boards.load("rp2040")) as debugger:
        print(where(debugger.registers(), image.symbolize))

pyOCD does it, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from hil.board import Board
from hil.errors import UsageError
from hil.flash.child import DebugChild, DebugFailed

MOST_BYTES = 1 << 20
_NAMES = ("pc", "lr", "sp", "xpsr")
_FAULTS = ("cfsr", "hfsr")
_EXCEPTIONS = {0: "", 2: "NMI", 3: "HardFault", 4: "MemManage", 5: "BusFault", 6: "UsageFault", 7: "SecureFault"}


@dataclass(frozen=True)
class CoreState:
    """Where a core is. `was`: "running", "sleeping", "halted" or "locked up", before it was looked at.

    `faults`: its fault status registers by name (Armv8-M alone has them); what is not zero there says what happened.
    """

    core: int
    was: str
    pc: int
    lr: int
    sp: int
    xpsr: int
    faults: Mapping[str, int]

    @property
    def exception(self) -> str:
        """The exception that it handles; empty for none."""
        number = self.xpsr & 0x1FF
        return _EXCEPTIONS.get(number, f"exception {number}")


class Debugger(Protocol):
    """A debugger on one board. All raise `DebugFailed` where pyOCD, its probe or the board fails."""

    def reset(self) -> None:
        """Start the board's firmware anew; a core that was halted goes on."""

    def halt(self) -> None:
        """Stop the cores that it reaches until `reset`, even when the debugger is gone."""

    def read(self, address: int, length: int) -> bytes:
        """Memory as the cores see it, while they run. Registers of devices may notice."""

    def registers(self) -> tuple[CoreState, ...]:
        """Where the cores are that it reaches; each is stopped for a moment, and goes on as before."""


class PyOcdDebugger:
    """A `Debugger` on the board behind the probe `target`; the board goes on while it attaches, and when it leaves."""

    def __init__(self, target: str, board: Board) -> None:
        self._where = f"{board.name} at probe {target}"
        self._child = DebugChild(target, board, "attach")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._child.__exit__(kind, error, at)

    def reset(self) -> None:
        self._child.ask({"op": "reset"})

    def halt(self) -> None:
        self._child.ask({"op": "halt"})

    def read(self, address: int, length: int) -> bytes:
        if not 0 <= address <= 0xFFFF_FFFF or not 0 < length <= MOST_BYTES or address + length > 1 << 32:
            raise UsageError(
                f"{length} bytes from {address:#x}: 1 to {MOST_BYTES} bytes of 32 bits of address are read"
            )
        found = self._child.ask({"op": "read", "address": address, "length": length}, 10 + length / 10_000)
        try:
            data = bytes.fromhex(found)
        except (TypeError, ValueError):
            data = b""
        if len(data) != length:
            raise DebugFailed(
                f"{self._where}: pyOCD read {len(data)} bytes, not {length}", again=False, hint="pyocd list"
            )
        return data

    def registers(self) -> tuple[CoreState, ...]:
        return core_states(self._child)


def core_states(child: DebugChild) -> tuple[CoreState, ...]:
    """What a child of pyOCD tells of the cores. Raises `DebugFailed`."""
    try:
        return tuple(_state(core) for core in child.ask({"op": "registers"}))
    except (KeyError, TypeError, ValueError) as error:
        raise DebugFailed(f"pyOCD told registers that are none (log: {child.log})", again=False) from error


def _state(core: dict[str, Any]) -> CoreState:
    values = {name: int(core[name]) for name in (*_NAMES, "core")}
    faults = {name: int(core[name]) for name in _FAULTS if name in core}
    return CoreState(was=str(core["was"]), faults=faults, **values)


def where(cores: Sequence[CoreState], symbolize: Callable[[int], str]) -> str:
    """Where the cores are, as a line for each."""
    return "\n".join(_line(core, symbolize) for core in cores)


def _line(core: CoreState, symbolize: Callable[[int], str]) -> str:
    exception = f" in {core.exception}" if core.exception else ""
    faults = "".join(f", {name.upper()} {value:#010x}" for name, value in core.faults.items() if value)
    at, back = (f"{value:#010x} ({symbolize(value)})" for value in (core.pc, core.lr))
    return f"core {core.core}, {core.was}{exception}: PC {at}, LR {back}, SP {core.sp:#010x}{faults}"
