"""`hil gate`: may it be released? Conditions of a file, held against runs; one page, and one exit status."""

from __future__ import annotations

import argparse
import textwrap
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from hil import cli_record
from hil.deployment import Say
from hil.errors import UsageError
from hil.record import gatefile, junit
from hil.record.findings import gate_record
from hil.record.gate import evaluate
from hil.record.gate_changes import Standard
from hil.record.gate_inputs import baseline_named, gathered
from hil.record.history import History, history_file
from hil.record.measurement import MEASURES
from hil.report import Outcome, gate_markdown, gate_view, junit_text

_TEXT = "hold runs against the conditions of a gate file: may this be released"
_BASELINES = Path("baselines")


def _measurements() -> str:
    words = [f"{measure.name} ({measure.unit})" for measure in MEASURES.values()]
    return textwrap.fill(", ".join(words), 110, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


_EPILOG = f"""\
exit status: 0 all conditions hold; 1 one does not, or matched nothing, or a merged test failed; 2 usage; 4 no history

examples:
  hil gate                                       the last run, by ./gate.toml
  hil gate 20260101-0211 lab2.jsonl              a run of this machine, and what another exported
  hil gate --junit-in rp2040.xml rp2350.xml --junit all.xml --markdown summary.md
  hil profile MODEL --board rp2040 --json p.json; hil gate p.json

a first gate.toml, as --init writes it:

{"".join(f"  {line}" for line in gatefile.FIRST.splitlines(keepends=True))}
conditions: [virtual|hardware] MEASUREMENT <=|<|>=|>|== NUMBER UNIT; MEASUREMENT regression <= NUMBER %;
  no [MEASUREMENT] regression; [hardware|virtual] result required; tests pass
and about what: everywhere, or on BOARD, for MODEL ('*' and 'and' for several), with N cores, with N nodes,
  at most N h old
measurements and their units:
{_measurements()}
"""


def add_command(commands: Any) -> None:
    """`hil gate` and its options."""
    sub: argparse.ArgumentParser = commands.add_parser(
        "gate",
        help=_TEXT,
        description=_TEXT[0].upper() + _TEXT[1:] + ".",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    runs = "a run's id or the beginning of one, 'last', 'last~1'; a file of hil record export or hil profile --json"
    sub.add_argument("runs", nargs="*", metavar="RUN", help=f"{runs} (default: last)")
    sub.add_argument("--gate", type=Path, default=gatefile.DEFAULT, metavar="FILE", help="default: gate.toml")
    cli_record.add_history_file(sub)
    against = (
        "what regressions are held against: auto (the folder 'baselines', if it is there), a folder, last:N (the last "
        "N good runs of this branch), last:N@BRANCH, a run, none (default: auto)"
    )
    sub.add_argument("--baseline", default="auto", metavar="WHAT", help=against)
    merged = "JUnit files of boards to merge; a test that failed in one fails the gate"
    sub.add_argument("--junit-in", type=Path, nargs="+", action="extend", default=[], metavar="FILE", help=merged)
    sub.add_argument("--junit", metavar="FILE", help="write JUnit: a case for each condition, and the merged ones")
    sub.add_argument("--markdown", metavar="FILE", help="write a summary for a pull request")
    sub.add_argument("--json", metavar="PATH", help="write the result as JSON; '-' is standard output, alone on it")
    sub.add_argument("--init", action="store_true", help="write a first gate file, and do nothing else")
    sub.set_defaults(run=_run, outputs=("junit", "markdown"))


def _run(args: argparse.Namespace, say: Say) -> Outcome:
    for name, file in (("--junit", args.junit), ("--markdown", args.markdown)):
        if file == "-":
            raise UsageError(f"{name} -: standard output is for --json; {name} takes a file", hint=f"{name} FILE")
    if args.init:
        return _first(args.gate)
    gate = gatefile.load(args.gate)
    with ExitStack() as stack:
        opened = partial(cli_record.opened, args, make=False)

        def history() -> History:
            return stack.enter_context(opened())

        inputs = gathered(args.runs or ["last"], opened, say)
        what = str(_BASELINES) if args.baseline == "auto" and _BASELINES.is_dir() else args.baseline
        none = what in ("auto", "none")
        baseline = None if none else baseline_named(what, inputs, history)
        there = (args.history or history_file()).is_file()
        standard = Standard(baseline, gate.policies, history() if there else None)
        say("reading JUnit")
        merged = junit.read_all(args.junit_in)
        more = [junit.judged(merged)] if merged else []
        verdict = evaluate(gate, inputs, standard, now=time.time(), more=more, say=say)
    say("writing")
    if args.junit:
        _write(args.junit, junit_text(verdict, merged))
    if args.markdown:
        _write(args.markdown, gate_markdown(verdict))
    return Outcome(gate_record(verdict), gate_view(verdict), 0 if verdict.passed else 1)


def _first(file: Path) -> Outcome:
    try:
        with file.open("x", encoding="utf-8") as handle:
            handle.write(gatefile.FIRST)
    except FileExistsError as error:
        raise UsageError(f"{file} is there already", hint=f"hil gate --gate {file}") from error
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error
    return Outcome({"schema": "hil.gate.init/1", "gate": str(file)}, [Text(f"{file} is written: hil gate uses it")])


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
