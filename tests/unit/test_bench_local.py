"""The boards of a lab file's links: taken together, in one order, and only where the lab has such a wire."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hil.bench import lab, local
from hil.bench.local import LocalBench
from hil.bench.recovery import NotRevived
from hil.errors import BoardMissing, BoardQuarantined
from hil.image.build import Image
from hil.wire import wire
from tests.support.fakes import deployed

PICO = deployed().image
PICO2 = replace(PICO, board="rp2350")
TEXT = """
schema = 1
state = "{state}"
[board.z]
kind = "rp2040"
port = "loop://z"
[board.y]
kind = "rp2350"
port = "loop://y"
[board.x]
kind = "rp2040"
port = "loop://x"
[link.trio]
wire = "uart-3M"
boards = ["z", "y", "x"]
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Image]]:
    """The boards that were brought up, which all go well, with their images."""
    found: list[tuple[str, Image]] = []

    def bring_up(board: lab.LabBoard, hands: object, image: Image, *, say: object) -> tuple[str, ...]:
        found.append((board.name, image))
        return ()

    monkeypatch.setattr(local, "bring_up", bring_up)
    return found


@pytest.fixture
def bench(tmp_path: Path) -> LocalBench:
    return LocalBench(lab.parse(tmp_path / "lab.toml", TEXT.format(state=tmp_path / "state")), "hardware")


def test_boards_of_a_link_are_nodes_in_its_order(bench: LocalBench, started: list[tuple[str, Image]]) -> None:
    with bench.start_cluster([("rp2040", PICO), ("rp2350", PICO2)], wire("uart-3M")) as rack:
        assert [station.url for station in rack.stations] == ["loop://z", "loop://y"]
        assert started == [("z", PICO), ("y", PICO2)]
        assert rack.wires is None
        held = [bench.state.holder(f"port loop://{name}") is not None for name in "zyx"]
        assert held == [True, True, False]
    assert not any(bench.state.holder(f"port loop://{name}") for name in "zyx")


@pytest.mark.parametrize(("kinds", "name"), [(("rp2040", "rp2040"), "uart-3M"), (("rp2040", "rp2350"), "uart-115200")])
def test_boards_that_no_link_wires_so_are_not_taken(
    kinds: tuple[str, ...], name: str, bench: LocalBench, started: list[tuple[str, Image]]
) -> None:
    nodes = [(kind, replace(PICO, board=kind)) for kind in kinds]
    with pytest.raises(BoardMissing, match=rf"no link .* by {name} .* it has: trio \(uart-3M: z, y, x\)"):
        bench.start_cluster(nodes, wire(name)).__enter__()
    assert not started


def test_a_link_with_a_board_that_was_set_aside(bench: LocalBench, started: list[tuple[str, Image]]) -> None:
    bench.state.set_aside("port loop://y", "y", "flash: nothing", "b")
    with pytest.raises(BoardQuarantined, match="y: flash: nothing") as caught:
        bench.start_cluster([("rp2040", PICO), ("rp2350", PICO2)], wire("uart-3M")).__enter__()
    assert caught.value.hint == "hil lab release y"
    assert not started
    assert not any(bench.state.holder(f"port loop://{name}") for name in "zyx"), "all are free again"


def test_a_node_that_does_not_revive_is_set_aside(bench: LocalBench, monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(board: lab.LabBoard, *_: object, **__: object) -> tuple[str, ...]:
        raise NotRevived(f"{board.name} does not run its image", ("flash: silence",))

    monkeypatch.setattr(local, "bring_up", dead)
    with pytest.raises(BoardMissing, match="z does not run its image"):
        bench.start_cluster([("rp2040", PICO), ("rp2350", PICO2)], wire("uart-3M")).__enter__()
    aside = bench.state.quarantined("port loop://z")
    assert aside is not None
    assert aside.reason == "flash: silence"
    assert not any(bench.state.holder(f"port loop://{name}") for name in "zyx")
