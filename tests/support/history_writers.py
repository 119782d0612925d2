"""A hundred processes that write one history at once, of which twenty are killed: `history_writers.py FILE SEED`.

What each has been told is kept it notes beside the history, in FILE.acknowledged: a line 'run id, profiles' for each
run whose end was written. The children are forked by a process that has loaded little, so that there can be many.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

from hil.record.history import History, Result, Usage
from hil.record.origin import here
from tests.support.records import profile

WRITERS, KILLED = 100, 20
RUNS, PROFILES = 2, 2
LATEST_KILL = 3.0  # seconds after the start


def write(file: Path, number: int, *, for_ever: bool) -> None:
    """Write runs until killed, or so many."""
    acknowledged = os.open(f"{file}.acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    origin = here("virtual bench", command=f"writer {number}")
    with History.open(file) as history:
        count = 0
        while for_ever or count < RUNS:
            run = history.begin(replace(origin, id=f"{number:03}-{count}", began=time.time()))
            for k in range(PROFILES):
                run.profiled(profile(latency=1000.0 + k), place=f"board {number}")
            run.tested(Result(f"test_{number}", "passed"))
            run.used(Usage(f"serial {number}", "pico", "well"))
            run.verdict("pass")
            run.end()
            os.write(acknowledged, f"{run.id} {PROFILES}\n".encode())
            count += 1


def main() -> int:
    file, draw = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
    doomed = set(draw.sample(range(WRITERS), KILLED))
    children: dict[int, int] = {}
    for number in range(WRITERS):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                write(file, number, for_ever=number in doomed)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        children[child] = number
    began = time.monotonic()
    for moment, child in sorted(
        (draw.uniform(0, LATEST_KILL), c) for c, number in children.items() if number in doomed
    ):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        os.kill(child, signal.SIGKILL)
    ends = {children[child]: os.waitpid(child, 0)[1] for child in children}
    bad = {n: end for n, end in ends.items() if end != (signal.SIGKILL if n in doomed else 0)}
    done = WRITERS - len(doomed) - len(bad)
    print(f"{len(doomed)} killed, {done} done, failed: {bad}, {time.monotonic() - began:.1f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
