"""How quick a history of a million measurements is: `python -m benchmarks.history_speed` in the clone.

Two histories are filled with made-up runs, one of a million measurements and one of a tenth of that, and asked the
same questions. Printed: rows that come back; steps of SQLite's machine, which depend on the data alone; how many times
more these are than in the small history; and the median of the seconds, which depend on this machine.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.record import History, Result, Subject, Usage, queries
from hil.record.origin import Origin
from tests.support.records import profile

MODELS, BOARDS = 12, ("rp2040", "rp2350", "esp32c3", "riscv-virt")
REPEATS = 10
_EACH = 13  # measurements of a profile
_STEPS = 50  # of SQLite's machine between two counts


@dataclass(frozen=True)
class Answer:
    """What a question cost: rows, steps of SQLite's machine, seconds."""

    rows: int
    steps: int
    seconds: float


def fill(history: History, measurements: int) -> int:
    """Runs of all models on all boards, a night each, until there are so many measurements; gives that number."""
    draw, made, night = random.Random(0), 0, 0
    while made < measurements:
        branch = "main" if night % 3 else f"topic-{night}"
        began = 1.7e9 + 86400 * night
        origin = Origin(f"run-{night:06}", began, "nightly", "lab", 1, "0.1.0", f"{night:040x}", branch, False, "lab")
        with history.changing(), history.run(origin) as run:
            for number in range(MODELS * len(BOARDS)):
                model, board = f"model-{number % MODELS}", BOARDS[number // MODELS]
                us = 1000.0 + draw.gauss(0, 5)
                samples = [us + draw.gauss(0, 3) for _ in range(10)]
                record = profile(model, board, latency=us, source="hardware")
                record["latency"] |= {"samples": samples}
                run.profiled(record, place=f"{board} at /dev/serial/by-id/usb-{number}", at=began + number)
                run.tested(Result(f"suite.py::test_outputs[{model}-{board}-1core]", "passed", at=began + number))
                made += _EACH
            for board in BOARDS:
                run.used(Usage(f"serial {board}", board, "well", at=began))
            run.verdict("pass")
        night += 1
    return made


def asked(history: History, question: Callable[[], Sequence[Any]]) -> Answer:
    """The answer to a question that is put several times."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += _STEPS
        return 0

    question()
    history._base.set_progress_handler(count, _STEPS)
    rows = len(question())
    history._base.set_progress_handler(None, 0)
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        question()
        seconds.append(time.perf_counter() - began)
    return Answer(rows, max(steps, _STEPS), statistics.median(seconds))


def answers(history: History) -> dict[str, Answer]:
    """What people and the other rooms ask."""
    subject = Subject("model-5", "rp2350", 1, 1, "hardware")
    last = queries.runs(history, most=1)[0]
    questions: dict[str, Callable[[], Sequence[Any]]] = {
        "chart": lambda: queries.series(history, subject, "latency"),
        "chart of a branch": lambda: queries.series(history, subject, "latency", branch="main"),
        "chart of what was good": lambda: queries.series(history, subject, "latency", branch="main", good=True),
        "chart of a rare branch": lambda: queries.series(history, subject, "latency", branch="topic-0"),
        "runs": lambda: queries.runs(history),
        "runs of a branch": lambda: queries.runs(history, branch="main"),
        "a run's profiles": lambda: queries.profiles(history, last.id),
        "a run's tests": lambda: queries.tests(history, last.id),
        "subjects": lambda: queries.subjects(history),
        "boards": lambda: queries.used_boards(history),
        "uses of a board": lambda: queries.usages(history, "serial rp2040"),
    }
    return {name: asked(history, question) for name, question in questions.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measurements", type=int, default=1_000_000, help="in the large history")
    parser.add_argument("--folder", type=Path, help="where to keep both (default: nowhere)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = []
        for name, count in (("small", args.measurements // 10), ("large", args.measurements)):
            file = (args.folder or Path(scratch)) / f"{name}.sqlite"
            with History.open(file) as history:
                began = time.perf_counter()
                made = 0 if queries.runs(history, most=1) else fill(history, count)
                took = time.perf_counter() - began
                found.append(answers(history))
            print(f"{name}: {made} measurements, {file.stat().st_size / 1e6:.0f} MB, filled in {took:.0f} s")
    small, large = found
    print(f"{'question':24} {'rows':>6} {'steps':>9} {'of small':>9} {'ms':>8}")
    for name, answer in large.items():
        ratio = answer.steps / small[name].steps
        print(f"{name:24} {answer.rows:6} {answer.steps:9} {ratio:8.1f}x {answer.seconds * 1000:8.2f}")


if __name__ == "__main__":
    main()
