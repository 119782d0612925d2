"""The worst depth of the stack, read off the machine code of a linked image.

Every function is walked along its control flow with the depth so far; a call adds the callee's worst depth. What
cannot be known is an error, never a guess: recursion, a call through a register that nobody declared, a frame whose
size is computed. Works on what zig and gcc emit for ARMv6-M and ARMv8-M, and zig for RV32IMAC, their run-time
libraries included.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn

from hil.errors import BuildFailed
from hil.image import riscv, thumb
from hil.image.elf import RISCV, Elf
from hil.image.instruction import Flow, Instruction

# gcc's switch helpers are called like functions but return into the table's targets.
_SWITCH_HELPER = "__gnu_thumb1_case_"


@dataclass(frozen=True)
class StackBound:
    """Bytes, and the chain of calls that needs them."""

    bytes: int
    path: tuple[str, ...]


@dataclass
class _Walk:
    """One function: its own deepest point, and (depth, target) of every call."""

    deepest: int = 0
    calls: set[tuple[int, int]] = field(default_factory=set)


def worst_stack(
    elf: Elf,
    entry: str,
    leave_out: Collection[str] = (),
    indirect: Mapping[str, Collection[str]] | None = None,
) -> StackBound:
    """The worst stack depth in bytes from function `entry` on, functions in `leave_out` counting as never called.

    `indirect` declares for a function, by name, what it may call through registers.
    Raises `BuildFailed` naming the function for recursion and for what cannot be resolved.
    """
    code = _Code(elf)
    return _Search(code, frozenset(leave_out), indirect or {}).worst(code.address(entry), ())


class _Code:
    """The instructions of an image, by address, and which function each belongs to."""

    def __init__(self, elf: Elf) -> None:
        self.elf = elf
        self._memory = [(s.virtual, s.data) for s in elf.segments]
        functions = {s.value & ~1: s for s in elf.symbols if s.function and s.section}
        self._starts = sorted(functions)
        self._functions = functions
        marks = {s.value & ~1: s.name[1] for s in elf.symbols if s.name[:2] in {"$t", "$d", "$a", "$x"}}
        self._mark_at = sorted(marks)
        self._marks = marks

    def address(self, name: str) -> int:
        return self.elf.value(name) & ~1

    def span(self, address: int) -> tuple[int, int]:
        """Start and end of the function that `address` lies in."""
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0:
            raise BuildFailed(f"stack depth: no function at {address:#x}")
        start = self._starts[index]
        following = self._starts[index + 1] if index + 1 < len(self._starts) else start + 0x10000
        size = self._functions[start].size
        end = start + size if size else following
        if not start <= address < end:
            raise BuildFailed(f"stack depth: {address:#x} is behind {self._functions[start].name}, in no function")
        return start, end

    def name(self, address: int) -> str:
        start, _ = self.span(address)
        return self._functions[start].name

    def word(self, address: int, size: int) -> int:
        for base, data in self._memory:
            if base <= address and address + size <= base + len(data):
                return int.from_bytes(data[address - base : address - base + size], "little")
        raise BuildFailed(f"stack depth: nothing is loaded at {address:#x}")

    def is_code(self, address: int) -> bool:
        """Compilers mark where code ($t; $x on RISC-V) and data ($d) start (ELF for the ARM architecture, 5.5.5)."""
        index = bisect.bisect_right(self._mark_at, address) - 1
        return index < 0 or self._marks[self._mark_at[index]] in "tx"

    def at(self, address: int) -> Instruction:
        if self.elf.machine == RISCV:
            return riscv.decode(address, lambda at: self.word(at, 2))
        first = self.word(address, 2)
        return thumb.decode(address, first, self.word(address + 2, 2) if first >> 11 >= 0b11101 else 0)

    def track(self, one: Instruction, known: dict[int, int]) -> None:
        """Follow constants in registers through one instruction."""
        if self.elf.machine == RISCV:
            riscv.track(one, known)
        elif one.size == 2:
            thumb.track(one.code, known)

    def all_of(self, start: int, end: int) -> list[Instruction]:
        """Every instruction of a function, in order, data left out; those in an IT block as they count there."""
        found: list[Instruction] = []
        conditional = 0
        address = start
        while address < end:
            if not self.is_code(address):
                address += 2
                continue
            one = self.at(address)
            if conditional:
                conditional -= 1
                one = replace(one, conditional=1)
            else:
                conditional, one = one.conditional, replace(one, conditional=0)
            found.append(one)
            address += one.size
        return found


class _Search:
    def __init__(self, code: _Code, leave_out: frozenset[str], indirect: Mapping[str, Collection[str]]) -> None:
        self.code, self.leave_out, self.indirect = code, leave_out, indirect
        self._done: dict[int, StackBound] = {}

    def worst(self, address: int, above: tuple[int, ...]) -> StackBound:
        """The worst depth from the function that is entered at `address`; `above` are its callers."""
        name = self.code.name(address)
        if name in self.leave_out:
            return StackBound(0, ())
        if address in self._done:
            return self._done[address]
        if address in above:
            chain = " -> ".join(self.code.name(a) for a in (*above[above.index(address) :], address))
            raise BuildFailed(f"stack depth: recursion has no bound: {chain}")
        walk = self._walk(address)
        best = StackBound(walk.deepest, (name,))
        for depth, target in sorted(walk.calls):
            below = self.worst(target, (*above, address))
            if below.path and depth + below.bytes > best.bytes:
                best = StackBound(depth + below.bytes, (name, *below.path))
        self._done[address] = best
        return best

    def _walk(self, entry: int) -> _Walk:
        start, end = self.code.span(entry)
        return _FunctionWalk(self, entry, start, end).run()


class _FunctionWalk:
    """Depth first over one function's instructions, each visited once with each greater depth."""

    def __init__(self, search: _Search, entry: int, start: int, end: int) -> None:
        self.code, self.indirect = search.code, search.indirect
        self.entry, self.start, self.end = entry, start, end
        self.name = search.code.name(entry)
        self.body = {i.address: i for i in search.code.all_of(start, end)}
        self.result = _Walk()
        self.depth_at: dict[int, int] = {}
        self.todo: list[tuple[int, int, dict[int, int], int]] = [(entry, 0, {}, 0)]
        self.table_depth = -1

    def run(self) -> _Walk:
        while self.todo or self.table_depth >= 0:
            if not self.todo:
                self._visit_rest()
                continue
            address, depth, literals, popped = self.todo.pop()
            if self.depth_at.get(address, -1) >= depth:
                continue
            if address not in self.body:
                if address == self.end or not self.code.is_code(address):
                    continue  # behind a call that never returns
                self._fail(f"flows to {address:#x}, which is not an instruction of it")
            self.depth_at[address] = depth
            self._step(self.body[address], depth, dict(literals), popped)
        return self.result

    def _fail(self, why: str) -> NoReturn:
        raise BuildFailed(f"stack depth: {self.name} {why}")

    def _visit_rest(self) -> None:
        """A switch jumps to code that nothing else reaches: visit it with the depth that the switch had."""
        depth, self.table_depth = self.table_depth, -1
        self.todo = [(a, depth, {}, 0) for a in sorted(self.body, reverse=True) if a not in self.depth_at]

    def _go(self, address: int, depth: int, literals: dict[int, int], popped: int) -> None:
        if self.start <= address < self.end:
            self.todo.append((address, depth, literals, popped))
        else:
            self.result.calls.add((depth, address))

    def _step(self, one: Instruction, depth: int, literals: dict[int, int], popped: int) -> None:
        if one.conditional:  # it may not happen: go on as if it had not, too
            self._go(one.address + one.size, depth, {}, popped)
        depth = self._moved(one, depth, literals)
        self.result.deepest = max(self.result.deepest, depth)
        self._learn(one, literals)
        following = one.address + one.size
        popped |= one.pops
        if one.flow is Flow.CALL and self.start <= one.target < self.end and one.target != self.entry:
            # clang's long jump inside a function: BL reaches further than B.
            self._go(one.target, depth, literals, popped)
        elif one.flow is Flow.CALL:
            self.result.calls.add((depth, one.target))
            if self.code.name(one.target).startswith(_SWITCH_HELPER):
                self.table_depth = max(self.table_depth, depth)
                return
            self._go(following, depth, {}, 0)
        elif one.flow is Flow.CALL_REGISTER:
            self._through_register(one, depth, literals)
            self._go(following, depth, {}, 0)
        elif one.flow is Flow.JUMP_REGISTER:
            if not popped >> one.register & 1:  # gcc returns with POP {Rn}; BX Rn
                self._through_register(one, depth, literals)
        elif one.flow is Flow.TABLE:
            self.table_depth = max(self.table_depth, depth)
        elif one.flow in {Flow.BRANCH, Flow.MAYBE}:
            self._go(one.target, depth, literals, popped)
        if one.flow in {Flow.NEXT, Flow.MAYBE}:
            self._go(following, depth, literals, popped)

    def _learn(self, one: Instruction, literals: dict[int, int]) -> None:
        """Follow the constants in registers through one instruction."""
        self.code.track(one, literals)
        for register in [r for r in literals if one.forgets >> r & 1]:
            del literals[register]
        if one.loads:
            literals[one.loads[0]] = self.code.word(one.loads[1], 4)
        if one.sets:
            literals[one.sets[0]] = one.sets[1]
        if one.sets_top and one.sets_top[0] in literals:
            register, top = one.sets_top
            literals[register] = literals[register] & 0xFFFF | top << 16

    def _moved(self, one: Instruction, depth: int, literals: dict[int, int]) -> int:
        if one.grow_by_register >= 0:
            if one.grow_by_register not in literals:
                self._fail(f"changes SP at {one.address:#x} by a value that is computed")
            value = literals[one.grow_by_register]
            if one.subtracts:
                value = -value & 0xFFFF_FFFF
            return depth - (value - (1 << 32) if value >> 31 else value)
        if one.restores_sp:
            return 0  # only an epilogue does this; what it pops is at most what was pushed
        return max(depth + one.grow, 0)

    def _through_register(self, one: Instruction, depth: int, literals: dict[int, int]) -> None:
        declared = self.indirect.get(self.name)
        if declared is not None:
            self.result.calls |= {(depth, self.code.address(name)) for name in declared}
        elif one.register in literals:
            self.result.calls.add((depth, literals[one.register] & ~1))
        else:
            self._fail(f"calls through a register at {one.address:#x}; nothing declares what")
