"""Texts and data in pages, what a run's page shows, and the records that it is read from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.record import History, Result, queries
from hil.record.parts import parts_of
from hil.record.profile import profile_record
from hil.report import charts, page
from hil.report.html import run_page
from hil.report.run import RunView, headline, run_view
from tests.support.fakes import deployed, measured
from tests.support.histories import filled, origin, record


def view_of(file: Path, run: str = "last") -> RunView:
    with History.open(file) as history:
        return run_view(history, queries.run_named(history, run))


# -- texts and data ----------------------------------------------------------------------------------------------------


@given(st.text())
def test_nothing_is_hidden_in_a_visible_text(text: str) -> None:
    seen = page.visible(text)
    assert not [c for c in seen if category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t"]
    assert not re.search("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", seen)
    assert page.visible(seen) == seen


def test_what_was_hidden_has_a_name() -> None:
    hidden = "a\x1b[31m\x00\x07\x7f\x9b\u202e\ufeff\ud800"
    assert page.visible(hidden) == "a[ESC][31m[NUL][BEL][DEL][U+009B][U+202E][U+FEFF][U+D800]"
    assert page.visible("one\r\ntwo\rthree\ttab") == "one\ntwo[CR]three\ttab"


ANYTHING = st.recursive(
    st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(ANYTHING)
def test_data_cannot_leave_its_element(data: object) -> None:
    text = page.data_json({"data": data})
    assert not set(text) & set("<>&")
    assert text.isascii()
    json.loads(text)


def test_scripts_end_only_where_their_element_does() -> None:
    assert "</script" not in page.embedded("const a = '</script>';").lower()
    assert page.embedded("const a = '</script>';") == "const a = '<\\/script>';"
    with pytest.raises(AssertionError):
        page.embedded("'<!--<script>'")


def test_templates_print_everything_by_the_same_way() -> None:
    text = page.rendered("wall.html", view=_Nothing("<i>\x1b</i>"), file="<b>\u202e</b>")
    assert "&lt;b&gt;[U+202E]&lt;/b&gt;" in text
    assert "&lt;i&gt;[ESC]&lt;/i&gt;" in text


class _Nothing:
    """A wall with nothing but trouble."""

    def __init__(self, trouble: str) -> None:
        self.at, self.live, self.boards, self.night, self.trouble = 0.0, (), (), (), (trouble,)


# -- the view ----------------------------------------------------------------------------------------------------------


def test_the_worst_comes_first(tmp_path: Path) -> None:
    file = filled(tmp_path / "h.sqlite", 5, slow_from=4, extra=[record("zz", mismatches=1)])
    view = view_of(file)
    assert [case.profiled.found.subject.model for case in view.cases] == ["zz", "kws", "ic", "vww"]
    assert [case.anchor for case in view.cases] == ["case-1", "case-2", "case-3", "case-4"]
    assert [(case.title, change.name, change.kind) for case, change in view.changed] == [
        ("kws on rp2040, virtual", "latency", "worse"),
        ("kws on rp2040, virtual", "latency_cycles", "worse"),
    ]


def test_a_run_is_held_against_what_was_before_it_alone(tmp_path: Path) -> None:
    file = filled(tmp_path / "h.sqlite", 10, slow_from=8)
    before = view_of(file, "night-07")
    assert (before.changed, before.baseline) == ([], "the last 5 good runs of main")
    assert max(len(series.points) for case in before.cases for series in case.history) == 8
    assert view_of(file, "night-08").kinds("worse") == 2
    (kws,) = (case for case in view_of(file, "night-09").cases if case.profiled.found.subject.model == "kws")
    assert view_of(file, "night-07").unmended == []
    (step,) = kws.history[0].steps
    assert (step.first.run, step.worse) == ("night-08", True)


def test_a_regression_is_told_until_it_is_mended(tmp_path: Path) -> None:
    """After some nights it is all that the last good runs know: then the history remembers."""
    view = view_of(filled(tmp_path / "h.sqlite", 16, slow_from=4))
    assert view.changed == []
    ((case, series, step),) = view.unmended
    assert (case.title, series.name, step.first.run) == ("kws on rp2040, virtual", "latency", "night-04")
    assert 'id="unmended"' in run_page(view)
    assert headline(view)[-1] == "A regression of an earlier run lasts."


@pytest.mark.parametrize(
    ("results", "cases", "said"),
    [
        ([], 0, "Nothing was tested or measured."),
        (["passed", "passed"], 0, "All 2 tests are well."),
        (["passed", "skipped"], 1, "No test failed; 1 of 2 was skipped. 1 measured, all right."),
        (["failed", "passed", "failed"], 0, "2 of 3 tests failed (2 device)."),
    ],
)
def test_the_headline(tmp_path: Path, results: list[str], cases: int, said: str) -> None:
    with History.open(tmp_path / "h.sqlite") as history:
        writer = history.begin(origin("one"))
        for outcome in results:
            writer.tested(Result("a::b", outcome, "device" if outcome == "failed" else ""))  # type: ignore[arg-type]
        for _ in range(cases):
            writer.profiled(record())
    assert " ".join(headline(view_of(tmp_path / "h.sqlite"))) == said


def test_a_page_stays_small_whatever_devices_say(tmp_path: Path) -> None:
    """Ten megabytes of log in a hundred tests: their ends are there, and how much is not."""
    results = [Result(f"a.py::test_{k}", "failed", "device", log="x" * 100_000 + f"end {k}\n") for k in range(150)]
    view = view_of(filled(tmp_path / "h.sqlite", 1, results=results))
    assert (len(view.failures), view.failures_left_out) == (100, 50)
    assert view.failures[0].log.endswith("end 0\n")
    assert view.failures[0].left_out > 40_000
    assert sum(len(failure.log) for failure in view.failures) <= 1 << 20
    assert len(run_page(view)) < 6_500_000


def test_of_very_many_measurements_the_worst_are_shown(tmp_path: Path) -> None:
    extra = [record(f"m{k:03}", mismatches=k % 2) for k in range(250)]
    view = view_of(filled(tmp_path / "h.sqlite", 1, extra=extra))
    assert (len(view.cases), view.cases_left_out) == (200, 53)
    assert sum(not case.passed for case in view.cases) == 125
    assert len(run_page(view)) < 8_000_000


def test_counted_repeats_have_no_distribution(tmp_path: Path) -> None:
    """Of two virtual boards the repeats are a microsecond apart, by where in one they began."""
    view = view_of(filled(tmp_path / "h.sqlite", 1))
    assert {case.profiled.found.subject.model: case.timed for case in view.cases} == {
        "kws": False, "ic": False, "vww": True,
    }  # fmt: skip
    assert [row["title"] for row in charts.chart_data(view)["spread"]] == ["vww on rp2350, 2 cores, hardware"]
    assert "2 repeats took 3.0 ms each, 3\N{NARROW NO-BREAK SPACE}000 to 3" in run_page(view)


def test_a_run_without_measurements_needs_no_charts(tmp_path: Path) -> None:
    with History.open(tmp_path / "h.sqlite") as history:
        history.begin(origin("one")).end()
    text = run_page(view_of(tmp_path / "h.sqlite"))
    assert len(text) < 100_000
    assert "This run measured nothing." in text


def test_a_page_is_the_same_every_time(tmp_path: Path) -> None:
    file = filled(tmp_path / "h.sqlite", 3)
    assert run_page(view_of(file)) == run_page(view_of(file))


# -- records -----------------------------------------------------------------------------------------------------------


def test_the_parts_of_a_real_record_are_read() -> None:
    from hil.record import NO_LIMITS, judged

    deployment = deployed()
    found = parts_of(profile_record(judged(deployment, measured(deployment), "virtual", NO_LIMITS)))
    assert found.trouble == ()
    (node,) = found.nodes
    assert node.map is not None
    assert node.map.arena == deployment.plan.arena_bytes
    names = [place.tensor.partition(":")[0] for place in node.map.places]
    assert names[:2] == ["tensor 0, int8 1x8", "tensor 1, int8 1x6"]
    assert [operator.cycles for operator in found.operators] == [5000]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("per_node",), None),
        (("per_node", 0, "memory"), []),
        (("per_node", 0, "memory_map", "tensors", 0, "last"), 99),
        (("per_node", 0, "memory_map", "columns"), "abc"),
        (("per_node", 0, "memory_map", "arena"), -1),
        (("per_node", 1, "steps", 0, "begin"), "soon"),
        (("per_node", 1, "latency", "wait"), float("nan")),
        (("operators",), {"a": 1}),
        (("operators",), [{"operator": ["x"], "cycles": 1, "speedup_bound": 1.0}]),
        (("layers",), [{"operator": "x", "mismatches": "many"}]),
    ],
)  # fmt: skip
def test_what_is_not_of_its_form_is_left_out_and_told(path: tuple[str | int, ...], value: object) -> None:
    made = record(nodes=2)
    at: object = made
    for key in path[:-1]:
        at = at[key]  # type: ignore[index]
    at[path[-1]] = value  # type: ignore[index]
    found = parts_of(made)
    assert len(found.trouble) == 1
    assert found.trouble[0].startswith("the record's ")


def test_the_page_shows_what_is_left_of_a_damaged_record(tmp_path: Path) -> None:
    damaged = record("damaged") | {"operators": {"a": 1}, "reasons": "because"}
    text = run_page(view_of(filled(tmp_path / "h.sqlite", 1, extra=[damaged])))
    assert "the record&#39;s operators cannot be read" in text


def test_a_course_has_no_gaps() -> None:
    (node,) = (node for node in parts_of(record(nodes=2)).nodes if node.number == 1)
    pieces = charts.course(node)
    at = 0.0
    for piece in pieces:
        assert piece["start"] == at
        at += piece["length"]
    assert at == 1000
    assert [piece["what"] for piece in pieces] == ["compute", "wait", "wire", "compute", "wait", "wire", "compute"]
