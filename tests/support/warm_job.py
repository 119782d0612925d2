"""A job for `hil.flash.warm`: tells which process it is and what it has seen, then does what it is told."""

from __future__ import annotations

import json
import os
import socket
import sys
import time

SEEN: list[str] = []


def serve(connection: socket.socket) -> int:
    """Answer with pid, parent and the jobs that this memory knows of; "hang" never ends, "die" ends without a word."""
    with connection, connection.makefile("rw") as lines:
        word = lines.readline().strip()
        SEEN.append(word)
        sys.stderr.write(f"did {word}\n")
        sys.stderr.flush()
        if word == "die":
            os._exit(7)
        lines.write(json.dumps({"pid": os.getpid(), "server": os.getppid(), "seen": SEEN}) + "\n")
        lines.flush()
        if word == "hang":
            time.sleep(600)
        lines.readline()
    return 0
