"""The switch in real time: datagrams and serial lines."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hil.errors import LinkLost
from hil.link import SerialTransport
from hil.link.framing import cobs_decode, cobs_encode
from hil.link.hub import SerialHub, UdpHub
from hil.link.switch import HEADER, Fault, Switch


def frame(source: int, peers: int, payload: bytes = b"abcd") -> bytes:
    body = HEADER.pack(1, 3, source, 0, peers, len(payload), 1, 2, 0, 0, len(payload), 0) + payload
    return body + struct.pack("<I", zlib.crc32(body))


def eventually(what: Callable[[], bool]) -> None:
    """Wait for something that another thread does; fails after seconds."""
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until
        threading.Event().wait(0.002)


@contextmanager
def sockets(hub: UdpHub, nodes: int) -> Iterator[list[socket.socket]]:
    """The nodes' ends, announced."""
    host, _, port = hub.address.partition(":")
    made = []
    try:
        for node in range(nodes):
            end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.append(end)
            end.settimeout(10)
            end.connect((host, int(port)))
            end.send(bytes([node]))
        eventually(lambda: len(hub._address) == nodes)
        yield made
    finally:
        for end in made:
            end.close()


def test_datagrams_go_where_their_mask_says() -> None:
    with UdpHub(Switch(3)) as hub, sockets(hub, 3) as ends:
        sent = frame(0, 0b110)
        ends[0].send(sent)
        assert [end.recv(2048) for end in ends[1:]] == [sent, sent]
        answer = frame(2, 0b001, b"back")
        ends[2].send(answer)
        assert ends[0].recv(2048) == answer
        counts = hub.counts()
        assert [(count.frames_sent, count.frames_received) for count in counts] == [(1, 1), (0, 1), (1, 1)]


def test_who_claims_to_be_another_is_not_heard() -> None:
    with UdpHub(Switch(2)) as hub, sockets(hub, 2) as ends:
        ends[0].send(frame(1, 0b01))
        ends[0].send(b"nonsense")
        eventually(lambda: hub.counts()[0].refused == 2)
        assert hub.counts()[0].frames_received == 0


def test_a_node_that_starts_anew_announces_itself_again() -> None:
    with UdpHub(Switch(2)) as hub, sockets(hub, 2) as ends, sockets(hub, 2) as later:
        eventually(lambda: hub._address[1] == later[1].getsockname())
        later[0].send(frame(0, 0b10))
        assert later[1].recv(2048) == frame(0, 0b10)
        ends[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            ends[1].recv(2048)


def test_delays_hold_a_frame_back_and_others_pass() -> None:
    with UdpHub(Switch(2)) as hub, sockets(hub, 2) as ends:
        hub.fault(Fault("delay", source=0, count=1, microseconds=60_000))
        began = time.monotonic()
        ends[0].send(frame(0, 0b10, b"slow"))
        ends[0].send(frame(0, 0b10, b"fast"))
        assert ends[1].recv(2048) == frame(0, 0b10, b"fast")
        assert ends[1].recv(2048) == frame(0, 0b10, b"slow")
        assert time.monotonic() - began >= 0.06
        hub.clear()
        ends[0].send(frame(0, 0b10))
        assert ends[1].recv(2048) == frame(0, 0b10)


def test_frames_to_nodes_that_never_came_are_counted_as_dropped() -> None:
    with UdpHub(Switch(3)) as hub, sockets(hub, 1) as ends:
        ends[0].send(frame(0, 0b110))
        eventually(lambda: [count.dropped for count in hub.counts()] == [0, 1, 1])


def test_a_hub_ends_when_told_with_frames_still_waiting() -> None:
    hub = UdpHub(Switch(2))
    with sockets(hub, 2) as ends:
        hub.fault(Fault("delay", microseconds=50_000_000))
        ends[0].send(frame(0, 0b10))
        eventually(lambda: hub.counts()[0].frames_sent == 1)
        hub.stop()
    assert not any(thread.is_alive() for thread in hub._threads)


def read_frame(end: int) -> bytes:
    data = b""
    while data.strip(b"\0") == b"" or not data.endswith(b"\0"):
        data += os.read(end, 4096)
    decoded = cobs_decode(data.strip(b"\0"))
    assert decoded is not None
    return decoded


def test_serial_lines_carry_stuffed_frames() -> None:
    """Pseudo-terminals stand for the adapters."""
    pairs = [os.openpty() for _ in range(2)]
    lines = [SerialTransport(os.ttyname(port), 3_000_000, flow=True) for _, port in pairs]
    hub = SerialHub(Switch(2), lines)
    try:
        sent = frame(0, 0b10, b"\0" * 300)
        os.write(pairs[0][0], b"noise\0\0" + cobs_encode(sent)[:7])
        os.write(pairs[0][0], cobs_encode(sent)[7:] + b"\0")
        assert read_frame(pairs[1][0]) == sent
        assert hub.counts()[0].lost == len(b"noise")
        assert hub.counts()[1].frames_received == 1
    finally:
        hub.stop()
        for pair in pairs:
            for end in pair:
                os.close(end)


class Gone:
    """A line that ends."""

    name = "gone"

    def read(self, size: int, timeout: float) -> bytes:
        raise LinkLost("gone: unplugged")

    def write(self, data: bytes) -> None:
        raise LinkLost("gone: unplugged")

    def close(self) -> None:
        pass


def test_a_line_that_ends_is_told_and_the_hub_still_ends() -> None:
    with SerialHub(Switch(2), [Gone(), Gone()]) as hub:
        eventually(lambda: set(hub.lost) == {0, 1})
        assert "unplugged" in str(hub.lost[1])
