"""A probe at a desk: it stays on its TCP port while the board that it is on comes and goes, and can be made to fail."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

from hil.virtual.debugport import refuse
from hil.virtual.sockets import Loop, Say

_CHUNK = 1 << 16
_LIMIT = 10.0  # seconds for the other end to take what it is sent


class ProbePort:
    """Passes messages between one client and the debug port at `board()`, host:port; None: a board without power.

    `busy()`: another program has the probe. `left()`: after so many bytes of the client's the connection breaks, and
    every later one at once, until it is None again; `spent` takes them.
    """

    def __init__(
        self,
        loop: Loop,
        board: Callable[[], str | None],
        *,
        busy: Callable[[], bool],
        left: Callable[[], int | None],
        spent: Callable[[int], None],
        say: Say,
    ) -> None:
        self._loop, self._board, self._busy, self._left, self._spent, self._say = loop, board, busy, left, spent, say
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._listener = loop.listen(0, self._accept)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def hang_up(self) -> None:
        """Break the connection, if there is one."""
        ends, self._ends = self._ends, None
        for end in ends or ():
            self._loop.close(end)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._ends is not None or self._busy():
            refuse(client)
            self._say("probe: refused a second program")
            return
        where = self._board()
        if where is None or self._left() == 0:
            client.close()
            return
        host, _, port = where.rpartition(":")
        try:
            board = socket.create_connection((host, int(port)), _LIMIT)
        except OSError as error:
            client.close()
            self._say(f"probe: no board: {error}")
            return
        self._ends = client, board
        for here, there, counted in ((client, board, True), (board, client, False)):
            here.settimeout(_LIMIT)
            here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._loop.selector.register(here, selectors.EVENT_READ, self._passing(here, there, counted=counted))

    def _passing(self, here: socket.socket, there: socket.socket, *, counted: bool) -> Callable[[], None]:
        def go() -> None:
            if self._ends is None:
                return
            try:
                data = here.recv(_CHUNK)
                if counted and (left := self._left()) is not None:
                    data = data[:left]
                    self._spent(len(data))
                there.sendall(data)
            except OSError:
                data = b""
            if not data:
                self.hang_up()

        return go
