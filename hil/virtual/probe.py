"""The clock and memory probe of a virtual board: what a logic analyser and a debug probe are to a real one.

One JSON object a line each way, on a TCP port of its own. A request is answered between two runs of the machine.
"""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

from hil.errors import LinkLost, LinkTimeout, UsageError
from hil.link.switch import Counts, Fault

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


class Requests:
    """A connection to a port that answers requests; every call waits at most `limit` seconds."""

    def __init__(self, host: str, port: int, limit: float = 10.0, what: str = "virtual board's probe") -> None:
        self.address = (host, port)
        self._where = f"{what} at {host}:{port}"
        self._buffer = b""
        try:
            self._socket = socket.create_connection((host, port), timeout=limit)
        except TimeoutError as error:
            raise LinkTimeout(f"{self._where}: no connection in {limit:g} s") from error
        except OSError as error:
            raise LinkLost(f"{self._where}: {error}") from error
        self._limit = limit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. The other end does not care."""
        self._socket.close()

    @property
    def gone(self) -> bool:
        """Whether the other end has closed the connection, or this one has."""
        try:
            self._socket.settimeout(0)
            return not self._socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

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

    def _until_gone(self) -> None:
        """Wait until the other end has hung up."""
        try:
            self._socket.settimeout(self._limit)
            while self._socket.recv(4096):
                pass
        except TimeoutError as error:
            raise LinkTimeout(f"{self._where}: still there after {self._limit:g} s") from error
        except OSError:
            return

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


class Probe(Requests):
    """The probe of one virtual board. `after`: that many microseconds of virtual time later, on boards of a cluster."""

    def clock(self) -> Clock:
        """Virtual time now."""
        return _clock(self._ask({"op": "clock"}), self._where)

    def wait_idle(self) -> Clock:
        """Wait until the board waits for the host, then virtual time."""
        return _clock(self._ask({"op": "wait_idle"}), self._where)

    def reset(self, *, after: float = 0) -> None:
        """Power off and on: RAM is lost, time begins at 0, flash stays. `after` on boards of a cluster alone."""
        self._ask({"op": "reset", "after": after} if after else {"op": "reset"})

    def download(self) -> None:
        """Reset into the boot ROM's serial loader, as a button that pulls a pin does. On boards that have one."""
        self._ask({"op": "download"})

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

    def halt(self, *, after: float = 0) -> None:
        """Stop the cores for good, as a debugger does; only `reset` makes them go again. On boards of a cluster."""
        self._ask({"op": "halt", "after": after})

    def slow(self, factor: float, *, after: float = 0) -> None:
        """Let its clock run `factor` times slower than those of the other boards. On boards of a cluster."""
        self._ask({"op": "slow", "factor": factor, "after": after})

    def unplug(self, *, after: float = 0) -> None:
        """Gone for good: no power, sockets closed. On boards of a cluster."""
        self._ask({"op": "unplug", "after": after})
        if not after:
            self._until_gone()


class Wires(Requests):
    """The wires between the boards of a virtual cluster, and the switch in their middle."""

    def fault(self, *faults: Fault) -> None:
        """Let these go wrong from now on. Raises `UsageError` for nodes that are not there."""
        for fault in faults:
            self._ask({"op": "fault", "fault": asdict(fault)})

    def clear(self) -> None:
        """No more faults, and nothing that was to happen to boards later."""
        self._ask({"op": "clear"})

    def power_cycle(self) -> None:
        """All boards off and on at once: their common time begins at 0, flash stays."""
        self._ask({"op": "power_cycle"})

    def counts(self) -> tuple[Counts, ...]:
        """What each node's line has carried since the start."""
        answer = self._ask({"op": "counts"})
        try:
            return tuple(Counts(**{key: int(value) for key, value in count.items()}) for count in answer["counts"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LinkLost(f"{self._where}: malformed counts") from error


def _clock(answer: dict[str, Any], where: str) -> Clock:
    try:
        instructions = tuple(int(count) for count in answer["insns"])
        return Clock(int(answer["cycles"]), instructions, int(answer["ns"]), bool(answer["idle"]))
    except (KeyError, TypeError, ValueError) as error:
        raise LinkLost(f"{where}: a malformed clock") from error
