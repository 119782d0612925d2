"""What the `hil` command keeps of its runs, and `hil record`: list, show, export, import, prune."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from hil import api
from hil.errors import HilError, UsageError
from hil.record.cause import cause_of
from hil.record.history import Cause, History, Result, Writer, history_file
from hil.record.origin import here
from hil.record.uses import Uses


def add_history_options(sub: argparse.ArgumentParser) -> None:
    """`--history` and `--no-history`, as pytest's `--hil-history` and `--hil-no-history`."""
    add_history_file(sub)
    sub.add_argument("--no-history", action="store_true", help="keep nothing of the run")


def add_history_file(sub: argparse.ArgumentParser) -> None:
    """`--history` alone."""
    text = "the history of runs (default: $HIL_HISTORY, else the user's own)"
    sub.add_argument("--history", type=Path, metavar="FILE", help=text)


def opened(args: argparse.Namespace) -> History:
    """The history that the options name. Raises `StateFailed`."""
    return History.open((args.history or history_file()).absolute())


def words_for_pytest(args: argparse.Namespace) -> list[str]:
    """The options of `hil test` as pytest's. Raises `StateFailed` where nothing can be kept, before anything runs."""
    if args.no_history:
        return ["--hil-no-history"]
    opened(args).close()
    return [f"--hil-history={args.history}"] if args.history else []


@dataclass
class Keeping:
    """What is known so far of a profile that is to be kept. `uses` watches the boards."""

    writer: Writer | None = None
    file: Path | None = None
    uses: Uses = field(default_factory=Uses)
    record: Mapping[str, Any] | None = None

    def views(self) -> list[RenderableType]:
        """Where it is kept, for a person."""
        return [Text(f"history: run {self.writer.id} in {self.file}")] if self.writer else []


@contextmanager
def keeping(args: argparse.Namespace, request: api.Request) -> Iterator[Keeping]:
    """A run of `hil profile` in the history: its record, as soon as the block has set it, or the error that it ends in.

    Raises `StateFailed` before anything is built if nothing can be written.
    """
    if args.no_history:
        yield Keeping()
        return
    with opened(args) as history:
        title = api.bench_title(args.board, request.where)
        writer = history.begin(here(title, command=shlex.join(["hil", *args.words])))
        kept = Keeping(writer, history.file, Uses(writer.used))
        began = time.time()
        try:
            yield kept
            _keep(kept, writer, args, began)
        except UsageError:
            history.forget([writer.id])  # a mistyped command is no run
            raise
        except HilError as error:
            writer.tested(_result(kept, args, began, (cause_of(error), str(error))))
            raise
        finally:
            writer.end()


def _keep(kept: Keeping, writer: Writer, args: argparse.Namespace, began: float) -> None:
    record = kept.record
    assert record is not None
    writer.profiled(record, place=kept.uses.place)
    if record["verdict"] == "pass":
        writer.tested(_result(kept, args, began, None))
        writer.verdict("pass")
    else:
        writer.tested(_result(kept, args, began, ("assertion", "; ".join(record["reasons"]))))


def _result(kept: Keeping, args: argparse.Namespace, began: float, failure: tuple[Cause, str] | None) -> Result:
    """A profile as a test: what failed it, and whose fault that was, or None."""
    cause, message = failure or ("", "")
    return Result(
        name=f"hil profile {args.model}",
        outcome="failed" if failure else "passed",
        cause=cause,
        seconds=time.time() - began,
        model=kept.record["model"]["name"] if kept.record is not None else args.model.stem,
        board=args.board,
        place=kept.uses.place,
        message=message,
        log=kept.uses.said,
        at=began,
    )
