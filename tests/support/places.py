"""A labgrid coordinator and exporters on loopback, with virtual boards behind them: the programs that a lab runs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Self

import yaml

from hil.virtual import VirtualBoard

_LIMIT = 60.0
Group = dict[str, dict[str, object]]


class Program:
    """One of labgrid's, with what it says kept in a file."""

    def __init__(self, name: str, folder: Path, *words: str) -> None:
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name(name), *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "GRPC_ENABLE_FORK_SUPPORT": "0"},
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, mark: str) -> str:
        """The rest of the line that begins with `mark`, once it says so."""
        late = time.monotonic() + _LIMIT
        while True:
            for line in self.said.splitlines():
                if line.startswith(mark):
                    return line.removeprefix(mark)
            assert self._process.poll() is None, self.said
            assert time.monotonic() < late, self.said
            time.sleep(0.05)

    def kill(self) -> None:
        """As a power cut does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)


class Lab:
    """A coordinator; places are made before it starts, exporters come and go."""

    def __init__(self, folder: Path, coordinator: Program) -> None:
        self._folder, self._coordinator = folder, coordinator
        self.address = coordinator.wait_for("listening on ")
        self.exporters: dict[str, Program] = {}

    def export(self, exporter: str, groups: Mapping[str, Group]) -> None:
        """Start an exporter of that name."""
        file = self._folder / f"{exporter}.yaml"
        file.write_text(yaml.safe_dump(dict(groups)), encoding="utf-8")
        words = ["-c", self.address, "-n", exporter, "--hostname", "127.0.0.1", str(file)]
        folder = self._folder / f"{exporter}-{len(self.exporters)}"
        folder.mkdir(exist_ok=True)
        self.exporters[exporter] = Program("labgrid-exporter", folder, *words)
        self.exporters[exporter].wait_for("Exporter ready")

    def client(self, *words: str, user: str = "somebody") -> str:
        """`labgrid-client`, as another user of the lab types it."""
        done = subprocess.run(
            [Path(sys.executable).with_name("labgrid-client"), "-x", self.address, *words],
            capture_output=True, text=True, timeout=_LIMIT, check=False,
            env=os.environ | {"LG_USERNAME": user, "LG_HOSTNAME": "elsewhere", "GRPC_ENABLE_FORK_SUPPORT": "0"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def restart(self) -> None:
        """The coordinator, where it was; its exporters have ended."""
        self._coordinator = Program("labgrid-coordinator", self._folder, "-l", self.address)
        late = time.monotonic() + _LIMIT
        while self._coordinator.said.count("listening on ") < 2:
            assert time.monotonic() < late
            time.sleep(0.05)

    def stop(self) -> None:
        """Power off."""
        for program in [*self.exporters.values(), self._coordinator]:
            program.kill()


@contextmanager
def lab(folder: Path, places: Mapping[str, Mapping[str, str]]) -> Iterator[Lab]:
    """A coordinator with places, each with tags. What the exporter `bench-a` has in the group of its name is its."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        name: {
            "tags": dict(tags),
            "matches": [{"exporter": "bench-a", "group": name, "cls": "*", "name": None, "rename": None}],
        }
        for name, tags in places.items()
    }
    (folder / "places.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
    running = Lab(folder, Program("labgrid-coordinator", folder, "-l", "127.0.0.1:0"))
    try:
        yield running
    finally:
        running.stop()


def group(board: VirtualBoard) -> Group:
    """A virtual board as an exporter's file has it: its console, its clock, its debug port."""
    ports: dict[str, int] = {"console": int(board.uart0_url.rpartition(":")[2]), "clock": board.probe.address[1]}
    if board.debug_port is not None:
        ports["debug"] = int(board.debug_port.rpartition(":")[2])
    return {name: port_on(port) for name, port in ports.items()}


def port_on(port: int) -> dict[str, object]:
    """A TCP port of this machine, as an exporter's file has it."""
    return {"cls": "NetworkSerialPort", "host": "127.0.0.1", "port": port, "protocol": "raw"}


class Switch:
    """A virtual board whose console falls silent until something is done to it: what a power switch and a relay are.

    `silent_until`: reset (one beside that at the end of flashing), power, or never; None: it is not silent.
    """

    def __init__(self, board: VirtualBoard) -> None:
        self.silent_until: str | None = None
        self._resets = 0
        self._open = [
            _Relay(int(board.uart0_url.rpartition(":")[2]), from_board=self._hush),
            _Relay(board.probe.address[1], to_board=self._watch),
        ]
        switch = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                switch._mend("power" if self.path == "/0/1" else "")
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._http = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        for relay in self._open:
            relay.close()

    @property
    def ports(self) -> Group:
        """Its console and its clock."""
        return {name: port_on(relay.port) for name, relay in zip(("console", "clock"), self._open, strict=True)}

    @property
    def power(self) -> Group:
        """Its power, by HTTP, as labgrid has a driver for it."""
        url = f"http://127.0.0.1:{self._http.server_port}/{{index}}/{{value}}"
        return {"power": {"cls": "NetworkPowerPort", "model": "simplerest", "host": url, "index": 0}}

    def _hush(self, data: bytes) -> bytes:
        return b"" if self.silent_until is not None else data

    def _watch(self, data: bytes) -> bytes:
        if b'"reset"' in data:
            self._resets += 1
            if self._resets > 1:
                self._mend("reset")
        return data

    def _mend(self, done: str) -> None:
        if self.silent_until == done:
            self.silent_until = None


def _same(data: bytes) -> bytes:
    return data


class _Relay:
    """A TCP port that leads to another one, through two functions."""

    def __init__(
        self, port: int, *, to_board: Callable[[bytes], bytes] = _same, from_board: Callable[[bytes], bytes] = _same
    ) -> None:
        self._target, self._to, self._from = port, to_board, from_board
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        threads: list[threading.Thread] = []
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                for thread in threads:
                    thread.join()  # a board has one host at a time
                far = socket.create_connection(("127.0.0.1", self._target))
                ways = ((near, far, self._to), (far, near, self._from))
                threads = [threading.Thread(target=_copy, args=way, daemon=True) for way in ways]
                for thread in threads:
                    thread.start()


def _copy(one: socket.socket, other: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(change(data))
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


def another_machine(folder: Path) -> dict[str, str]:
    """An environment in which ssh and rsync lead to another machine, which is this one with a cache of its own."""
    tools = folder / "bin"
    tools.mkdir(parents=True)
    for name, script in (("ssh", _SSH), ("rsync", _RSYNC)):
        (tools / name).write_text(script.replace("CACHE", str(folder / "cache")))
        (tools / name).chmod(0o755)
    return {"PATH": f"{tools}:{os.environ['PATH']}"}


_SSH = """#!/bin/sh
case " $* " in *" -O check "*) echo "No ControlPath specified"; exit 255 ;; esac
for word; do
  case "$word" in ControlPath=*) socket=${word#ControlPath=} ;; -MN) master=yes ;; esac
done
if [ -n "$master" ]; then : >"$socket"; exit 0; fi
case " $* " in *" -O "*) exit 0 ;; esac
while [ "$1" != 127.0.0.1 ]; do shift; done
shift
[ "$1" != -- ] || shift
exec sh -c "$(printf %s "$*" | sed 's#/var/cache/labgrid#CACHE#g')"
"""
_RSYNC = """#!/bin/sh
while [ $# -gt 2 ]; do shift; done
exec cp "$1" "$(printf %s "${2#*:}" | sed 's#/var/cache/labgrid#CACHE#g')"
"""


@contextmanager
def terminal(board: VirtualBoard) -> Iterator[str]:
    """The console of a virtual board as a terminal of this machine; gives its path."""
    near, far = os.openpty()
    tty.setraw(near)
    tty.setraw(far)
    host, _, port = board.uart0_url.removeprefix("socket://").rpartition(":")
    with socket.create_connection((host, int(port))) as line:

        def copy() -> None:
            with contextlib.suppress(OSError):
                while data := line.recv(4096):
                    os.write(near, data)

        def back() -> None:
            with contextlib.suppress(OSError):
                while data := os.read(near, 4096):
                    line.sendall(data)

        threads = [threading.Thread(target=way, daemon=True) for way in (copy, back)]
        for thread in threads:
            thread.start()
        try:
            yield os.ttyname(far)
        finally:
            line.shutdown(socket.SHUT_RDWR)
            os.close(far)  # which ends the other one's read
            for thread in threads:
                thread.join(5)
            os.close(near)
