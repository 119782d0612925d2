"""The `hil` command: the same calls as the pytest plugin, with JSON and exit statuses for scripts."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

import hil
from hil import (
    api,
    cli_compare,
    cli_debug,
    cli_flash,
    cli_gate,
    cli_keep,
    cli_lab,
    cli_monitor,
    cli_record,
    cli_report,
    doctor,
)
from hil.cli_numbers import count as _count
from hil.cli_numbers import microseconds as _microseconds
from hil.deployment import Deployment, Say, model_named, silent
from hil.errors import DoesNotFit, HilError, UsageError
from hil.nodes import OBJECTIVES
from hil.record import (
    ClusterProfile,
    Limits,
    cluster_plan_record,
    cluster_record,
    plan_record,
    profile_record,
    refusal_record,
)
from hil.report import (
    Outcome,
    cluster_plan_view,
    cluster_profile_view,
    comparison,
    plain,
    plan_view,
    profile_view,
    show,
    table,
)
from hil.variant import CONSOLES, LOADS

_TOOLCHAIN = "compiler (default: zig, from pip); asan, tsan: gcc or clang with sanitizers, for native"
_EPILOG = """\
exit status: 0 good; 1 the verdict is bad; 2 usage; 3 refused before running (unsupported, malformed, does not fit);
4 infrastructure (no board, flash or link failed, tool missing); 5 the device failed (fault, out of memory, hang)

examples:
  hil profile model.tflite --board rp2040            measure one model
  hil profile model.tflite --board rp2040 --json -   the same as JSON, for scripts
  hil plan model.tflite --board rp2040               would it fit, and how fast would it be
  hil profile model.tflite --board rp2040 --nodes 4  split over four boards
  hil plan model.tflite --board 'rp2040*3,rp2350'    split over four boards of two kinds
  hil test --board rp2040 model.tflite               the whole test suite on one model
"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="hil",
        description="Hardware-in-the-loop tests for neural networks on microcontrollers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"hil {hil.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listing = _add(commands, "boards", _boards, "board kinds, where one can be reached now, who holds it, is it well")
    cli_lab.add_options(listing)
    cli_record.add_history_file(listing)
    cli_lab.add_command(commands)
    cli_monitor.add_command(commands)
    cli_debug.add_command(commands)
    cli_record.add_command(commands)
    _add(commands, "doctor", _doctor, "what is missing on this machine, and the command that mends it")
    plan = _add(commands, "plan", _plan, "what would run where: RAM, flash, predicted time; refuses what does not fit")
    build = _add(commands, "build", _build, "build firmware and program into ELF, BIN and UF2")
    flash = _add(commands, "flash", _flash, cli_flash.TEXT)
    profile = _add(commands, "profile", _profile, "build, flash, run, compare with the reference, measure")
    for sub in (plan, build, flash, profile):
        _model_options(sub)
    build.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="where the files go (default: here)")
    build.add_argument("--compile-commands", action="store_true", help="also write compile_commands.json for editors")
    cli_flash.options(flash)
    _profile_options(profile)
    cli_report.options(_add(commands, "report", cli_report.run, cli_report.TEXT))
    _test_options(commands)
    cli_gate.add_command(commands)
    cli_compare.add_command(commands)
    return top


def _add(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    sub.add_argument("--json", metavar="PATH", help="write the result as JSON; '-' is standard output, alone on it")
    sub.set_defaults(run=run)
    return sub


def _model_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("model", type=Path, metavar="MODEL", help="a .tflite file, int8")
    board = "a board kind ('hil boards' lists them), or a list that is one cluster: 'rp2040*3,rp2350'"
    sub.add_argument("--board", required=True, metavar="BOARD", help=board)
    sub.add_argument("--cores", type=_count(1), default=1, metavar="N", help="cores to use of each board (default: 1)")
    nodes = "boards to split over (default: 1, or as many as --board names)"
    sub.add_argument("--nodes", type=_count(1), metavar="N", help=nodes)
    link = "wire between the nodes, such as uart-3M, or numbers: uart:921600:125:25 (default: the board's)"
    sub.add_argument("--link", metavar="NAME", help=link)
    objective = "what the split is searched for (default: latency); on one board: plan with line buffers"
    sub.add_argument("--objective", choices=OBJECTIVES, help=objective)
    sub.add_argument("--toolchain", choices=("zig", "gcc", "asan", "tsan"), default="zig", help=_TOOLCHAIN)
    load = "where the image lies (default: flash); ram: a debugger writes it there, flash is left alone"
    sub.add_argument("--load", choices=LOADS, default="flash", help=load)
    console = "the firmware's console (default: the lab file's, else uart); rtt: in RAM, a debugger reads and writes it"
    sub.add_argument("--console", choices=CONSOLES, help=console)


def _profile_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--inputs", type=_count(1), default=4, metavar="N", help="seeded input sets (default: 4)")
    sub.add_argument("--seed", type=_count(0), default=0, metavar="S", help="seed of the input sets (default: 0)")
    sub.add_argument("--warmup", type=_count(0), metavar="N", help="runs before timing (default: 2; virtual: 1)")
    sub.add_argument("--repeats", type=_count(1), metavar="N", help="timed runs (default: 10; virtual: 2)")
    many = "also run K inferences one behind the other on several boards, and tell how many that is a second"
    sub.add_argument("--throughput", "--in-flight", type=_count(1), default=1, metavar="K", dest="in_flight", help=many)
    sub.add_argument("--layers", action="store_true", help="also compare every operator's output")
    steps = (
        "on several boards: also show what each computed, waited and sent, exchange by exchange (JSON has it always)"
    )
    sub.add_argument("--steps", action="store_true", help=steps)
    sub.add_argument("--max-latency-us", type=_microseconds, metavar="T", help="fail above this median latency")
    cli_lab.add_options(sub)
    cli_record.add_history_options(sub)
    sub.add_argument("--max-ram", type=_count(1), metavar="BYTES", help="fail above this peak RAM")


def _test_options(commands: Any) -> None:
    text = "run the test suite that ships with hil: short for 'pytest --pyargs hil.suite --board=...'"
    more = ". Words after '--' go to pytest: hil test --board rp2040 model.tflite -- -k latency --junitxml=r.xml"
    sub = commands.add_parser("test", help=text, description=text[0].upper() + text[1:] + more)
    sub.add_argument("models", nargs="*", type=Path, metavar="MODEL", help=".tflite files (default: the built-in zoo)")
    sub.add_argument("--board", required=True, metavar="BOARD", help="a board kind, or several with commas")
    cli_record.add_history_options(sub)


# -- commands ----------------------------------------------------------------------------------------------------------


def _boards(args: argparse.Namespace, _say: Say) -> Outcome:
    boards = api.known_boards()
    with cli_record.opened_if_there(args) as history:
        places = {board.name: api.places(board, cli_lab.where_of(args), history=history) for board in boards}
    record = [
        {
            "name": board.name,
            "title": board.title,
            "cores": board.cores,
            "clock_hz": board.clock_hz,
            "ram": board.ram.bytes + board.stack.bytes,
            "flash": board.flash.bytes,
            "reachable": [vars(place) for place in places[board.name]],
        }
        for board in boards
    ]
    rows = [
        (
            board.name,
            board.title,
            str(board.cores),
            "\n".join(map(_place, places[board.name])) or "nowhere",
        )
        for board in boards
    ]
    return Outcome(
        {"schema": "hil.boards/1", "boards": record}, [table(None, ["board", "what", "cores", "where"], rows)]
    )


def _place(place: api.Place) -> str:
    held = f", held by {place.held_by}" if place.held_by else ""
    health = f", {place.health}" if place.health != "well" else ""
    score = f", health {place.score:.2f} over {place.uses} uses" if place.score is not None else ""
    return f"{place.bench}: {place.where}{held}{health}{score}"


def _doctor(_args: argparse.Namespace, _say: Say) -> Outcome:
    findings = doctor.examine()
    rows = [
        (
            Text("ok", "green") if f.good else Text("missing", "red") if f.needed else Text("-"),
            f.what,
            f.found,
            f.mend or f.why,
        )
        for f in findings
    ]
    bad = [f for f in findings if f.needed and not f.good]
    closing = f"{len(bad)} missing: run the commands above" if bad else "ready: hil profile MODEL --board rp2040"
    views: list[RenderableType] = [
        table(None, ["", "what", "found", "for, or mended by"], rows),
        Text(closing),
    ]
    return Outcome({"schema": "hil.doctor/1", "findings": [vars(f) for f in findings]}, views, 4 if bad else 0)


def _request(args: argparse.Namespace, **more: Any) -> api.Request:
    return api.Request(
        board=args.board, cores=args.cores, nodes=args.nodes, link=args.link, objective=args.objective,
        toolchain=args.toolchain, load=args.load, console=args.console, **more,
    )  # fmt: skip


def _plan(args: argparse.Namespace, say: Say) -> Outcome:
    request = _request(args)
    try:
        return _planned(args, request, say)
    except DoesNotFit as error:
        if args.json:
            _write(args.json, refusal_record(model_named(args.model), request.cores, request.objective, error))
        raise


def _planned(args: argparse.Namespace, request: api.Request, say: Say) -> Outcome:
    if request.split:
        record = cluster_plan_record(api.plan_cluster(args.model, request, say=say))
        return Outcome(record, cluster_plan_view(record))
    record = plan_record(api.plan(args.model, request, say=say))
    return Outcome(record, [*plan_view(record), *(comparison(record) if request.objective else [])])


def _build(args: argparse.Namespace, say: Say) -> Outcome:
    request = _request(args)
    if request.split:
        several = api.prepare_cluster(args.model, request, say=say)
        nodes: Sequence[Deployment] = several.nodes
        made = api.export_cluster(several, args.output, compile_commands=args.compile_commands)
    else:
        nodes = [api.prepare(args.model, request, say=say)]
        made = api.export(nodes[0], args.output, compile_commands=args.compile_commands)
    images = [
        {"board": n.board.name, "build": n.image.build_id, "flash_code": n.image.code, "flash_program": n.image.program}
        for n in nodes
    ]
    record = {
        "schema": "hil.build/1",
        **(images[0] if len(images) == 1 else {"board": args.board, "per_node": images}),
        "toolchain": args.toolchain,
        "files": [str(path) for path in made],
    }
    rows = [(path.suffix[1:] or path.name, str(path), str(path.stat().st_size)) for path in made]
    return Outcome(record, [table(None, ["file", "path", "bytes"], rows, right=("bytes",))])


def _flash(args: argparse.Namespace, say: Say) -> Outcome:
    return cli_flash.run(_request(args), args, say)


def _profile(args: argparse.Namespace, say: Say) -> Outcome:
    request = _request(
        args,
        inputs=args.inputs,
        seed=args.seed,
        warmup=args.warmup,
        repeats=args.repeats,
        layers=args.layers,
        in_flight=args.in_flight,
        limits=Limits(args.max_latency_us, args.max_ram),
        where=cli_lab.where_of(args),
    )
    if args.steps and not request.split:
        raise UsageError("--steps: one board exchanges nothing", hint="--nodes 2")
    with cli_keep.keeping(args, request) as kept:
        result = api.profile(args.model, request, say=say, uses=kept.uses)
        if isinstance(result, ClusterProfile):
            record = cluster_record(result)
            views = cluster_profile_view(record, steps=args.steps)
        else:
            record = profile_record(result)
            views = profile_view(record)
        kept.measured(record)
    status = kept.trouble.exit_status if kept.trouble else 0 if result.passed else 1
    return Outcome(record, [*views, *kept.views()], status)


_STATUS_OF_PYTEST = {0: 0, 1: 1, 2: 130, 3: 4, 4: 2, 5: 2}
"""pytest's exit codes as ours: failed is a bad verdict; usage, and nothing collected, are usage."""


def _test(args: argparse.Namespace, rest: Sequence[str]) -> int:
    import pytest  # noqa: PLC0415 - the other commands start faster without it

    models = [f"--hil-model={path}" for path in args.models] + (["--hil-no-zoo"] if args.models else [])
    history = cli_record.words_for_pytest(args)
    # `hil` is loaded by now, which pytest would warn of: assertions in it are not explained, only the suite's are.
    calm = "-Wignore:Module already imported:pytest.PytestAssertRewriteWarning"
    status = pytest.main(["--pyargs", "hil.suite", calm, f"--board={args.board}", *models, *history, *rest])
    return _STATUS_OF_PYTEST.get(int(status), int(status))


# -- output ------------------------------------------------------------------------------------------------------------


def _check_writable(path: str | None) -> None:
    """Refuse an output that cannot be written before minutes are spent on what would be in it."""
    if path is None or path == "-":
        return
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        why = "permission denied" if target.parent.is_dir() else f"there is no folder {target.parent}"
        raise UsageError(f"cannot write {path}: {why}")


def _write(path: str, record: Mapping[str, Any]) -> None:
    """A record as JSON, to a file or to standard output."""
    text = json.dumps(record, indent=2, sort_keys=False, allow_nan=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def _emit(path: str | None, outcome: Outcome) -> None:
    if path is not None:
        _write(path, outcome.record)
    if path == "-":
        return
    # Drawn first, written then: a reader that went away must not look like one of our exit statuses.
    console = Console()
    with console.capture() as drawn:
        show(console, outcome.views)
    sys.stdout.write(drawn.get())
    sys.stdout.flush()


@contextmanager
def _progress() -> Iterator[Say]:
    """What is being done, on a line of standard error that goes away; nothing where that is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield silent
        return
    with console.status("starting") as status:
        yield lambda text: status.update(Text(plain(text)))


def _run(args: argparse.Namespace, rest: Sequence[str]) -> int:
    if args.command == "test":
        return _test(args, rest)
    for name in ("json", *getattr(args, "outputs", ())):
        _check_writable(getattr(args, name))
    with _progress() as say:
        outcome: Outcome = args.run(args, say)
    _emit(args.json, outcome)  # the line of progress is gone by now
    return outcome.status


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if words[:1] == ["test"] and "--" in words else len(words)
    args = parser().parse_args(words[:cut])
    args.words = words
    try:
        return _run(args, words[cut + 1 :])
    except HilError as error:
        Console(stderr=True, soft_wrap=True).print(Text.assemble(("hil: ", "bold red"), plain(str(error))))
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("hil: interrupted; boards are freed\n")
        return 130
    except BrokenPipeError:
        # Whoever read our output had enough. Python flushes once more at its end: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
