"""The clock and memory probe of a virtual board: what a logic analyser and a debug probe are to a real one.

One JSON object a line each way, on a TCP port of its own. A request is answered between two runs of the machine.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from hil.errors import LinkLost, LinkTimeout, UsageError

LONGEST_REQUEST = 4096
MOST_BYTES = 1 << 20
_LONGEST_ANSWER = 2 * MOST_BYTES + 4096


@dataclass(frozen=True)
class Clock:
    """Virtual time: clk_sys cycles and nanoseconds since power-on, instructions per core.

    `idle`: time stands still until a byte comes from the host.
    """

    cycles: int
    instructions: tuple[int, ...]
    nanoseconds: int
    idle: bool


class Probe:
    """A connection to the probe port; every call waits at most `limit` seconds."""

    def __init__(self, host: str, port: int, limit: float = 10.0) -> None:
        self.address = (host, port)
        self._where = f"virtual board's probe at {host}:{port}"
        self._buffer = b""
        try:
            self._socket = socket.create_connection((host, port), timeout=limit)
        except TimeoutError as error:
            raise LinkTimeout(f"{self._where}: no connection in {limit:g} s") from error
        except OSError as error:
            raise LinkLost(f"{self._where}: {error}") from error
        self._limit = limit

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. The board does not care."""
        self._socket.close()

    def clock(self) -> Clock:
        """Virtual time now."""
        return _clock(self._ask({"op": "clock"}), self._where)

    def wait_idle(self) -> Clock:
        """Wait until the board waits for the host, then virtual time."""
        return _clock(self._ask({"op": "wait_idle"}), self._where)

    def reset(self) -> None:
        """Power off and on: RAM is lost, time begins at 0, flash stays."""
        self._ask({"op": "reset"})

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes of ROM, flash or RAM from `address`."""
        answer = self._ask({"op": "read", "address": address, "length": length})
        data = answer.get("data")
        if not isinstance(data, str) or len(data) != 2 * length:
            raise LinkLost(f"{self._where}: a malformed answer to read")
        try:
            return bytes.fromhex(data)
        except ValueError as error:
            raise LinkLost(f"{self._where}: a malformed answer to read") from error

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            self._socket.settimeout(self._limit)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            line = self._line()
        except TimeoutError as error:
            self.close()  # its answer may still come, and would be taken for the next one's
            raise LinkTimeout(f"{self._where}: no answer to {request['op']} in {self._limit:g} s") from error
        except OSError as error:
            raise LinkLost(f"{self._where}: {error}") from error
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise LinkLost(f"{self._where}: an answer that is not JSON") from error
        if not isinstance(answer, dict):
            raise LinkLost(f"{self._where}: an answer that is not an object")
        if "error" in answer:
            raise UsageError(f"{self._where} refused {request['op']}: {answer['error']}")
        return answer

    def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > _LONGEST_ANSWER:
                raise LinkLost(f"{self._where}: an answer without end")
            part = self._socket.recv(65536)
            if not part:
                raise LinkLost(f"{self._where}: it closed the connection")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def _clock(answer: dict[str, Any], where: str) -> Clock:
    try:
        instructions = tuple(int(count) for count in answer["insns"])
        return Clock(int(answer["cycles"]), instructions, int(answer["ns"]), bool(answer["idle"]))
    except (KeyError, TypeError, ValueError) as error:
        raise LinkLost(f"{where}: a malformed clock") from error
