"""The error tree: each class has the exit status that its place in the tree promises."""

from __future__ import annotations

import inspect
import re

import pytest

from hil import errors
from hil.errors import DoesNotFit, HilError

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, HilError)]
STATUS = {"UsageError": 2, "Refused": 3, "InfrastructureError": 4, "DeviceError": 5}


def make(cls: type[HilError], message: str, hint: str | None = None) -> HilError:
    if cls is DoesNotFit:
        return DoesNotFit(message, needed=1, available=0, operator="o", tensor="t", hint=hint)
    return cls(message, hint=hint)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_message_and_hint(cls: type[HilError]) -> None:
    assert str(make(cls, "what was tried")) == "what was tried"
    with_hint = make(cls, "what was tried", "hil doctor")
    assert str(with_hint) == "what was tried\n  next: hil doctor"
    assert (with_hint.message, with_hint.hint) == ("what was tried", "hil doctor")


@pytest.mark.parametrize("cls", [c for c in CLASSES if c is not HilError], ids=lambda c: c.__name__)
def test_exit_status_is_the_branch(cls: type[HilError]) -> None:
    branches = [STATUS[c.__name__] for c in cls.__mro__ if c.__name__ in STATUS]
    assert [cls.exit_status] == branches


def test_the_drawing_at_the_top_is_the_tree() -> None:
    """The module's drawing names every class, below the parent that it has, with its status."""
    drawn: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"^    ([ |`+-]*)([A-Z]\w+)(?:\s+(\d))?", line):
            depth, name, status = len(found[1]) // 4, found[2], found[3]
            while drawn and drawn[-1][0] >= depth:
                drawn.pop()
            cls = getattr(errors, name)
            if drawn:
                assert cls.__bases__[0].__name__ == drawn[-1][1]
            if status:
                assert cls.exit_status == int(status)
            drawn.append((depth, name))
    names = set(re.findall(r"[A-Z]\w+", " ".join(re.findall(r"(?:-- |    )([A-Z]\w+)", errors.__doc__ or ""))))
    assert {c.__name__ for c in CLASSES} <= names | {"HilError"}


def test_no_bare_runtime_error_in_the_package() -> None:
    """Callers can rely on HilError: nothing in the package raises a nameless one."""
    from hil.paths import ZOO

    package = ZOO.parent / "hil"
    offenders = [
        f"{path.relative_to(package)}:{number}"
        for path in package.rglob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(r"raise (RuntimeError|Exception|BaseException)\b", line)
    ]
    assert offenders == []
