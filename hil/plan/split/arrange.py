"""Where a node's storages lie in its arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hil.plan.memory import Lifetime, pack
from hil.plan.program import TRACE_BYTES
from hil.plan.records import Act, Box
from hil.plan.split.nodes import Call, Node

_ALIGN = 4


@dataclass(frozen=True)
class Arrangement:
    """Offsets by storage number; storages that nothing uses have none.

    `bytes` end with the last byte that a storage has, not with what it is rounded up to: this is what a run fills.
    `live`: the most bytes alive at once; `lives`: from which tick to which each storage is needed.
    """

    offsets: Mapping[int, int]
    bytes: int
    live: int
    lives: Mapping[int, Lifetime]

    def trace_at(self, exchanges: int) -> int | None:
        """Where the trace of so many exchanges lies; None where there are none."""
        return _up(self.bytes) if exchanges else None

    def arena(self, exchanges: int) -> int:
        """Bytes of all, with the trace."""
        at = self.trace_at(exchanges)
        return self.bytes if at is None else at + TRACE_BYTES * exchanges


def arrange(node: Node, *, keep_inputs: bool = False) -> Arrangement:
    """Give every storage its offset. `keep_inputs`: what the host writes is still there after the run."""
    heirs = _in_place(node, keep_inputs)
    own: dict[int, Lifetime] = {}
    lives: dict[int, Lifetime] = {}
    for number, use in enumerate(node.uses):
        if use is None:
            continue
        last = node.tick + 1 if keep_inputs and use.first < 0 else use.last
        life = Lifetime(_up(node.storages[number].bytes), use.first, last)
        own[number] = life
        root = _root(number, heirs)
        before = lives.get(root)
        if before is not None:
            life = Lifetime(max(before.size, life.size), min(before.first, life.first), max(before.last, life.last))
        lives[root] = life
    roots = list(lives)
    places, _, live = pack([lives[root] for root in roots])
    found = dict(zip(roots, places, strict=True))
    offsets = {n: found[_root(n, heirs)] for n, use in enumerate(node.uses) if use is not None}
    end = max((at + node.storages[number].bytes for number, at in offsets.items()), default=0)
    return Arrangement(offsets, end, live, own)


def _up(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _root(number: int, heirs: Mapping[int, int]) -> int:
    while number in heirs:
        number = heirs[number]
    return number


def _in_place(node: Node, keep_inputs: bool) -> dict[int, int]:
    """Storages that take over the bytes of an input of theirs, which nobody else reads and which ends with them."""
    heirs: dict[int, int] = {}
    calls = _calls(node)
    for index, record in enumerate(node.records):
        target = record.target
        if index not in calls or not isinstance(target, Act) or _twice([box for _, box in calls[index]]):
            continue
        first, last = calls[index][0][0], calls[index][-1][0]
        for ref in record.may_overwrite():
            if not isinstance(ref, Act) or ref.tensor == target.tensor or ref.offset != target.offset:
                continue
            source, use, made = node.storages[ref.tensor], node.uses[ref.tensor], node.uses[target.tensor]
            out = node.storages[target.tensor]
            if (
                use is not None
                and made is not None
                and not (source.ring or out.ring)
                and source.bytes == out.bytes
                and use.readers == {index}
                and use.last == last
                and made.first == first
                and not (keep_inputs and use.first < 0)
                and target.tensor not in heirs
            ):
                heirs[target.tensor] = ref.tensor
                break
    return heirs


def _calls(node: Node) -> dict[int, list[tuple[int, Box]]]:
    """Tick and box of each record's calls."""
    found: dict[int, list[tuple[int, Box]]] = {}
    for tick, action in node.ticked():
        if isinstance(action, Call):
            found.setdefault(action.record, []).append((tick, action.box))
    return found


def _twice(boxes: Sequence[Box]) -> bool:
    """Whether a row is computed more than once: then what it is computed from must not be overwritten."""
    rows = sorted((box.r0, box.r1) for box in boxes)
    return any(after < end for (_, end), (after, _) in pairwise(rows))
