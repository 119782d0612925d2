"""A tool that is slow to load, loaded once: a process that has imported it, and forks a child for each job.

    with contextlib.closing(warm("hil.flash.pyocd_child").job(log)) as connection: ...

Each job is a process of its own, as if it had been started anew: what one does to memory no other sees, and it can be
killed. It is, when its connection is closed. The server has one thread, serves the process that started it alone, and
ends with it, whatever ends that, and with it every child. A job that waits for its turn, behind `MOST` others, waits in
its socket.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO, NoReturn

from hil.errors import FlashFailed

MOST = 16
"""Children at once."""
_ROOT = Path(__file__).resolve().parent.parent.parent
_END = 3.0
_PR_SET_PDEATHSIG = 1


class Warm:
    """The server for `module`, which has a function `serve(connection)`; started when it is wanted."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process, None before it is started."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Begin to load the module, so that it is there when it is wanted. Does not wait."""
        with self._lock:
            self._start()

    def job(self, log: BinaryIO) -> socket.socket:
        """A connection to a new child, whose standard error is `log`. Raises `FlashFailed`."""
        with self._lock:
            for attempt in range(2):
                control = self._start()
                ours, theirs = socket.socketpair()
                try:
                    socket.send_fds(control, [b"J"], [theirs.fileno(), log.fileno()])
                except OSError as error:  # it was killed since
                    ours.close()
                    self._stop()
                    if attempt:
                        raise FlashFailed(f"the process that has {self._module} loaded ends: {error}") from error
                else:
                    return ours
                finally:
                    theirs.close()
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """End it, and its children, within seconds."""
        with self._lock:
            self._stop()

    def _start(self) -> socket.socket:
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        self._stop()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", __name__, self._module],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd=_ROOT,  # so that nothing in the user's folder is imported in place of a module
                    start_new_session=True,  # Ctrl-C is its owner's to handle
                )
            except OSError as error:
                ours.close()
                raise FlashFailed(f"{self._module} could not be started: {error}") from error
        self._control = ours
        atexit.register(self.stop)
        return ours

    def _stop(self) -> None:
        atexit.unregister(self.stop)
        control, self._control = self._control, None
        process, self._process = self._process, None
        if control is not None:
            control.close()
        if process is not None:
            try:
                process.wait(_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


_SERVERS: dict[tuple[int, str], Warm] = {}


def warm(module: str) -> Warm:
    """This process's server for `module`. A fork of this process has its own."""
    return _SERVERS.setdefault((os.getpid(), module), Warm(module))


# -- the server --------------------------------------------------------------------------------------------------------


class _Server:
    """Forks for what comes on `control`, until its other end is closed."""

    def __init__(self, module: str, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, tuple[socket.socket, int]] = {}
        """By pid: its connection, and a pipe that hangs up when the child ends."""
        self._poll = select.poll()
        self._problem = ""
        try:
            self._serve_job = importlib.import_module(module).serve
        except Exception as error:  # every job is told
            self._problem = f"{module} cannot be loaded: {error!r}"
        gc.freeze()  # what children share stays shared

    def run(self) -> None:
        """Serve. Every child is dead when this returns."""
        try:
            over = False
            while not over:
                self._watch()
                for handle, event in self._poll.poll():
                    if handle == self._control.fileno():
                        over = not self._begin()
                    elif event & (select.POLLHUP | select.POLLERR):
                        self._end(handle)
        finally:
            for pid in list(self._children):
                self._kill(pid)

    def _watch(self) -> None:
        """New jobs are looked at while there is room for more; that the owner has gone always is."""
        full = len(self._children) >= MOST
        self._poll.register(self._control, 0 if full else select.POLLIN)

    def _begin(self) -> bool:
        """Fork for the job that has come. False: the owner has gone."""
        try:
            data, handles, _, _ = socket.recv_fds(self._control, 1, 2)
        except OSError:
            return False
        if not data or len(handles) != 2:
            return False
        connection, log = socket.socket(fileno=handles[0]), handles[1]
        if self._problem:
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps({"error": self._problem, "again": False}).encode() + b"\n")
            connection.close()
            os.close(log)
            return True
        alive, held = os.pipe()
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(alive)
            self._be_child(connection, log, server)
        os.close(held)
        os.close(log)
        self._children[pid] = connection, alive
        self._poll.register(connection, 0)
        self._poll.register(alive, 0)
        return True

    def _be_child(self, connection: socket.socket, log: int, server: int) -> NoReturn:
        """Do the job, with nothing open that is the server's or another child's, and end without its farewells."""
        status = 1
        try:
            _die_with(server)
            self._control.close()
            for other, alive in self._children.values():
                other.close()
                os.close(alive)
            os.dup2(log, 2)
            status = self._serve_job(connection)
        finally:
            os._exit(status)

    def _end(self, handle: int) -> None:
        """A child has ended, or nobody waits for it any more."""
        for pid, (connection, alive) in self._children.items():
            if handle in (connection.fileno(), alive):
                self._kill(pid)
                return

    def _kill(self, pid: int) -> None:
        connection, alive = self._children.pop(pid)
        os.kill(pid, signal.SIGKILL)  # it is not reaped yet: no other process has its number
        os.waitpid(pid, 0)
        self._poll.unregister(connection)
        self._poll.unregister(alive)
        connection.close()
        os.close(alive)


def _die_with(server: int) -> None:
    """Let the kernel end this process when the server ends in a way that it cannot do anything about. Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != server:
            os._exit(1)


if __name__ == "__main__":
    _Server(sys.argv[1], socket.socket(fileno=0)).run()
