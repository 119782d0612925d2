"""Virtual boards on desks, and lab files that have them: what a bench of hardware is to its lab file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hil.virtual import desk
from hil.virtual.desk import Control, Desk


@contextmanager
def desks(kinds: Sequence[str]) -> Iterator[tuple[Desk, ...]]:
    """A desk for each kind."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(desk.start(kind)) for kind in kinds)


def lab_of(folder: Path, kinds: Sequence[str], on: Sequence[Desk], *, wait: float = 300) -> Path:
    """A lab file for boards 'a', 'b' and so on, with a state folder of its own."""
    text = [f'schema = 1\nwait = {wait}\nstate = "{folder / "state"}"\n']
    for name, kind, one in zip("abcdefgh", kinds, on, strict=False):
        text.append(f'[board.{name}]\nkind = "{kind}"\nvirtual = "{one.address[0]}:{one.address[1]}"\n')
    path = folder / "lab.toml"
    path.write_text("\n".join(text), encoding="utf-8")
    return path


def control(one: Desk) -> Control:
    """Hands at a desk; a context manager."""
    return Control(*one.address)
