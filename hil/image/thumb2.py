"""What a 32-bit Thumb instruction does to the stack and to the flow of control. Nothing else about it is decoded.

Source: ARMv8-M Architecture Reference Manual, C2.3 (32-bit encodings). Those of ARMv6-M are among them.
"""

from __future__ import annotations

from hil.image.instruction import Flow, Instruction, signed

_SP, _PC = 13, 15


def decode(address: int, first: int, second: int) -> Instruction:
    """The instruction of halfwords `first` and `second` at `address`."""
    if first >> 11 == 0b11110 and second >> 15:
        return _branch(address, first, second)
    if first >> 9 == 0b1110100:
        return _several(address, first, second)
    if first >> 9 == 0b1111100:
        return _single(address, first, second)
    if first & 0xFFBF in {0xED2D, 0xECBD}:  # VPUSH, VPOP
        size = 4 * (second & 0xFF)
        return Instruction(address, 4, grow=size if first & 0xFFBF == 0xED2D else -size)
    if first >> 11 == 0b11110:
        return _immediate(address, first, second)
    target = second >> 8 & 15
    if first >> 9 == 0b1110101 and target == _SP:  # ADD, SUB, MOV on registers
        if first & 15 == _SP and first >> 5 & 15 in {0b1000, 0b1101}:
            register = second & 15 if second & 0x70F0 == 0 else 16  # shifted: not followed, an error
            return Instruction(address, 4, grow_by_register=register, subtracts=first >> 5 & 15 == 0b1101)
        return Instruction(address, 4, restores_sp=True)
    return Instruction(address, 4, forgets=_written(second))


def _written(second: int) -> int:
    """Registers that data processing or a load may write: wherever the encodings have a destination."""
    return 1 << (second >> 8 & 15) | 1 << (second >> 12)


def _branch(address: int, first: int, second: int) -> Instruction:
    """B, BL, and what shares their place: hints, barriers, MSR, MRS, UDF (C2.3.4)."""
    sign, j1, j2 = first >> 10 & 1, second >> 13 & 1, second >> 11 & 1
    if second & 0x1000:  # BL; B without a condition
        offset = (
            sign << 24 | (1 ^ j1 ^ sign) << 23 | (1 ^ j2 ^ sign) << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1
        )
        flow = Flow.CALL if second & 0x4000 else Flow.BRANCH
        return Instruction(address, 4, flow, address + 4 + signed(offset, 25))
    if first & 0xFFF0 == 0xF7F0 and second & 0xF000 == 0xA000:
        return Instruction(address, 4, Flow.STOP)
    if first >> 7 & 7 == 7:
        return Instruction(address, 4, forgets=_written(second))
    offset = sign << 20 | j2 << 19 | j1 << 18 | (first & 0x3F) << 12 | (second & 0x7FF) << 1
    return Instruction(address, 4, Flow.MAYBE, address + 4 + signed(offset, 21))


def _several(address: int, first: int, second: int) -> Instruction:
    """LDM, STM, LDRD, STRD, table branches (C2.3.5, C2.3.6)."""
    base, loads = first & 15, first >> 4 & 1
    if not first & 0x40:
        size = 4 * second.bit_count()
        flow = Flow.RETURN if loads and second >> _PC else Flow.NEXT
        moves = first >> 5 & 1 and base == _SP
        down = first >> 7 & 3 == 2
        grow = (size if down else -size) if moves else 0
        if loads and second >> _SP & 1:
            return Instruction(address, 4, flow, restores_sp=True, forgets=second)
        return Instruction(
            address, 4, flow, grow=grow, pops=second if loads and moves else 0, forgets=second if loads else 0
        )
    if first & 0xFFF0 == 0xE8D0 and second & 0xFFE0 == 0xF000:  # TBB, TBH
        return Instruction(address, 4, Flow.TABLE)
    grow = 0
    if first & 0x20 and base == _SP:
        grow = 4 * (second & 0xFF) * (-1 if first & 0x80 else 1)
    return Instruction(address, 4, grow=grow, forgets=_written(second) if loads else second & 15)


def _single(address: int, first: int, second: int) -> Instruction:
    """LDR, STR and their kin (C2.3.7)."""
    base, loads, target = first & 15, first >> 4 & 1, second >> 12
    if base == _PC and loads:
        at = (address + 4 & ~3) + (second & 0xFFF) * (1 if first & 0x80 else -1)
        word = first & 0x60 == 0x40 and target < _SP
        return Instruction(address, 4, loads=(target, at) if word else None, forgets=0 if word else 1 << target)
    moves = not first & 0x80 and second & 0x900 == 0x900
    offset = (second & 0xFF) * (1 if second & 0x200 else -1)
    grow = -offset if moves and base == _SP else 0
    to_pc = loads and target == _PC and first & 0x60 == 0x40
    flow = Flow.NEXT if not to_pc else Flow.RETURN if base == _SP else Flow.TABLE
    forgets = (1 << target if loads else 0) | (1 << base if moves else 0)
    return Instruction(address, 4, flow, grow=grow, forgets=forgets)


def _immediate(address: int, first: int, second: int) -> Instruction:
    """Data processing with an immediate (C2.3.1, C2.3.3): MOVW and MOVT, and what moves SP."""
    target, base = second >> 8 & 15, first & 15
    small = (first >> 10 & 1) << 11 | (second >> 12 & 7) << 8 | second & 0xFF
    kind = first & 0xFBF0
    if kind == 0xF240:
        return Instruction(address, 4, sets=(target, base << 12 | small))
    if kind == 0xF2C0:
        return Instruction(address, 4, sets_top=(target, base << 12 | small))
    plain = first & 0x0200
    operation = first >> 5 & 15
    moves = operation in ({0b0000, 0b0101} if plain else {0b1000, 0b1101})  # ADD, SUB
    if target != _SP or not moves:
        written = 1 << target
        if not plain and operation == 0b0010 and base == _PC:  # MOV.W Rd, #imm
            return Instruction(address, 4, sets=(target, _expanded(small)))
        return Instruction(address, 4, forgets=written)
    value = small if plain else _expanded(small)
    if base != _SP:
        return Instruction(address, 4, restores_sp=True)
    return Instruction(address, 4, grow=value if operation in {0b0101, 0b1101} else -value)


def _expanded(small: int) -> int:
    """A 12-bit modified immediate as the 32 bits that it stands for (C1.5)."""
    byte = small & 0xFF
    if small >> 10 == 0:
        return (byte, byte << 16 | byte, byte << 24 | byte << 8, byte * 0x01010101)[small >> 8]
    turn = small >> 7
    value = 0x80 | small & 0x7F
    return (value >> turn | value << (32 - turn)) & 0xFFFF_FFFF
