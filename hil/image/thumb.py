"""What a Thumb instruction does to the stack and to the flow of control. Nothing else about it is decoded.

Source: ARMv6-M Architecture Reference Manual, A5.2 (16-bit encodings); what ARMv8-M adds to them (its manual, C2.2) is
undefined there, so one decoder serves both. 32-bit encodings are in `thumb2`.
"""

from __future__ import annotations

from dataclasses import replace

from hil.image import thumb2
from hil.image.instruction import Flow, Instruction, signed


def decode(address: int, first: int, second: int) -> Instruction:
    """The instruction at `address`; `second` is the halfword behind the first."""
    return replace(_decode(address, first, second), code=first)


def _decode(address: int, first: int, second: int) -> Instruction:
    if first >> 11 >= 0b11101:
        return thumb2.decode(address, first, second)
    top = first >> 8
    if top in {0b10110100, 0b10110101}:  # PUSH
        return Instruction(address, grow=4 * (first & 0x1FF).bit_count())
    if top in {0b10111100, 0b10111101}:  # POP
        flow = Flow.RETURN if first & 0x100 else Flow.NEXT
        return Instruction(address, flow=flow, grow=-4 * (first & 0x1FF).bit_count(), pops=first & 0xFF)
    if top == 0b10110000:  # ADD/SUB SP, #imm7
        size = 4 * (first & 0x7F)
        return Instruction(address, grow=size if first & 0x80 else -size)
    if top >> 3 == 0b01001:  # LDR Rt, [PC, #imm8]
        return Instruction(address, loads=(first >> 8 & 7, (address + 4 & ~3) + 4 * (first & 0xFF)))
    if top >> 4 == 0b1101:  # B<cond>, UDF, SVC
        condition = first >> 8 & 15
        if condition == 14:
            return Instruction(address, flow=Flow.STOP)
        if condition == 15:
            return Instruction(address)
        return Instruction(address, flow=Flow.MAYBE, target=address + 4 + 2 * signed(first & 0xFF, 8))
    if top >> 3 == 0b11100:  # B
        return Instruction(address, flow=Flow.BRANCH, target=address + 4 + 2 * signed(first & 0x7FF, 11))
    if first & 0xF500 == 0xB100:  # CBZ, CBNZ
        offset = (first >> 9 & 1) << 6 | (first >> 3 & 31) << 1
        return Instruction(address, flow=Flow.MAYBE, target=address + 4 + offset)
    if top == 0b10111111 and first & 15:  # IT
        mask = first & 15
        return Instruction(address, conditional=5 - (mask & -mask).bit_length())
    if top >> 2 == 0b010001:
        return _high_registers(address, first)
    return Instruction(address)


def _high_registers(address: int, first: int) -> Instruction:
    """ADD, CMP, MOV on all registers; BX, BLX (A5.2.3)."""
    source = first >> 3 & 15
    target = (first >> 4 & 8) | (first & 7)
    kind = first >> 8 & 3
    if kind == 3:
        if first & 0x80:
            return Instruction(address, flow=Flow.CALL_REGISTER, register=source)
        return Instruction(address, flow=Flow.RETURN if source == 14 else Flow.JUMP_REGISTER, register=source)
    if kind == 1:  # CMP
        return Instruction(address)
    if target == 15:
        return Instruction(address, flow=Flow.RETURN if kind == 2 and source == 14 else Flow.TABLE)
    if target == 13:
        if kind == 0:
            return Instruction(address, grow_by_register=source)
        return Instruction(address, restores_sp=True)
    return Instruction(address)


def track(first: int, known: dict[int, int]) -> None:
    """Follow constants in r0-r7 through one 16-bit instruction: what it computes from them, what it overwrites.

    Compilers build the size of a large frame with MOVS, LSLS, ADDS, SUBS, RSBS, MVNS (literals are the caller's).
    """
    low, middle, high = first & 7, first >> 3 & 7, first >> 8 & 7
    byte = first & 0xFF
    value: int | None = None
    target = low
    if first >> 11 == 0b00000 and middle in known:  # LSLS Rd, Rm, #imm5
        value = known[middle] << (first >> 6 & 31)
    elif first >> 13 == 0b001:  # MOVS, CMP, ADDS, SUBS Rd, #imm8
        target, operation = high, first >> 11 & 3
        if operation == 1:
            return
        if operation == 0:
            value = byte
        elif high in known:
            value = known[high] + (byte if operation == 2 else -byte)
    elif first >> 6 in {0b0100001001, 0b0100001111} and middle in known:  # RSBS Rd, Rn, #0; MVNS
        value = -known[middle] if first >> 6 == 0b0100001001 else ~known[middle]
    elif first >> 10 == 0b010001:
        target = (first >> 4 & 8) | low
        if first >> 8 & 3 == 2:  # MOV Rd, Rm
            value = known.get(first >> 3 & 15)
        elif first >> 8 & 3 in {1, 3}:
            return
    elif first >> 12 in {0b1001, 0b1010} or first >> 11 == 0b01001:  # LDR/STR SP, ADR, ADD Rd, SP; LDR literal
        target = high
    elif first >> 12 == 0b1100 or first >> 9 == 0b1011110:  # LDM, STM, POP
        for register in range(8):
            if byte >> register & 1:
                known.pop(register, None)
        target = high if first >> 12 == 0b1100 else -1
    elif first >> 8 == 0b10110000 or first >> 9 == 0b1011010 or first >> 12 in {0b1101, 0b1110}:
        return  # ADD/SUB SP, PUSH, branches
    known.pop(target, None)
    if value is not None:
        known[target] = value & 0xFFFF_FFFF
