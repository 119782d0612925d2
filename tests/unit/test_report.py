"""What a person reads: within the terminal's width, inert whatever a name holds, and in words that are right."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from hil.measure import Comparison, Latency, LayerResult, RamUse
from hil.record import Limits, judged, plan_record, profile_record
from hil.report import duration, plain, plan_view, profile_view, show, size, table
from hil.report.summary import summary_lines
from tests.support.fakes import deployed, measured, planned, tiny_model

WIDTHS = [80, 200]
DEPLOYMENT = deployed()
ARENA = DEPLOYMENT.plan.arena_bytes
HOSTILE = ["[red]x[/red]", "[/]", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "a\rb", "\x9b2J", "tab\tbed", "x" * 300,
           "模型" * 40, "[link=http://x]y[/link]", "{}%s\\"]  # fmt: skip
FULL: dict[str, Any] = {
    "hil.model": "person_detect_int8", "hil.board": "rp2040", "hil.cores": 1, "hil.nodes": 1, "hil.bench": "virtual",
    "hil.mismatches": 0, "hil.latency_us_median": 1_234_567.0, "hil.latency_cycles_median": 154_320_875,
    "hil.ram_peak_bytes": 240_123, "hil.ram_predicted_bytes": 240_999, "hil.flash_bytes": 1_312_345,
    "passed": 6, "failed": 0,
}  # fmt: skip
EARLY = {"hil.model": "broken", "hil.board": "rp2040", "hil.cores": 1, "hil.nodes": 1, "passed": 0, "failed": 1}


def drawn(views: list[RenderableType], width: int) -> list[str]:
    out = StringIO()
    show(Console(file=out, width=width, force_terminal=False), views)
    return out.getvalue().splitlines()


def words(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def bad_profile(name: str, **changes: Any) -> dict[str, Any]:
    layer = LayerResult("operator 0 DEPTHWISE_CONV_2D", f"tensor 3 '{name}' (int8 1x96x96x3)", Comparison(600, 2, 3.0))
    found = measured(
        DEPLOYMENT,
        outputs=Comparison(16_000, 3, 7.0),
        layers=(layer,),
        latency=Latency((12_345_678,) * 10, 12_345_678.0, 12_345_678.0, 12_345_678, 12_345_678, 1_543_209_750),
        ram=RamUse(240_000, ARENA, (3_000,)),
        **changes,
    )
    record = profile_record(judged(DEPLOYMENT, found, "virtual", Limits(10.0, 10)))
    record["model"] = dict(record["model"]) | {"name": name}
    return record


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (22_938, "22.4 KiB"),
                                             (1_572_864, "1.50 MiB")])  # fmt: skip
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("us", "text"), [(0, "0 us"), (850.4, "850 us"), (1_000, "1.0 ms"), (12_345, "12.3 ms"),
                                          (1_200_000, "1.20 s")])  # fmt: skip
def test_durations(us: float, text: str) -> None:
    assert duration(us) == text


# -- width -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["tiny", *HOSTILE], ids=ascii)
def test_no_view_is_wider_than_the_terminal(name: str, width: int) -> None:
    for views in (profile_view(bad_profile(name)), plan_view(plan_record(planned(tiny_model(tensor_name=name), name)))):
        assert max(map(cell_len, drawn(views, width))) <= width


@pytest.mark.parametrize("width", WIDTHS)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4), st.integers(0, 10**12))
def test_no_summary_is_wider_than_the_terminal(width: int, names: list[str], large: int) -> None:
    rows = [FULL | {"hil.model": name, "hil.latency_cycles_median": large, "failed": large % 7} for name in names]
    assert max(map(cell_len, summary_lines([*rows, EARLY], width))) <= width


# -- inert -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_names_are_inert(name: str) -> None:
    """No byte of a name reaches the terminal as a command, and no markup is taken for ours."""
    every = [
        *drawn(profile_view(bad_profile(name)), 400),
        *drawn(plan_view(plan_record(planned(tiny_model(tensor_name="t"), name))), 400),
        *drawn([table("t", ["c"], [(name,)])], 400),
        *summary_lines([FULL | {"hil.model": name}], 400),
    ]
    text = "\n".join(every)
    assert not any(letter in text for letter in "\x1b\x07\r\x9b")
    assert text.count(plain(name)) >= 4, "markup is shown as it is"


@given(st.text())
def test_plain_text_is_printable_and_keeps_its_length(text: str) -> None:
    shown = plain(text)
    assert len(shown) == len(text)
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    assert plain(shown) == shown
    if text.isprintable():
        assert shown == text


# -- content -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_a_profile_says_everything(width: int) -> None:
    record = profile_record(judged(DEPLOYMENT, measured(DEPLOYMENT), "virtual", Limits()))
    text = words(drawn(profile_view(record), width))
    program = len(DEPLOYMENT.plan.program.data)
    for part in ("tiny on rp2040 (virtual board)", "0 of 16 elements differ, 4 inputs", "BUILTIN_REF double-rounding",
                 "40 us median", "5000 cycles", "2 repeats", "[virtual]", f"{1_500 + ARENA} B", "static 1000",
                 f"arena {ARENA}", "stack 500", "code 10000", f"program {program}", "72 multiply", "pass"):  # fmt: skip
        assert part in text, part
    assert "fail" not in text


@pytest.mark.parametrize("width", WIDTHS)
def test_a_bad_profile_says_why(width: int) -> None:
    record = bad_profile("net")
    lines = drawn(profile_view(record), width)
    text = words(lines)
    assert "  fail" in lines
    assert len(record["reasons"]) == 5
    for reason in record["reasons"]:
        assert "- " + reason in text
    assert "600 2" in text, "the layer's row: elements, differ"


def test_hardware_is_never_called_virtual() -> None:
    record = profile_record(judged(DEPLOYMENT, measured(DEPLOYMENT), "hardware", Limits()))
    text = words(drawn(profile_view(record), 80))
    assert "hardware" in text
    assert "virtual" not in text


def test_a_plan_says_what_is_needed_and_available() -> None:
    text = words(drawn(plan_view(plan_record(planned())), 80))
    for part in ("tiny on rp2040", "fits", f"{1_500 + ARENA} B of 266240", "of 2097152", "72 multiply", "(predicted)",
                 "operator 0 FULLY_CONNECTED", "'hidden'"):  # fmt: skip
        assert part in text, part


@pytest.mark.parametrize("width", WIDTHS)
def test_the_summary_has_a_row_for_each_model_worst_first(width: int) -> None:
    rows = [FULL, EARLY, FULL | {"hil.model": "differs", "hil.mismatches": 12},
            FULL | {"hil.model": "fails", "failed": 2, "passed": 4}]  # fmt: skip
    lines = summary_lines(rows, width)
    order = [line.split()[0] for line in lines if line.split()[0] in ("broken", "fails", "differs", "person_detect_in",
                                                                      "person_detect_int8")]  # fmt: skip
    assert order[:3] == ["fails", "broken", "differs"]
    assert order[3].startswith("person_detect_in")
    text = "\n".join(lines)
    for part in ("2 of 6 FAILED", "1 of 1 FAILED", "6 ok", "1.23 s", "234.5 KiB", "rp2040"):
        assert part in text, part
    if width == 200:
        assert "154320875" in text
        assert "1.25 MiB" in text


def test_the_summary_says_what_virtual_means_only_where_it_is() -> None:
    assert summary_lines([FULL], 80)[-1].startswith("virtual: ")
    hardware = summary_lines([FULL | {"hil.bench": "hardware"}], 80)
    assert not any(line.startswith("virtual") for line in hardware)


def test_the_summary_knows_nothing_of_what_was_not_measured() -> None:
    row = next(line for line in summary_lines([EARLY], 80) if line.startswith("broken"))
    assert row.split() == ["broken", "rp2040", "1", "of", "1", "FAILED", "-", "-", "-"]


def test_cores_are_told_where_there_are_several() -> None:
    lines = summary_lines([FULL | {"hil.cores": 2}, FULL], 120)
    assert sum("rp2040 x2" in line for line in lines) == 1
    assert not any("speed-up" in line for line in lines)  # nothing is known of operators


def test_what_more_cores_bring_stands_beside_its_bound_and_what_holds_it() -> None:
    one = FULL | {"hil.latency_cycles_median": 1900, "hil.operator_cycles": "0 CONV_2D 1000 1.00; 1 SOFTMAX 900 1.00"}
    two = FULL | {"hil.cores": 2, "hil.latency_cycles_median": 1000, "hil.speedup_bound": 1.95,
                  "hil.operator_cycles": "0 CONV_2D 510 2.00; 1 SOFTMAX 490 1.90"}  # fmt: skip
    for rows in ([one, two], [two, one]):
        line = next(line for line in summary_lines(rows, 120) if "of 1.90" in line)
        assert line.split()[-8:] == ["x2", "1.90", "1.95", "1", "SOFTMAX", "1.84", "of", "1.90"]
        each = [line.split()[-4:] for line in summary_lines(rows, 80, operators=True)]
        assert ["0", "CONV_2D", "1.96", "2.00"] in each
        assert ["1", "SOFTMAX", "1.84", "1.90"] in each
        narrow = summary_lines(rows, 80)
        assert not any("CONV_2D" in line for line in narrow)
        assert any(line.split()[-5:] == ["x2", "1.90", "1.95", "1", "SOFTMAX"] for line in narrow)
        assert all(cell_len(line) <= 80 for line in narrow)


def test_numbers_are_right_aligned() -> None:
    lines = drawn([table(None, ["name", "peak RAM"], [("a", "1"), ("b", "1000")], right=("peak RAM",))], 80)
    ends = {len(line.rstrip()) for line in lines if line.strip()}
    assert len(ends) == 1


def test_a_table_takes_styled_text() -> None:
    assert "ok" in words(drawn([table(None, ["", "what"], [(Text("ok", "green"), "python")])], 80))


def test_a_board_that_is_timed_is_not_called_counted() -> None:
    native = FULL | {"hil.board": "native"}
    counted, timed = "cycles are counted, not timed", "native: the same engine as a process of this machine, timed"
    assert any(counted in line for line in summary_lines([FULL], 100))
    assert not any(timed in line for line in summary_lines([FULL], 100))
    assert not any(counted in line for line in summary_lines([native], 100))
    assert any(timed in line for line in summary_lines([native], 100))
    both = "\n".join(summary_lines([FULL, native], 100))
    assert counted in both
    assert timed in both


# -- what changed ------------------------------------------------------------------------------------------------------


def changed(name: str, kind: str, before: float | None, after: float, **more: Any) -> dict[str, Any]:
    ratio = after / before if before else None
    return {"name": name, "unit": "bytes", "kind": kind, "before": before, "after": after, "ratio": ratio,
            "why": "counted", "since": None} | more  # fmt: skip


def since(*changes: dict[str, Any], known: bool = True, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"changes": {"baseline": "baselines", "known": known, "notes": list(notes), "changes": list(changes)}}


def test_changes_are_worst_first_and_name_what_was_and_is() -> None:
    rows = [
        FULL | {"hil.model": "a"} | since(changed("ram_peak", "worse", 100, 102), changed("flash", "same", 5, 5)),
        FULL | {"hil.model": "b"} | since(changed("flash", "better", 100, 50), changed("stack", "worse", 100, 150)),
        FULL | {"hil.model": "c"} | since(changed("arena", "new", None, 7), notes=("the model changed",)),
    ]
    lines = summary_lines(rows, 80)
    table = lines[lines.index("since baselines:") + 3 :]
    assert [line.split() for line in table[:4]] == [
        ["b", "rp2040", "stack,", "B", "100", "150", "+50", "%", "worse"],
        ["a", "rp2040", "ram_peak,", "B", "100", "102", "+2", "%", "worse"],
        ["c", "rp2040", "arena,", "B", "-", "7", "new"],
        ["b", "rp2040", "flash,", "B", "100", "50", "-50", "%", "better"],
    ]
    assert "c on rp2040: the model changed" in table


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", HOSTILE)
def test_changes_keep_within_the_width_and_are_inert(name: str, width: int) -> None:
    run = "run 20260101-000000-abcdef01 at 0123456789ab"
    row = FULL | {"hil.model": name} | since(changed("ram_predicted", "worse", 1e9, 2e9, since=run), notes=(name,))
    lines = summary_lines([row], width)
    assert max(map(cell_len, lines)) <= width
    assert not any("\x1b" in line or "\x9b" in line for line in lines)
    assert "20260101-000000-abcdef01" in words(lines)


def test_many_improvements_are_cut_and_no_regression_is() -> None:
    worse = [changed("flash", "worse", 100, 101 + k) for k in range(30)]
    better = [changed("stack", "better", 100, 99 - k) for k in range(30)]
    row = FULL | since(*worse, *better)
    lines = summary_lines([row], 80)
    assert (sum("worse" in line for line in lines), sum("better" in line for line in lines)) == (30, 20)
    assert "and 10 more that are no regressions" in lines
    lines = summary_lines([row], 80, operators=True)
    assert sum("better" in line for line in lines) == 30


def test_what_did_not_change_is_one_line_and_so_is_what_is_not_known() -> None:
    same = FULL | since(changed("flash", "same", 5, 5))
    assert "since baselines: all 1 measurements are the same" in summary_lines([same], 80)
    new = [FULL | {"hil.model": f"m{k}"} | since(changed("flash", "new", None, 5), known=False) for k in range(5)]
    lines = summary_lines(new, 80)
    assert "not in baselines: m0 on rp2040, m1 on rp2040, m2 on rp2040 and 2 more" in lines
    assert not any("since" in line for line in lines)
