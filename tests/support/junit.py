"""Hold JUnit files against the schema that Jenkins' xunit plugin refuses files by.

`junit-10.xsd` is that plugin's, MIT, by Gregory Boissinot; the copy is the one in pytest's source distribution 8.4.2
(testing/example_scripts/junit-10.xsd), unchanged.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import xmlschema

_SCHEMA = Path(__file__).with_name("junit-10.xsd")
_CHOICE = '<xs:element ref="skipped"/>'


@cache
def _schema(properties: bool) -> xmlschema.XMLSchema:
    """The schema; `properties`: with pytest's one addition, properties of a test case."""
    text = _SCHEMA.read_text(encoding="utf-8")
    if properties:
        assert text.count(_CHOICE) == 1
        text = text.replace(_CHOICE, f'{_CHOICE}<xs:element ref="properties"/>')
    return xmlschema.XMLSchema(text)


def faults(file: Path, *, properties: bool = False) -> list[str]:
    """What the schema has against a file; empty where it is valid."""
    return [f"{error.path}: {error.reason}" for error in _schema(properties).iter_errors(str(file))]
