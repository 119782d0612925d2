"""A line to a debug port that stops passing anything on at a point: whoever flashes through it is caught half-way."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Self


class Stalling:
    """Passes `most` bytes of its first client's on to the debug port at `board`, host:port; then nothing either way.

    `go_on` lets it pass the rest.
    """

    def __init__(self, board: str | None, most: int) -> None:
        assert board is not None
        host, _, port = board.rpartition(":")
        self._board, self._left = (host, int(port)), most
        self.stalled, self._free = threading.Event(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.probe = f"hil:127.0.0.1:{self._listener.getsockname()[1]}"
        self._ends: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._free.set()
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # what a thread waits for is not closed by close
            end.close()

    def go_on(self) -> None:
        self._free.set()

    def _run(self) -> None:
        try:
            client, _ = self._listener.accept()
            board = socket.create_connection(self._board)
        except OSError:
            return
        self._ends += [client, board]
        threading.Thread(target=self._back, args=(client, board), daemon=True).start()
        try:
            while data := client.recv(4096):
                self._left -= len(data)
                if self._left <= 0 and not self._free.is_set():
                    self.stalled.set()
                    self._free.wait()
                board.sendall(data)
            board.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _back(self, client: socket.socket, board: socket.socket) -> None:
        try:
            while data := board.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def alive_with(mark: str) -> list[int]:
    """The processes, other than this one, whose environment has `mark` in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            if mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
