"""Byte pipes to a device: anything that pyserial opens by URL, plain TCP, and a pipe that misbehaves on purpose."""

from __future__ import annotations

import random
import socket
import time
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from hil.errors import BoardMissing, LinkLost, LinkTimeout

_WRITE_LIMIT = 5.0


class Transport(Protocol):
    """Bytes to and from one device."""

    name: str
    """The port or URL, for messages."""

    def read(self, size: int, timeout: float) -> bytes:
        """At least one and at most `size` bytes, or none if none came in `timeout` seconds.

        Raises `LinkLost` as soon as the other end is gone.
        """

    def write(self, data: bytes) -> None:
        """Send everything. Raises `LinkLost` or, if the other end takes no bytes, `LinkTimeout`."""

    def close(self) -> None:
        """Let go of the port. Never raises."""


def open_url(url: str, baud: int, *, timeout: float = 10.0) -> Transport:
    """A transport for a device path or pyserial URL. Raises `BoardMissing` if nothing answers there."""
    parts = urlsplit(url)
    if parts.scheme == "socket" and not parts.query:
        return TcpTransport(url, parts.hostname or "", _port_of(url), timeout)
    return SerialTransport(url, baud)


def _port_of(url: str) -> int:
    try:
        port = urlsplit(url).port
    except ValueError:
        port = None
    if port is None:
        raise BoardMissing(f"{url}: not of the form socket://HOST:PORT", hint="hil boards")
    return port


class TcpTransport:
    """`socket://host:port`. Done here and not by pyserial, which reads a socket one byte at a time."""

    def __init__(self, url: str, host: str, port: int, timeout: float) -> None:
        self.name = url
        try:
            self._socket = socket.create_connection((host, port), timeout)
        except OSError as error:
            raise BoardMissing(f"{url}: no connection: {error}", hint="hil boards") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, size: int, timeout: float) -> bytes:
        try:
            self._socket.settimeout(max(timeout, 0.0))
            data = self._socket.recv(size)
        except (TimeoutError, BlockingIOError):
            return b""
        except OSError as error:
            raise LinkLost(f"{self.name}: {error}") from error
        if not data:
            raise LinkLost(f"{self.name}: the other end closed the connection")
        return data

    def write(self, data: bytes) -> None:
        try:
            self._socket.settimeout(_WRITE_LIMIT)
            self._socket.sendall(data)
        except TimeoutError as error:
            raise LinkTimeout(f"{self.name}: took no bytes for {_WRITE_LIMIT:.0f} s") from error
        except OSError as error:
            raise LinkLost(f"{self.name}: {error}") from error

    def close(self) -> None:
        self._socket.close()


class SerialTransport:
    """Everything else that pyserial opens: device paths, `rfc2217://`, `hwgrep://`, `loop://`.

    `flow` turns RTS/CTS flow control on, where the port has those lines.
    """

    def __init__(self, url: str, baud: int, *, flow: bool = False) -> None:
        import serial  # noqa: PLC0415 - a board on TCP does not need it

        self.name = url
        self._gone = (serial.SerialException, OSError, TypeError)
        # pyserial's RFC 2217 has no limit for writes: it writes to a socket, which TCP times out.
        limit = None if urlsplit(url).scheme == "rfc2217" else _WRITE_LIMIT
        try:
            self._port = serial.serial_for_url(url, baudrate=baud, timeout=0, write_timeout=limit, rtscts=flow)
            self._port.reset_input_buffer()
        except (serial.SerialException, OSError, ValueError) as error:
            raise BoardMissing(f"{url}: cannot be opened: {error}", hint="hil boards") from error
        self._slow = serial.SerialTimeoutException

    def read(self, size: int, timeout: float) -> bytes:
        try:
            self._port.timeout = max(timeout, 0.0)
            data = bytes(self._port.read(1))
            if data and size > 1 and (waiting := self._port.in_waiting):
                data += bytes(self._port.read(min(waiting, size - 1)))
        except self._gone as error:  # TypeError: pyserial's own answer to a port closed under it
            raise LinkLost(f"{self.name}: {error}") from error
        return data

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except self._slow as error:
            raise LinkTimeout(f"{self.name}: took no bytes for {_WRITE_LIMIT:.0f} s") from error
        except self._gone as error:
            raise LinkLost(f"{self.name}: {error}") from error

    def close(self) -> None:
        try:
            self._port.close()
        except self._gone:
            return


@dataclass(frozen=True)
class Faults:
    """How often, for each byte, 0..1, a line loses, damages, doubles it, or holds it and all behind it back a while."""

    drop: float = 0.0
    damage: float = 0.0
    double: float = 0.0
    delay: float = 0.0
    delay_seconds: float = 0.01


class FaultyTransport:
    """Another transport behind a bad line. The same seed and the same bytes give the same faults."""

    def __init__(self, inner: Transport, faults: Faults, seed: int) -> None:
        self.name = inner.name
        self._inner, self._faults, self._random = inner, faults, random.Random(seed)
        self._held = b""
        self.count = 0
        """Faults so far."""

    def read(self, size: int, timeout: float) -> bytes:
        if self._held:
            time.sleep(self._faults.delay_seconds)
            data, self._held = self._held[:size], self._held[size:]
            return data
        data = self._spoil(self._inner.read(max(1, size // 2), timeout))
        for at in range(1, len(data)):
            if self._random.random() < self._faults.delay:
                self.count += 1
                data, self._held = data[:at], data[at:]
                break
        return data

    def write(self, data: bytes) -> None:
        self._inner.write(self._spoil(data))

    def close(self) -> None:
        self._inner.close()

    def _spoil(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            draw = self._random.random()
            if draw < self._faults.drop:
                self.count += 1
                continue
            draw -= self._faults.drop
            if draw < self._faults.damage:
                self.count += 1
                out.append(byte ^ 1 << self._random.randrange(8))
                continue
            out.append(byte)
            if draw - self._faults.damage < self._faults.double:
                self.count += 1
                out.append(byte)
        return bytes(out)
