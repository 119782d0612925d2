"""Documents that are run: blocks of commands under `<!-- run -->`, and what they show under `<!-- shows -->`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"<!-- (?P<mark>[a-z]+)(?:: (?P<status>\d+))? -->\n```[a-z]+\n(?P<text>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A marked block. `status`: how its last command ends; all before it have to end well."""

    mark: str
    status: int
    text: str


def blocks(file: Path) -> list[Block]:
    """All marked blocks of a document, in order."""
    found = _BLOCK.finditer(file.read_text(encoding="utf-8"))
    return [Block(one["mark"], int(one["status"] or 0), one["text"]) for one in found]


def shown(line: str, output: str) -> bool:
    """Whether a document's line is in an output, whatever its numbers, and however a terminal wrapped it."""
    words = [re.sub(r"\d+", r"\\d+", re.escape(word)) for word in line.split()]
    return re.search(r"\s+".join(words), output) is not None
