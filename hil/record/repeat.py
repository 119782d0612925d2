"""The command that runs one test of a run again, from the command that ran all of them."""

from __future__ import annotations

import shlex

_DROPPED = {"-k", "-m", "-n", "--numprocesses", "--dist", "--maxfail", "--junitxml", "--junit-xml"}
"""They choose tests, divide them or write about all of them: one test has no use for them. Each has a value."""
_DROPPED_FLAGS = {"-x", "--exitfirst", "--lf", "--last-failed", "--ff", "--failed-first", "--hil-update-baseline"}
_FLAGS = {"--pyargs", "--pdb", "--strict-markers", "--strict-config", "--hil-no-zoo", "--hil-require-hardware",
          "--hil-no-history", "--showlocals", "--verbose", "--quiet"}  # fmt: skip
_SHORT_FLAGS = frozenset("vqslxh")


def repeat_command(command: str, test: str) -> str:
    """The command line for `test`, a node id of pytest, with the options of `command`; of others `command` itself.

    A word that follows an option that is not known here is taken to be its value.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if words[:1] != ["pytest"] or "::" not in test:
        return command
    kept = ["pytest"]
    rest = iter(words[1:])
    takes_value = False
    for word in rest:
        name, equals, _ = word.partition("=")
        if not word.startswith("-"):
            kept += [word] * takes_value
            takes_value = False
            continue
        takes_value = False
        if name in _DROPPED:
            if not equals:
                next(rest, None)
        elif word[:2] in _DROPPED and not word.startswith("--"):
            continue  # the value is in the same word: -n2
        elif name not in _DROPPED_FLAGS:
            kept.append(word)
            takes_value = not equals and not _is_flag(word)
    return shlex.join([*kept, test])


def _is_flag(word: str) -> bool:
    short = not word.startswith("--")
    return word in _FLAGS or (short and (set(word[1:]) <= _SHORT_FLAGS or len(word) > 2))
