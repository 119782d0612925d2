"""The worst depth of the stack, from object files: the frames that the compiler wrote down, and who refers to whom.

For code whose machine instructions `hil.image.stack` does not read. Clang's `.stack_sizes` sections give each
function's frame; with one section a function (`-ffunction-sections`), relocations say what each refers to. Every
reference counts as a call, also one that only takes an address: the bound may be too great, never too small. Recursion
through two or more functions is an error. A function that calls itself is not seen here; the walk over machine code of
other boards, which run the same sources, refuses it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from hil.errors import BuildFailed
from hil.image.elf import Elf, Symbol
from hil.image.stack import StackBound

OUTSIDE = 256
"""Bytes that a call of a function that is in no object file may take: declared, not computed.

musl's system calls (poll, recv, send, futex) and its clock_gettime take less than half of it on x86-64.
"""
_RETURN_ADDRESS = 8
_FRAMES = ".stack_sizes"

_Node = tuple[int, int]
"""A section of an object file: one function, or data that functions refer to."""


def worst_frames(objects: Sequence[Path], entry: str, leave_out: Collection[str] = ()) -> StackBound:
    """The worst stack depth in bytes from function `entry` on, functions in `leave_out` counting as never called.

    Raises `BuildFailed` for recursion, for a function without a frame, and where there is no `entry`.
    """
    graph = _Graph([Elf(path) for path in objects])
    starts = [node for node, name in graph.functions.items() if name == entry]
    if len(starts) != 1:
        raise BuildFailed(f"stack depth: {len(starts)} functions are called {entry}")
    return _Search(graph, frozenset(leave_out)).worst(starts[0], ())


class _Graph:
    """Functions and data of all objects, what each refers to, and the frames of the functions."""

    def __init__(self, files: Sequence[Elf]) -> None:
        self.functions: dict[_Node, str] = {}
        self.frames: dict[_Node, int] = {}
        self.references: dict[_Node, set[_Node | str]] = {}
        defined: dict[str, _Node] = {}
        for index, file in enumerate(files):
            for symbol in file.symbols:
                if 0 < symbol.section < len(file.sections):
                    node = (index, symbol.section)
                    if symbol.function:
                        self.functions[node] = symbol.name
                    if not symbol.local:
                        defined[symbol.name] = node
            self._read_frames(index, file)
        for index, file in enumerate(files):
            for relocation in file.relocations:
                target = self._target(index, relocation.symbol, defined)
                self.references.setdefault((index, relocation.section), set()).add(target)

    def _read_frames(self, index: int, file: Elf) -> None:
        """Entries of an address, which a relocation fills in, and a size; of the section that `link` names."""
        for section in file.sections:
            if section.name == _FRAMES:
                data, at = file.contents(section), 0
                while at < len(data):
                    size, at = _uleb128(data, at + 8)
                    node = (index, section.link)
                    self.frames[node] = max(self.frames.get(node, 0), size)

    @staticmethod
    def _target(index: int, symbol: Symbol, defined: dict[str, _Node]) -> _Node | str:
        if symbol.section:
            return (index, symbol.section)
        return defined.get(symbol.name, symbol.name)


def _uleb128(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends (DWARF 4, section 7.6)."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if not byte & 0x80:
            return value, at
    raise BuildFailed("stack depth: a frame's size does not end")


class _Search:
    """Depth first, each function's bound found once."""

    def __init__(self, graph: _Graph, leave_out: frozenset[str]) -> None:
        self.graph, self.leave_out = graph, leave_out
        self.done: dict[_Node, StackBound] = {}

    def worst(self, node: _Node, above: tuple[_Node, ...]) -> StackBound:
        if node in self.done:
            return self.done[node]
        name = self.graph.functions[node]
        if node not in self.graph.frames:
            raise BuildFailed(f"stack depth: the compiler wrote down no frame of {name}")
        if node in above:
            chain = [self.graph.functions[n] for n in (*above[above.index(node) :], node)]
            raise BuildFailed(f"stack depth: recursion: {' -> '.join(chain)}")
        own = self.graph.frames[node] + _RETURN_ADDRESS
        best = StackBound(own, (name,))
        called, outside = self._called(node)
        below = [StackBound(OUTSIDE, (outsider,)) for outsider in outside]
        below += [self.worst(target, (*above, node)) for target in called]
        for bound in below:
            if own + bound.bytes > best.bytes:
                best = StackBound(own + bound.bytes, (name, *bound.path))
        self.done[node] = best
        return best

    def _called(self, node: _Node) -> tuple[list[_Node], list[str]]:
        """What `node` refers to, directly or through data: functions here, and names of what is defined elsewhere.

        Its own jump tables lead back into itself, and are no calls.
        """
        called: list[_Node] = []
        outside: set[str] = set()
        seen, todo = {node}, [node]
        while todo:
            for target in self.graph.references.get(todo.pop(), set()):
                if isinstance(target, str):
                    outside.add(target)
                elif target not in seen:
                    seen.add(target)
                    if target not in self.graph.functions:
                        todo.append(target)
                    elif self.graph.functions[target] not in self.leave_out:
                        called.append(target)
        return sorted(called), sorted(outside)
