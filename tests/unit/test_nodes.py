"""Lists of boards: what people write, what it means, and the shortest way to write it again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import UsageError
from hil.nodes import MOST, board_list, cluster, kind, written

KINDS = ["native", "rp2040", "rp2350"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rp2040", ["rp2040"]),
        ("rp2040*3", ["rp2040"] * 3),
        (" rp2040 * 3 , rp2350 ", ["rp2040"] * 3 + ["rp2350"]),
        ("rp2040,rp2350,rp2040", ["rp2040", "rp2350", "rp2040"]),
        (",rp2040*16,", ["rp2040"] * 16),
    ],
)
def test_a_list_is_a_kind_for_each_node(text: str, found: list[str]) -> None:
    assert board_list(text) == tuple(found)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "names no board"),
        (" , ", "names no board"),
        ("pico", "no board is called 'pico'"),
        ("rp2040*", "'' is not in 1..16"),
        ("rp2040*0", "'0' is not in 1..16"),
        ("rp2040*-1", "'-1' is not in 1..16"),
        ("rp2040*17", "'17' is not in 1..16"),
        ("rp2040*\u0663", "is not in 1..16"),
        ("rp2040*2*2", "'2*2' is not in 1..16"),
        ("rp2040*9,rp2350*8", "17 boards; a cluster has 16 at most"),
        ("3*rp2040", "'rp2040' is not in 1..16"),
    ],
)
def test_a_wrong_list_is_refused_by_its_word(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        board_list(text)
    assert why in caught.value.message


def test_a_number_of_nodes_multiplies_one_kind_alone() -> None:
    assert cluster("rp2040", 4) == ("rp2040",) * 4
    assert cluster("rp2040*4", 4) == cluster("rp2040*4") == ("rp2040",) * 4
    assert cluster("rp2040", 1) == cluster("rp2040") == ("rp2040",)
    with pytest.raises(UsageError, match=r"--nodes 3: --board 'rp2040\*4' names 4 boards") as caught:
        cluster("rp2040*4", 3)
    assert caught.value.hint == "--nodes 4"
    for count in (0, 17):
        with pytest.raises(UsageError, match=r"a cluster has 1\.\.16 nodes"):
            cluster("rp2040", count)


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=MOST))
def test_what_is_written_reads_as_what_it_was(names: list[str]) -> None:
    text = written(names)
    assert board_list(text) == tuple(names)
    assert written(board_list(text)) == text


def test_a_cluster_of_one_kind_is_called_by_it() -> None:
    assert kind(["rp2040"] * 4) == "rp2040"
    assert kind(["rp2040"] * 3 + ["rp2350"]) == "rp2040*3,rp2350"
