"""A virtual board on a desk: it stays while its flash and its power change, as a real one does under a lab's hands.

    with hil.virtual.desk.start("rp2040") as desk:
        Control(*desk.address).flash(elf)

`python -m hil.virtual.desk rp2040` is the process. Its control port takes one JSON object a line: flash, flashing,
flashed, reset, power, state, clock, fault. The console is a TCP port of its own, which stays the same until the board
is unplugged; so is the probe of a board that has a debug port: it is flashed through that as every board with a probe.
A desk can be told to misbehave as labs do (`Trouble`), until something in particular is done to the board.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import selectors
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from hil import board as boards
from hil import virtual
from hil.errors import HilError, LinkLost
from hil.virtual.probe import Requests
from hil.virtual.process import Process
from hil.virtual.relay import ProbePort
from hil.virtual.sockets import Answer, Loop, RequestPort, UartPort

Trouble = Literal["silent", "noise", "boot-loop", "unplugged", "flash-fails", "busy"]
"""silent: nothing comes from it; noise: garbage among what comes; boot-loop: it says its banner and nothing else;
unplugged: its port is gone, and comes back as another; flash-fails: flashing ends half-way, and no other begins;
busy: another program has the probe."""
Mended = Literal["reset", "flash", "power", "never"]
_BANNER = b"\r\nboot: starting\r\n"
_NOISE = 48
_SCHEMA = "hil.virtual.desk/1"
_START_LIMIT = 60.0
_CHUNK = 65536
_HALF = 20_000  # bytes to the probe, sectors of flash among them, before a connection that fails breaks
_LOOK = 256


class Control(Requests):
    """The hands at a desk, over its control port. Every call waits at most `limit` seconds."""

    def __init__(self, host: str, port: int, limit: float = 90.0) -> None:
        super().__init__(host, port, limit, "virtual board's desk")

    def flash(self, elf: Path) -> None:
        """Put `elf` in its flash and start it. Raises `UsageError` with what the desk says where it cannot."""
        self._ask({"op": "flash", "elf": str(elf.resolve())})

    @contextlib.contextmanager
    def flashing(self) -> Iterator[str]:
        """The probe, for `hil.flash`, on a board that has a debug port; at the end it starts from cold."""
        answer = self._ask({"op": "flashing"})
        if type(answer.get("debug")) is not int:
            raise LinkLost(f"{self._where}: a malformed answer to flashing")
        try:
            yield f"hil:{self.address[0]}:{answer['debug']}"
        finally:
            self._ask({"op": "flashed"})

    def reset(self) -> None:
        """Start what is in its flash anew."""
        self._ask({"op": "reset"})

    def power(self, *, on: bool) -> None:
        """Give it power, or take it away."""
        self._ask({"op": "power", "on": on})

    def clock_ns(self) -> int:
        """Its own time, once it waits for the host."""
        answer = self._ask({"op": "clock"})
        if type(answer.get("ns")) is not int:
            raise LinkLost(f"{self._where}: a malformed clock")
        return int(answer["ns"])

    def state(self) -> State:
        """What it is and does now."""
        answer = self._ask({"op": "state"})
        try:
            port = answer["console"]
            return State(
                str(answer["board"]), None if port is None else int(port), bool(answer["runs"]), str(answer["said"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LinkLost(f"{self._where}: a malformed state") from error

    def trouble(self, what: Trouble, until: Mended = "never", times: int = 1) -> None:
        """Misbehave from now on, until that has been done to the board so many times."""
        self._ask({"op": "fault", "what": what, "until": until, "times": times})


@dataclass(frozen=True)
class State:
    """`console`: the port of its console now, None while it is unplugged; `runs`: it has power and firmware."""

    board: str
    console: int | None
    runs: bool
    said: str


class Desk:
    """A desk that runs as a process of this one's."""

    def __init__(self, process: Process, address: tuple[str, int]) -> None:
        self._process, self.address = process, address

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()


def start(board: str) -> Desk:
    """A desk with an erased `board` on it. Raises `BoardMissing`."""
    virtual.prepare(board)
    process = Process([sys.executable, "-m", "hil.virtual.desk", board], f"the desk of a virtual {board}")
    try:
        greeting = process.greeting(_SCHEMA, _START_LIMIT)
        if type(greeting.get("control")) is not int:
            raise process.missing(f"greeted with {greeting!r:.80}")
    except BaseException:
        process.stop()
        raise
    return Desk(process, ("127.0.0.1", greeting["control"]))


# -- the process -------------------------------------------------------------------------------------------------------


class _Slot:
    """One board, its console and its probe towards the lab, and what is wrong with it.

    A board with a debug port is there all the time, from erased flash on; without power nobody reaches it. Of another
    there is nothing before it has an ELF, and its process ends with its power.
    """

    def __init__(self, loop: Loop, board: str) -> None:
        self._loop, self._board = loop, board
        self._flash_at = boards.load(board).flash.address
        self._elf: Path | None = None
        self._left: int | None = None
        self._power = True
        self._machine: virtual.VirtualBoard | None = None
        self._line: socket.socket | None = None
        self._said = ""
        self._troubles: dict[Trouble, tuple[Mended, int]] = {}
        self._random = random.Random(1)
        self._uart: UartPort | None = UartPort(loop, self, self._say)
        self._control = RequestPort(loop, self._obey)
        self._probe: ProbePort | None = None
        if virtual.debuggable(board):
            self._probe = ProbePort(
                loop, self._debug_port, busy=lambda: "busy" in self._troubles,
                left=lambda: self._left, spent=self._spend, say=self._say,
            )  # fmt: skip
            self._start()

    @property
    def port(self) -> int:
        return self._control.port

    @property
    def room(self) -> int:
        """How many bytes the board takes from the lab now: TCP holds what is more."""
        return _CHUNK

    def give(self, data: bytes) -> None:
        """Bytes from the lab."""
        if "boot-loop" in self._troubles and self._uart is not None:
            self._uart.send(_BANNER)
        elif self._line is not None:
            with contextlib.suppress(OSError):  # a board without power does not listen
                self._line.sendall(data)

    def stop(self) -> None:
        """No board."""
        self._cut()
        if self._machine is not None:
            self._said = self._machine.diagnostics()
            self._machine.stop()
            self._machine = None

    def _cut(self) -> None:
        """No power."""
        if self._line is not None:
            self._loop.close(self._line)
            self._line = None
        if self._probe is not None:
            self._probe.hang_up()
        elif self._machine is not None:
            self.stop()

    def _debug_port(self) -> str | None:
        return self._machine.debug_port if self._power and self._machine is not None else None

    def _spend(self, count: int) -> None:
        if self._left is not None:
            self._left -= count

    def _start(self) -> None:
        """From cold, if it has power."""
        self._cut()
        if not self._power or (self._elf is None and self._probe is None):
            return
        if self._machine is not None and self._machine.alive:
            self._machine.probe.reset()
        else:
            self.stop()
            self._machine = virtual.start(self._board, self._elf, limit=_START_LIMIT)
        _, _, port = self._machine.uart0_url.rpartition(":")
        self._line = socket.create_connection(("127.0.0.1", int(port)), _START_LIMIT)
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.selector.register(self._line, selectors.EVENT_READ, self._from_board)

    def _from_board(self) -> None:
        if self._line is None:
            return
        try:
            data = self._line.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self.stop()
            return
        if self._uart is None or {"silent", "boot-loop"} & self._troubles.keys():
            return
        if "noise" in self._troubles:
            data = self._random.randbytes(_NOISE) + data
        self._uart.send(data)

    def _say(self, line: str) -> None:
        print(f"desk of {self._board}: {line}", file=sys.stderr, flush=True)

    def _obey(self, request: Any) -> Answer:
        try:
            return self._done(request)
        except (HilError, OSError) as error:
            return {"error": str(error)[:2000]}

    def _done(self, request: Any) -> Answer:
        match request:
            case {"op": "flash", "elf": str(elf)}:
                return self._flash(Path(elf))
            case {"op": "flashing"} if self._probe is not None:
                return {"debug": self._probe.port}
            case {"op": "flashed"} if self._probe is not None:
                self._mend("flash")
                self._start()
            case {"op": "reset"}:
                self._mend("reset")
                self._start()
            case {"op": "power", "on": bool(on)}:
                self._cut()
                self._power = on
                if on:
                    self._mend("power")
                    self._start()
            case {"op": "clock"}:
                if not self._power or self._machine is None or not self._written():
                    return {"error": "the board does not run"}
                return {"ns": self._machine.clock_ns()}
            case {"op": "state"}:
                said = self._machine.diagnostics() if self._machine else self._said
                port = self._uart.port if self._uart else None
                runs = self._power and self._machine is not None and self._machine.alive and self._written()
                return {"board": self._board, "console": port, "runs": runs, "said": said}
            case {"op": "fault", "what": str(what), "until": str(until), "times": int(times)} if (
                what in get_args(Trouble) and until in get_args(Mended) and times > 0
            ):
                self._troubles[cast(Trouble, what)] = (cast(Mended, until), times)
                if what == "flash-fails":
                    self._left = _HALF
                if what == "unplugged" and self._uart is not None:
                    self._uart.close()
                    self._uart = None
            case _:
                return {
                    "error": "unknown request; there are flash, flashing, flashed, reset, power, clock, state, fault"
                }
        return {}

    def _written(self) -> bool:
        """Whether there is something in its flash."""
        if self._probe is None or self._machine is None:
            return self._elf is not None
        return self._machine.probe.read(self._flash_at, _LOOK) != b"\xff" * _LOOK

    def _flash(self, elf: Path) -> Answer:
        if "busy" in self._troubles:
            self._mend("flash")
            return {"error": "the probe is in use by another program"}
        failing = "flash-fails" in self._troubles
        self._mend("flash")
        self.stop()
        self._elf = None if failing else elf  # the first half of an image does not start
        if failing:
            return {"error": "the connection broke after half of the image"}
        self._start()
        return {}

    def _mend(self, done: Mended) -> None:
        """Forget troubles that end by what was just done."""
        for what, (until, times) in list(self._troubles.items()):
            if until == done:
                self._troubles[what] = (until, times - 1)
                if times == 1:
                    del self._troubles[what]
        if "flash-fails" not in self._troubles:
            self._left = None
        if self._uart is None and "unplugged" not in self._troubles:
            self._uart = UartPort(self._loop, self, self._say)


def main() -> int:
    """Be a desk until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m hil.virtual.desk", description="Be a virtual board on a desk.")
    parser.add_argument("board", choices=virtual.names())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    loop = Loop("127.0.0.1")
    slot = _Slot(loop, parser.parse_args().board)
    print(json.dumps({"schema": _SCHEMA, "control": slot.port, "pid": os.getpid()}), flush=True)
    try:
        while not loop.over:
            loop.poll(None)
    finally:
        slot.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
