"""What `hil profile` keeps of itself in the history."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from hil import api
from hil.bench import lab_for
from hil.cli_record import opened
from hil.errors import HilError, StateFailed, UsageError
from hil.record.cause import cause_of
from hil.record.health import Guard
from hil.record.history import Cause, History, Result, Usage
from hil.record.origin import here
from hil.record.uses import Uses
from hil.report import plain


class Unkept:
    """A profile of which nothing is kept. `uses` watches the boards."""

    def __init__(self) -> None:
        self.uses = Uses()
        self.trouble: StateFailed | None = None

    def measured(self, record: Mapping[str, Any]) -> None:
        """What it found."""

    def views(self) -> list[RenderableType]:
        """Where it is kept, for a person."""
        return []


class Kept(Unkept):
    """A profile that is a run of the history. `trouble`: the first thing that could not be written.

    What was measured is told whatever becomes of the history, so nothing here raises `StateFailed` once it has begun.
    """

    def __init__(self, history: History, args: argparse.Namespace, request: api.Request) -> None:
        super().__init__()
        self._args, self._file, self._began = args, history.file, time.time()
        lab = lab_for(request.where)
        command = shlex.join(["hil", *args.words])
        self._writer = history.begin(here(api.bench_title(args.board, request.where), command=command))
        self._guard = Guard(history, self._writer, lab)
        self.uses = Uses(self._used)

    def measured(self, record: Mapping[str, Any]) -> None:
        """What it found: kept as a profile, and as a test that says no where the verdict is bad."""
        self._noting(lambda: self._writer.profiled(record, place=self.uses.place, identity=self.uses.identity))
        passed = record["verdict"] == "pass"
        self._tested(record["model"]["name"], None if passed else ("assertion", "; ".join(record["reasons"])))
        if passed and self.trouble is None:
            self._writer.verdict("pass")

    def failed(self, error: HilError) -> None:
        """It ends in an error."""
        self._tested(self._args.model.stem, (cause_of(error), str(error)))

    def end(self) -> None:
        """It is over."""
        self._noting(self._writer.end)
        if self.trouble is not None:
            sys.stderr.write(f"hil: this run is not all kept: {plain(str(self.trouble))}\n")

    def forget(self, history: History) -> None:
        """It was none."""
        self._noting(lambda: history.forget([self._writer.id]))

    def views(self) -> list[RenderableType]:
        """Which boards were set aside, and where the run is."""
        return [Text(plain(line)) for line in (*self._guard.told, f"history: run {self._writer.id} in {self._file}")]

    def _tested(self, model: str, failure: tuple[Cause, str] | None) -> None:
        """A profile as a test: what failed it and whose fault that was, or None."""
        cause, message = failure or ("", "")
        result = Result(
            name=f"hil profile {self._args.model}",
            outcome="failed" if failure else "passed",
            cause=cause,
            seconds=time.time() - self._began,
            model=model,
            board=self._args.board,
            place=self.uses.place,
            message=message,
            log=self.uses.said,
            at=self._began,
        )
        self._noting(lambda: self._writer.tested(result))

    def _used(self, usage: Usage) -> None:
        self._noting(lambda: self._guard.used(usage))

    def _noting(self, write: Callable[[], object]) -> None:
        try:
            write()
        except StateFailed as error:
            self.trouble = self.trouble or error


@contextmanager
def keeping(args: argparse.Namespace, request: api.Request) -> Iterator[Unkept]:
    """A run of `hil profile` in the history: what the block says was measured, or the error that it ends in.

    Raises `StateFailed` before anything is built if nothing can be written.
    """
    if args.no_history:
        yield Unkept()
        return
    with opened(args) as history:
        kept = Kept(history, args, request)
        try:
            yield kept
        except UsageError:
            kept.forget(history)  # a mistyped command is no run
            raise
        except HilError as error:
            kept.failed(error)
            raise
        finally:
            kept.end()
