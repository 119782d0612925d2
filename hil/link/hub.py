"""The switch between nodes in real time: takes frames from their lines, and hands them on where `Switch` says.

What a lab has in its middle whose boards are on plain USB-serial adapters, and what boards have that are processes of
this machine. Nothing here blocks for ever or grows without end: what a line does not take in time is dropped, and the
nodes ask again.
"""

from __future__ import annotations

import heapq
import queue
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from hil.errors import LinkError, LinkTimeout
from hil.link.framing import cobs_decode, cobs_encode
from hil.link.switch import LONGEST, Counts, Fault, Switch
from hil.link.transport import Transport

_LOOK = 0.1
"""Seconds after which a thread looks whether it is to end."""
_WAITING = 4096
"""Frames that may wait to be delivered later, in the whole hub."""
_LINE_QUEUE = 256
"""Frames that may wait for one serial line."""
_STUFFED = LONGEST + LONGEST // 254 + 1


class Hub(ABC):
    """Delivers frames between nodes, on threads of its own, until `stop`."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self._lock = threading.Condition()
        self._late: list[tuple[float, int, int, bytes]] = []
        """A heap: when, a number that keeps their order, to which node, what."""
        self._number = 0
        self._ended = False
        self._threads = [threading.Thread(target=self._deliver_late, name="hub", daemon=True)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def fault(self, *faults: Fault) -> None:
        """Let these go wrong from now on. Raises `UsageError` for nodes that are not there."""
        with self._lock:
            for fault in faults:
                self.switch.install(fault)

    def clear(self) -> None:
        """No more faults."""
        with self._lock:
            self.switch.clear()

    def counts(self) -> tuple[Counts, ...]:
        """What each node's line has carried so far."""
        with self._lock:
            return tuple(replace(count) for count in self.switch.counts)

    def stop(self) -> None:
        """End the threads and let go of the lines. Frames on their way are lost."""
        with self._lock:
            self._ended = True
            self._lock.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._close()

    @abstractmethod
    def _send(self, node: int, frame: bytes) -> None:
        """Hand a frame to a node's line, or drop it; never waits."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of the lines."""

    def _start(self) -> None:
        for thread in self._threads:
            thread.start()

    def _arrived(self, source: int, frame: bytes) -> None:
        """A frame has come whole from node `source`."""
        with self._lock:
            for delivery in self.switch.route(source, frame):
                if not delivery.delay_us:
                    self._send(delivery.node, delivery.frame)
                elif len(self._late) < _WAITING:
                    due = time.monotonic() + delivery.delay_us / 1e6
                    heapq.heappush(self._late, (due, self._number, delivery.node, delivery.frame))
                    self._number += 1
                    self._lock.notify_all()
                else:
                    self.switch.counts[delivery.node].dropped += 1

    def _deliver_late(self) -> None:
        with self._lock:
            while not self._ended:
                now = time.monotonic()
                while self._late and self._late[0][0] <= now:
                    _, _, node, frame = heapq.heappop(self._late)
                    self._send(node, frame)
                self._lock.wait(self._late[0][0] - now if self._late else None)


class UdpHub(Hub):
    """Nodes that are processes of this machine: each frame is a datagram on the loopback interface.

    A node announces itself by a datagram of one byte, its number; what comes from its address later is from it. The
    number of a node that starts anew moves to the new address.
    """

    def __init__(self, switch: Switch) -> None:
        super().__init__(switch)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(_LOOK)
        self._address: dict[int, tuple[str, int]] = {}
        self._threads.append(threading.Thread(target=self._listen, name="hub-udp", daemon=True))
        self._start()

    @property
    def address(self) -> str:
        """What the nodes' environment has as HIL_NETWORK."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def _listen(self) -> None:
        while not self._ended:
            try:
                data, sender = self._socket.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:
                # A node that is gone: Linux reports what was sent to it last with the next call.
                continue
            if len(data) == 1:
                with self._lock:
                    self._address = {node: at for node, at in self._address.items() if at != sender}
                    if data[0] < self.switch.nodes:
                        self._address[data[0]] = sender
                continue
            source = next((node for node, at in list(self._address.items()) if at == sender), None)
            if source is not None:
                self._arrived(source, data)

    def _send(self, node: int, frame: bytes) -> None:
        at = self._address.get(node)
        try:
            if at is not None:
                self._socket.sendto(frame, at)
                return
        except OSError:
            # It is gone, or its buffer is full: a lost frame either way.
            pass
        self.switch.counts[node].dropped += 1

    def _close(self) -> None:
        self._socket.close()


class SerialHub(Hub):
    """Nodes on serial lines, `lines[i]` being that of node i: frames are stuffed between zeros. Closes the lines."""

    def __init__(self, switch: Switch, lines: Sequence[Transport]) -> None:
        super().__init__(switch)
        self._lines = tuple(lines)
        self._out: tuple[queue.Queue[bytes], ...] = tuple(queue.Queue(_LINE_QUEUE) for _ in lines)
        self.lost: dict[int, LinkError] = {}
        """Lines that ended, by node, with the reason."""
        for node in range(len(self._lines)):
            for work in (self._read, self._write):
                self._threads.append(threading.Thread(target=work, args=(node,), name=f"hub-{node}", daemon=True))
        self._start()

    def _read(self, node: int) -> None:
        pending = bytearray()
        too_long = False
        while not self._ended and node not in self.lost:
            try:
                data = self._lines[node].read(4096, _LOOK)
            except LinkError as error:
                self.lost[node] = error
                return
            *ended, rest = data.split(b"\0")
            for piece in ended:
                pending += piece
                frame = None if too_long or len(pending) > _STUFFED else cobs_decode(bytes(pending))
                if frame:
                    self._arrived(node, frame)
                else:
                    self._lose(node, len(pending))
                pending.clear()
                too_long = False
            pending += rest
            if len(pending) > _STUFFED:
                too_long = True
                self._lose(node, len(pending))
                pending.clear()

    def _lose(self, node: int, count: int) -> None:
        """Bytes that are no frame."""
        if count:
            with self._lock:
                self.switch.counts[node].lost += count

    def _write(self, node: int) -> None:
        while not self._ended and node not in self.lost:
            try:
                frame = self._out[node].get(timeout=_LOOK)
                self._lines[node].write(b"\0" + cobs_encode(frame) + b"\0")
            except queue.Empty:
                continue
            except LinkTimeout:
                # The node's flow control holds it up: the frame is lost, the line is not.
                with self._lock:
                    self.switch.counts[node].dropped += 1
            except LinkError as error:
                self.lost[node] = error

    def _send(self, node: int, frame: bytes) -> None:
        try:
            self._out[node].put_nowait(frame)
        except queue.Full:
            self.switch.counts[node].dropped += 1

    def _close(self) -> None:
        for line in self._lines:
            line.close()
