"""The debug port of a virtual board on a TCP port: what is between a probe and a chip's debug pins.

A message is a length (4 bytes, little-endian, of what follows) and transactions one after the other; each is a request
(1 byte), a pad (1 byte), a count (2 bytes), and for a write that many words. The answer to a message is a length, the
acknowledge of its last transaction (1 byte), a pad (3 bytes), how many transactions were done (4 bytes), and all words
that were read. The first transaction that is not acknowledged ends a message. Requests are those of CMSIS-DAP's
DAP_Transfer, and the few below. A client that comes while another is there is sent an answer with the acknowledge BUSY.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Callable

from hil.virtual.sockets import Loop, Say
from hil.virtual.swd import AP, FAULT, NO_ACK, OK, READ, Fault, NoAnswer, Wire

LINE_RESET, TARGET_SELECT, RESET_PIN = 0x80, 0x81, 0x82
BUSY = 0x10
MOST_BYTES = 1 << 20
MOST_WORDS = 1 << 16
HEAD = struct.Struct("<BxH")
LENGTH = struct.Struct("<I")
ANSWER = struct.Struct("<BxxxI")
_TRANSFERS = AP | READ | 0x0C


class Malformed(Exception):
    """A message that is none."""


def refuse(client: socket.socket) -> None:
    """Tell a client that the probe is another's, and hang up."""
    with contextlib.suppress(OSError):  # it has left
        client.settimeout(1)
        client.sendall(LENGTH.pack(ANSWER.size) + ANSWER.pack(BUSY, 0))
    client.close()


class DebugServer:
    """One client at a time; another is refused: a debug wire has one probe. `touched` is called when it has written."""

    def __init__(
        self, loop: Loop, wire: Wire, *, reset: Callable[[], None], touched: Callable[[], None], say: Say
    ) -> None:
        self._loop, self._wire, self._reset, self._touched, self._say = loop, wire, reset, touched, say
        self._client: socket.socket | None = None
        self._buffer = bytearray()
        self._listener = loop.listen(0, self._accept)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """The board is unplugged: nobody is connected, nobody can be."""
        self._hang_up()
        self._loop.close(self._listener)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._client is not None and self._left(self._client):
            self._hang_up()
        if self._client is not None:
            refuse(client)
            self._say("debug port: refused a second probe")
            return
        client.settimeout(5)  # for answers; requests are read when they are there
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        self._loop.selector.register(client, 1, self._receive)  # 1: EVENT_READ

    @staticmethod
    def _left(client: socket.socket) -> bool:
        """Whether the client has hung up, and this has only not been seen yet."""
        if not select.select([client], [], [], 0)[0]:
            return False
        try:
            return not client.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _hang_up(self) -> None:
        if self._client is not None:
            self._loop.close(self._client)
            self._client = None
            self._buffer.clear()

    def _receive(self) -> None:
        if self._client is None:
            return
        try:
            data = self._client.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return
        self._buffer += data
        try:
            while (message := self._message()) is not None:
                answer = self._obey(message)
                self._client.sendall(LENGTH.pack(len(answer)) + answer)
        except Malformed as error:
            self._say(f"debug port: {error}")
            self._hang_up()
        except OSError:
            self._hang_up()

    def _message(self) -> bytes | None:
        if len(self._buffer) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._buffer)
        if length > MOST_BYTES:
            raise Malformed(f"a message of {length} bytes; the most is {MOST_BYTES}")
        if len(self._buffer) < LENGTH.size + length:
            return None
        message = bytes(self._buffer[LENGTH.size : LENGTH.size + length])
        del self._buffer[: LENGTH.size + length]
        return message

    def _obey(self, message: bytes) -> bytes:
        at = done = words = 0
        acknowledge, read, touched = OK, bytearray(), False
        while at < len(message):
            if len(message) - at < HEAD.size:
                raise Malformed("a message that ends in a transaction")
            request, count = HEAD.unpack_from(message, at)
            at += HEAD.size
            values: tuple[int, ...] = ()
            if not (request <= _TRANSFERS and request & READ):
                if len(message) - at < 4 * count:
                    raise Malformed("a message that ends in a transaction")
                values = struct.unpack_from(f"<{count}I", message, at)
                at += 4 * count
                touched = True
            else:
                words += count
            if not count or words > MOST_WORDS:
                raise Malformed(f"{words} words are too many for one message" if count else "a transaction of no words")
            try:
                found = self._one(request, count, values)
            except Fault:
                acknowledge = FAULT
                break
            except NoAnswer:
                acknowledge = NO_ACK
                break
            read += struct.pack(f"<{len(found)}I", *found)
            done += 1
        if touched:
            self._touched()
        return ANSWER.pack(acknowledge, done) + bytes(read)

    def _one(self, request: int, count: int, values: tuple[int, ...]) -> list[int]:
        if request == LINE_RESET:
            self._wire.reset_line()
        elif request == TARGET_SELECT:
            self._wire.select(values[0])
        elif request == RESET_PIN:
            self._reset()
        elif request <= _TRANSFERS:
            return self._wire.transfer(request, count, values)
        else:
            raise Malformed(f"request {request:#x}")
        return []
