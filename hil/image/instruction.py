"""What the bound on the stack must know of an instruction."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Flow(Enum):
    """Where control goes after an instruction."""

    NEXT = auto()
    BRANCH = auto()  # to `target`, always
    MAYBE = auto()  # to `target`, or on
    CALL = auto()  # to `target`, then on
    CALL_REGISTER = auto()  # BLX `register`
    JUMP_REGISTER = auto()  # BX `register`
    TABLE = auto()  # writes PC from a register: a switch, inside the function
    RETURN = auto()
    STOP = auto()  # undefined instruction


@dataclass(frozen=True)
class Instruction:
    """One instruction; `grow` is by how many bytes the stack grows (negative: shrinks)."""

    address: int
    size: int = 2
    flow: Flow = Flow.NEXT
    target: int = 0
    register: int = -1
    grow: int = 0
    grow_by_register: int = -1
    """Register that is added to SP, or -1."""
    subtracts: bool = False
    """That register is subtracted instead."""
    restores_sp: bool = False
    """MOV SP, Rn: an epilogue with a frame pointer."""
    loads: tuple[int, int] | None = None
    """Register and address of a literal that is loaded into it."""
    pops: int = 0
    """Bit mask of registers that POP fills."""
    sets: tuple[int, int] | None = None
    """Register and the constant that is put into it, by a 32-bit instruction."""
    sets_top: tuple[int, int] | None = None
    """Register and the constant that becomes its upper half."""
    forgets: int = 0
    """Bit mask of registers that a 32-bit instruction fills with something unknown."""
    conditional: int = 0
    """How many instructions behind this one are conditional: IT."""
    code: int = 0
    """The first halfword; a whole RISC-V instruction."""


def signed(value: int, bits: int) -> int:
    """`value`, whose width is `bits`, as a two's complement number."""
    return value - (1 << bits) if value >> (bits - 1) else value
