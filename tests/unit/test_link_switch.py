"""The switch between nodes: who gets a frame, what faults do to it, what is refused and counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import UsageError
from hil.link.switch import HEADER, LONGEST, Delivery, Fault, Switch, fault_from


def frame(source: int, *peers: int, number: int = 0, payload: bytes = b"data") -> bytes:
    """A frame with a CRC that no switch looks at."""
    mask = sum(1 << peer for peer in peers)
    return HEADER.pack(1, 3, source, 0, mask, len(payload), 7, number, 0, 0, 0, 0) + payload + b"crc!"


def numbers(deliveries: list[Delivery]) -> list[tuple[int, int]]:
    """Node and number of each."""
    return [(delivery.node, HEADER.unpack_from(delivery.frame)[7]) for delivery in deliveries]


def sent(switch: Switch, count: int, *, source: int = 0, peer: int = 1) -> list[int]:
    """The numbers that arrive of `count` frames."""
    return [number for i in range(count) for _, number in numbers(switch.route(source, frame(source, peer, number=i)))]


def test_a_frame_goes_to_those_that_it_names() -> None:
    switch = Switch(4)
    whole = frame(2, 0, 3)
    assert switch.route(2, whole) == [Delivery(0, whole), Delivery(3, whole)]
    assert (switch.counts[2].frames_sent, switch.counts[2].bytes_sent) == (1, len(whole))
    assert [count.frames_received for count in switch.counts] == [1, 0, 0, 1]
    assert switch.counts[3].bytes_received == len(whole)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        frame(0, 1)[:35],
        frame(0, 1)[:-1],
        frame(0, 1) + b"x",
        frame(0, 1, payload=bytes(513)),
        b"\x02" + frame(0, 1)[1:],
        frame(0),
        frame(0, 0),
        frame(0, 0, 1),
        frame(0, 2),
        frame(0, 1, 15),
        frame(1, 0),
    ],
    ids=lambda bad: f"{len(bad)} bytes",
)
def test_what_is_no_frame_of_this_network_is_refused_and_counted(bad: bytes) -> None:
    switch = Switch(2)
    assert switch.route(0, bad) == []
    assert switch.counts[0].refused == 1
    assert switch.counts[0].frames_sent == 1


@given(st.binary(max_size=LONGEST + 8))
def test_any_bytes_are_routed_or_refused(data: bytes) -> None:
    switch = Switch(3)
    switch.route(1, data)
    switch.route(1, b"\x01" + data)


def test_the_longest_frame_passes() -> None:
    assert len(Switch(2).route(0, frame(0, 1, payload=bytes(512)))) == 1


def test_drop_hits_the_frames_that_it_names() -> None:
    switch = Switch(3, [Fault("drop", source=0, node=1, first=2, count=3)])
    assert sent(switch, 8) == [0, 1, 5, 6, 7]
    assert switch.counts[1].dropped == 3
    assert sent(switch, 8, peer=2) == list(range(8))
    assert sent(switch, 8, source=2) == list(range(8))


def test_only_the_faulty_way_of_a_multicast_is_hit() -> None:
    switch = Switch(3, [Fault("drop", node=2)])
    assert numbers(switch.route(0, frame(0, 1, 2))) == [(1, 0)]


def test_damage_turns_one_bit_over() -> None:
    switch = Switch(2, [Fault("damage", seed=3)])
    whole = frame(0, 1)
    (delivery,) = switch.route(0, whole)
    difference = int.from_bytes(whole, "little") ^ int.from_bytes(delivery.frame, "little")
    assert difference.bit_count() == 1


def test_double_comes_twice() -> None:
    assert sent(Switch(2, [Fault("double", first=1, count=1)]), 3) == [0, 1, 1, 2]


def test_reorder_lets_the_next_one_pass() -> None:
    switch = Switch(2, [Fault("reorder", first=0, count=1)])
    assert sent(switch, 3) == [1, 0, 2]
    switch = Switch(2, [Fault("reorder", first=0, count=1)])
    assert switch.route(0, frame(0, 1)) == []
    switch.clear()
    assert switch.counts[1].dropped == 1
    assert sent(switch, 2) == [0, 1]


def test_reorder_of_all_frames_swaps_pairs() -> None:
    assert sent(Switch(2, [Fault("reorder")]), 7) == [1, 0, 3, 2, 5, 4]


def test_delays_add_up() -> None:
    switch = Switch(2, [Fault("delay", microseconds=250), Fault("delay", first=1, microseconds=50)])
    assert [switch.route(0, frame(0, 1))[0].delay_us for _ in range(3)] == [250, 300, 300]


def test_a_cut_stops_both_directions_of_one_node() -> None:
    switch = Switch(3, [Fault("cut", node=1, first=1)])
    assert sent(switch, 3) == [0]
    assert sent(switch, 3, source=1, peer=0) == []
    assert sent(switch, 3, source=2, peer=0) == [0, 1, 2]
    switch.clear()
    assert sent(switch, 2) == [0, 1]


def test_the_same_seed_hits_the_same_frames() -> None:
    def run(seed: int) -> list[int]:
        return sent(Switch(2, [Fault("drop", probability=0.3, seed=seed)]), 500)

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 300 < len(run(1)) < 400
    assert sent(Switch(2, [Fault("drop", probability=0)]), 20) == list(range(20))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fault("burn"),  # type: ignore[arg-type]
        lambda: Fault("drop", source=16),
        lambda: Fault("drop", node=-1),
        lambda: Fault("drop", node=True),
        lambda: Fault("drop", probability=1.5),
        lambda: Fault("drop", probability=float("nan")),
        lambda: Fault("drop", first=-1),
        lambda: Fault("delay"),
        lambda: Fault("delay", microseconds=1 << 40),
        lambda: Fault("cut", source=1),
        lambda: Switch(2, [Fault("drop", node=2)]),
        lambda: Switch(17),
        lambda: Switch(0),
    ],
)
def test_impossible_faults_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(UsageError):
        make()


def test_faults_come_from_json() -> None:
    assert fault_from({"kind": "drop", "node": 1, "first": 4}) == Fault("drop", node=1, first=4)
    spoilt: list[object] = [None, [], {}, {"node": 1}, {"kind": "drop", "knot": 1}, {"kind": ["drop"]}]
    for bad in [*spoilt, {"kind": "drop", "seed": "x"}]:
        with pytest.raises(UsageError):
            fault_from(bad)
