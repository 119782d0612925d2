"""Pages of HTML that hold whatever devices, models and boards say, and are not altered by it.

All text goes through `visible` and then through autoescape; data for the charts goes in as JSON that no parser of HTML
can leave; a Content-Security-Policy lets nothing run but the page's own scripts, by their hashes, and nothing be
fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hil.report.terminal import duration, size

FOLDER = Path(__file__).parent / "templates"
_NAMES = (  # noqa: SIM905 - a list of so many short words is hard to read
    "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US"
).split()
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Control characters but tab and newline; what is not seen or turns text around; and halves of surrogate pairs."""


def visible(text: str) -> str:
    """Text in which nothing is hidden: an escape becomes '[ESC]', a mark that turns text around '[U+202E]'."""
    return _HIDDEN.sub(_mark, text.replace("\r\n", "\n"))


def _mark(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"[{_NAMES[code]}]" if code < len(_NAMES) else "[DEL]" if code == 0x7F else f"[U+{code:04X}]"


def data_json(data: Any) -> Markup:
    """Data as JSON for a script element: ASCII, without a letter that HTML knows."""
    text = json.dumps(_all_visible(data), separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 - it is now


def _all_visible(data: Any) -> Any:
    if isinstance(data, str):
        return visible(data)
    if isinstance(data, Mapping):
        return {key: _all_visible(value) for key, value in data.items()}
    return [_all_visible(value) for value in data] if isinstance(data, list | tuple) else data


@cache
def own(name: str) -> Markup:
    """A style sheet or script of ours, as it goes into its element."""
    return embedded((FOLDER / name).read_text(encoding="utf-8"))


def embedded(text: str) -> Markup:
    """A script or style sheet that ends only where its element does."""
    safe = re.sub("</(?=script|style)", "<\\\\/", text, flags=re.IGNORECASE)
    assert "<!--" not in safe, "what follows would be read as if it were not in a script"
    return Markup(safe)  # noqa: S704 - it is ours, or a package's


@cache
def plotly() -> Markup:
    """The charting library, from its package."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - only pages with charts pay for it

    return embedded(get_plotlyjs())


def policy(scripts: Sequence[str]) -> str:
    """A Content-Security-Policy: these scripts run, and nothing is fetched from anywhere.

    Styles may be inline: the charting library sets them, and they cannot fetch anything either.
    """
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def when(seconds: float) -> str:
    """A moment, in the time of this machine."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float) -> str:
    """A time as people wait for it: '12.3 s', '4 min 05 s', '7 h 30 min'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def count(number: int, what: str) -> str:
    """'1 test', '2 tests'."""
    return f"{number} {what}{'s' * (number != 1)}"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Whatever a template prints comes by here before it is escaped: none can forget.
        finalize=lambda value: visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )
    made.filters |= {"size": size, "duration": duration, "when": when, "span": span}
    made.globals |= {"count": count}
    return made


def rendered(template: str, **values: Any) -> str:
    """A page from a template."""
    return _environment().get_template(template).render(**values)
