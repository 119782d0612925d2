"""A firmware's console in RAM, by pyOCD's RTT, as a TCP port of this machine. Part of `hil.flash.debug_child`.

One client at a time. While there is none nothing is read: what the firmware says waits in its buffer, as it would wait
in a serial port's.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from pyocd.core import exceptions
from pyocd.debug.rtt import RTTControlBlock

from hil.flash.pyocd_session import Refused

_START_LIMIT = 5.0
"""Seconds for the firmware to begin, and set up its control block."""
_PENDING = 4096
_SEND_LIMIT = 10.0
_SOONEST, _LATEST = 0.0002, 0.01
"""Seconds between two looks at the firmware's buffer: at once when something came, ever later when nothing does."""


class Bridge:
    """The control block at `address` of the running `target`, served on `port`. Raises `Refused` if there is none."""

    def __init__(self, target: Any, address: int) -> None:
        block = _started(target, address)
        if len(block.up_channels) != 1 or len(block.down_channels) != 1:
            raise Refused(f"the RTT control block at {address:#010x} has not one buffer each way")
        self._up, self._down = block.up_channels[0], block.down_channels[0]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._client: socket.socket | None = None
        self._pending = b""
        self.wait: float | None = None
        """Seconds after which `turn` wants to be called though nothing has come; None: never."""

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def handles(self) -> list[socket.socket]:
        """What to wait for."""
        if self._client is None or len(self._pending) >= _PENDING:
            return [self._listener]
        return [self._listener, self._client]

    def turn(self, ready: list[Any]) -> None:
        """Move what there is to move. Raises pyOCD's errors."""
        if self._client in ready:
            self._receive()
        if self._listener in ready:
            self._accept()
        if self._client is None:
            self.wait = None
            return
        if self._sent() + self._received():
            self.wait = 0.0
        else:
            self.wait = min(max(2 * (self.wait or 0.0), _SOONEST), _LATEST)

    def close(self) -> None:
        self._hang_up()
        self._listener.close()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._client is not None:
            client.close()
            return
        client.settimeout(_SEND_LIMIT)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client, self._pending = None, b""

    def _receive(self) -> None:
        assert self._client is not None
        try:
            data = self._client.recv(_PENDING)
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        self._pending += data

    def _sent(self) -> int:
        """Bytes that went to the firmware."""
        if not self._pending:
            return 0
        done = int(self._down.write(self._pending))
        self._pending = self._pending[done:]
        return done

    def _received(self) -> int:
        """Bytes that came from it."""
        data = self._up.read()
        if data and self._client is not None:
            try:
                self._client.sendall(data)
            except OSError:
                self._hang_up()
        return len(data)


def _started(target: Any, address: int) -> Any:
    end = time.monotonic() + _START_LIMIT
    while True:
        block = RTTControlBlock.from_target(target, address=address)
        try:
            block.start()
        except exceptions.RTTError as error:
            if time.monotonic() > end:
                raise Refused(f"no RTT control block at {address:#010x} in {_START_LIMIT:g} s: {error}") from error
            time.sleep(_LATEST)
        else:
            return block
