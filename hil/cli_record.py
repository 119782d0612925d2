"""`hil record`: list, show, export, import and prune runs, the health of boards; the options that name a history."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from hil.bench import Where, lab_for
from hil.bench.local import state_of
from hil.bench.state import State
from hil.bench.station import Say
from hil.cli_numbers import count
from hil.errors import UsageError
from hil.record import queries
from hil.record.exchange import exported, imported, run_record
from hil.record.health import LAST, health_of
from hil.record.history import History, history_file
from hil.record.measurement import Found
from hil.record.origin import Origin
from hil.report import Outcome, duration, size, table
from hil.report.terminal import facts

_LIST = 20


def add_command(commands: Any) -> None:
    """`hil record` and its words."""
    text = "the history of runs: list, show, export and import them, and forget old ones"
    record = commands.add_parser("record", help=text, description=text[0].upper() + text[1:] + ".")
    words = record.add_subparsers(dest="word", required=True, metavar="WORD")

    def add(name: str, run: Any, what: str, *, json: bool = True) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = words.add_parser(
            name, help=what, description=what[0].upper() + what[1:] + ".", epilog=_RUNS if name in _NAMING else None
        )
        if json:
            sub.add_argument(
                "--json", metavar="PATH", help="write the result as JSON; '-' is standard output, alone on it"
            )
        add_history_file(sub)
        sub.set_defaults(run=run, json=None)
        return sub

    listing = add("list", _list, "the newest runs, newest first")
    listing.add_argument("--most", type=count(1), default=_LIST, metavar="N", help=f"so many (default: {_LIST})")
    listing.add_argument("--branch", metavar="NAME", help="of this git branch alone")
    show = add("show", _show, "one run: where it was, what it measured, what failed and whose fault that was")
    show.add_argument("name", metavar="RUN", nargs="?", default="last", help="default: last")
    show.add_argument("--logs", action="store_true", help="also the log of each failure: traceback, board, output")
    boards = add("boards", _boards, f"the health of each board of a lab, from its last {LAST} uses; worst first")
    boards.add_argument("--bench", default="auto", metavar="PATH", help="the lab file (default: this machine's)")
    out = add("export", _export, "write runs as JSON Lines, for another history", json=False)
    out.add_argument("names", metavar="RUN", nargs="*", help="default: all of them, oldest first")
    out.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    take = add("import", _import, "take runs from JSON Lines, or a profile from 'hil profile --json', into the history")
    take.add_argument("files", metavar="FILE", nargs="+", type=Path, help="'-' is standard input")
    prune = add("prune", _prune, "forget old runs, and give their room back to the disk")
    prune.add_argument("--older-than", type=count(0), required=True, metavar="DAYS", help="runs that began before that")
    prune.add_argument(
        "--keep", type=count(0), default=0, metavar="N", help="but not the newest N of each branch (default: 0)"
    )
    prune.add_argument("--dry-run", action="store_true", help="only say what would be forgotten")


_NAMING = ("show", "export")
_RUNS = "RUN is a run's id or the beginning of one, 'last', or 'last~2': the second before the last."


def _list(args: argparse.Namespace, _say: Say) -> Outcome:
    with opened(args, make=False) as history:
        runs = queries.runs(history, most=args.most, branch=args.branch)
        tallies = queries.tallies(history, [run.id for run in runs])
    record = {
        "schema": "hil.record.list/1",
        "file": str(history.file),
        "runs": [asdict(run.origin) | _end(run) | asdict(tallies[run.id]) for run in runs],
    }
    rows = [
        (
            run.id,
            run.origin.bench,
            _revision(run.origin),
            str(tallies[run.id].profiles),
            _tests(tallies[run.id]),
            _standing(run),
        )
        for run in runs
    ]
    columns = ["run (UTC)", "bench", "revision", "profiles", "tests", "is"]
    drawn = table(None, columns, rows, right=("profiles",))
    drawn.columns[0].no_wrap = True  # it is there to be copied
    return Outcome(record, [drawn, Text(f"history: {history.file}")])


def _tests(tally: queries.Tally) -> str:
    return f"{tally.failed} of {tally.tests} failed" if tally.failed else f"{tally.tests} ok" if tally.tests else "-"


def _revision(origin: Origin) -> str:
    if not origin.revision:
        return "-"
    return f"{origin.branch} {origin.revision[:10]}".strip() + ("+" if origin.dirty else "")


def _end(run: queries.Run) -> dict[str, Any]:
    return {"ended": run.ended, "verdict": run.verdict, "standing": queries.standing(run)}


def _standing(run: queries.Run) -> Text:
    word = queries.standing(run)
    return Text(word, {"pass": "green", "fail": "red"}.get(word, ""))


def _show(args: argparse.Namespace, _say: Say) -> Outcome:
    with opened(args, make=False) as history:
        run = queries.run_named(history, args.name)
        record = run_record(history, run)
        profiles = queries.profiles(history, run.id)
        tests, usages = queries.tests(history, run.id), queries.usages_of(history, run.id)
    origin = run.origin
    took = f", {duration(1e6 * (run.ended - origin.began))}" if run.ended is not None else ""
    rows = [
        ("is", queries.standing(run)),
        ("began", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(origin.began)) + took),
        ("command", origin.command),
        ("on", f"{origin.host}, hil {origin.version}, process {origin.pid}"),
        ("bench", origin.bench),
        ("revision", _revision(origin)),
    ]
    measured = [
        (
            str(profile.found.subject),
            *(_value(profile.found, name) for name in ("mismatches", "latency", "ram_peak")),
            profile.place,
        )
        for profile in profiles
    ]
    failed = [(test.name, test.cause, test.message) for test in tests if test.outcome == "failed"]
    used = [(usage.name, usage.outcome, usage.what or "-") for usage in usages]
    views: list[RenderableType] = [facts(run.id, rows)]
    if measured:
        views.append(table(None, ["profile", "differ", "latency", "peak RAM", "place"], measured))
    if tests:
        skipped = sum(test.outcome == "skipped" for test in tests)
        views.append(Text(f"{len(tests)} tests: {len(failed)} failed, {skipped} skipped"))
    if failed:
        views.append(table(None, ["failed", "cause", "message"], failed))
    if args.logs:
        views += [facts(test.name, [("", test.log or "-")]) for test in tests if test.outcome == "failed"]
    if used:
        views.append(table(None, ["board", "was used", "what"], used))
    return Outcome(record, views)


def _value(found: Found, name: str) -> str:
    one = found.get(name)
    if one is None:
        return "-"
    draw: dict[str, Any] = {"us": duration, "bytes": size}
    return str(draw.get(one.measure.unit, "{:g}".format)(one.value))


def _boards(args: argparse.Namespace, _say: Say) -> Outcome:
    lab = lab_for(Where(args.bench))
    state = State(state_of(lab))
    with opened(args, make=False) as history:
        found = [health_of(history, board, state) for board in queries.used_boards(history)]
    found.sort(key=lambda health: (health.score, health.board))
    record = {
        "schema": "hil.record.boards/1",
        "history": str(history.file),
        "boards": [
            asdict(one) | {"score": round(one.score, 4), "set_aside": state.quarantined(one.board) is not None}
            for one in found
        ],
    }
    rows = [
        (
            one.name or "-",
            one.board,
            f"{one.score:.2f}",
            f"{one.bad} of {one.uses}",
            str(one.device),
            "set aside" if state.quarantined(one.board) else "in use",
            one.last_trouble or "-",
        )
        for one in found
    ]
    columns = ["board", "identity", "score", "bad uses", "device errors", "is", "last trouble"]
    closing = Text(f"from the last {LAST} uses since each was released; docs/history.md says what counts")
    return Outcome(record, [table(None, columns, rows, right=("score", "device errors")), closing])


def _export(args: argparse.Namespace, say: Say) -> Outcome:
    """Written as it is read: a history need not fit into memory."""
    with opened(args, make=False) as history:
        if args.names:
            runs = tuple(queries.run_named(history, name) for name in args.names)
        else:
            runs = tuple(reversed(queries.runs(history, most=-1)))
        if args.output is None:
            sys.stdout.writelines(exported(history, runs))
            sys.stdout.flush()
            return Outcome({}, [])
        say(f"writing {args.output}")
        try:
            with args.output.open("w", encoding="utf-8") as handle:
                handle.writelines(exported(history, runs))
        except OSError as error:
            raise UsageError(f"cannot write {args.output}: {error.strerror}") from error
    return Outcome({}, [Text(f"{len(runs)} run{'s' * (len(runs) != 1)} in {args.output}")])


def _import(args: argparse.Namespace, say: Say) -> Outcome:
    found = []
    with opened(args) as history:
        for path in args.files:
            say(f"reading {path}")
            try:
                if str(path) == "-":
                    new, known = imported(history, sys.stdin.buffer, "standard input")
                else:
                    with path.open("rb") as handle:
                        new, known = imported(history, handle, str(path), at=path.stat().st_mtime)
            except OSError as error:
                raise UsageError(f"cannot read {path}: {error.strerror}") from error
            found.append({"file": str(path), "new": new, "known": known})
    lines = [f"{one['file']}: {one['new']} new, {one['known']} known" for one in found]
    record = {"schema": "hil.record.import/1", "history": str(history.file), "files": found}
    return Outcome(record, [Text("\n".join([*lines, f"history: {history.file}"]))])


def _prune(args: argparse.Namespace, say: Say) -> Outcome:
    with opened(args, make=False) as history:
        before = time.time() - 86400 * args.older_than
        old = [run.id for run in queries.old_runs(history, before=before, keep=args.keep)]
        if old and not args.dry_run:
            say(f"forgetting {len(old)} runs")
            history.forget(old)
            history.shrink()
    record = {"schema": "hil.record.prune/1", "history": str(history.file), "dry_run": args.dry_run, "runs": old}
    done = "would be forgotten" if args.dry_run else "forgotten"
    lines = [*old, f"{len(old)} run{'s' * (len(old) != 1)} {done}, of {history.file}"]
    return Outcome(record, [Text("\n".join(lines))])


# -- what other commands keep ------------------------------------------------------------------------------------------


def add_history_options(sub: argparse.ArgumentParser) -> None:
    """`--history` and `--no-history`, as pytest's `--hil-history` and `--hil-no-history`."""
    add_history_file(sub)
    sub.add_argument("--no-history", action="store_true", help="keep nothing of the run")


def add_history_file(sub: argparse.ArgumentParser) -> None:
    """`--history` alone."""
    text = "the history of runs (default: $HIL_HISTORY, else the user's own)"
    sub.add_argument("--history", type=Path, metavar="FILE", help=text)


def opened(args: argparse.Namespace, *, make: bool = True) -> History:
    """The history that the options name. Raises `StateFailed`, and `UsageError` where there is none to read."""
    return History.open((args.history or history_file()).absolute(), make=make)


@contextmanager
def opened_if_there(args: argparse.Namespace) -> Iterator[History | None]:
    """The history, or None where nothing was kept yet and none is asked for by name. Raises `StateFailed`."""
    if args.history is None and not history_file().exists():
        yield None
        return
    with opened(args, make=False) as history:
        yield history


def words_for_pytest(args: argparse.Namespace) -> list[str]:
    """The options of `hil test` as pytest's. Raises `StateFailed` where nothing can be kept, before anything runs."""
    if args.no_history:
        return ["--hil-no-history"]
    opened(args).close()
    return [f"--hil-history={args.history}"] if args.history else []
