"""Which boards a deployment is on, as people write it: 'rp2040', 'rp2040*4', 'rp2040*3,rp2350'."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

from hil import board as boards
from hil.errors import UsageError

Objective = Literal["latency", "ram", "traffic", "throughput"]
"""What a plan for several boards is searched for."""
OBJECTIVES: tuple[Objective, ...] = ("latency", "ram", "traffic", "throughput")
MOST = 16
"""Nodes of a cluster at most: a message's mask of receivers has as many bits."""


def board_list(text: str) -> tuple[str, ...]:
    """A board kind for each node, from kinds with commas between and, each, a count behind '*'. Raises `UsageError`."""
    found: list[str] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, star, count = (word.strip() for word in entry.partition("*"))
        if star and not (count.isascii() and count.isdecimal() and 1 <= int(count) <= MOST):
            raise UsageError(f"--board {text!r}: {count!r} is not in 1..{MOST}", hint="--board rp2040*4")
        boards.load(name)
        found += [name] * (int(count) if star else 1)
    if not found:
        raise UsageError("--board names no board", hint="hil boards")
    if len(found) > MOST:
        raise UsageError(f"--board {text!r}: {len(found)} boards; a cluster has {MOST} at most")
    return tuple(found)


def cluster(text: str, count: int | None = None) -> tuple[str, ...]:
    """The board kind of each node of one deployment: a list, or one kind `count` times. Raises `UsageError`."""
    found = board_list(text)
    if count is None or count == len(found):
        return found
    if len(found) > 1:
        raise UsageError(f"--nodes {count}: --board {text!r} names {len(found)} boards", hint=f"--nodes {len(found)}")
    if not 1 <= count <= MOST:
        raise UsageError(f"--nodes {count}: a cluster has 1..{MOST} nodes", hint=f"--nodes {MOST}")
    return found * count


def written(names: Sequence[str]) -> str:
    """The shortest way to write a list of board kinds: neighbours of one kind as 'kind*count'."""
    runs = [(name, len(list(same))) for name, same in itertools.groupby(names)]
    return ",".join(name if count == 1 else f"{name}*{count}" for name, count in runs)


def kind(names: Sequence[str]) -> str:
    """What a cluster is called beside its number of nodes: the kind, if all are of one; else the whole list."""
    return names[0] if len(set(names)) == 1 else written(names)


def board_kinds(text: str) -> tuple[str, ...]:
    """The kinds in a list of boards, each once; they need not be known here."""
    return tuple(dict.fromkeys(part.partition("*")[0].strip() for part in text.split(",")))
