"""What an RV32IMAC instruction does to the stack and to the flow of control. Nothing else about it is decoded.

Source: The RISC-V Instruction Set Manual, volume I: chapters "RV32I" and "C" (tables of compressed encodings).
"""

from __future__ import annotations

from collections.abc import Callable

from hil.image.instruction import Flow, Instruction

_RA, _SP, _T0 = 1, 2, 5
_LINKS = {_RA, _T0}  # the registers that calls return through
_UNIMP = 0xC0001073  # csrrw x0, cycle, x0: what assemblers emit for `unimp`


def decode(address: int, half: Callable[[int], int]) -> Instruction:
    """The instruction at `address`; `half` reads the halfword at an address.

    A far call or jump is two instructions, AUIPC and JALR; it counts as one of eight bytes.
    """
    first = half(address)
    if first & 3 != 3:
        return _compressed(address, first)
    word = first | half(address + 2) << 16
    if word & 0x7F == 0x17 and half(address + 4) & 0x7F == 0x67:  # AUIPC, JALR
        second = half(address + 4) | half(address + 6) << 16
        if second >> 15 & 31 == word >> 7 & 31 and second >> 12 & 7 == 0:
            target = address + (word & 0xFFFF_F000) + _signed(second >> 20, 12) & 0xFFFF_FFFF
            flow = Flow.CALL if second >> 7 & 31 in _LINKS else Flow.BRANCH
            return Instruction(address, 8, flow, target, code=word)
    return _whole(address, word)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


Spans = tuple[tuple[int, int, int], ...]
_JUMP: Spans = ((3, 3, 1), (11, 1, 4), (2, 1, 5), (7, 1, 6), (6, 1, 7), (9, 2, 8), (8, 1, 10), (12, 1, 11))
_BRANCH: Spans = ((3, 2, 1), (10, 2, 3), (2, 1, 5), (5, 2, 6), (12, 1, 8))
_ADDI16SP: Spans = ((6, 1, 4), (2, 1, 5), (5, 1, 6), (3, 2, 7), (12, 1, 9))


def _bits(word: int, *spans: tuple[int, int, int]) -> int:
    """Gather an immediate: each span takes, from bit `start` on, `count` bits to bit `to`."""
    return sum((word >> start & (1 << count) - 1) << to for start, count, to in spans)


def _whole(address: int, word: int) -> Instruction:
    opcode, rd, rs1 = word & 0x7F, word >> 7 & 31, word >> 15 & 31
    flow, target, register = Flow.NEXT, 0, -1
    if opcode == 0x6F:  # JAL
        target = address + _signed(_bits(word, (21, 10, 1), (20, 1, 11), (12, 8, 12), (31, 1, 20)), 21)
        flow = Flow.CALL if rd in _LINKS else Flow.BRANCH
    elif opcode == 0x67:  # JALR
        register = rs1
        jump = Flow.RETURN if rs1 in _LINKS else Flow.JUMP_REGISTER
        flow = Flow.CALL_REGISTER if rd in _LINKS else jump
    elif opcode == 0x63:  # branches
        target = address + _signed(_bits(word, (8, 4, 1), (25, 6, 5), (7, 1, 11), (31, 1, 12)), 13)
        flow = Flow.MAYBE
    elif word == _UNIMP:
        flow = Flow.STOP
    elif rd == _SP and opcode == 0x13:  # ADDI: the other ones never make an SP
        if rs1 == _SP and word >> 12 & 7 == 0:
            return Instruction(address, 4, grow=-_signed(word >> 20, 12), code=word)
        return Instruction(address, 4, restores_sp=True, code=word)
    elif rd == _SP and opcode == 0x33 and rs1 == _SP:  # ADD, SUB
        return Instruction(address, 4, grow_by_register=word >> 20 & 31, subtracts=bool(word >> 30 & 1), code=word)
    return Instruction(address, 4, flow, target & 0xFFFF_FFFF, register, code=word)


def _compressed(address: int, half: int) -> Instruction:
    kind, rd = (half & 3, half >> 13), half >> 7 & 31
    immediate = _signed(_bits(half, (2, 5, 0), (12, 1, 5)), 6)
    flow, target, register = Flow.NEXT, 0, -1
    if half == 0:
        flow = Flow.STOP
    elif kind in {(1, 1), (1, 5)}:  # C.JAL, C.J
        target = address + _signed(_bits(half, *_JUMP), 12)
        flow = Flow.CALL if kind == (1, 1) else Flow.BRANCH
    elif kind in {(1, 6), (1, 7)}:  # C.BEQZ, C.BNEZ
        target, flow = address + _signed(_bits(half, *_BRANCH), 9), Flow.MAYBE
    elif kind == (1, 0) and rd == _SP:  # C.ADDI
        return Instruction(address, grow=-immediate, code=half)
    elif kind == (1, 3) and rd == _SP:  # C.ADDI16SP
        return Instruction(address, grow=-_signed(_bits(half, *_ADDI16SP), 10), code=half)
    elif kind == (2, 4):
        return _register_form(address, half, rd)
    return Instruction(address, 2, flow, target & 0xFFFF_FFFF, register, code=half)


def _register_form(address: int, half: int, rd: int) -> Instruction:
    """C.JR, C.MV, C.EBREAK, C.JALR, C.ADD."""
    other, adds = half >> 2 & 31, bool(half >> 12 & 1)
    if other == 0 and rd == 0:
        return Instruction(address, flow=Flow.STOP, code=half)
    if other == 0 and adds:
        return Instruction(address, flow=Flow.CALL_REGISTER, register=rd, code=half)
    if other == 0:
        return Instruction(address, flow=Flow.RETURN if rd in _LINKS else Flow.JUMP_REGISTER, register=rd, code=half)
    if rd == _SP and adds:
        return Instruction(address, grow_by_register=other, code=half)
    return Instruction(address, restores_sp=rd == _SP, code=half)


def track(one: Instruction, known: dict[int, int]) -> None:
    """Follow constants in registers through one instruction: what it computes from them, what it overwrites.

    Compilers build the size of a large frame with LUI, ADDI, their compressed forms, and C.MV.
    """
    word, rd = one.code, one.code >> 7 & 31
    value: int | None = None
    if word & 3 == 3:
        opcode, rs1 = word & 0x7F, word >> 15 & 31
        if opcode in {0x63, 0x23, 0x0F}:  # branches, stores, fences: no result
            return
        if opcode == 0x37:  # LUI
            value = word & 0xFFFF_F000
        elif opcode == 0x13 and word >> 12 & 7 == 0 and (rs1 == 0 or rs1 in known):  # ADDI
            value = known.get(rs1, 0) + _signed(word >> 20, 12)
    else:
        kind = word & 3, word >> 13
        immediate = _signed(_bits(word, (2, 5, 0), (12, 1, 5)), 6)
        if kind[0] == 0:
            rd = 0 if kind[1] >= 5 else 8 + (word >> 2 & 7)  # stores; C.LW, C.ADDI4SPN
        elif kind == (1, 4):
            rd = 8 + (word >> 7 & 7)  # shifts, C.ANDI, C.SUB ..
        elif kind in {(1, 1), (1, 5), (1, 6), (1, 7), (2, 6)}:
            return  # jumps, branches, C.SWSP
        elif kind == (1, 2):  # C.LI
            value = immediate
        elif kind == (1, 3) and rd != _SP:  # C.LUI
            value = immediate << 12
        elif kind == (1, 0) and rd in known:  # C.ADDI
            value = known[rd] + immediate
        elif kind == (2, 4) and not word >> 12 & 1 and word >> 2 & 31:  # C.MV
            value = known.get(word >> 2 & 31)
    known.pop(rd, None)
    if value is not None and rd:
        known[rd] = value & 0xFFFF_FFFF
