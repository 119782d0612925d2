"""What one node does, as a list of actions over storages that have no place in the arena yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hil.plan.kernels import Transfer
from hil.plan.records import Act, Box, Record
from hil.plan.split.geometry import Storage, View


@dataclass(frozen=True)
class Call:
    """Run `box` (counted from the record's own corner) of record `record`, for call `operation` of the model."""

    record: int
    box: Box
    operation: int


@dataclass(frozen=True)
class Move:
    """Runs [first, end) of the TRANSFER record `record`, to or from other nodes (a bit mask)."""

    record: int
    first: int
    end: int
    transfer: int
    peers: int
    bytes: int
    sends: bool


@dataclass(frozen=True)
class Break:
    """Ends an exchange that another one follows at once."""


Action = Call | Move | Break


@dataclass
class Use:
    """When a storage is alive, in ticks of its node; `readers` are records that read it."""

    first: int
    last: int
    readers: set[int] = field(default_factory=set)


class Node:
    """The actions of one node while they are put together. A tick is a call, or a whole exchange."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.storages: list[Storage] = []
        self.uses: list[Use | None] = []
        self.records: list[Record] = []
        self.actions: list[Action] = []
        self.tick = 0
        self.exchanges = 0
        self.sent = self.received = 0
        self._transfers: dict[tuple[int, int, int, int, bool], int] = {}

    def ticked(self) -> Iterator[tuple[int, Action]]:
        """Every action with its tick."""
        tick, before = 0, False
        for action in self.actions:
            if isinstance(action, Call) or (isinstance(action, Move) and not before):
                tick += 1
            before = isinstance(action, Move)
            yield tick, action

    def storage(self, view: View, box: Box, rows: int, tensor: int = -1) -> Storage:
        """A new storage of `rows` rows for `box` of a tensor."""
        made = Storage(len(self.storages), view, box, rows, tensor)
        self.storages.append(made)
        self.uses.append(None)
        return made

    def touch(self, storage: Storage, reader: int | None = None) -> None:
        """The storage is alive now; `reader`: the record that reads it."""
        use = self.uses[storage.number]
        if use is None:
            use = self.uses[storage.number] = Use(self.tick, self.tick)
        use.last = max(use.last, self.tick)
        if reader is not None:
            use.readers.add(reader)

    def given(self, storage: Storage) -> None:
        """The storage is filled by the host before the run."""
        self.uses[storage.number] = Use(-1, -1)

    def kept(self, storage: Storage) -> None:
        """The storage is read by the host after the run; called when all else is done."""
        use = self.uses[storage.number]
        assert use is not None
        use.last = self.tick + 1

    def record(self, record: Record) -> int:
        self.records.append(record)
        return len(self.records) - 1

    def call(self, record: int, box: Box, operation: int) -> None:
        """One box; all storages that the record names are alive."""
        self.tick += 1
        made = self.records[record]
        for ref in made.sources():
            if isinstance(ref, Act):
                self.touch(self.storages[ref.tensor], record)
        assert isinstance(made.target, Act)
        self.touch(self.storages[made.target.tensor])
        self.actions.append(Call(record, box, operation))

    def begin_exchange(self) -> None:
        """The moves that follow belong together, and not to the exchange before."""
        self.tick += 1
        self.exchanges += 1
        if self.actions and isinstance(self.actions[-1], Move):
            self.actions.append(Break())

    def move(self, storage: Storage, part: Box, transfer: int, peers: int, *, sends: bool, add: bool = False) -> None:
        """Send or receive `part` of what the storage holds."""
        view, whole = storage.view, part.c1 - part.c0 == storage.channels
        per_row = 1 if whole else view.width
        offset = 0 if whole else (part.c0 - storage.box.c0) * view.size
        run = storage.row_bytes if whole else (part.c1 - part.c0) * view.size
        key = (storage.number, offset, run, per_row, add)
        if key not in self._transfers:
            stride = storage.row_bytes if whole else storage.channels * view.size
            self._transfers[key] = self.record(
                Transfer(
                    out=Act(storage.number, offset), run_bytes=run, stride=stride, ring=storage.rows * per_row,
                    runs=(storage.box.r1 - storage.box.r0) * per_row, add=int(add),
                )
            )  # fmt: skip
        first, end = ((row - storage.box.r0) * per_row for row in (part.r0, part.r1))
        size = (end - first) * run
        self.touch(storage, self._transfers[key] if sends else None)
        self.actions.append(Move(self._transfers[key], first, end, transfer, peers, size, sends))
        if sends:
            self.sent += size * peers.bit_count()
        else:
            self.received += size
