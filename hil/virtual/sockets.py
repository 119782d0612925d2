"""What virtual boards have for sockets: a loop that ends with its owner, UART0 on a TCP port, requests on another."""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Callable
from typing import Any, Protocol

from hil.virtual.probe import LONGEST_REQUEST

_BACKLOG = 1 << 20  # bytes kept for a client that does not read
_CLIENTS = 8

Say = Callable[[str], None]
Answer = dict[str, Any]


class Loop:
    """Sockets and standard input, one thread. `over` once the owner lets go of standard input."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.over = False
        self.selector = selectors.SelectSelector()
        self.selector.register(0, selectors.EVENT_READ, self._owner)

    def _owner(self) -> None:
        if not os.read(0, 4096):
            self.over = True

    def poll(self, timeout: float | None) -> None:
        """Handle what has happened; wait for it up to `timeout` seconds, None: without end."""
        for key, _ in self.selector.select(timeout):
            handler: Callable[[], None] = key.data
            handler()

    def listen(self, port: int, accept: Callable[[], None]) -> socket.socket:
        """A listening socket on `port`, 0: any that is free."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, port), family=family)
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ, accept)
        return listener

    def close(self, opened: socket.socket) -> None:
        """Forget a socket."""
        self.selector.unregister(opened)
        opened.close()


class Console(Protocol):
    """The board at the end of a UART: how many bytes it takes now, and the bytes. `give` wakes it."""

    @property
    def room(self) -> int: ...
    def give(self, data: bytes) -> object: ...


class UartPort:
    """UART0 on a TCP port. One client; others are refused."""

    def __init__(self, loop: Loop, console: Console, say: Say, port: int = 0) -> None:
        self._loop, self._console, self._say = loop, console, say
        self._client: socket.socket | None = None
        self._pending = bytearray()
        self._listener = loop.listen(port, self._accept)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Pull the plug: nobody is connected, nobody can be."""
        self._hang_up()
        self._loop.close(self._listener)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._client is not None:
            self._receive()  # sees it if the one before has hung up
        if self._client is not None:
            client.close()
            self._say("UART0: refused a second client")
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        self._loop.selector.register(client, selectors.EVENT_READ, self._receive)

    def _hang_up(self) -> None:
        if self._client is not None:
            self._loop.close(self._client)
            self._client = None
            self._pending.clear()

    def _receive(self) -> None:
        """Take what the host has sent, as far as there is room; the rest stays with TCP."""
        while self._client is not None and (room := self._console.room):
            try:
                data = self._client.recv(room)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._hang_up()
                return
            self._console.give(data)

    def send(self, data: bytes) -> None:
        """Bytes from the board. Without a client nobody is on the wire."""
        if self._client is None:
            return
        self._pending += data
        if len(self._pending) > _BACKLOG:
            self._say(f"UART0: {len(self._pending) - _BACKLOG} bytes lost: the client does not read")
            del self._pending[_BACKLOG:]
        self._drain()

    def _drain(self) -> None:
        if self._client is None:
            return
        try:
            while self._pending:
                del self._pending[: self._client.send(self._pending)]
        except BlockingIOError:
            pass
        except OSError:
            self._hang_up()
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._pending else 0)
        self._loop.selector.modify(self._client, events, self._ready if self._pending else self._receive)

    def _ready(self) -> None:
        self._receive()
        self._drain()


class RequestPort:
    """Requests and answers on a TCP port, one JSON object a line each way; a few clients at a time.

    `obey` gives the answer to a request, or None: then `answer_waiting` gives it later.
    """

    def __init__(self, loop: Loop, obey: Callable[[Any], Answer | None]) -> None:
        self._loop, self._obey = loop, obey
        self._clients: dict[socket.socket, bytearray] = {}
        self._waiting: list[socket.socket] = []
        self._listener = loop.listen(0, self._accept)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Hang up on everybody; nobody can connect any more."""
        for client in list(self._clients):
            self._hang_up(client)
        self._loop.close(self._listener)

    def answer_waiting(self, answer: Callable[[], Answer]) -> None:
        """To all whose requests are still without one."""
        waiting, self._waiting = self._waiting, []
        for client in waiting:
            self._answer(client, answer())

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if len(self._clients) >= _CLIENTS:
            client.close()
            return
        client.settimeout(5)  # for answers; requests are read when they are there
        self._clients[client] = bytearray()
        self._loop.selector.register(client, selectors.EVENT_READ, lambda: self._request(client))

    def _hang_up(self, client: socket.socket) -> None:
        if client in self._clients:
            del self._clients[client]
            self._waiting = [other for other in self._waiting if other is not client]
            self._loop.close(client)

    def _request(self, client: socket.socket) -> None:
        if client not in self._clients:
            return
        buffer = self._clients[client]
        try:
            data = client.recv(LONGEST_REQUEST)
        except OSError:
            data = b""
        if not data:
            self._hang_up(client)
            return
        buffer += data
        while client in self._clients and (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            self._handle(client, line)
        if client in self._clients and len(buffer) > LONGEST_REQUEST:
            self._answer(client, {"error": f"a request is at most {LONGEST_REQUEST} bytes"})
            self._hang_up(client)

    def _handle(self, client: socket.socket, line: bytes) -> None:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            self._answer(client, {"error": "a request is one JSON object on one line"})
            return
        answer = self._obey(request)
        if answer is None:
            self._waiting.append(client)
        else:
            self._answer(client, answer)

    def _answer(self, client: socket.socket, answer: Answer) -> None:
        if client not in self._clients:
            return  # unplugged by its own request
        try:
            client.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            self._hang_up(client)
