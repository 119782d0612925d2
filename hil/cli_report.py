"""`hil report`: the page of a run, or a server for a screen in the lab."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.text import Text

from hil import cli_lab
from hil.cli_record import add_history_file, opened
from hil.deployment import Say
from hil.errors import UsageError
from hil.record import queries
from hil.record.baseline import Baseline
from hil.record.findings import Inputs
from hil.record.gate_inputs import baseline_named
from hil.record.history import History, history_file
from hil.record.policy import Policies, effects_in
from hil.report.outcome import Outcome

_BASELINES, _GATE = Path("baselines"), Path("gate.toml")
TEXT = "the page of a run: one HTML file; or with --serve a wall for the lab"


def options(sub: argparse.ArgumentParser) -> None:
    """The options of `hil report`."""
    sub.add_argument("which", nargs="?", default="last", metavar="RUN",
                     help="its id, the beginning of one, or last, last~1 (default: last)")  # fmt: skip
    sub.add_argument("--output", type=Path, metavar="FILE", help="where the page goes (default: hil-RUN.html)")
    add_history_file(sub)
    before = "hold it against a folder of baselines, 'last:N[@BRANCH]' good runs, or another run"
    sub.add_argument("--baseline", metavar="BEFORE",
                     help=f"{before} (default: ./baselines, else the last good runs of its branch)")  # fmt: skip
    effects = "the file whose [[effect]] tables say which changes matter (default: gate.toml, if it is there)"
    sub.add_argument("--gate", type=Path, metavar="FILE", help=effects)
    sub.add_argument("--serve", nargs="?", const="", metavar="HOST:PORT",
                     help="serve a wall: live runs, boards, last night (default: 127.0.0.1:8090)")  # fmt: skip
    cli_lab.add_options(sub)


def run(args: argparse.Namespace, say: Say) -> Outcome:
    """Write the page, or serve until Ctrl-C."""
    if args.serve is not None:
        return _serve(args)
    from hil.report.html import run_page  # noqa: PLC0415 - the other commands do not wait for templates
    from hil.report.run import run_view  # noqa: PLC0415

    policies = Policies(effects_in(args.gate or _GATE)) if args.gate or _GATE.is_file() else Policies()
    with ExitStack() as stack:

        def history() -> History:
            """Another connection each time: who asks for one may close it."""
            return stack.enter_context(opened(args, make=False))

        ours = history()
        found = queries.run_named(ours, args.which)
        say(f"reading run {found.id}")
        view = run_view(ours, found, baseline=_baseline(args, history, found), policies=policies)
    output = args.output or _file(found.id)
    text = run_page(view)
    _write(output, text)
    record = {
        "schema": "hil.report/1",
        "run": found.id,
        "verdict": found.verdict,
        "file": str(output),
        "bytes": output.stat().st_size,
        "worse": view.kinds("worse"),
    }
    return Outcome(record, [Text(f"run {found.id}: {view.word}; {output}")])


def _file(run: str) -> Path:
    """Where a run's page goes if nobody says. Its id may come from a file of another machine."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", run):
        raise UsageError(f"run {run!r} cannot name a file", hint="hil report RUN --output page.html")
    return Path(f"hil-{run}.html")


def _baseline(args: argparse.Namespace, history: Callable[[], History], run: queries.Run) -> Baseline | None:
    """None: the last good runs of its branch."""
    name = args.baseline or (str(_BASELINES) if _BASELINES.is_dir() else None)
    if name is None:
        return None
    before = Inputs(began=run.origin.began, branch=run.origin.branch or None)
    return baseline_named(name, before, history)


def _write(output: Path, text: str) -> None:
    """All of it or nothing: whoever looks at the file meanwhile sees the old one."""
    scratch = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(output)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise UsageError(f"cannot write {output}: {error.strerror}") from error


def _serve(args: argparse.Namespace) -> Outcome:
    from hil.report.serve import address, lab_server  # noqa: PLC0415

    if args.output or args.which != "last" or args.baseline or args.gate:
        raise UsageError(
            "--serve shows all runs: no RUN, --output, --baseline or --gate with it", hint="hil report --serve"
        )
    host, port = address(args.serve)
    history = (args.history or history_file()).absolute()
    with lab_server(host, port, history, cli_lab.where_of(args)) as server:
        try:
            sys.stderr.write(f"hil: the wall is at {server.url} until Ctrl-C\n")
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            sys.stderr.write("\n")
        url = server.url
    return Outcome({"schema": "hil.report.serve/1", "url": url}, [])
