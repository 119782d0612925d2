"""A pyOCD probe plugin: the debug port of a virtual board, which pyOCD takes for a probe like any other.

Its unique id is `hil:HOST:PORT`. Writes wait until something is read or the probe is flushed, so that a batch costs one
round trip, as they do in a CMSIS-DAP probe; an error of theirs is reported with what is read next. A flush of writes
alone sends them and does not wait for the answer, which comes before the next one.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BufferedReader
from typing import Any

from pyocd.core import exceptions
from pyocd.core.plugin import Plugin
from pyocd.probe.debug_probe import DebugProbe

from hil.virtual.debugport import ANSWER, BUSY, HEAD, LENGTH, LINE_RESET, MOST_BYTES, RESET_PIN, TARGET_SELECT
from hil.virtual.swd import ADDRESS, AP, FAULT, OK, READ

NAME = "hil"
_LIMIT = 10.0
_FLUSH_AT = 1 << 15
_RESET_BITS = (1 << 50) - 1
_TARGETSEL = (8, 0x99)
"""The packet request of a write to TARGETSEL."""


class VirtualProbe(DebugProbe):  # type: ignore[misc]  # pyOCD has no types
    """A probe on the virtual board whose debug port is at `address`, host:port."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address
        self._socket: socket.socket | None = None
        self._reader: BufferedReader | None = None
        self._protocol: DebugProbe.Protocol | None = None
        self._queue = bytearray()
        self._queued = 0
        self._wanted: list[tuple[int, Callable[[list[int]], None]]] = []
        self._awaited: list[int] = []
        """Of messages that have been sent and whose answers nobody has read: how many transactions each had."""

    @classmethod
    def get_all_connected_probes(cls, unique_id: str | None = None, is_explicit: bool = False) -> list[VirtualProbe]:
        """None: virtual boards are not found, they are named."""
        del unique_id, is_explicit
        return []

    @classmethod
    def get_probe_with_id(cls, unique_id: str, is_explicit: bool = False) -> VirtualProbe | None:
        """The probe at HOST:PORT, if this plugin was asked for by name."""
        host, _, port = unique_id.rpartition(":")
        return cls(unique_id) if is_explicit and host and port.isdecimal() else None

    @property
    def vendor_name(self) -> str:
        return "hil"

    @property
    def product_name(self) -> str:
        return "virtual board"

    @property
    def supported_wire_protocols(self) -> list[DebugProbe.Protocol]:
        return [DebugProbe.Protocol.DEFAULT, DebugProbe.Protocol.SWD]

    @property
    def unique_id(self) -> str:
        return self._address

    @property
    def wire_protocol(self) -> DebugProbe.Protocol | None:
        return self._protocol

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    @property
    def capabilities(self) -> set[DebugProbe.Capability]:
        can = DebugProbe.Capability
        return {can.SWJ_SEQUENCE, can.SWD_SEQUENCE, can.BANKED_DP_REGISTERS, can.APv2_ADDRESSES}

    def open(self) -> None:
        host, _, port = self._address.rpartition(":")
        try:
            self._socket = socket.create_connection((host, int(port)), timeout=_LIMIT)
        except OSError as error:
            raise exceptions.ProbeError(f"no debug port at {self._address}: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb")
        self._send(b"", 0)
        acknowledge, _ = ANSWER.unpack_from(self._answers()[0][0])  # a second program is told so
        if acknowledge == BUSY:
            self.close()
            raise exceptions.ProbeError(f"the probe {self._address} is in use by another program")

    def close(self) -> None:
        """What was sent has been obeyed when this returns."""
        try:
            if self._socket is not None:
                self.flush()
                self._settle()
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        self._awaited.clear()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def connect(self, protocol: DebugProbe.Protocol | None = None) -> None:
        if protocol not in (None, DebugProbe.Protocol.DEFAULT, DebugProbe.Protocol.SWD):
            raise exceptions.ProbeError("a virtual board speaks SWD alone")
        self._protocol = DebugProbe.Protocol.SWD

    def disconnect(self) -> None:
        self._protocol = None

    def set_clock(self, frequency: float) -> None:
        """There is no clock to set."""
        del frequency

    def swj_sequence(self, length: int, bits: int) -> None:
        """Of all sequences the line reset alone means something here."""
        if length >= 50 and bits & _RESET_BITS == _RESET_BITS:
            self._put(LINE_RESET, [0])

    def swd_sequence(self, sequences: Sequence[tuple[int] | tuple[int, int]]) -> tuple[int, Sequence[bytes]]:
        """The write to TARGETSEL is known; what is read of a line that nobody drives is zeros."""
        sent = [item for item in sequences if len(item) == 2]
        if len(sent) > 1 and sent[0] == _TARGETSEL:
            self._put(TARGET_SELECT, [sent[1][1] & 0xFFFF_FFFF])
        return 0, [bytes((item[0] + 7) // 8) for item in sequences if len(item) == 1]

    def reset(self) -> None:
        self._put(RESET_PIN, [0])
        self.flush()

    def assert_reset(self, asserted: bool) -> None:
        """The chip comes out of reset at once."""
        if asserted:
            self.reset()

    def is_reset_asserted(self) -> bool:
        return False

    def read_dp(self, addr: int, now: bool = True) -> Any:
        return self._get(READ | addr & ADDRESS, 1, now, _first)

    def write_dp(self, addr: int, data: int) -> None:
        self._put(addr & ADDRESS, [data])

    def read_ap(self, addr: int, now: bool = True) -> Any:
        return self._get(AP | READ | addr & ADDRESS, 1, now, _first)

    def write_ap(self, addr: int, data: int) -> None:
        self._put(AP | addr & ADDRESS, [data])

    def read_ap_multiple(self, addr: int, count: int = 1, now: bool = True) -> Any:
        return self._get(AP | READ | addr & ADDRESS, count, now, _all)

    def write_ap_multiple(self, addr: int, values: Sequence[int]) -> None:
        self._put(AP | addr & ADDRESS, values)

    # ---- the wire ----

    def _put(self, request: int, values: Sequence[int]) -> None:
        self._queue += HEAD.pack(request, len(values)) + struct.pack(f"<{len(values)}I", *values)
        self._queued += 1
        if len(self._queue) > _FLUSH_AT:
            self.flush()

    def _get(self, request: int, count: int, now: bool, made: Callable[[list[int]], Any]) -> Any:
        self._queue += HEAD.pack(request, count)
        self._queued += 1
        answer: list[list[int]] = []
        self._wanted.append((count, answer.append))

        def result() -> Any:
            if not answer:
                self.flush()
            if not answer:
                raise exceptions.TransferError("an earlier transfer failed")
            return made(answer[0])

        return result() if now else result

    def flush(self) -> None:
        """Send what waits, and hand out the answers. Raises pyOCD's transfer errors."""
        if not self._queued:
            return
        queue, queued, wanted = bytes(self._queue), self._queued, self._wanted
        self._queue.clear()
        self._queued, self._wanted = 0, []
        if not wanted:
            self._settle()
            self._send(queue, queued)
            return
        self._send(queue, queued)
        found = self._answers()
        answer, _ = found[-1]
        words = list(memoryview(answer)[ANSWER.size :].cast("I"))
        for count, give in wanted:
            if count > len(words):
                break
            give(words[:count])
            del words[:count]
        self._raise(error for _, error in found)

    def _settle(self) -> None:
        """Wait until all that was sent has been obeyed. Raises pyOCD's transfer errors."""
        self._raise(error for _, error in self._answers())

    @staticmethod
    def _raise(errors: Iterable[Exception | None]) -> None:
        for error in errors:
            if error is not None:
                raise error

    def _answers(self) -> list[tuple[bytes, Exception | None]]:
        """To all that was sent, in order, each with the error that it stands for."""
        found: list[tuple[bytes, Exception | None]] = []
        while self._awaited:
            answer, error = self._answer(), None
            queued = self._awaited.pop(0)
            acknowledge, done = ANSWER.unpack_from(answer)
            if acknowledge == FAULT:
                error = exceptions.TransferFaultError()
            elif acknowledge != OK or done != queued:
                error = exceptions.TransferError("no answer on the debug wire")
            found.append((answer, error))
        return found

    def _send(self, message: bytes, transactions: int) -> None:
        if self._socket is None:
            raise exceptions.ProbeError(f"the probe {self._address} is not open")
        self._awaited.append(transactions)
        with self._trouble(), contextlib.suppress(ConnectionError):  # why it hung up may be there to read
            self._socket.sendall(LENGTH.pack(len(message)) + message)

    def _answer(self) -> bytes:
        """The next one that comes."""
        with self._trouble():
            (length,) = LENGTH.unpack(self._read(LENGTH.size))
            if not ANSWER.size <= length <= MOST_BYTES or length % 4:
                raise exceptions.ProbeError(f"an answer of {length} bytes from the debug port at {self._address}")
            return self._read(length)

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        """An error of the socket as one of pyOCD's; there is no connection any more then."""
        try:
            yield
        except TimeoutError as error:
            self._hang_up()
            raise exceptions.ProbeError(f"no answer from {self._address} in {_LIMIT:g} s") from error
        except OSError as error:
            self._hang_up()
            raise exceptions.ProbeDisconnected(f"the debug port at {self._address} is gone: {error}") from error

    def _read(self, length: int) -> bytes:
        assert self._reader is not None
        data = self._reader.read(length)  # buffered: the length of an answer comes with it, and often the next one too
        if len(data) < length:
            raise OSError("it closed the connection")
        return data


def _first(words: list[int]) -> int:
    return words[0]


def _all(words: list[int]) -> list[int]:
    return words


class VirtualProbePlugin(Plugin):  # type: ignore[misc]  # pyOCD has no types
    """What the entry point `pyocd.probe` names."""

    @property
    def name(self) -> str:
        return NAME

    @property
    def description(self) -> str:
        return "Virtual boards of hil"

    def load(self) -> type[VirtualProbe]:
        return VirtualProbe
