"""Gate files: the conditions of a release, each under a name.

    schema = 1

    [conditions]
    right = "mismatches == 0 everywhere"
    memory = { check = "ram_peak <= 200 KiB on rp2040 for kws*", why = "the application needs the rest" }

    [[effect]]                     # what counts as a regression: hil.record.policy
    board = "rp2350"
    least = "5 %"

`hil.record.conditions` says how a check is written; docs/release-gate.md how gates are used.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.errors import GateFileError
from hil.record.conditions import Condition, parse
from hil.record.policy import DEFAULT as DEFAULT_POLICIES
from hil.record.policy import Policies, parsed_effects

DEFAULT = Path("gate.toml")
FIRST = """\
# What a release has to hold: 'hil gate' looks at the last run, and ends with 0 or 1. docs/release-gate.md has it all.
schema = 1

[conditions]
right = "mismatches == 0 everywhere"
tested = "tests pass everywhere"
no-slower = "latency regression <= 2 %"
no-bigger = "no ram_peak regression"
# memory = { check = "ram_peak <= 200 KiB on rp2040 for kws*", why = "the application needs the rest" }
# real = "hardware result required on rp2040, at most 24 h old"
"""
"""What `hil gate --init` writes."""
_LONGEST = 1 << 20
_MOST = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_HINT = "hil gate --help"


@dataclass(frozen=True)
class Gate:
    """A parsed gate file: at least one condition."""

    file: Path
    conditions: tuple[Condition, ...]
    policies: Policies = DEFAULT_POLICIES


def load(file: Path) -> Gate:
    """The gate that `file` describes. Raises `GateFileError`."""
    try:
        with file.open("rb") as handle:
            data = handle.read(_LONGEST + 1)
        text = data.decode()
    except OSError as error:
        raise GateFileError(f"{file}: {error.strerror}", hint="hil gate --init") from error
    except UnicodeDecodeError as error:
        raise GateFileError(f"{file}: not text in UTF-8") from error
    if len(data) > _LONGEST:
        raise GateFileError(f"{file}: longer than {_LONGEST} bytes")
    return read(file, text)


def read(file: Path, text: str) -> Gate:
    """A gate from TOML text; `file` names it in messages. Raises `GateFileError`."""
    try:
        top = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise GateFileError(f"{file}: not TOML: {error}") from error
    _only(file, "", top, ("schema", "conditions", "effect"))
    if type(top.get("schema")) is not int or top["schema"] != 1:
        raise GateFileError(f"{file}: schema: expected 1, found {top.get('schema')!r:.60}", hint=_HINT)
    conditions = top.get("conditions")
    if not isinstance(conditions, dict) or not 0 < len(conditions) <= _MOST:
        why = 'a table of 1 to 1000 conditions, such as right = "mismatches == 0 everywhere"'
        raise GateFileError(f"{file}: conditions: expected {why}; found {conditions!r:.60}", hint=_HINT)
    policies = Policies(parsed_effects(top.get("effect"), str(file)))
    return Gate(file, tuple(_condition(file, name, value) for name, value in conditions.items()), policies)


def _condition(file: Path, name: str, value: Any) -> Condition:
    key = f"conditions.{name:.64}"
    if not _NAME.match(name):
        raise GateFileError(f"{file}: {key}: names are letters, digits, '.', '_' and '-', 64 at most", hint=_HINT)
    table = {"check": value} if isinstance(value, str) else value
    if not isinstance(table, dict):
        raise GateFileError(f"{file}: {key}: expected text, or a table with 'check', found {value!r:.60}", hint=_HINT)
    _only(file, f"{key}.", table, ("check", "why"))
    for word in ("check", "why"):
        if not isinstance(table.get(word, ""), str):
            raise GateFileError(f"{file}: {key}.{word}: expected text, found {table[word]!r:.60}", hint=_HINT)
    if not table.get("check", "").strip():
        raise GateFileError(f"{file}: {key}.check: missing", hint=_HINT)
    text = table["check"].strip()
    try:
        check, scope = parse(text)
    except ValueError as error:
        raise GateFileError(f"{file}: {key}: {text!r:.200}: {error}", hint=_HINT) from error
    return Condition(name, text, check, scope, table.get("why", "")[:1000])


def _only(file: Path, path: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise GateFileError(f"{file}: {path}{key:.64}: unknown key (known here: {', '.join(known)})", hint=_HINT)
