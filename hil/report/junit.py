"""JUnit of a gate: a case for each condition, and after them the cases of all boards, as one file for a CI server.

The file is as strict as Jenkins' xunit plugin wants it (its junit-10.xsd). That knows properties of suites, not of
cases: those of the boards' cases stand in `system-out`, a line each, as `[[PROPERTY|name=value]]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, indent, tostring

from junit_xml import TestCase, TestSuite

from hil.record.findings import Finding, GateVerdict, Judged
from hil.record.junit import JUnitCase, JUnitSuite, clean, word

_OF_CASE = {"name", "classname", "time"}
_OF_SUITE = {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"}
"""The attributes that the schema has, of those that the package writes."""
_LISTED = 200


def junit_text(verdict: GateVerdict, merged: Sequence[JUnitSuite]) -> str:
    """The whole file."""
    top = Element("testsuites", {"name": "hil gate"})
    suites = [_gate(verdict), *map(_board, merged)]
    top.extend(suites)
    for name in ("tests", "failures", "errors"):
        top.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    top.set("time", f"{sum(float(suite.get('time', '0')) for suite in suites):.3f}")
    indent(top)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(top, encoding="unicode") + "\n"


def _gate(verdict: GateVerdict) -> Element:
    at = datetime.fromtimestamp(verdict.now, UTC).isoformat(timespec="seconds")
    cases = [_condition(one) for one in verdict.judged]
    properties = {
        "hil.gate": word(verdict.file),
        "hil.runs": word(" ".join(verdict.runs)),
        "hil.baseline": word(verdict.baseline),
        "hil.verdict": "pass" if verdict.passed else "fail",
    }
    return _built(TestSuite("gate", cases, timestamp=at, properties=properties))


def _condition(one: Judged) -> TestCase:
    looked_at = clean("\n".join([f"check: {one.check}", *[f"why: {one.why}"] * bool(one.why), *_lines(one.findings)]))
    case = TestCase(one.name, "gate", stdout=looked_at)
    if not one.passed:
        more = len(one.bad) - 1
        first = one.bad[0].line + (f" (and {more} more)" if more else "")
        case.add_failure_info(word(first), clean("\n".join(_lines(one.bad))), "condition")
    return case


def _lines(findings: Sequence[Finding]) -> Iterable[str]:
    for one in findings[:_LISTED]:
        yield f"{'pass' if one.good else 'FAIL'}  {one.line}"
    if len(findings) > _LISTED:
        yield f"and {len(findings) - _LISTED} more"


def _board(suite: JUnitSuite) -> Element:
    cases = [_case(suite.source, case) for case in suite.cases]
    name = ": ".join(dict.fromkeys(filter(None, (suite.source, suite.name))))
    return _built(TestSuite(name, cases, hostname=suite.hostname, timestamp=suite.timestamp))


def _case(source: str, found: JUnitCase) -> TestCase:
    """A board's case. Its class begins with its file's name: two boards run tests of the same name."""
    known = "\n".join(f"[[PROPERTY|{name}={value}]]" for name, value in found.properties)
    out = "\n".join(filter(None, (known, found.out)))
    case = TestCase(found.name, f"{source}.{found.classname}".rstrip("."), found.seconds, out, found.err)
    # The package leaves out what has neither message nor text: a failure would become a pass.
    message = found.message or found.outcome
    if found.outcome == "failure":
        case.add_failure_info(message, found.text, found.kind)
    elif found.outcome == "error":
        case.add_error_info(message, found.text, found.kind)
    elif found.outcome == "skipped":
        case.add_skipped_info(message, found.text)
    return case


def _built(suite: TestSuite) -> Element:
    """A suite as XML, without the attributes that the schema lacks, and with times as it wants them."""
    drawn: Element = suite.build_xml_doc()
    for element, known in [(drawn, _OF_SUITE), *((case, _OF_CASE) for case in drawn.iter("testcase"))]:
        for name in set(element.keys()) - known:
            del element.attrib[name]
        if (seconds := element.get("time")) is not None:
            element.set("time", f"{float(seconds):.3f}")
    return drawn
