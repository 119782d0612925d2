"""Where each activation lives in the arena: storages that share bytes when their lifetimes do not meet."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from hil.model.graph import Graph
from hil.plan.lower.context import Job, Lowered
from hil.plan.records import Act, Arena, Blob, Const, Ref

ALIGN = 4
_SHUFFLES = 200
"""Orders tried beyond the plain ones, when none of those reaches the lower bound."""
_EFFORT = 2_000_000
"""Pairs of storages compared at most, so that many of them do not take for ever."""


@dataclass
class _Storage:
    """Bytes of one value after another. Lives from job `first` (-1: an input) to `last` (all jobs: an output)."""

    size: int
    first: int
    last: int

    def meets(self, other: _Storage) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Layout:
    """A place for every activation. `live[j]` is how many bytes of storages are alive while job j runs.

    `lives`: from which job to which a tensor's own value is there, -1 and the number of jobs for inputs and outputs.
    """

    arena_bytes: int
    offsets: Mapping[int, int]
    constants: Mapping[int, bytes]
    live: tuple[int, ...]
    lower_bound: int
    lives: Mapping[int, Lifetime]

    def place(self, ref: Ref) -> Arena | Blob | Const:
        """The reference with activations resolved; an activation that only renames a constant becomes that constant."""
        if not isinstance(ref, Act):
            return ref
        if ref.tensor in self.constants:
            return Blob(self.constants[ref.tensor][ref.offset :])
        return Arena(self.offsets[ref.tensor] + ref.offset)


def allocate(graph: Graph, lowered: Lowered, *, in_place: bool = True) -> Layout:
    """Give every activation its offset. Deterministic: the same graph gives the same layout."""
    names, constants = resolve(lowered)
    storages = _lifetimes(graph, lowered.jobs, names, constants)
    lives = {tensor: Lifetime(s.size, s.first, s.last) for tensor, s in storages.items()}
    if in_place:
        _merge(lowered.jobs, names, storages)
    groups = list({id(s): s for s in storages.values()}.values())
    live = tuple(sum(_up(s.size) for s in groups if s.first <= j <= s.last) for j in range(len(lowered.jobs)))
    bound = _bound(storages)
    places = _search(groups, bound)
    offsets = {t: places[id(storages[names.get(t, t)])] for t in _activations(graph, constants)}
    total = max((places[id(s)] + s.size for s in groups), default=0)
    return Layout(total, offsets, constants, live, bound, lives)


@dataclass(frozen=True)
class Lifetime:
    """Bytes that must stay from `first` to `last`, both included, in any unit of time."""

    size: int
    first: int
    last: int


def pack(lifetimes: Sequence[Lifetime]) -> tuple[tuple[int, ...], int, int]:
    """Offsets of storages, the bytes of all, and the most that are alive at once. Deterministic."""
    groups = [_Storage(life.size, life.first, life.last) for life in lifetimes]
    bound = _bound(dict(enumerate(groups)))
    places = _search(groups, bound)
    total = max((places[id(s)] + s.size for s in groups), default=0)
    return tuple(places[id(s)] for s in groups), total, bound


def _activations(graph: Graph, constants: Mapping[int, bytes]) -> list[int]:
    used = set(graph.inputs) | {t for op in graph.operators for t in op.outputs} | set(graph.outputs)
    return sorted(t for t in used if graph.tensors[t].data is None and t not in constants)


def resolve(lowered: Lowered) -> tuple[dict[int, int], dict[int, bytes]]:
    """Follow renamings to the value they name: another tensor, or a constant. Aliases come in graph order."""
    names: dict[int, int] = {}
    constants: dict[int, bytes] = {}
    for tensor, ref in lowered.aliases.items():
        if isinstance(ref, Blob):
            constants[tensor] = ref.data
        elif ref.tensor in constants:
            constants[tensor] = constants[ref.tensor]
        else:
            names[tensor] = names.get(ref.tensor, ref.tensor)
    return names, constants


def _lifetimes(
    graph: Graph, jobs: Sequence[Job], names: Mapping[int, int], constants: Mapping[int, bytes]
) -> dict[int, _Storage]:
    storages: dict[int, _Storage] = {}

    def touch(tensor: int, when: int) -> None:
        root = names.get(tensor, tensor)
        if graph.tensors[root].data is not None or root in constants:
            return
        storage = storages.setdefault(root, _Storage(graph.tensors[root].bytes, when, when))
        storage.first, storage.last = min(storage.first, when), max(storage.last, when)

    for tensor in graph.inputs:
        touch(tensor, -1)
    last_of = {job.operator: j for j, job in enumerate(jobs)}
    for j, job in enumerate(jobs):
        for ref in job.record.refs().values():
            if isinstance(ref, Act):
                touch(ref.tensor, j)
        if isinstance(job.record.target, Act):
            # All outputs of an operator can be read once it is done, even one that nobody uses.
            touch(job.record.target.tensor, last_of[job.operator])
    for tensor in graph.outputs:
        touch(tensor, len(jobs))
    return storages


def _merge(jobs: Sequence[Job], names: Mapping[int, int], storages: dict[int, _Storage]) -> None:
    """Let an output take over the storage of an input that dies with the job, where the kernel allows it.

    A smaller output keeps all of the input's bytes alive for its own life: it takes over only where no peak grows.
    """
    for j, job in enumerate(jobs):
        target = job.record.target
        if not isinstance(target, Act) or target.offset:
            continue
        out = storages[names.get(target.tensor, target.tensor)]
        allowed = [r for r in job.record.may_overwrite() if isinstance(r, Act) and not r.offset]
        read = [r for r in job.record.sources() if isinstance(r, Act)]
        for ref in allowed:
            source = storages.get(names.get(ref.tensor, ref.tensor))
            if source is None or source is out or source.last != j or out.first != j or out.size > source.size:
                continue
            inside = [r for r in read if storages.get(names.get(r.tensor, r.tensor)) is source]
            if any(r not in allowed for r in inside):
                continue
            if _up(out.size) < _up(source.size) and _bound(storages, source, out) > _bound(storages):
                continue
            source.last = out.last
            storages[names.get(target.tensor, target.tensor)] = source
            break


def _bound(storages: Mapping[int, _Storage], source: _Storage | None = None, out: _Storage | None = None) -> int:
    """Most bytes alive at once, as things are, or as if `out` lived on in `source`."""
    change: dict[int, int] = {}
    for storage in {id(s): s for s in storages.values()}.values():
        if storage is out:
            continue
        last = out.last if out is not None and storage is source else storage.last
        change[storage.first] = change.get(storage.first, 0) + _up(storage.size)
        change[last + 1] = change.get(last + 1, 0) - _up(storage.size)
    return max(accumulate(size for _, size in sorted(change.items())), default=0)


def _up(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def _first_fit(order: Sequence[_Storage]) -> dict[int, int]:
    """Place storages in the given order, each at the lowest offset that is free for its whole life."""
    placed: list[tuple[int, _Storage]] = []
    offsets: dict[int, int] = {}
    for storage in order:
        at = 0
        for start, other in sorted(((o, s) for o, s in placed if s.meets(storage)), key=lambda pair: pair[0]):
            if at + storage.size <= start:
                break
            at = max(at, _up(start + other.size))
        offsets[id(storage)] = at
        placed.append((at, storage))
    return offsets


def _search(groups: Sequence[_Storage], bound: int) -> dict[int, int]:
    """The best of several first-fit orders; stops at the lower bound (all bytes that are alive at once)."""
    key = {id(s): k for k, s in enumerate(groups)}
    size_first = sorted(groups, key=lambda s: (-s.size, s.first, key[id(s)]))
    orders = [
        size_first,
        sorted(groups, key=lambda s: (-s.size * (s.last - s.first + 1), key[id(s)])),
        sorted(groups, key=lambda s: (s.first, -s.size, key[id(s)])),
    ]
    rng = random.Random(0)
    best, best_size, best_order = {}, None, size_first
    shuffles = min(_SHUFFLES, _EFFORT // (1 + len(groups) ** 2))
    for attempt in range(len(orders) + shuffles):
        order = orders[attempt] if attempt < len(orders) else _swapped(best_order, rng)
        offsets = _first_fit(order)
        size = max((_up(offsets[id(s)] + s.size) for s in groups), default=0)
        if best_size is None or size < best_size:
            best, best_size, best_order = offsets, size, order
        if best_size <= bound:
            break
    return best


def _swapped(order: Sequence[_Storage], rng: random.Random) -> list[_Storage]:
    mixed = list(order)
    for _ in range(rng.randint(1, 3)):
        a, b = rng.randrange(len(mixed)), rng.randrange(len(mixed))
        mixed[a], mixed[b] = mixed[b], mixed[a]
    return mixed
