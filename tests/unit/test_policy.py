"""Which changes matter is said in tables and lines; what is wrong in them is named with file, key and value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hil.errors import GateFileError
from hil.record import Effect, Policies, Policy, Subject
from hil.record.policy import effects_in, effects_of_lines, parsed_effects

KWS = Subject("kws", "rp2350", 1, 1, "hardware")


def test_without_effects_it_is_the_default() -> None:
    assert Policies().of(KWS, "latency") == Policy(least=0.02, counted=0.0, significance=0.01, samples=8)


def test_effects_hold_for_what_they_name_and_the_last_says_it() -> None:
    policies = Policies(
        (Effect(least=0.03), Effect(board="rp*", least=0.04, samples=20), Effect(model="other", least=0.5))
    )
    assert policies.of(KWS, "latency") == Policy(least=0.04, samples=20)
    assert policies.of(Subject("kws", "esp32c3", 1, 1, "hardware"), "latency") == Policy(least=0.03)


def test_counted_values_may_differ_only_where_an_effect_names_them() -> None:
    policies = Policies((Effect(least=0.1), Effect(measure="flash*", least=0.01)))
    assert policies.of(KWS, "ram_peak").counted == 0
    assert policies.of(KWS, "flash_code").counted == 0.01


def test_a_file_has_tables(tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    file.write_text('schema = 1\n[[effect]]\nboard = "rp2350"\nmeasure = "latency"\nleast = "5 %"\nsamples = 12\n')
    assert effects_in(file) == (Effect(board="rp2350", measure="latency", least=0.05, samples=12),)
    file.write_text("schema = 1\n")
    assert effects_in(file) == ()


def test_an_ini_file_has_lines() -> None:
    lines = ['board=rp2350 model=kws measure=latency least="5 %"', "least=1% significance=0.05 samples=9"]
    assert effects_of_lines(lines, "x") == (
        Effect("rp2350", "kws", "latency", 0.05), Effect(least=0.01, significance=0.05, samples=9),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (7, "effect[0]: expected a table, found 7"),
        ({"bord": "x", "least": "1 %"}, "effect[0].bord: no such key; there are board, model, measure"),
        ({"board": 1, "least": "1 %"}, "effect[0].board: expected text, found 1"),
        ({"measure": "latecny", "least": "1 %"}, "effect[0].measure: 'latecny' is not measured; there are mismatches"),
        ({"board": "x"}, "effect[0]: says nothing"),
        ({"least": 5}, "effect[0].least: expected a share such as '5 %', found 5"),
        ({"least": "-5 %"}, "effect[0].least: expected a share such as '5 %', found '-5 %'"),
        ({"least": "5"}, "effect[0].least: expected a share such as '5 %', found '5'"),
        ({"significance": 1}, "effect[0].significance: expected a number between 0 and 1, found 1"),
        ({"significance": float("nan")}, "effect[0].significance: expected a number between 0 and 1, found nan"),
        ({"samples": 2}, "effect[0].samples: expected a whole number in 3..1000, found 2"),
        ({"samples": True}, "effect[0].samples: expected a whole number in 3..1000, found True"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(table: Any, message: str) -> None:
    with pytest.raises(GateFileError) as caught:
        parsed_effects([table], "gate.toml")
    assert caught.value.message.startswith(f"gate.toml: {message}")


@pytest.mark.parametrize("tables", ["x", {"board": "x"}])
def test_effects_are_a_list_of_tables(tables: Any) -> None:
    with pytest.raises(GateFileError, match=r"gate.toml: effect: expected \[\[effect\]\] tables"):
        parsed_effects(tables, "gate.toml")


@pytest.mark.parametrize(
    ("line", "message"),
    [("least='5 %", "No closing quotation"), ("samples=x", "samples: 'x' is not a number"), ("least", "found ''")],
)
def test_lines_that_are_wrong_are_named(line: str, message: str) -> None:
    with pytest.raises(GateFileError, match=r"pytest\.ini") as caught:
        effects_of_lines([line], "pytest.ini")
    assert message in caught.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(GateFileError, match=r"cannot read .*absent"):
        effects_in(tmp_path / "absent")
    (tmp_path / "bad.toml").write_text("[[effect")
    with pytest.raises(GateFileError, match=r"bad\.toml"):
        effects_in(tmp_path / "bad.toml")


def test_what_the_guide_shows_is_understood(tmp_path: Path) -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "measurement.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- effects(?: ini)? -->\n```\w+\n(.*?)```", guide, re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "gate.toml").write_text(blocks[0], encoding="utf-8")
    assert effects_in(tmp_path / "gate.toml") == (Effect("rp2350", "*", "latency*", 0.05, 0.001, 20),)
    lines = [line.strip() for line in blocks[1].splitlines()[2:]]
    assert effects_of_lines(lines, "pytest.ini") == (
        Effect("rp2350", "*", "latency*", 0.05), Effect(measure="flash_code", least=0.01),
    )  # fmt: skip
