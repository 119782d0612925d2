"""Virtual boards with a W5500 each, and the firmware's driver for it: frames, their times, and what does not fit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import pytest

from hil.link.switch import Fault
from hil.paths import FIRMWARE
from hil.virtual.chip.cluster import PS_PER_US, Cluster
from hil.wire import wire
from tests.support.virtual_programs import DONE, Rp2040, built, compiled, flashed, words

OPENED, SENT, SEND_CYCLES, POLLS, RECEIVED, BYTES, SUM, RECEIVE_CYCLES, NOTHING_CYCLES, LAST_US = range(10)
LARGEST, SMALLEST = 137, 9  # words of frames: 548 bytes and 36
ON_THE_LINE = 66  # bytes of UDP, IP, Ethernet, preamble and gap
ALONE = 0b0001, 0b0010, 0b0100  # node 0, 1, 2


def program() -> bytes:
    port = FIRMWARE / "port"
    folders = [f"-I{folder}" for folder in (FIRMWARE / "net", port, port / "rp2040")]
    sources = (port / "w5500.c", port / "rp2040" / "net_ethernet.c", port / "rp2040" / "clock.c")
    return flashed(compiled("ethernet", "-Os", "-DHIL_CLOCK_HZ=125000000u", *folders, *sources, inputs=FIRMWARE))


class Net:
    """Boards that run the program, all open for frames."""

    def __init__(self, nodes: int = 2, name: str = "ethernet-100M", *, skip: bool = True) -> None:
        self.boards = [Rp2040(program(), skip=skip) for _ in range(nodes)]
        self.cluster = Cluster(self.boards, wire(name))
        self.skip = skip
        self.run(8_000)
        for node in range(nodes):
            self.give(node, node)
        self.run(8_000)

    def run(self, microseconds: int) -> None:
        """Until nothing happens any more."""
        rests = self.cluster.run(microseconds * PS_PER_US)
        assert rests or not self.skip, "the boards are never done"

    def give(self, node: int, *what: int) -> None:
        assert self.cluster.wake(node).give(bytes(what)) == len(what)

    def send(self, node: int, size: int, peers: int) -> None:
        self.give(node, size, peers)

    def words(self, node: int) -> list[int]:
        return words(self.boards[node], 10)

    def notes(self) -> list[str]:
        return [note for board in self.boards for note in board.notes()]


def summed(frames: Sequence[tuple[int, int, int]]) -> int:
    """What the program makes of frames of so many words, from a node, to peers."""
    total = 0
    for size, source, peers in frames:
        value, made = (size * 0x9E3779B9 + 1) & 0xFFFFFFFF, []
        for _ in range(size):
            value ^= value << 13 & 0xFFFFFFFF
            value ^= value >> 17
            value ^= value << 5 & 0xFFFFFFFF
            made.append(value)
        made[0], made[1] = 1 | 3 << 8 | source << 16, peers | (size * 4 - 36) << 16
        for word in made:
            total = (total * 31 + word) & 0xFFFFFFFF
    return total


def test_frames_get_to_those_that_they_are_for() -> None:
    net = Net(3)
    assert [net.words(node)[OPENED] for node in range(3)] == [1, 1, 1]
    sent = [(LARGEST, 0b010), (SMALLEST, 0b110), (LARGEST - 1, 0b110), (SMALLEST + 1, 0b100)]
    for size, peers in sent:
        net.send(0, size, peers)
    net.run(10_000)
    for node in (1, 2):
        mine = [(size, 0, peers) for size, peers in sent if peers >> node & 1]
        found = net.words(node)
        expected = [len(mine), 4 * sum(size for size, _, _ in mine), summed(mine)]
        assert found[RECEIVED : SUM + 1] == expected
    assert (net.words(0)[SENT], net.words(0)[RECEIVED]) == (4, 0)
    assert net.notes() == []
    assert [board.lost for board in net.boards] == [0, 0, 0]


def test_both_directions_at_once() -> None:
    net = Net()
    for size in range(SMALLEST, LARGEST + 1, 16):
        net.send(0, size, ALONE[1])
        net.send(1, size, ALONE[0])
    net.run(20_000)
    sizes = range(SMALLEST, LARGEST + 1, 16)
    assert net.words(0)[SUM] == summed([(size, 1, ALONE[0]) for size in sizes])
    assert net.words(1)[SUM] == summed([(size, 0, ALONE[1]) for size in sizes])


def script(net: Net) -> list[list[int]]:
    for size in (LARGEST, SMALLEST, LARGEST, LARGEST):
        net.send(0, size, 0b110)
        net.send(2, size, 0b011)
    net.run(10_000)
    return [net.words(node) for node in range(3)]


def test_the_same_happens_every_time_and_whether_loops_are_skipped_or_not() -> None:
    first, again, slowly = script(Net(3)), script(Net(3)), script(Net(3, skip=False))
    assert first == again
    for node in range(3):
        assert first[node][RECEIVED] == slowly[node][RECEIVED] == 8 - 4 * (node != 1)
        assert first[node][SUM] == slowly[node][SUM]


def line_us(size: int, bits_per_second: int) -> Fraction:
    return Fraction((4 * size + ON_THE_LINE) * 8 * 10**6, bits_per_second)


@pytest.mark.parametrize("size", [SMALLEST, LARGEST])
def test_a_frame_takes_the_time_of_the_line(size: int) -> None:
    seen = {}
    for name, rate in (("ethernet:100000000:40:0", 100_000_000), ("ethernet:20000000:40:0", 20_000_000)):
        net = Net(1, name)
        frame = bytearray(4 * size)
        frame[:8] = bytes((1, 3, 1, 0, ALONE[0], 0, 0, 0))
        assert net.cluster.wake(0).deliver(20_000 * PS_PER_US, bytes(frame))
        net.run(20_000)
        assert net.words(0)[RECEIVED] == 1
        seen[rate] = net.words(0)[LAST_US]
    difference = line_us(size, 20_000_000) - line_us(size, 100_000_000)
    assert seen[20_000_000] - seen[100_000_000] == pytest.approx(float(difference), abs=1)


def test_what_a_slow_line_carries_hides_what_the_processor_does() -> None:
    """The next frame is in the chip's memory when the one before has left."""
    net = Net(2, "spi-20M")
    moments: list[int] = []
    collect = net.boards[0].collect

    def collecting() -> list[tuple[int, bytes]]:
        found = collect()
        moments.extend(moment for moment, _ in found)
        return found

    net.boards[0].collect = collecting  # type: ignore[method-assign]
    for _ in range(6):
        net.send(0, LARGEST, ALONE[1])
    net.run(20_000)
    gaps = [(later - sooner) / PS_PER_US for sooner, later in itertools.pairwise(moments[1:])]
    line = float(line_us(LARGEST, 20_000_000))
    assert len(gaps) == 4
    assert all(line <= gap < line + 8 for gap in gaps), gaps


def test_a_byte_takes_sixteen_cycles_of_the_processor() -> None:
    """SCK is half of clk_peri: 8 bits are 16 cycles, and the driver keeps up with it."""
    cycles = {}
    for size in (SMALLEST, LARGEST):
        net = Net()
        net.send(0, size, ALONE[1])
        net.run(5_000)
        cycles[size] = net.words(0)[SEND_CYCLES], net.words(1)[RECEIVE_CYCLES]
    for small, large in zip(cycles[SMALLEST], cycles[LARGEST], strict=True):
        assert (large - small) / (4 * (LARGEST - SMALLEST)) == pytest.approx(16, abs=0.05)
        assert small - 16 * 4 * SMALLEST < 2_500


def test_what_does_not_fit_into_the_chip_is_lost_and_the_rest_is_not() -> None:
    net = Net()
    net.give(1, 60, 0)  # node 1 does not look for 60 ms
    frames, fits = 40, 16384 // (4 * LARGEST + 8)
    for _ in range(frames):
        net.send(0, LARGEST, ALONE[1])
    net.run(100_000)
    found = net.words(1)
    assert (found[RECEIVED], found[SUM]) == (fits, summed([(LARGEST, 0, ALONE[1])] * fits))
    assert net.boards[1].lost == (frames - fits) * 4 * LARGEST
    assert len([note for note in net.notes() if "receive memory is full" in note]) == frames - fits
    net.send(0, SMALLEST, ALONE[1])
    net.run(10_000)
    assert net.words(1)[RECEIVED] == fits + 1


def test_a_frame_for_others_stays_in_the_chip() -> None:
    net = Net(1)
    frame = bytearray(4 * LARGEST)
    frame[:8] = bytes((1, 3, 1, 0, ALONE[2], 0, 0, 0))
    assert net.cluster.wake(0).deliver(0, bytes(frame))
    net.run(5_000)
    found = net.words(0)
    assert found[RECEIVED] == 0
    assert 0 < found[NOTHING_CYCLES] < 2_500


def test_a_frame_that_is_addressed_to_others_than_it_names_gets_nowhere() -> None:
    net = Net(3)
    net.send(0, SMALLEST, 0b0100_0010)  # to node 1, although it names node 2
    net.run(5_000)
    assert [net.words(node)[RECEIVED] for node in range(3)] == [0, 0, 0]
    assert net.boards[0].lost == 4 * SMALLEST
    assert any("others than those" in note for note in net.notes())


def test_doubled_and_lost_frames_come_as_the_switch_made_them() -> None:
    net = Net()
    net.cluster.switch.install(Fault("double", source=0, first=1, count=1))
    net.cluster.switch.install(Fault("drop", source=0, first=2, count=1))
    for _ in range(4):
        net.send(0, SMALLEST, ALONE[1])
    net.run(5_000)
    assert (net.words(1)[RECEIVED], net.words(1)[SUM]) == (4, summed([(SMALLEST, 0, ALONE[1])] * 4))


def test_a_board_without_the_chip_says_so() -> None:
    net = Net(1, "uart-3M")
    assert net.words(0)[OPENED] == 2


def test_a_board_that_was_off_goes_on() -> None:
    net = Net()
    net.send(0, LARGEST, ALONE[1])
    net.run(5_000)
    net.cluster.reset(1)
    net.run(8_000)
    net.give(1, 1)
    net.run(8_000)
    net.send(0, SMALLEST, ALONE[1])
    net.run(5_000)
    assert net.words(1)[OPENED] == 1
    assert net.words(1)[SUM] == summed([(SMALLEST, 0, ALONE[1])])


def test_the_bus_in_loopback() -> None:
    board = Rp2040(built("spi"))
    board.run(1 << 20)
    empty, one, eight, full, raised, *came, cleared, drained, done = words(board, 17)
    assert done == DONE
    assert one == pytest.approx(8_000, abs=60)
    assert eight == pytest.approx(64_000, abs=200)
    assert (empty, full, drained) == (0b00011, 0b01111, 0b00011)
    assert (raised, cleared) == (0b1101, 0b1000)
    assert came == [0xA0, *range(0xA0, 0xA7), 0], "words are cut to 8 bits; the ninth came to a full FIFO"
    assert [note for note in board.notes() if "mode 3" in note]
