"""One virtual board and its sockets: UART0 on one port, the probe on another, and an owner on standard input.

Virtual time is counted, never timed. The board runs in strides of virtual time; at the end of each, bytes from the
host are taken and bytes for it are sent. When only a byte from the host can make anything happen, time stands still
and the process waits. So the same bytes, sent while the board waits, give the same cycle counts on every machine.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
from collections.abc import Callable
from typing import Any

from hil.virtual.chip import native
from hil.virtual.chip.board import Microcontroller
from hil.virtual.probe import LONGEST_REQUEST, MOST_BYTES

STRIDE = 1 << 20  # cycles: 8.4 ms at 125 MHz
_BACKLOG = 1 << 20  # bytes kept for a client that does not read
_CLIENTS = 8


class Server:
    """Runs `board` until standard input ends."""

    def __init__(self, board: Microcontroller, host: str, port: int) -> None:
        self._board = board
        self._selector = selectors.SelectSelector()
        self._uart: socket.socket | None = None
        self._to_uart = bytearray()
        self._probes: dict[socket.socket, bytearray] = {}
        self._waiting: list[socket.socket] = []
        self._idle = False
        self._run_again = True
        self._over = False
        self._uart_listener = self._listen(host, port, self._accept_uart)
        self._probe_listener = self._listen(host, 0, self._accept_probe)
        self._selector.register(0, selectors.EVENT_READ, self._owner)

    @property
    def ports(self) -> tuple[int, int]:
        """The TCP ports of UART0 and of the probe."""
        return self._uart_listener.getsockname()[1], self._probe_listener.getsockname()[1]

    def _listen(self, host: str, port: int, accept: Callable[[], None]) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, accept)
        return listener

    def serve(self) -> None:
        """Run and serve until the owner lets go."""
        while not self._over:
            ran = self._board.run(STRIDE)
            self._idle = ran != native.RAN_TO_LIMIT
            self._run_again = not self._idle
            self._report(ran)
            if self._idle:
                self._send()
                self._answer_waiting()
            self._poll(0)
            while not (self._run_again or self._over):
                self._poll(None)
            self._send()

    def _poll(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            handler: Callable[[], None] = key.data
            handler()

    def _report(self, ran: int) -> None:
        for line in self._board.notes():
            self._say(line)
        if self._idle and ran == native.RAN_IDLE and self._board.state().pc[0] in self._board.chip.bootsel:
            self._say(f"BOOTSEL: {self._board.chip.wanted}")

    def _say(self, line: str) -> None:
        print(f"virtual {self._board.chip.name}: {line}", file=sys.stderr, flush=True)

    def _owner(self) -> None:
        if not os.read(0, 4096):
            self._over = True

    # ---- UART0 ---------------------------------------------------------------------------------------------------

    def _accept_uart(self) -> None:
        client, _ = self._uart_listener.accept()
        if self._uart is not None:
            self._receive()  # sees it if the one before has hung up
        if self._uart is not None:
            client.close()
            self._say("UART0: refused a second client")
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._uart = client
        self._selector.register(client, selectors.EVENT_READ, self._receive)

    def _unplug(self) -> None:
        if self._uart is not None:
            self._selector.unregister(self._uart)
            self._uart.close()
            self._uart = None
            self._to_uart.clear()

    def _receive(self) -> None:
        """Take what the host has sent, as far as there is room; the rest stays with TCP."""
        while self._uart is not None and (room := self._board.room):
            try:
                data = self._uart.recv(room)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._unplug()
                return
            self._board.give(data)
            self._run_again = True

    def _send(self) -> None:
        data = self._board.take()
        if self._uart is None:
            return  # nobody is on the wire
        self._to_uart += data
        if len(self._to_uart) > _BACKLOG:
            self._say(f"UART0: {len(self._to_uart) - _BACKLOG} bytes lost: the client does not read")
            del self._to_uart[_BACKLOG:]
        self._drain()

    def _drain(self) -> None:
        if self._uart is None:
            return
        try:
            while self._to_uart:
                del self._to_uart[: self._uart.send(self._to_uart)]
        except BlockingIOError:
            pass
        except OSError:
            self._unplug()
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._to_uart else 0)
        self._selector.modify(self._uart, events, self._ready if self._to_uart else self._receive)

    def _ready(self) -> None:
        self._receive()
        self._drain()

    # ---- probe ---------------------------------------------------------------------------------------------------

    def _accept_probe(self) -> None:
        client, _ = self._probe_listener.accept()
        if len(self._probes) >= _CLIENTS:
            client.close()
            return
        client.settimeout(5)  # for answers; requests are read when they are there
        self._probes[client] = bytearray()
        self._selector.register(client, selectors.EVENT_READ, lambda: self._request(client))

    def _hang_up(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        del self._probes[client]
        self._waiting = [other for other in self._waiting if other is not client]
        client.close()

    def _request(self, client: socket.socket) -> None:
        if client not in self._probes:
            return
        buffer = self._probes[client]
        try:
            data = client.recv(LONGEST_REQUEST)
        except OSError:
            data = b""
        if not data:
            self._hang_up(client)
            return
        buffer += data
        while client in self._probes and (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            answer = self._obey(client, line)
            if answer is not None:
                self._answer(client, answer)
        if client in self._probes and len(buffer) > LONGEST_REQUEST:
            self._answer(client, {"error": f"a request is at most {LONGEST_REQUEST} bytes"})
            if client in self._probes:
                self._hang_up(client)

    def _answer(self, client: socket.socket, answer: dict[str, Any]) -> None:
        try:
            client.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            self._hang_up(client)

    def _answer_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for client in waiting:
            self._answer(client, self._clock())

    def _clock(self) -> dict[str, Any]:
        state = self._board.state()
        return {
            "cycles": state.cycles,
            "insns": list(state.instructions),
            "ns": state.nanoseconds,
            "idle": self._idle and not self._run_again,
        }

    def _obey(self, client: socket.socket, line: bytes) -> dict[str, Any] | None:
        """The answer to one request; None if it is to come later."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return {"error": "a request is one JSON object on one line"}
        match request:
            case {"op": "clock"}:
                return self._clock()
            case {"op": "reset"}:
                self._board.power_cycle()
                self._idle = False
                self._run_again = True
                return {}
            case {"op": "read", "address": int(address), "length": int(length)}:
                return self._read(address, length)
            case {"op": "wait_idle"}:
                if self._idle and not self._run_again:
                    return self._clock()
                self._waiting.append(client)
                return None
            case _:
                return {"error": "unknown request; there are clock, reset, wait_idle, and read with address and length"}

    def _read(self, address: int, length: int) -> dict[str, Any]:
        if not 0 <= length <= MOST_BYTES:
            return {"error": f"length is at most {MOST_BYTES}"}
        data = self._board.read(address, length)
        if data is None:
            return {"error": f"{length} bytes at {address:#x} are not all ROM, flash or RAM"}
        return {"data": data.hex()}
