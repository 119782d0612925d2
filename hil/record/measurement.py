"""Measurements: a named value with its unit, of one deployment on one kind of board, and how good is told from bad.

What is stored, compared with a baseline and gated are these, made from the records that `hil profile` writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from hil import board as boards
from hil.errors import MalformedRecord
from hil.nodes import board_kinds

Better = Literal["lower", "higher", "same"]
SOURCES = ("virtual", "hardware")


@dataclass(frozen=True)
class Measure:
    """What can be measured. `better`: which way is good; "same" for what has no good side, only a change."""

    name: str
    unit: str
    better: Better
    what: str
    timed: bool = False
    """It comes from a clock: on boards whose time passes it has noise, however often it is repeated."""


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("mismatches", "elements", "lower", "output elements that differ from the reference"),
        Measure("max_abs_diff", "steps", "lower", "the largest difference of an output element"),
        Measure("latency", "us", "lower", "median time of one inference", timed=True),
        Measure("latency_cycles", "cycles", "lower", "the same by the board's fine counter", timed=True),
        Measure("latency_predicted", "us", "lower", "what the plan says of the latency"),
        Measure("throughput", "1/s", "higher", "inferences a second, several in flight", timed=True),
        Measure(
            "ram_peak", "bytes", "lower", "static data, arena and stacks at the peak; of a cluster its fullest node"
        ),
        Measure("ram_predicted", "bytes", "lower", "what the plan says of the peak"),
        Measure("ram_static", "bytes", "lower", "static data"),
        Measure("arena", "bytes", "lower", "tensors at the peak"),
        Measure("stack", "bytes", "lower", "all stacks at the peak"),
        Measure("flash", "bytes", "lower", "code and program"),
        Measure("flash_code", "bytes", "lower", "firmware"),
        Measure("flash_program", "bytes", "lower", "steps, operators and weights"),
        Measure("macs", "MACs", "lower", "multiply-accumulates of the model"),
        Measure("bytes_received", "bytes", "lower", "over the wire, by the node that receives most"),
    )
}


@dataclass(frozen=True, order=True)
class Subject:
    """What is measured: runs of the same subject are comparable. `board`: a kind, or the list that a cluster is."""

    model: str
    board: str
    cores: int
    nodes: int
    source: str
    link: str = ""
    objective: str = ""
    toolchain: str = "zig"
    variant: str = ""
    """What else is not as usual: "ram" for an image in RAM, "rtt" for a console there, or both."""

    def __str__(self) -> str:
        words = [f"{self.model} on {self.board}"]
        words += [f"{self.cores} cores"] * (self.cores != 1) + [f"{self.nodes} nodes"] * (self.nodes != 1)
        words += [word for word in (self.link, self.objective) if word]
        words += [self.toolchain] * (self.toolchain != "zig") + [self.variant] * bool(self.variant)
        return ", ".join([*words, self.source])


@dataclass(frozen=True)
class Measurement:
    """One value. `samples`: the repeats that it is the median of, if any. `exact`: counted, so that the same code gives
    the same value on every machine, and any difference is one.
    """

    name: str
    value: float
    exact: bool
    samples: tuple[float, ...] = ()

    @property
    def measure(self) -> Measure:
        return MEASURES[self.name]


@dataclass(frozen=True)
class Found:
    """What one profile found: the subject, its measurements, and what exactly ran."""

    subject: Subject
    model_sha256: str
    firmware: str
    passed: bool
    measurements: tuple[Measurement, ...]
    inputs: int = 0
    """Input sets that it ran; 0: not known. What a kernel takes hangs on its data."""

    def get(self, name: str) -> Measurement | None:
        """The measurement of that name, if it was made."""
        return next((one for one in self.measurements if one.name == name), None)


def found_in(record: Mapping[str, Any]) -> Found:
    """The measurements in a `hil.profile/1` record. Raises `MalformedRecord`: it may come from a file."""
    try:
        return _found(record)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise MalformedRecord(f"not a hil.profile/1 record: {type(error).__name__} at {error}") from error


def _found(record: Mapping[str, Any]) -> Found:
    if record["schema"] != "hil.profile/1":
        raise ValueError(f"schema {record['schema']!r}")
    board = _text(record["board"])
    source = record["bench"]
    if source not in SOURCES:
        raise ValueError(f"bench {source!r}")
    firmware = record["firmware"]
    builds = firmware["build"] if isinstance(firmware["build"], list) else [firmware["build"]]
    subject = Subject(
        model=_text(record["model"]["name"]),
        board=board,
        cores=_whole(record["cores"]),
        nodes=_whole(record["nodes"]),
        source=source,
        link=_text(record.get("link", "")),
        objective=_text(record.get("objective", "")),
        toolchain=_text(firmware["toolchain"]),
        variant=" ".join(_text(record[name]) for name in ("load", "console") if name in record),
    )
    sha256 = _text(record["model"]["sha256"])
    build, passed = " ".join(map(_text, builds)), record["verdict"] == "pass"
    return Found(subject, sha256, build, passed, _measurements(record), _whole(record["outputs"]["inputs"]))


def _measurements(record: Mapping[str, Any]) -> tuple[Measurement, ...]:
    latency, memory, outputs = record["latency"], record["memory"], record["outputs"]
    values: dict[str, Any] = {
        "mismatches": outputs["mismatches"],
        "max_abs_diff": outputs["max_abs_diff"],
        "latency": latency["median"],
        "latency_cycles": latency["cycles_median"],
        "ram_peak": memory["ram_peak"],
        "ram_predicted": memory["ram_predicted"],
        "ram_static": memory["ram_static"],
        "arena": memory["arena"],
        "stack": sum(memory["stacks"]),
        "flash": memory["flash"],
        "flash_code": memory["flash_code"],
        "flash_program": memory["flash_program"],
        "macs": record["model"]["macs"],
    }
    if "predicted" in latency:
        values["latency_predicted"] = latency["predicted"]["total"]
    if "throughput" in record:
        values["throughput"] = record["throughput"]["per_second"]
    if len(record["per_node"]) > 1:
        values["bytes_received"] = max(node["bytes_received"] for node in record["per_node"])
    counted = record["bench"] == "virtual" and _all_counted(record["board"])
    samples = {"latency": tuple(_number(value) for value in latency["samples"])}
    return tuple(
        Measurement(name, _number(value), counted or not MEASURES[name].timed, samples.get(name, ()))
        for name, value in values.items()
    )


def _all_counted(board: str) -> bool:
    """Whether virtual boards of that name, or of that list, count their time."""
    return all(_counted(name.partition(":")[0]) for name in board_kinds(board))


@cache
def _counted(name: str) -> bool:
    """The same of one kind. Of boards that are not known here nothing is assumed."""
    return name in boards.names() and boards.load(name).counted


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 4096 or "\0" in value:
        raise TypeError(f"{value!r:.60} is not a text of at most 4096 characters")
    value.encode()  # lone surrogates cannot be kept
    return value


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise TypeError(f"{value!r:.60} is not a count")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r:.60} is not a number")
    return float(value)
