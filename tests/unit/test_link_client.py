"""The host's side against devices that are silent, gone, noisy or malicious."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import serial
from hypothesis import given, settings
from hypothesis import strategies as st
from serial.rfc2217 import PortManager

from hil.errors import BoardMissing, DeviceFault, DeviceHang, HilError, LinkError, LinkLost, LinkTimeout
from hil.link import Link, SerialTransport, TcpTransport, open_url
from hil.link.framing import Deframer, Frame
from hil.link.messages import ANSWER, Kind, u32
from tests.support.native_link import NativeDevice

FAST = {"baud": 10**9, "timeout": 0.002, "poll": 0.004}

Answerer = Callable[[Frame], bytes]


class Scripted:
    """A transport whose other end answers each request frame with whatever bytes a function makes."""

    name = "scripted"

    def __init__(self, answer: Answerer) -> None:
        self._answer, self._deframer, self._waiting = answer, Deframer(), bytearray()
        self.requests: list[Frame] = []

    def write(self, data: bytes) -> None:
        for frame in self._deframer.feed(data):
            self.requests.append(frame)
            self._waiting += self._answer(frame)

    def read(self, size: int, timeout: float) -> bytes:
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        if not data:
            threading.Event().wait(max(timeout, 0))
        return data

    def close(self) -> None:
        pass


class Wrapped(Scripted):
    """A real device, with its answers passed through a filter that sees each request."""

    def __init__(self, change: Callable[[Frame, bytes], bytes]) -> None:
        device = NativeDevice()

        def answer(frame: Frame) -> bytes:
            device.write(frame.encode())
            return change(frame, device.read(1 << 16, 0))

        super().__init__(answer)


def link_to(transport: object, **options: object) -> Link:
    return Link(transport, **{**FAST, **options})  # type: ignore[arg-type]


def test_silence_is_a_timeout_that_names_port_request_and_tries() -> None:
    device = Scripted(lambda _: b"")
    with pytest.raises(LinkTimeout, match=r"scripted: no valid answer to HELLO \(sequence 0\) after 3 tries"):
        link_to(device, tries=3).hello()
    assert len(device.requests) == 3
    assert len(set(device.requests)) == 1


def test_endless_garbage_is_a_timeout_too() -> None:
    class Babbler(Scripted):
        def read(self, size: int, timeout: float) -> bytes:
            return (b"\0" + b"garbage" * 9 + b"\0" + Frame(Kind.DONE, 7, bytes(36)).encode())[:size]

    with pytest.raises(LinkTimeout, match="damaged frames dropped"):
        link_to(Babbler(lambda _: b"")).hello()


def test_stale_doubled_and_foreign_answers_are_ignored() -> None:
    def change(frame: Frame, answer: bytes) -> bytes:
        foreign = Frame(frame.kind | ANSWER, frame.sequence ^ 5, b"foreign").encode()
        other = Frame((frame.kind | ANSWER) ^ 1, frame.sequence, b"other").encode()
        return foreign + other + answer + answer

    link = link_to(Wrapped(change))
    for data in (b"one", b"two", b"three"):
        assert link.device.board == "native"
        assert link.echo(data) == data


def test_lost_done_is_found_by_status() -> None:
    def change(frame: Frame, answer: bytes) -> bytes:
        return b"".join(f.encode() for f in Deframer().feed(answer) if f.kind != Kind.DONE)

    assert link_to(Wrapped(change)).run(0, 1).us == 1000


def test_lost_acceptance_is_made_up_for_by_done() -> None:
    def change(frame: Frame, answer: bytes) -> bytes:
        return b"".join(f.encode() for f in Deframer().feed(answer) if f.kind != Kind.RUN | ANSWER)

    assert link_to(Wrapped(change)).run(0, 1).us == 1000


def test_a_result_of_a_session_before_is_not_taken() -> None:
    device = NativeDevice()
    first = link_to(device)
    first.run(0, 1)
    second = link_to(device)
    second.hello()
    assert second.status().run == 1
    assert second.status().state == 0


def test_a_device_that_never_finishes_is_a_hang() -> None:
    def change(frame: Frame, answer: bytes) -> bytes:
        if frame.kind == Kind.STATUS:
            return b""
        return b"".join(f.encode() for f in Deframer().feed(answer) if f.kind != Kind.DONE)

    with pytest.raises(DeviceHang, match="native on scripted: no sign of run 1 ending"):
        link_to(Wrapped(change)).run(limit=0.02)


def test_a_run_that_never_arrives_is_a_timeout() -> None:
    device = NativeDevice()

    def answer(frame: Frame) -> bytes:
        if frame.kind == Kind.RUN:
            return b""
        device.write(frame.encode())
        return device.read(1 << 16, 0)

    with pytest.raises(LinkTimeout, match="RUN never reached it"):
        link_to(Scripted(answer)).run(limit=1)


def test_a_fault_is_raised_with_registers_and_function() -> None:
    fault = u32(1, 0, 3, 0x20041F00, 1, 2, 3, 4, 5, 0x10000201, 0x10000300, 0x61000000, 0xFFFFFFF9)
    link = link_to(Scripted(lambda _: Frame(Kind.FAULT, 0, fault).encode()), symbolize=lambda a: f"f+{a & 0xF}")
    with pytest.raises(DeviceFault) as caught:
        link.hello()
    for part in (
        "hard fault on core 0 in step 3",
        "pc 0x10000300 (f+0)",
        "lr 0x10000201 (f+1)",
        "sp 0x20041f00",
        "r12",
    ):
        assert part in str(caught.value)


def test_a_log_line_cannot_drive_the_terminal() -> None:
    line = Frame(Kind.LOG, 0, b"\x1b[2Jhello\n\xff").encode()
    link = link_to(Wrapped(lambda _, answer: line + answer))
    link.hello()
    assert "?[2Jhello??" in [text.replace("�", "?") for text in link.log]


payloads = st.one_of(st.binary(max_size=120), st.just(bytes(108)), st.just(bytes(36)), st.just(b"\xff" * 108))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 255), payloads, st.integers(0, 8)), min_size=1, max_size=6))
def test_a_malicious_device_causes_nothing_but_named_errors(script: list[tuple[int, bytes, int]]) -> None:
    """Sound frames of any kind and content as answers; some have the right kind and sequence number."""
    turn = iter(script * 40)

    def answer(frame: Frame) -> bytes:
        kind, payload, status = next(turn, (0, b"", 0))
        kind = frame.kind | ANSWER if kind < 200 else kind
        return Frame(kind, frame.sequence, payload, status if status < 7 else 0).encode()

    link = link_to(Scripted(answer), tries=2)
    for call in (link.hello, lambda: link.run(limit=0.01), lambda: link.read(0, 100), link.memory, link.time):
        try:
            call()
        except HilError as error:
            assert "scripted" in str(error)  # noqa: PT017 - the point is that no other exception escapes


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def url_of(server: socket.socket) -> str:
    return f"socket://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["tcp", "pyserial"])
def test_a_closed_port_is_lost_at_once(server: socket.socket, kind: str) -> None:
    transport = open_url(url_of(server), 921600) if kind == "tcp" else SerialTransport(url_of(server), 921600)
    other, _ = server.accept()
    link = Link(transport, timeout=600, tries=1)
    other.close()
    with link, pytest.raises(LinkLost, match=r"socket://127\.0\.0\.1"):
        link.hello()


def test_pyserials_socket_carries_bytes(server: socket.socket) -> None:
    transport = SerialTransport(url_of(server), 921600)
    other, _ = server.accept()
    other.sendall(b"abc")
    data = b""
    while len(data) < 3:
        data += transport.read(10, 5)
    transport.write(b"xyz")
    assert (data, other.recv(3)) == (b"abc", b"xyz")
    transport.close()
    other.close()


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning:serial.rfc2217")
def test_a_serial_port_of_another_machine(server: socket.socket) -> None:
    """RFC 2217, by pyserial's own other end; what is written comes back. Gone, it is lost."""

    def serve() -> None:
        other, _ = server.accept()
        port = serial.serial_for_url("loop://", timeout=0)
        with other, other.makefile("wb", buffering=0) as out:
            manager = PortManager(port, out)
            while (data := other.recv(100)) and b"bye" not in data:
                port.write(b"".join(manager.filter(data)))
                out.write(b"".join(manager.escape(port.read(100))))

    thread = threading.Thread(target=serve)
    thread.start()
    transport = open_url(url_of(server).replace("socket", "rfc2217"), 921600)
    data = bytes(range(256))  # 255 means something to telnet
    transport.write(data)
    back = b""
    while len(back) < len(data):
        back += transport.read(1000, 5)
    assert back == data
    transport.write(b"bye")
    thread.join(5)
    with pytest.raises(LinkLost, match=r"rfc2217://127\.0\.0\.1"):
        transport.read(10, 5)
    transport.close()


def test_a_serial_port_is_read_written_and_lost() -> None:
    """A pseudo-terminal is a serial port to pyserial, but for baud rates; closing its other end is unplugging."""
    other, port = os.openpty()
    name = os.ttyname(port)
    transport = open_url(name, 921600)
    os.close(port)
    assert isinstance(transport, SerialTransport)
    transport.write(b"ping")
    assert os.read(other, 10) == b"ping"
    os.write(other, b"pong")
    got = b""
    while len(got) < 4:
        got += transport.read(10, 5)
    assert got == b"pong"
    assert transport.read(10, 0.01) == b""
    os.close(other)
    with pytest.raises(LinkLost, match=name):
        transport.read(10, 5)
    transport.close()


def test_nobody_there_is_a_missing_board(server: socket.socket) -> None:
    url = url_of(server)
    server.close()
    for bad in (url, "socket://127.0.0.1", "socket://127.0.0.1:99999", "/dev/there-is-no-such-port"):
        with pytest.raises(BoardMissing):
            open_url(bad, 921600)


def test_a_socket_is_read_in_large_pieces(server: socket.socket) -> None:
    transport = open_url(url_of(server), 921600)
    assert isinstance(transport, TcpTransport)
    other, _ = server.accept()
    assert transport.read(10, 0) == b""
    other.sendall(b"x" * 5000)
    other.shutdown(socket.SHUT_WR)
    got = b""
    while len(got) < 5000:
        got += transport.read(65536, 5)
    assert got == b"x" * 5000
    with pytest.raises(LinkLost):
        transport.read(1, 5)
    transport.close()
    other.close()


def test_hello_that_contradicts_itself_is_an_error_that_says_so() -> None:
    with pytest.raises(LinkError, match="HELLO has 3 bytes"):
        link_to(Scripted(lambda f: Frame(f.kind | ANSWER, f.sequence, b"abc").encode())).hello()
