"""Virtual boards on one network, under one clock: when frames arrive, flow control, what does not depend on anything
else, and what happens to boards that are halted, slowed, unplugged and reset. In this process, without sockets."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest

from hil.errors import UsageError
from hil.image.elf import flat
from hil.link.framing import cobs_encode
from hil.link.switch import HEADER, Fault, Switch
from hil.virtual.chip import chips
from hil.virtual.chip.board import Microcontroller
from hil.virtual.chip.cluster import PS_PER_US, Cluster
from hil.virtual.chip.native import RAN_IDLE, RAN_TO_LIMIT
from hil.wire import Wire, wire
from tests.support.virtual_programs import FLASH, Rp2040, compiled, flashed, words

UART = wire("uart-3M")
SECOND = 10**12
CHARACTER = Fraction(16 * 10 * 167, 64) * 8000  # picoseconds of a character that the programs send: 417.5 cycles
BLOCK = (0xFFFFDED3, 0x10210142, 0x00000203, FLASH + 0x100, 0x000003FF, 0, 0xAB123579)  # an image for the RP2350


class Logged(Rp2040):
    """A board that writes down what crosses its port, and when."""

    def __init__(self, program: str, *flags: str, skip: bool = True) -> None:
        super().__init__(flashed(compiled(program, *flags)), skip=skip)
        self.out: list[tuple[int, bytes]] = []
        self.into: list[tuple[int, bytes]] = []

    def collect(self) -> list[tuple[int, bytes]]:
        found = super().collect()
        self.out += found
        return found

    def deliver(self, moment: int, frame: bytes) -> bool:
        self.into.append((moment, frame))
        return super().deliver(moment, frame)


def frame(source: int, peers: int, payload: bytes) -> bytes:
    return HEADER.pack(1, 3, source, 0, peers, len(payload), 0, 0, 0, 0, 0, 0) + payload + b"\1\2\3\4"


def stuffed(data: bytes) -> bytes:
    return b"\0" + cobs_encode(data) + b"\0"


def settle(cluster: Cluster, stride: int = SECOND) -> None:
    """Until time stands still, within some seconds of virtual time."""
    end = cluster.moment + 5 * SECOND
    while not cluster.run(stride):
        assert cluster.moment < end, [node.board.state() for node in cluster.nodes]


def pair(
    *flags: str, faults: Sequence[Fault] = (), on: Wire = UART, skip: bool = True
) -> tuple[Cluster, Logged, Logged]:
    """A board that sends frames, and one that sends them back."""
    ping, pong = Logged("net_ping", *flags, skip=skip), Logged("net_pong", *flags[1:], skip=skip)
    return Cluster([ping, pong], on, Switch(2, faults)), ping, pong


def ask(cluster: Cluster, size: int) -> bytes:
    """Let node 0 send `size` bytes of payload and wait for them to come back; what it tells its host."""
    cluster.wake(0).give(bytes([size]))
    settle(cluster)
    return cluster.nodes[0].board.take()


# ---- times -----------------------------------------------------------------------------------------------------------


def test_frames_take_what_the_lines_and_the_wire_take() -> None:
    cluster, ping, pong = pair()
    settle(cluster)
    for size in (1, 100, 199):
        assert ask(cluster, size) == bytes([size + 1])
    assert words(pong, 3)[:2] == [3, 199 + 36]
    assert words(ping, 6)[3:] == [235, 3, 1]
    delay = round(UART.delay_us * PS_PER_US)
    assert [moment + delay for moment, _ in ping.out] == [moment for moment, _ in pong.into]
    assert [moment + delay for moment, _ in pong.out] == [moment for moment, _ in ping.into]
    assert [data for _, data in ping.out] == [data for _, data in pong.into]
    assert [len(data) for _, data in ping.out] == [37, 136, 235]


@pytest.mark.parametrize("name", ["uart-3M", "uart:115200:10:5", "uart:1000000"])
def test_each_byte_arrives_when_the_wire_says(name: str) -> None:
    """Looked at just before and just behind the moment: half a microsecond is the polling loop's own."""
    board = Rp2040(flashed(compiled("net_count")))
    board.plug_in(wire(name))
    while board.run(1 << 20) != RAN_IDLE:
        pass
    data = frame(1, 1, bytes(range(20)))
    start = board.moment + 12_345_678
    board.run_until(start - 1000, passing=True)
    assert board.deliver(start, data)
    line = stuffed(data)
    byte = Fraction(wire(name).bits_per_byte * SECOND) / Fraction(wire(name).bits_per_second)
    for count in range(1, len(line) + 1):
        moment = start + int(count * byte)
        board.run_until(moment - 10_000)
        assert words(board, 1)[0] == count - 1
        board.run_until(moment + PS_PER_US // 2)
        assert words(board, 1)[0] == count
    assert words(board, 8 + len(line))[8:] == list(line)


def test_a_second_frame_waits_for_the_line() -> None:
    board = Rp2040(flashed(compiled("net_count")))
    board.plug_in(UART)
    while board.run(1 << 20) != RAN_IDLE:
        pass
    data = frame(1, 1, b"12345678")
    start = board.moment + PS_PER_US
    assert board.deliver(start, data)
    assert board.deliver(start + PS_PER_US, data)
    line = 2 * len(stuffed(data))
    end = start + int(line * Fraction(10 * SECOND, 3_000_000))
    board.run_until(end - 10_000)
    assert words(board, 1)[0] == line - 1
    board.run_until(end + PS_PER_US // 2)
    assert words(board, 1)[0] == line


def test_a_frame_has_left_when_its_last_byte_has() -> None:
    """Characters of 417.5 cycles, one behind the other; the sender's loop is faster than the line."""
    cluster, ping, _ = pair()
    settle(cluster)
    before = ping.moment
    ask(cluster, 150)
    ((left, data),) = ping.out
    taken = left - before
    host = 10 * 16 * (67 + 52 / 64) / 125e6 * SECOND  # nothing: the byte from the host is there at once
    line = len(stuffed(data)) * CHARACTER
    assert line < taken < line + host


# ---- what nothing depends on -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [PS_PER_US * 7, PS_PER_US * 333, SECOND])
def test_strides_change_nothing(stride: int) -> None:
    assert storm(stride) == storm(8000 * PS_PER_US)


def test_skipping_polling_loops_changes_nothing() -> None:
    assert storm(8000 * PS_PER_US, skip=False) == storm(8000 * PS_PER_US)


def storm(stride: int, *, skip: bool = True) -> tuple[object, ...]:
    """Twenty frames there and back: what both have seen, and when."""
    cluster, ping, pong = pair("-DROUNDS=20", skip=skip)
    while len(ping.into) < 20 or cluster.moment < 40_000 * PS_PER_US:
        cluster.run(stride)
        assert cluster.moment < SECOND
    cluster.run(SECOND) if skip else cluster.run(1000 * PS_PER_US)
    assert len(ping.into) == 20
    return words(ping, 60)[10:50], words(pong, 3), ping.out, ping.into, pong.out, pong.into


def test_the_same_run_twice_takes_the_same_cycles() -> None:
    def run() -> list[object]:
        cluster, ping, pong = pair(faults=[Fault("double", seed=1, probability=0.5)])
        settle(cluster)
        seen: list[object] = []
        for size in (3, 77, 150, 1):
            ask(cluster, size)
            seen.append((ping.state(), pong.state(), words(ping, 6), cluster.moment))
        return seen

    assert run() == run()


def test_repeats_take_the_same_cycles() -> None:
    """Whatever came before, time that has stood still goes on from the same state."""
    cluster, ping, pong = pair()
    settle(cluster)
    taken = set()
    for size in (9, 50, 50, 1, 50, 133, 50):
        before, cycles = cluster.moment, ping.state().cycles
        ask(cluster, size)
        if size == 50:
            sent, back = ping.out[-1][0] - before, ping.into[-1][0] - before
            taken.add((*words(ping, 3)[1:], ping.state().cycles - cycles, cluster.moment - before, sent, back))
    assert len(taken) == 1
    assert pong.moment == pytest.approx(cluster.moment, abs=PS_PER_US)


def test_time_stands_still_for_all_at_once() -> None:
    cluster, ping, pong = pair()
    settle(cluster)
    for size in (5, 50):
        ask(cluster, size)
        assert cluster.idle
        assert 0 <= ping.moment - cluster.moment < PS_PER_US
        assert 0 <= pong.moment - cluster.moment < PS_PER_US
        before = cluster.moment
        assert cluster.run(SECOND)
        assert cluster.moment == before


# ---- lines -----------------------------------------------------------------------------------------------------------


def received(*flags: str) -> tuple[Rp2040, bytes]:
    """A board that has looked away for 2 ms behind the first byte, 600 bytes of which were sent to it meanwhile."""
    board = Rp2040(flashed(compiled("net_count", "-DPAUSE=2000", *flags)))
    board.plug_in(UART)
    while board.run(1 << 20) != RAN_IDLE:
        pass
    data = frame(1, 1, bytes(range(1, 201)))
    for _ in range(3):
        assert board.deliver(board.moment, data)
    while board.run(1 << 20) != RAN_IDLE:
        pass
    return board, 3 * stuffed(data)


def test_flow_control_loses_nothing() -> None:
    board, line = received()
    assert words(board, 1)[0] == len(line)
    assert words(board, 8 + len(line))[8:] == list(line)
    assert words(board, 2)[1] & 0x400 == 0
    assert list(board.notes()) == []


def test_without_flow_control_the_fifo_overruns() -> None:
    board, line = received("-DCONTROL=NO_FLOW", "-DCONNECTED=DATA_PINS")
    assert 32 < words(board, 1)[0] < len(line)
    assert words(board, 2)[1] & 0x400
    assert "UART1: receive overrun" in "".join(board.notes())


def test_a_pin_that_says_not_ready_stops_the_line() -> None:
    """RTS without RTSEN is what CR says: not asserted."""
    board, _ = received("-DCONTROL=NO_FLOW")
    assert words(board, 1)[0] == 0


def test_what_no_pin_leads_to_is_lost() -> None:
    board, line = received("-DCONNECTED=0")
    assert words(board, 1)[0] == 0
    assert board.lost == len(line)
    assert "no pin" in "".join(board.notes())


def test_a_line_that_takes_nothing_holds_a_few_frames_and_no_more() -> None:
    board = Rp2040(flashed(compiled("net_count", "-DCONTROL=NO_FLOW")))
    board.plug_in(UART)
    data = frame(1, 1, bytes(512))
    taken = [board.deliver(board.moment, data) for _ in range(100)]
    assert 60 < sum(taken) < 70


def test_a_board_alone_sends_into_the_air() -> None:
    board = Rp2040(flashed(compiled("net_ping")))
    while board.run(1 << 20) != RAN_IDLE:
        pass
    board.give(b"\x10")
    while board.run(1 << 20) != RAN_IDLE:
        pass
    assert board.take() == b""
    assert board.collect() == []


def test_a_wire_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="no network port 'udp'"):
        Cluster([Rp2040(flashed(compiled("net_ping")))], wire("loopback"))


# ---- boards of two kinds ---------------------------------------------------------------------------------------------


def test_boards_with_different_clocks_share_a_network() -> None:
    """An RP2040 at 125 MHz and an RP2350 on its 11 MHz ring oscillator, at 115200 baud."""
    image = bytearray(flat(compiled("net_pong", "-DRP2350").segments, FLASH))
    image[0x80 : 0x80 + 28] = b"".join(number.to_bytes(4, "little") for number in BLOCK)
    slow = wire("uart-115200")

    def run() -> list[object]:
        ping = Logged("net_ping", "-DSLOW_LINE")
        other = Microcontroller(chips.find("rp2350"), bytes(image))
        cluster = Cluster([ping, other], slow)
        settle(cluster)
        seen: list[object] = []
        for size in (4, 120):
            assert ask(cluster, size) == bytes([size + 1]), [list(ping.notes()), list(other.notes()), other.lost]
            seen.append((ping.state(), other.state()))
        assert other.state().hz == 11_000_000
        (left, data), _ = ping.out
        back = ping.into[0][0]
        characters = 2 * len(stuffed(data)) * slow.byte_us
        assert 0.99 * characters < (back - left) / PS_PER_US - 2 * slow.delay_us < 1.2 * characters
        return seen

    assert run() == run()


# ---- what happens to boards ------------------------------------------------------------------------------------------


def test_a_slow_board_counts_fewer_cycles_in_the_same_time() -> None:
    boards = [Logged("work"), Logged("work")]
    cluster = Cluster(boards, UART)
    cluster.run(SECOND // 50)
    cluster.slow(1, 10)
    before = [board.state().cycles for board in boards]
    cluster.run(SECOND // 50)
    fast, slow = (board.state().cycles - was for board, was in zip(boards, before, strict=True))
    assert fast == pytest.approx(2_500_000, abs=2000)
    assert slow == pytest.approx(250_000, abs=2000)


def test_a_halted_board_stands_until_it_is_reset() -> None:
    cluster, ping, pong = pair()
    settle(cluster)
    cluster.halt(1)
    cycles = pong.state().cycles
    cluster.wake(0).give(b"\x10")
    settle(cluster)
    assert ping.take() == b""
    assert pong.state().cycles == cycles
    cluster.reset(1)
    cluster.reset(0)
    settle(cluster)
    assert ask(cluster, 16) == b"\x11"


def test_a_board_can_be_halted_at_a_moment() -> None:
    boards = [Logged("work"), Logged("work")]
    cluster = Cluster(boards, UART)
    cluster.plan(5000, lambda: cluster.halt(1))
    cluster.run(SECOND // 50)
    assert boards[1].moment == pytest.approx(5000 * PS_PER_US, abs=PS_PER_US)
    assert boards[0].moment >= SECOND // 50


def test_an_unplugged_board_gets_nothing() -> None:
    cluster, ping, _ = pair()
    settle(cluster)
    cluster.unplug(1)
    assert ask(cluster, 16) == b""
    assert cluster.switch.counts[1].dropped == 1
    assert len(ping.out) == 1


def test_a_reset_in_the_middle_goes_on_in_the_world_s_time() -> None:
    cluster, _, pong = pair()
    settle(cluster)
    ask(cluster, 100)
    moment = cluster.moment
    cluster.reset(1)
    settle(cluster)
    assert pong.state().nanoseconds < 5_000_000
    assert cluster.moment >= moment
    assert ask(cluster, 100) == b"\x65"
    assert words(pong, 1) == [1]


def test_faults_of_the_wire_take_effect() -> None:
    cluster, _, pong = pair(
        faults=[Fault("drop", source=0, first=0, count=1), Fault("delay", node=0, microseconds=700)]
    )
    settle(cluster)
    assert ask(cluster, 9) == b""
    assert pong.into == []
    cluster.reset(0)
    settle(cluster)
    assert ask(cluster, 9) == b"\x0a"
    (out,), (into,) = pong.out, cluster.nodes[0].board.into  # type: ignore[attr-defined]
    assert into[0] - out[0] == (150 + 700) * PS_PER_US


def test_a_board_runs_alone_as_before() -> None:
    board = Rp2040(flashed(compiled("work")))
    assert board.run_until(SECOND // 1000) == RAN_TO_LIMIT
    assert board.moment == pytest.approx(SECOND // 1000, abs=PS_PER_US)
