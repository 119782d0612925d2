"""JUnit files of several boards, read into typed cases. They come from other machines, with what devices said in them.

So nothing in them is believed: no entities, no endless texts, no letters that XML, or a terminal, cannot have.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from hil.errors import MalformedRecord, UsageError
from hil.record.findings import Finding, Judged, ordered
from hil.record.history import storable

LONGEST_TEXT = 1 << 16
_LONGEST_WORD = 1000
_LONGEST_FILE = 1 << 27
_MOST_CASES = 200_000
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

CaseOutcome = Literal["passed", "failure", "error", "skipped"]
_HINT = "pytest --junit-xml=FILE, or hil gate --junit FILE, writes such files"


@dataclass(frozen=True)
class JUnitCase:
    """A test case. `kind`, `message` and `text` say why it did not pass; `properties` who it was."""

    name: str
    classname: str
    seconds: float
    outcome: CaseOutcome
    kind: str = ""
    message: str = ""
    text: str = ""
    out: str = ""
    err: str = ""
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class JUnitSuite:
    """A suite. `source`: the name of its file, which tells the boards' suites apart: pytest calls all of them alike."""

    source: str
    name: str
    cases: tuple[JUnitCase, ...]
    timestamp: str = ""
    hostname: str = ""


def read_all(files: Sequence[Path]) -> tuple[JUnitSuite, ...]:
    """The suites of all files. Of files of one name in several folders, the folder's name tells them apart."""
    stems = [file.stem for file in files]
    return tuple(
        suite
        for file in dict.fromkeys(files)
        for suite in read(
            file, file.stem if stems.count(file.stem) == 1 else f"{file.absolute().parent.name}.{file.stem}"
        )
    )


def read(file: Path, source: str | None = None) -> tuple[JUnitSuite, ...]:
    """The suites of a file. Raises `MalformedRecord`, `UsageError`."""
    try:
        if (size := file.stat().st_size) > _LONGEST_FILE:
            raise MalformedRecord(f"{file} has {size} bytes; {_LONGEST_FILE} are the most", hint=_HINT)
        with file.open("rb") as stream:
            root: Element | None = parse(stream, forbid_dtd=True).getroot()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", hint="--junit-in FILE") from error
    except DefusedXmlException as error:
        raise MalformedRecord(f"{file} declares a document type or entities, as no JUnit does", hint=_HINT) from error
    except (ParseError, ValueError, LookupError) as error:
        raise MalformedRecord(f"{file} is no XML: {error}", hint=_HINT) from error
    if root is None or root.tag not in ("testsuites", "testsuite"):
        tag = word(root.tag)[:40] if root is not None else ""
        raise MalformedRecord(f"{file} is no JUnit: its root is <{tag}>, not <testsuites>", hint=_HINT)
    suites = tuple(_suite(source or file.stem, suite) for suite in root.iter("testsuite"))
    if not suites:
        raise MalformedRecord(f"{file} is a JUnit without any suite", hint=_HINT)
    if (count := sum(len(suite.cases) for suite in suites)) > _MOST_CASES:
        raise MalformedRecord(f"{file} has {count} test cases; {_MOST_CASES} are the most", hint=_HINT)
    return suites


def _suite(source: str, suite: Element) -> JUnitSuite:
    cases = tuple(_case(case) for case in suite.findall("testcase"))
    attributes = [word(suite.get(name, "")) for name in ("name", "timestamp", "hostname")]
    return JUnitSuite(word(source), attributes[0], cases, attributes[1], attributes[2])


def _case(case: Element) -> JUnitCase:
    outcome, why = _outcome(case)
    properties = [(word(p.get("name", "")), word(p.get("value", ""))) for p in case.iterfind("properties/property")]
    return JUnitCase(
        name=word(case.get("name", "")) or "?",
        classname=word(case.get("classname", "")),
        seconds=_seconds(case.get("time", "")),
        outcome=outcome,
        kind=word(why.get("type", "")) if why is not None else "",
        message=word(why.get("message", "")) if why is not None else "",
        text=clean(why.text or "") if why is not None else "",
        out=clean("\n".join(_texts(case, "system-out"))),
        err=clean("\n".join(_texts(case, "system-err"))),
        properties=tuple(properties[:100]),
    )


def _outcome(case: Element) -> tuple[CaseOutcome, Element | None]:
    """The worst of what a case says of itself."""
    kinds: Sequence[CaseOutcome] = ("error", "failure", "skipped")
    for kind in kinds:
        if (found := case.find(kind)) is not None:
            return kind, found
    return "passed", None


def _texts(case: Element, tag: str) -> Iterator[str]:
    return (found.text for found in case.findall(tag) if found.text)


def _seconds(text: str) -> float:
    """A time as pytest and others write it, '1,234.5' too; 0 for what is none."""
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and 0 <= value < 1e9 else 0.0


def clean(text: str) -> str:
    """Text that XML can hold; of what is too long the beginning and the end."""
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", storable(text, LONGEST_TEXT))


def word(text: str) -> str:
    """A name or message in one line, without what a terminal would act on."""
    line = storable(" ".join(text.split()), _LONGEST_WORD)
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


def judged(suites: Sequence[JUnitSuite]) -> Judged:
    """Whether the merged tests passed; no condition can excuse one that did not."""
    findings = []
    for source in dict.fromkeys(suite.source for suite in suites):
        cases = [case for suite in suites if suite.source == source for case in suite.cases]
        ran = [case for case in cases if case.outcome != "skipped"]
        bad = [case for case in ran if case.outcome != "passed"]
        findings += [
            Finding(False, f"{source}: {case.name}", case.message or case.outcome, 1.0, source) for case in bad
        ]
        if not ran:
            findings.append(Finding(False, source, f"none of its {len(cases)} tests ran", math.inf, source))
        elif not bad:
            findings.append(Finding(True, source, f"{len(ran)} tests passed", -1.0, source))
    return Judged("merged tests", "the tests in the merged JUnit files ran and passed", "", ordered(findings))
