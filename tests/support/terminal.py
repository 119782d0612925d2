"""A terminal for programs of tests: what they write to it, and what is on its screen then."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LIMIT = 60.0


def on_terminal(
    *options: str, folder: Path, watch: Callable[[str, subprocess.Popen[bytes]], None] = lambda _text, _child: None
) -> tuple[int, str]:
    """pytest with these options: its status, and all it wrote. `watch` is called with all so far, and what runs."""
    leader, follower = pty.openpty()
    seen = b""
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *options],
        cwd=folder, stdin=follower, stdout=follower, stderr=follower, close_fds=True,
    ) as child:  # fmt: skip
        os.close(follower)
        try:
            while part := _read(leader):
                seen += part
                watch(seen.decode(errors="replace"), child)
            status = child.wait(timeout=LIMIT)
        finally:
            child.kill()
            os.close(leader)
    return status, seen.decode()


def _read(terminal: int) -> bytes:
    """What the terminal shows next; empty when the program has gone."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that nobody writes any more
        return b""


def screen(shown: str) -> list[str]:
    """What a terminal shows in the end, that knows carriage return, line feed, cursor up and right, and erase."""
    lines: list[list[str]] = [[]]
    row = column = 0
    for code, letter in re.findall(r"\x1b\[([0-9;]*[A-Za-z])|(.)", shown, re.DOTALL):
        if letter == "\r":
            column = 0
        elif letter == "\n":
            row += 1
            lines += [[] for _ in range(row + 1 - len(lines))]
        elif letter:
            cells = lines[row]
            cells += [" "] * (column + 1 - len(cells))
            cells[column] = letter
            column += 1
        elif code == "K":
            del lines[row][column:]
        elif code == "A":
            row -= 1
        elif code.endswith("C"):
            column += int(code[:-1])
        else:
            assert code.endswith("m"), f"an unknown sequence: {code}"
    return ["".join(cells).rstrip() for cells in lines]
