"""All nodes of a deployment on this machine: C engines as threads, whose messages are handed over in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hil.plan.kernels import Transfer
from hil.plan.program import Program, Receive, Send
from hil.plan.records import Memory
from tests.support.engine import NativeEngine, exchanging

OK, TIMEOUT = 0, 14
_PATIENCE = 20.0


class NativeNodes:
    """One engine a program. Messages wait in a post office; an exchange ends when all it receives has come."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.programs = programs
        self.engines = [NativeEngine(program.data, program.arena_bytes) for program in programs]
        self._by_address = {engine.address: node for node, engine in enumerate(self.engines)}
        self._post: dict[tuple[int, int], bytes] = {}
        self._change = threading.Condition()
        self.fail_at: tuple[int, int] | None = None
        """(node, step): the exchange that begins there fails, with its last step to blame."""
        self.exchanges: list[tuple[int, int, int]] = []

    def run(self, jitter: int = 0) -> list[tuple[int, int]]:
        """Run all nodes side by side; status and step of each."""
        with exchanging(self._exchange), ThreadPoolExecutor(len(self.engines)) as pool:
            return list(pool.map(lambda engine: engine.run_status(jitter), self.engines))

    def write(self, node: int, data: bytes, offset: int = 0) -> None:
        self.engines[node].arena[offset : offset + len(data)] = data

    def read(self, node: int, offset: int, size: int) -> bytes:
        return bytes(self.engines[node].arena[offset : offset + size])

    def _exchange(self, address: int, first: int, end: int) -> int:
        node = self._by_address[address]
        program, engine = self.programs[node], self.engines[node]
        memory = Memory(np.frombuffer(engine.arena, np.uint8), program.data)
        steps = program.steps[first:end]
        with self._change:
            self.exchanges.append((node, first, end))
            if self.fail_at == (node, first):
                engine.engine.mates[0].step = end - 1
                return TIMEOUT
            for step in steps:
                if isinstance(step, Send):
                    data = _place(program, step).gather(memory, step.first, step.end)
                    for peer in range(program.nodes):
                        if step.peers >> peer & 1:
                            self._post[peer, step.transfer] = data
            self._change.notify_all()
            for step in steps:
                if not isinstance(step, Receive):
                    continue
                key = (node, step.transfer)
                if not self._change.wait_for(lambda key=key: key in self._post, _PATIENCE):  # type: ignore[misc]
                    return TIMEOUT
                _place(program, step).scatter(memory, step.first, step.end, self._post.pop(key))
        return OK


def _place(program: Program, step: Send | Receive) -> Transfer:
    record = program.operators[step.operator]
    assert isinstance(record, Transfer)
    return record
