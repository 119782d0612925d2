"""A gate's verdict for people: on a terminal, and as Markdown for a pull request. Worst first in both."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from html import escape

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from hil.record.findings import GateVerdict, Judged
from hil.report.terminal import plain, table

_LISTED = 8
_SIGNS = {True: "\N{WHITE HEAVY CHECK MARK}", False: "\N{CROSS MARK}"}
_MOST_MARKDOWN = 60_000
"""Characters; a comment on GitHub holds 65,536."""


def gate_view(verdict: GateVerdict) -> list[RenderableType]:
    """A table of the conditions, then what failed, then the verdict."""
    rows = [
        (
            Text("pass", "green") if one.passed else Text("FAIL", "bold red"),
            one.name,
            one.check,
            f"{len(one.findings) - len(one.bad)} of {len(one.findings)}",
        )
        for one in verdict.judged
    ]
    views: list[RenderableType] = [table(None, ["", "condition", "check", "good"], rows, right=("good",))]
    for one in verdict.judged:
        if not one.passed:
            views += _failed(one)
    return [*views, Text(headline(verdict), "bold green" if verdict.passed else "bold red")]


def headline(verdict: GateVerdict) -> str:
    """'gate.toml: fail, 2 of 5 conditions do not hold'."""
    return plain(f"{verdict.file}: {'pass' if verdict.passed else 'fail'}, {_count(verdict)}")


def _count(verdict: GateVerdict) -> str:
    bad = sum(not one.passed for one in verdict.judged)
    every = len(verdict.judged)
    return f"{bad} of {every} conditions do not hold" if bad else f"all {every} conditions hold"


def _failed(one: Judged) -> Iterator[RenderableType]:
    yield Text.assemble((plain(one.name), "bold"), f" ({plain(one.why)})" if one.why else "")
    for finding in one.bad[:_LISTED]:
        yield Padding(Text(f"- {plain(finding.line)}"), (0, 0, 0, 2))
    if (more := len(one.bad) - _LISTED) > 0:
        yield Padding(Text(f"- and {more} more"), (0, 0, 0, 2))


# -- Markdown ----------------------------------------------------------------------------------------------------------


def gate_markdown(verdict: GateVerdict) -> str:
    """A comment for a pull request, or a job's summary. What came from devices and files stands in it as mere text."""
    parts = [
        f"### {_SIGNS[verdict.passed]} Release gate: {_count(verdict)}\n",
        "| | condition | check | good |",
        "| --- | --- | --- | --- |",
    ]
    parts += [_row(one) for one in verdict.judged]
    parts += [text for one in verdict.judged if not one.passed for text in _details(one)]
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(verdict.now))
    against = f", against {inert(verdict.baseline)}" if verdict.baseline else ""
    runs = ", ".join(map(inert, verdict.runs[:_LISTED])) + (", ..." if len(verdict.runs) > _LISTED else "")
    closing = f"\nRuns: {runs or 'none'}{against}; decided at {when} by {inert(verdict.file)}.\n"
    return _bounded(parts, closing)


def _row(one: Judged) -> str:
    good = f"{len(one.findings) - len(one.bad)} of {len(one.findings)}"
    return f"| {_SIGNS[one.passed]} | {inert(one.name)} | {inert(one.check)} | {good} |"


def _details(one: Judged) -> Sequence[str]:
    why = f": {inert(one.why)}" if one.why else ""
    lines = [f"\n**{inert(one.name)}**{why}\n"]
    lines += [f"- {inert(finding.line)}" for finding in one.bad[:_LISTED]]
    more = len(one.bad) - _LISTED
    return [*lines, f"- and {more} more"] if more > 0 else lines


def _bounded(parts: Sequence[str], closing: str) -> str:
    """As many of the lines as fit; it says so where they do not."""
    left = _MOST_MARKDOWN - len(closing) - 100
    kept = []
    for number, part in enumerate(parts):
        left -= len(part) + 1
        if left < 0:
            kept.append(f"\n{len(parts) - number} more lines are left out.\n")
            break
        kept.append(part)
    return "\n".join([*kept, closing])


_MARKS = re.compile(r"[\\`*_{}\[\]#|~:@^$]")


def inert(text: str, most: int = 400) -> str:
    """Text that Markdown shows as it is: no markup, no link, no mention, no end of a table's cell.

    It stands in `<code>`, where GitHub and GitLab look for neither people nor issues to notify.
    """
    line = plain(" ".join(text.split()))
    line = line if len(line) <= most else line[: most - 4] + " ..."
    return f"<code>{_MARKS.sub(lambda mark: f'&#{ord(mark[0])};', escape(line, quote=False))}</code>"
