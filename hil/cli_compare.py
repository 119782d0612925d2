"""`hil compare`: what changed from one run to another, or since the baseline."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from hil import cli_record
from hil.deployment import Say
from hil.errors import UsageError
from hil.record.baseline import Compared
from hil.record.compare import change_record
from hil.record.findings import Taken
from hil.record.gate_changes import Standard
from hil.record.gate_inputs import baseline_named, gathered
from hil.record.history import History
from hil.record.policy import Policies, effects_in
from hil.report import Outcome, plain
from hil.report.changes import change_table
from hil.report.summary import WIDE

_TEXT = "what changed from one run to another, or since the baseline; worst first"
_BASELINES, _GATE = Path("baselines"), Path("gate.toml")
_EPILOG = """\
exit status: 0 nothing is worse; 1 something is; 2 usage, or the two have nothing in common; 4 no history

examples:
  hil compare                          the last run with ./baselines
  hil compare last last~1              the last run with the one before
  hil compare last last:10@main        with the last 10 good runs of main
  hil compare new.json old.json        what 'hil profile --json' wrote
"""


def add_command(commands: Any) -> None:
    """`hil compare` and its options."""
    sub: argparse.ArgumentParser = commands.add_parser(
        "compare",
        help=_TEXT,
        description=_TEXT[0].upper() + _TEXT[1:] + ".",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    runs = "a run's id or the beginning of one, 'last', 'last~1'; a file of hil record export or hil profile --json"
    sub.add_argument("named", nargs="?", default="last", metavar="RUN", help=f"{runs} (default: last)")
    before = "what it is held against: another, a folder of baselines, or 'last:N[@BRANCH]' good runs"
    sub.add_argument("before", nargs="?", metavar="BEFORE", help=f"{before} (default: ./baselines)")
    cli_record.add_history_file(sub)
    effects = "the file whose [[effect]] tables say which changes matter (default: gate.toml, if it is there)"
    sub.add_argument("--gate", type=Path, metavar="FILE", help=effects)
    sub.add_argument("--all", action="store_true", help="also what stayed the same")
    sub.add_argument("--json", metavar="PATH", help="write the result as JSON; '-' is standard output, alone on it")
    sub.set_defaults(run=_run)


def _run(args: argparse.Namespace, say: Say) -> Outcome:
    policies = Policies(effects_in(args.gate or _GATE)) if args.gate or _GATE.is_file() else Policies()
    with ExitStack() as stack:

        def history() -> History:
            return stack.enter_context(_opened(args))

        inputs = gathered([args.named], partial(_opened, args), say)
        baseline = baseline_named(_before(args), inputs, history)
        standard = Standard(baseline, policies, None if Path(args.named).is_file() else history())
        say("comparing")
        found = [standard.compared(one, baseline, policies) for one in inputs.profiles]
    if not any(one.known for one in found):
        raise UsageError(
            f"{args.named} and {baseline.title} have nothing in common; of {args.named}: {inputs.there_is}",
            hint="hil record show",
        )
    worse = any(one.worse for one in found)
    record = {
        "schema": "hil.compare/1",
        "runs": list(inputs.runs),
        "baseline": baseline.title,
        "deployments": [_record(one, taken) for one, taken in zip(found, inputs.profiles, strict=True)],
        "verdict": "fail" if worse else "pass",
    }
    return Outcome(record, _views(found, baseline.title, everything=args.all), 1 if worse else 0)


def _opened(args: argparse.Namespace) -> History:
    return cli_record.opened(args, make=False)


def _before(args: argparse.Namespace) -> str:
    if args.before is not None:
        return str(args.before)
    if _BASELINES.is_dir():
        return str(_BASELINES)
    raise UsageError(
        f"nothing to compare {args.named} with: there is no folder {_BASELINES}",
        hint="hil compare last last~1; or pytest --board=... --hil-update-baseline",
    )


def _record(compared: Compared, taken: Taken) -> dict[str, Any]:
    return {
        "subject": asdict(compared.subject),
        "run": taken.run,
        "place": taken.place,
        "known": compared.known,
        "notes": list(compared.notes),
        "changes": [change_record(change) for change in compared.changes],
    }


def _views(found: Sequence[Compared], title: str, *, everything: bool) -> list[RenderableType]:
    known = [one for one in found if one.known]
    rows = [
        (one.subject.model, str(one.subject).removeprefix(f"{one.subject.model} on "), change_record(change))
        for one in known
        for change in one.changes
        if everything or change.kind != "same"
    ]
    count = sum(len(one.changes) for one in known)
    views: list[RenderableType] = []
    if rows:
        drawn = change_table(rows, wide=Console().width >= WIDE, every=everything)
        views += [Text(plain(f"since {title}:")), drawn.table, *(Text(plain(note)) for note in drawn.notes)]
    else:
        views.append(Text(plain(f"since {title}: all {count} measurements are the same")))
    views += [Text(plain(f"{one.subject}: {note}")) for one in known for note in one.notes]
    views += [Text(plain(f"not in {title}: {one.subject}")) for one in found if not one.known]
    return views
