"""Baselines: what a measurement was before. A committed file, the last good runs of a branch, or another run.

baseline = FileBaseline(Path("baselines"))
for one in held_against(found, baseline, policies).changes: ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from hil.errors import UsageError
from hil.record import baseline_file, queries
from hil.record.baseline_file import Entry
from hil.record.compare import Change, Reference, compare, worst_first
from hil.record.history import History
from hil.record.measurement import Found, Subject
from hil.record.policy import DEFAULT, Policies

MOST_RUNS = 1000


class Baseline(Protocol):
    """Where measurements are from that others are held against. `title`: as it is told to people."""

    title: str

    def get(self, subject: Subject, name: str) -> Reference | None:
        """What a measurement of a subject was; None where that is not known."""

    def subjects(self) -> Sequence[Subject]:
        """Everything that it knows."""


@dataclass(frozen=True)
class Compared:
    """A profile held against a baseline: changes, worst first. `notes`: what else is not as it was."""

    subject: Subject
    title: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()

    @property
    def worse(self) -> tuple[Change, ...]:
        """The regressions."""
        return tuple(change for change in self.changes if change.kind == "worse")

    @property
    def known(self) -> bool:
        """Whether the baseline has anything of the subject."""
        return any(change.kind != "new" for change in self.changes)


def held_against(found: Found, baseline: Baseline, policies: Policies = DEFAULT) -> Compared:
    """Hold all measurements of a profile against a baseline.

    Virtual and hardware never meet: they are different subjects. A baseline made with another toolchain is used where
    there is none with this one, and that is said; so is another model under the same name. With another number of input
    sets counted times are held to the smallest effect too: what a kernel takes hangs on its data.
    """
    subject, notes = _counterpart(found.subject, baseline)
    references = {after.name: baseline.get(subject, after.name) for after in found.measurements}
    newest = next((one for one in references.values() if one is not None), Reference((), ""))
    other_data = 0 not in (newest.inputs, found.inputs) and newest.inputs != found.inputs
    changes = []
    for after in found.measurements:
        policy = policies.of(found.subject, after.name)
        if other_data and after.measure.timed:
            policy = replace(policy, counted=max(policy.counted, policy.least))
        changes.append(compare(after.name, references[after.name] or (), after, policy))
    if newest.model_sha256 not in ("", found.model_sha256):
        notes.append(f"the model changed: sha256 {newest.model_sha256[:12]} -> {found.model_sha256[:12]}")
    if other_data:
        notes.append(f"the inputs changed: {newest.inputs} sets -> {found.inputs}; times hang on data")
    return Compared(found.subject, baseline.title, tuple(worst_first(_one_time(changes))), tuple(notes))


def _one_time(changes: Sequence[Change]) -> Iterator[Change]:
    """Cycles of which the median alone is known are told by the latency: it is the same time by another counter."""
    latency = next((one for one in changes if one.name == "latency" and one.before is not None), None)
    for change in changes:
        if change.name == "latency_cycles" and change.kind == "changed" and latency is not None:
            yield replace(change, kind=latency.kind, why=f"as latency: {latency.why}")
        else:
            yield change


def _counterpart(subject: Subject, baseline: Baseline) -> tuple[Subject, list[str]]:
    known = baseline.subjects()
    if subject in known:
        return subject, []
    for other in sorted(known):
        if replace(other, toolchain=subject.toolchain) == subject:
            return other, [f"the toolchain changed: {other.toolchain} -> {subject.toolchain}"]
    return subject, []


class FileBaseline:
    """Committed files: a folder with one `hil.baseline/1` for each board. Raises `GateFileError`."""

    def __init__(self, folder: Path, title: str | None = None) -> None:
        self.folder, self.title = folder, title or str(folder)
        self._entries = {entry.subject: entry for entry in baseline_file.read_folder(folder)}

    def get(self, subject: Subject, name: str) -> Reference | None:
        entry = self._entries.get(subject)
        found = entry.get(name) if entry else None
        if entry is None or found is None:
            return None
        return Reference(
            (found,), str(self.folder / baseline_file.file_name(subject.board)), entry.model_sha256, entry.inputs
        )

    def subjects(self) -> Sequence[Subject]:
        return tuple(self._entries)

    def updated(self, found: Iterable[Found], policies: Policies = DEFAULT) -> tuple[Compared, ...]:
        """Write what was found, and give what that changed. What did not change is left as it is in the files.

        So noise makes no differences in them, and many small steps add up to one that is seen.
        """
        changed = []
        for one in found:
            compared = held_against(one, self, policies)
            if one.subject in self._entries and not compared.notes and _all_same(compared, self._entries[one.subject]):
                continue
            self._entries[one.subject] = _merged(one, compared, self._entries.get(one.subject))
            changed.append(compared)
        if changed:
            boards = {one.subject.board for one in changed}
            baseline_file.write_folder(self.folder, self._entries.values(), boards)
        return tuple(changed)


def _all_same(compared: Compared, entry: Entry) -> bool:
    names = {change.name for change in compared.changes}
    return all(change.kind == "same" for change in compared.changes) and names == {m.name for m in entry.measurements}


def _merged(found: Found, compared: Compared, entry: Entry | None) -> Entry:
    """The new values, but the old ones of times that did not change."""
    same = {c.name for c in compared.changes if c.kind == "same" and not c.after.exact}
    kept = {m.name: m for m in entry.measurements if m.name in same} if entry else {}
    return Entry(
        found.subject, found.model_sha256, tuple(kept.get(m.name, m) for m in found.measurements), found.inputs
    )


class HistoryBaseline:
    """The last good runs of a branch (None: of any), as the history has them; before a moment, if one is given."""

    def __init__(self, history: History, branch: str | None, last: int, *, before: float | None = None) -> None:
        self._history, self._branch, self._last, self._before = history, branch, last, before
        self.title = f"the last {last} good runs" + (f" of {branch}" if branch else "")

    def get(self, subject: Subject, name: str) -> Reference | None:
        points = queries.series(
            self._history, subject, name, most=4 * self._last, branch=self._branch, before=self._before, good=True
        )
        last = dict.fromkeys(point.run for point in points)  # in the order of time
        newest = {point.run: point for point in points}  # of several in one run the last
        chosen = [newest[run] for run in list(last)[-self._last :]]
        if not chosen:
            return None
        revision = f" at {chosen[-1].revision[:12]}" if chosen[-1].revision else ""
        return Reference(
            tuple(point.measurement for point in chosen),
            f"{len(chosen)} runs, the newest {chosen[-1].run}{revision}",
            chosen[-1].model_sha256,
            queries.inputs_of(self._history, chosen[-1]),
        )

    def subjects(self) -> Sequence[Subject]:
        return queries.subjects(self._history)


def last_good(what: str, option: str) -> tuple[int, str | None] | None:
    """'last:10', 'last:10@main' as number of runs and branch; None for what is none of these. Raises `UsageError`."""
    if not what.startswith("last:"):
        return None
    count, at, branch = what.removeprefix("last:").partition("@")
    if not (count.isascii() and count.isdecimal() and 1 <= int(count) <= MOST_RUNS) or (at and not branch):
        raise UsageError(
            f"{option} {what}: expected last:N or last:N@BRANCH, N in 1..{MOST_RUNS}", hint=f"{option} last:10"
        )
    return int(count), branch or None


class RunBaseline:
    """Another run: what it found."""

    def __init__(self, title: str, found: Iterable[Found]) -> None:
        self.title = title
        self._found = {one.subject: one for one in found}

    def get(self, subject: Subject, name: str) -> Reference | None:
        one = self._found.get(subject)
        measurement = one.get(name) if one else None
        if one is None or measurement is None:
            return None
        return Reference((measurement,), self.title, one.model_sha256, one.inputs)

    def subjects(self) -> Sequence[Subject]:
        return tuple(self._found)
