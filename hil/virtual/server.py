"""One virtual board and its sockets: UART0 on one port, the probe on another, and an owner on standard input.

Virtual time is counted, never timed. The board runs in strides of virtual time; at the end of each, bytes from the
host are taken and bytes for it are sent. When only a byte from the host can make anything happen, time stands still
and the process waits. So the same bytes, sent while the board waits, give the same cycle counts on every machine.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hil.virtual.bootsel import PERIOD, Usb
from hil.virtual.chip import debug, native
from hil.virtual.chip.board import Microcontroller
from hil.virtual.debugport import DebugServer
from hil.virtual.probe import MOST_BYTES
from hil.virtual.sockets import Answer, Loop, RequestPort, UartPort

STRIDE = 1 << 20  # cycles: 8.4 ms at 125 MHz


class Server:
    """Runs `board` until standard input ends."""

    def __init__(self, board: Microcontroller, host: str, port: int) -> None:
        self._board = board
        self._idle = False
        self._run_again = True
        self._bootsel = False
        self._usb: Usb | None = None
        self._loop = Loop(host)
        self._uart = UartPort(self._loop, self, self._say, port)
        self._probe = RequestPort(self._loop, self._obey)
        self._debug = DebugServer(self._loop, debug.wire(board), reset=board.reset, touched=self._go_on, say=self._say)

    @property
    def ports(self) -> tuple[int, int, int]:
        """The TCP ports of UART0, of the probe, and of the debug port."""
        return self._uart.port, self._probe.port, self._debug.port

    @property
    def room(self) -> int:
        """How many bytes the board takes from the host now."""
        return self._board.room

    def give(self, data: bytes) -> None:
        """Bytes from the host."""
        self._board.give(data)
        self._run_again = True

    def plug_usb(self, drive: Path, name: str, family: int) -> str:
        """Let it have a serial port on USB, whose path is given, and a drive at `drive` in BOOTSEL mode."""
        self._usb = Usb(self._board, drive, name, family, self._say)
        return self._usb.port

    def _go_on(self) -> None:
        self._run_again = True

    def serve(self) -> None:
        """Run and serve until the owner lets go."""
        try:
            self._serve()
        finally:
            if self._usb is not None:
                self._usb.close()

    def _wait(self) -> None:
        self._loop.poll(None if self._usb is None else PERIOD)
        self._look()

    def _look(self) -> None:
        if self._usb is not None and self._usb.look(bootsel=self._bootsel):
            self._run_again = True

    def _serve(self) -> None:
        while not self._loop.over:
            ran = self._board.run(STRIDE)
            self._idle = ran != native.RAN_TO_LIMIT
            self._run_again = not self._idle
            self._report(ran)
            if self._idle:
                self._uart.send(self._board.take())
                self._probe.answer_waiting(self._clock)
            if self._run_again:
                self._loop.poll(0)
                self._look()
            while not (self._run_again or self._loop.over):
                self._wait()
            self._uart.send(self._board.take())

    def _report(self, ran: int) -> None:
        for line in self._board.notes():
            self._say(line)
        waits = self._idle and ran == native.RAN_IDLE and self._board.state().pc[0] in self._board.chip.bootsel
        if waits and not self._bootsel:
            self._say(f"BOOTSEL: {self._board.chip.wanted}")
        self._bootsel = waits

    def _say(self, line: str) -> None:
        print(f"virtual {self._board.chip.name}: {line}", file=sys.stderr, flush=True)

    def _clock(self) -> Answer:
        return clock(self._board, idle=self._idle and not self._run_again)

    def _obey(self, request: Any) -> Answer | None:
        match request:
            case {"op": "clock"}:
                return self._clock()
            case {"op": "reset"}:
                self._board.power_cycle()
                self._idle = False
                self._run_again = True
                return {}
            case {"op": "read", "address": int(address), "length": int(length)}:
                return read(self._board, address, length)
            case {"op": "wait_idle"}:
                return self._clock() if self._idle and not self._run_again else None
            case _:
                return {"error": "unknown request; there are clock, reset, wait_idle, and read with address and length"}


def clock(board: Microcontroller, *, idle: bool) -> Answer:
    """The answer to a request for the time."""
    state = board.state()
    return {"cycles": state.cycles, "insns": list(state.instructions), "ns": state.nanoseconds, "idle": idle}


def read(board: Microcontroller, address: int, length: int) -> Answer:
    """The answer to a request for memory."""
    if not 0 <= length <= MOST_BYTES:
        return {"error": f"length is at most {MOST_BYTES}"}
    data = board.read(address, length)
    if data is None:
        return {"error": f"{length} bytes at {address:#x} are not all ROM, flash or RAM"}
    return {"data": data.hex()}
