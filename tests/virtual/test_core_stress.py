"""Message passing between the cores of every board, through the engine's own barrier, with delays that shuffle them.

Each core writes what its neighbour reads after the next barrier, and overwrites what it read itself after the one
before: a store that is seen late, a load that is done early, or a lost wake-up changes the result or hangs the run.
`tests/unit/test_litmus.py` has the store-buffering and message-passing patterns with threads of this machine.
"""

from __future__ import annotations

import random

import pytest

from hil import board as boards
from hil import virtual
from hil.errors import ToolMissing
from hil.image.build import build
from hil.link import Link
from tests.support.teams import relay, relayed

ROUNDS = 120
SEEDS = 12


@pytest.mark.parametrize("size", [1, 60])
@pytest.mark.parametrize("name", ["riscv-virt", "native", "mps2-an521", "rp2350", "rp2040"])
def test_rows_that_are_handed_on_at_every_barrier_arrive(name: str, size: int) -> None:
    board = boards.load(name)
    try:
        virtual.prepare(name)
    except ToolMissing as error:
        pytest.skip(str(error))
    draw = random.Random(size)
    image = build(board, relay(board.cores, ROUNDS, size=size).data)
    with virtual.start(name, image.elf) as machine, Link.open(machine.uart0_url, board.baud) as link:
        (source,), (target,) = link.hello().inputs, link.hello().outputs
        for seed in range(SEEDS):
            data = draw.randbytes(board.cores * size)
            link.write(source.offset, data)
            link.run(jitter=seed)
            assert link.read(target.offset, target.bytes) == relayed(data, board.cores, ROUNDS), f"seed {seed}"
