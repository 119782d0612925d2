"""`python -m hil.virtual.cluster --wire uart-3M --node rp2040=FILE --node rp2350`: be boards on a network.

Until standard input ends. Prints one JSON line when it is ready. Each board has UART0, probe and debug port on ports of
their own, as a board alone has (hil/virtual/server.py); one more port is for the wires. Flash of a board without FILE
is erased. Bytes from hosts are taken, and
bytes to them sent, between strides of virtual time; so what hosts send while time stands still, one after the other,
gives the same cycle counts on every machine.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from hil.errors import HilError, UsageError
from hil.image.elf import Elf
from hil.link.switch import fault_from
from hil.virtual import described
from hil.virtual.chip import chips, debug
from hil.virtual.chip.board import Microcontroller, flash_image
from hil.virtual.chip.cluster import PS_PER_US, Cluster
from hil.virtual.debugport import DebugServer
from hil.virtual.server import clock, read
from hil.virtual.sockets import Answer, Loop, RequestPort, UartPort
from hil.wire import wire

_STRIDE = 8_000 * PS_PER_US
_LATEST = 1e12  # microseconds


class _Seat:
    """The sockets of one board of a cluster."""

    def __init__(self, loop: Loop, cluster: Cluster, index: int, clocks: Callable[[int], Answer | None]) -> None:
        self._cluster, self._index, self._clocks = cluster, index, clocks
        self._board = cluster.nodes[index].board
        self.open = True
        self._bootsel = False
        self.uart = UartPort(loop, self, self.say)
        self.probe = RequestPort(loop, self._obey)
        wire = debug.wire(self._board)
        self.debug = DebugServer(loop, wire, reset=self._board.reset, touched=self._touched, say=self.say)

    @property
    def room(self) -> int:
        """How many bytes the board takes from the host now."""
        return self._board.room

    def give(self, data: bytes) -> None:
        """Bytes from the host."""
        self._cluster.wake(self._index).give(data)

    def _touched(self) -> None:
        """A debugger has written: it may not be idle any more."""
        self._cluster.wake(self._index)

    def say(self, line: str) -> None:
        """To standard error."""
        print(f"node {self._index}, virtual {self._board.chip.name}: {line}", file=sys.stderr, flush=True)

    def report(self) -> None:
        """What happened on the board that a person should know."""
        for line in self._board.notes():
            self.say(line)
        lost = self._board.state().pc[0] in self._board.chip.bootsel
        if lost and not self._bootsel:
            self.say(f"BOOTSEL: {self._board.chip.wanted}")
        self._bootsel = lost

    def clock(self, *, idle: bool) -> Answer:
        return clock(self._board, idle=idle)

    def send(self) -> None:
        """What the board has sent goes to the host."""
        data = self._board.take()
        if self.open:
            self.uart.send(data)

    def close(self) -> None:
        """The board is unplugged."""
        self.open = False
        self.uart.close()
        self.probe.close()
        self.debug.close()

    def _obey(self, request: Any) -> Answer | None:
        cluster, index = self._cluster, self._index
        match request:
            case {"op": "clock" | "wait_idle"}:
                answer = self._clocks(index)
                return answer if request["op"] == "clock" or (answer and answer["idle"]) else None
            case {"op": "read", "address": int(address), "length": int(length)}:
                return read(self._board, address, length)
            case {"op": "reset"}:
                return self._later(request, lambda: cluster.reset(index))
            case {"op": "halt"}:
                return self._later(request, lambda: cluster.halt(index))
            case {"op": "unplug"}:
                return self._later(request, lambda: cluster.unplug(index))
            case {"op": "slow", "factor": int() | float() as factor} if 0.001 <= factor <= 1000:
                return self._later(request, lambda: cluster.slow(index, factor))
            case _:
                return {
                    "error": "unknown request; there are clock, wait_idle, reset, halt, unplug, slow with a factor of "
                    "0.001 to 1000, all these with after, and read with address and length"
                }

    def _later(self, request: dict[str, Any], call: Callable[[], None]) -> Answer:
        """Now, or `after` microseconds of the time that the boards share."""
        after = request.get("after", 0)
        if type(after) not in (int, float) or not 0 <= after <= _LATEST:
            return {"error": f"after is a number of microseconds, not {after!r:.80}"}
        if after:
            self._cluster.plan(after, call)
        else:
            call()
        return {}


class ClusterServer:
    """Runs `cluster` until standard input ends."""

    def __init__(self, cluster: Cluster, host: str = "127.0.0.1") -> None:
        self._cluster = cluster
        self._idle = False
        self._loop = Loop(host)
        self._seats = [_Seat(self._loop, cluster, index, self._clock) for index in range(len(cluster.nodes))]
        self._wires = RequestPort(self._loop, self._obey)

    @property
    def greeting(self) -> dict[str, Any]:
        """What the owner has to know: the ports."""
        boards = [{"uart0": seat.uart.port, "probe": seat.probe.port, "debug": seat.debug.port} for seat in self._seats]
        return {"schema": "hil.virtual.cluster/1", "boards": boards, "wires": self._wires.port, "pid": os.getpid()}

    def serve(self) -> None:
        """Run and serve until the owner lets go."""
        while not self._loop.over:
            self._idle = self._cluster.run(_STRIDE)
            self._tell()
            self._loop.poll(0)
            while self._idle and self._cluster.idle and not self._loop.over:
                self._loop.poll(None)
                self._reap()

    def _tell(self) -> None:
        for index, seat in enumerate(self._seats):
            seat.report()
            seat.send()
            if self._idle and seat.open:
                seat.probe.answer_waiting(lambda at=index: self._clock(at))  # type: ignore[misc]
        self._reap()

    def _reap(self) -> None:
        for seat, node in zip(self._seats, self._cluster.nodes, strict=True):
            if node.gone and seat.open:
                seat.close()

    def _clock(self, index: int) -> Answer:
        return self._seats[index].clock(idle=self._idle and self._cluster.idle)

    def _obey(self, request: Any) -> Answer:
        switch = self._cluster.switch
        match request:
            case {"op": "fault", "fault": fault}:
                try:
                    switch.install(fault_from(fault))
                except UsageError as error:
                    return {"error": error.message}
                return {}
            case {"op": "clear"}:
                switch.clear()
                self._cluster.forget()
                return {}
            case {"op": "power_cycle"}:
                self._cluster.power_cycle()
                return {}
            case {"op": "counts"}:
                for node, count in zip(self._cluster.nodes, switch.counts, strict=True):
                    count.lost = node.board.lost
                return {"counts": [asdict(count) for count in switch.counts]}
            case _:
                return {"error": "unknown request; there are counts, clear, power_cycle, and fault with a fault"}


def build(nodes: Sequence[tuple[str, Path | None]], wire_name: str) -> Cluster:
    """Boards with what is in their flash, None: erased, on a wire."""
    boards = []
    for board, elf in nodes:
        chip = chips.find(described(board).machine)
        flash = b"" if elf is None else flash_image(chip, Elf(elf).segments, elf.name)
        boards.append(Microcontroller(chip, flash))
    return Cluster(boards, wire(wire_name))


def _node(text: str) -> tuple[str, Path | None]:
    board, mark, elf = text.partition("=")
    if not board or (mark and not elf):
        raise argparse.ArgumentTypeError(f"{text!r} is neither BOARD=FILE nor BOARD")
    return board, Path(elf) if elf else None


def _stop(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise SystemExit(0)


def main() -> int:
    """Parse the command line, start the boards, serve."""
    parser = argparse.ArgumentParser(prog="python -m hil.virtual.cluster", description="Be boards on a network.")
    parser.add_argument("--wire", required=True, help="what leads from each board to the switch")
    parser.add_argument("--node", type=_node, action="append", required=True, metavar="BOARD[=FILE]", help="a board")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        server = ClusterServer(build(arguments.node, arguments.wire))
    except HilError as error:
        print(f"virtual cluster: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"virtual cluster: {error}", file=sys.stderr)
        return 4
    print(json.dumps(server.greeting), flush=True)
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
