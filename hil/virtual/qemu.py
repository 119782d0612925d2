"""Virtual boards that QEMU runs: a supervisor that starts it, serves its probe, and ends it with its owner.

QEMU counts time in instructions (`-icount`): one is 2^0 ns, whichever core runs it, and while all cores sleep time
stands still. All cores share that one count, because QEMU runs them in turn. The console is a socket that QEMU serves
itself; the probe's clock is a counter of the machine that the firmware does not use, read through QEMU's monitor.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hil.board import Board, Virtual
from hil.errors import BoardMissing, InfrastructureError, ToolMissing, UsageError
from hil.virtual.probe import LONGEST_REQUEST, MOST_BYTES

_CLIENTS = 8
_LIMIT = 20.0  # seconds that QEMU may take to answer its monitor
_IDLE_PAUSE = 0.005
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_WORD = re.compile(r"0x([0-9a-f]+)")


def find(virtual: Virtual) -> str:
    """The path of the QEMU that this board wants. Raises `ToolMissing` with the package that brings it."""
    program = virtual.program
    if program is None:
        raise UsageError(f"the description of the virtual {virtual.machine} names no program to run it")
    path = shutil.which(program)
    if path is None:
        raise ToolMissing(f"{program} is not on the PATH", hint=f"apt-get install {virtual.package or program}")
    return path


class Monitor:
    """QEMU's control connection (QMP, docs/interop/qmp-spec): one command at a time, each with a time limit."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = b""
        connection.settimeout(_LIMIT)
        self._message()  # the greeting
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: object) -> Any:
        """What QEMU returns to a command. Raises `InfrastructureError`."""
        request = {"execute": command, "arguments": arguments}
        try:
            self.socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise InfrastructureError(f"QEMU's monitor: {error}") from error
        while True:
            answer = self._message()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise InfrastructureError(f"QEMU refused {command}: {answer['error'].get('desc')}")

    def words(self, address: int, count: int) -> list[int]:
        """`count` 32-bit words as the processor would read them, from low to high addresses."""
        text = str(self.ask("human-monitor-command", **{"command-line": f"xp /{count}xw {address:#x}"}))
        found = [int(word, 16) for line in text.splitlines() for word in _WORD.findall(line.partition(":")[2])]
        if len(found) != count:
            raise InfrastructureError(f"QEMU's monitor cannot read {count} words at {address:#x}: {text[:80]!r}")
        return found

    def drain(self) -> None:
        """Take and drop what came unasked. Raises `InfrastructureError` where that is QEMU's end."""
        self._receive()
        self._buffer = self._buffer.rpartition(b"\n")[2]

    def _receive(self) -> None:
        try:
            part = self.socket.recv(65536)
        except OSError as error:
            raise InfrastructureError(f"QEMU's monitor: {error}") from error
        if not part:
            raise InfrastructureError("QEMU ended")
        self._buffer += part

    def _message(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            self._receive()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return dict(json.loads(line))


class Machine:
    """A QEMU that runs one board with an image in its flash."""

    def __init__(self, board: Board, elf: Path, console: socket.socket) -> None:
        virtual = board.virtual
        if virtual is None or virtual.counter is None:
            raise UsageError(f"{board.name}: the description has no [virtual] counter for QEMU")
        self._board, self._counter = board, virtual.counter
        self._last, self._ticks = 0, 0
        ours, theirs = socket.socketpair()
        with theirs:
            handles = (console.fileno(), theirs.fileno())
            command = [find(virtual), *_arguments(virtual, elf, *handles)]
            try:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=sys.stderr,
                    pass_fds=handles,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509  this process has one thread
                )
            except OSError as error:
                raise BoardMissing(f"{command[0]} could not be started: {error}") from error
        try:
            self.monitor = Monitor(ours)
        except InfrastructureError as error:
            self.stop()
            raise BoardMissing(f"{command[0]} did not start: {error}; its status is {self.process.poll()}") from error

    def nanoseconds(self) -> int:
        """Virtual time since the first look, from a counter that may be narrow: look before it wraps twice."""
        now = _together(self.monitor.words(self._counter.address, self._counter.bits // 32))
        self._ticks += (now - self._last) % (1 << self._counter.bits)
        self._last = now
        return self._ticks * 1_000_000_000 // self._counter.hz

    def read(self, address: int, length: int) -> bytes | None:
        """Memory as it is; None if any of it is not flash, RAM or stack."""
        board = self._board
        if not any(r.address <= address and address + length <= r.end for r in (board.flash, board.ram, board.stack)):
            return None
        start = address & ~3
        words = self.monitor.words(start, max(1, -(-(address + length - start) // 4)))
        data = b"".join(word.to_bytes(4, "little") for word in words)
        return data[address - start : address - start + length]

    def reset(self) -> None:
        """As after power-on: QEMU loads the image again."""
        self.monitor.ask("system_reset")

    def stop(self) -> None:
        """End QEMU, within seconds."""
        self.process.terminate()
        try:
            self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=5)


def _together(words: list[int]) -> int:
    return sum(word << 32 * index for index, word in enumerate(words))


def _arguments(virtual: Virtual, elf: Path, console: int, monitor: int) -> list[str]:
    return [
        "-machine", virtual.machine, *virtual.arguments, "-nodefaults", "-no-user-config", "-display", "none",
        "-icount", "shift=0,sleep=on,align=off", "-rtc", "base=2000-01-01,clock=vm",
        "-chardev", f"socket,id=console,fd={console},server=on,wait=off", "-serial", "chardev:console",
        "-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control",
        "-kernel", str(elf.resolve()),
    ]  # fmt: skip


def _die_with_parent() -> None:
    """Between fork and exec: the kernel ends QEMU when the supervisor dies, however that happens. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Supervisor:
    """Owns a machine, its probe's port and its life: over when standard input ends or QEMU does."""

    def __init__(self, board: Board, elf: Path, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._name, self._hz = board.name, board.clock_hz
        self._probe = socket.create_server((host, 0), family=family)
        with socket.create_server((host, port), family=family) as console:
            self.ports = console.getsockname()[1], self._probe.getsockname()[1]
            # Connections inherit it. QEMU sends byte by byte, and each would wait for the one before to be confirmed.
            console.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._machine = Machine(board, elf, console)
        self._buffers: dict[socket.socket, bytearray] = {}
        self._over = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._probe, selectors.EVENT_READ, self._accept)
        self._selector.register(0, selectors.EVENT_READ, self._owner)
        self._selector.register(self._machine.monitor.socket, selectors.EVENT_READ, self._machine.monitor.drain)

    def serve(self) -> int:
        """Until it is over: 0 if the owner let go, 4 if QEMU ended by itself."""
        try:
            while not self._over:
                for key, _ in self._selector.select():
                    key.data()
            return 0
        except InfrastructureError as error:
            print(f"virtual {self._name}: {error}", file=sys.stderr, flush=True)
            return 4
        finally:
            self._machine.stop()

    def _owner(self) -> None:
        if not os.read(0, 4096):
            self._over = True

    def _accept(self) -> None:
        client, _ = self._probe.accept()
        if len(self._buffers) >= _CLIENTS:
            client.close()
            return
        client.settimeout(5)
        self._buffers[client] = bytearray()
        self._selector.register(client, selectors.EVENT_READ, lambda: self._request(client))

    def _request(self, client: socket.socket) -> None:
        buffer = self._buffers[client]
        try:
            data = client.recv(LONGEST_REQUEST)
            buffer += data
            while (end := buffer.find(b"\n")) >= 0:
                line = bytes(buffer[:end])
                del buffer[: end + 1]
                client.sendall(json.dumps(self._obey(line)).encode() + b"\n")
        except OSError:
            data = b""
        if not data or len(buffer) > LONGEST_REQUEST:
            self._selector.unregister(client)
            del self._buffers[client]
            client.close()

    def _obey(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return {"error": "a request is one JSON object on one line"}
        match request:
            case {"op": "clock"}:
                return self._clock(idle=False)
            case {"op": "wait_idle"}:
                return self._wait_idle()
            case {"op": "reset"}:
                self._machine.reset()
                return {}
            case {"op": "read", "address": int(address), "length": int(length)} if 0 <= length <= MOST_BYTES:
                data = self._machine.read(address, length)
                return {"error": "not all flash, RAM or stack"} if data is None else {"data": data.hex()}
            case _:
                return {"error": "unknown request; there are clock, reset, wait_idle, and read with address and length"}

    def _clock(self, *, idle: bool) -> dict[str, Any]:
        now = self._machine.nanoseconds()
        return {"cycles": now * self._hz // 1_000_000_000, "insns": [now], "ns": now, "idle": idle}

    def _wait_idle(self) -> dict[str, Any]:
        """Idle is when time stands still: all cores sleep until a byte comes."""
        deadline = time.monotonic() + _LIMIT
        last = self._machine.nanoseconds()
        while time.monotonic() < deadline:
            time.sleep(_IDLE_PAUSE)
            now = self._machine.nanoseconds()
            if now == last:
                return self._clock(idle=True)
            last = now
        return {"error": f"the board was not idle in {_LIMIT:g} s"}
