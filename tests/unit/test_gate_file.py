"""Gate files: what people write is read as they mean it, and what they mistype is told with what is allowed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import GateFileError
from hil.record.conditions import AllPass, Limit, NoRegression, ResultRequired, Scope, parse
from hil.record.gatefile import FIRST, load, read
from hil.record.measurement import MEASURES, Measure

FILE = Path("gate.toml")


@pytest.mark.parametrize(
    ("text", "check", "scope"),
    [
        (
            "ram_peak <= 200 KiB on rp2040 for kws*",
            Limit(MEASURES["ram_peak"], "<=", 204_800),
            Scope(boards=("rp2040",), models=("kws*",)),
        ),
        ("ram_peak<=200KiB", Limit(MEASURES["ram_peak"], "<=", 204_800), Scope()),
        ("latency < 12.5 ms everywhere", Limit(MEASURES["latency"], "<", 12_500), Scope()),
        ("hardware latency <= 1 s", Limit(MEASURES["latency"], "<=", 1e6), Scope(source="hardware")),
        ("throughput >= 5 1/s", Limit(MEASURES["throughput"], ">=", 5), Scope()),
        ("mismatches == 0 everywhere", Limit(MEASURES["mismatches"], "==", 0), Scope()),
        ("latency regression <= 2 %", NoRegression(MEASURES["latency"], 2.0), Scope()),
        ("flash regression < 0.5% on *", NoRegression(MEASURES["flash"], 0.5, True), Scope(boards=("*",))),
        ("no virtual latency_cycles regression", NoRegression(MEASURES["latency_cycles"]), Scope(source="virtual")),
        ("no regression on rp2350", NoRegression(None), Scope(boards=("rp2350",))),
        (
            "hardware result required on rp2040, at most 24 h old",
            ResultRequired(),
            Scope(source="hardware", boards=("rp2040",), age_s=86_400),
        ),
        ("result required at most 2 d old, on rp2040*3,rp2350", ResultRequired(),
         Scope(boards=("rp2040*3,rp2350",), age_s=172_800)),
        (
            "arena <= 1 MiB on rp2040 and rp2350 with 2 cores with 1 node for a and b and a",
            Limit(MEASURES["arena"], "<=", 1 << 20),
            Scope(boards=("rp2040", "rp2350"), models=("a", "b"), cores=2, nodes=1),
        ),
        ("tests pass on rp2040", AllPass(), Scope(boards=("rp2040",))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_people_say(text: str, check: object, scope: Scope) -> None:
    assert parse(text) == (check, scope)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ram_peek <= 200 KiB", "'ram_peek' is no measurement; did you mean 'ram_peak'? There are mismatches"),
        ("ram_peak <= 200", "the number has no unit: ram_peak is in B bytes KiB MiB kB MB"),
        ("ram_peak <= 200 ms", "'ms' is no unit for it: ram_peak is in B bytes KiB"),
        ("latency <= 5 KiB", "'KiB' is no unit for it: latency is in us ms s"),
        ("latency != 5 ms", "'!=' behind 'latency': allowed are <= < >= > ==, and 'regression'"),
        ("latency about 5 ms", "'about' behind 'latency': allowed are <= < >= > =="),
        ("latency <= -5 ms", "'-5' is not a number"),
        ("latency <= nan ms", "'nan' is not a number"),
        ("latency <= 5e9 ms", "'e9' is no unit"),
        ("latency <=", "it ends where a number should follow"),
        ("latency regression >= 2 %", "'>=' behind 'regression': allowed are <= and <"),
        ("latency regression <= 2", "nothing stands where '%' should"),
        ("latency regression <= 2 ms", "'ms' stands where '%' should"),
        ("hardware result on rp2040", "'on' stands where 'required' should"),
        ("mismatches == 0 somewhere", "'somewhere' is no unit for it: mismatches is in elements. Behind that"),
        ("mismatches == 0 on a nowhere", "'nowhere' is not understood there; allowed are 'everywhere', 'on BOARD'"),
        ("mismatches == 0 on", "it ends where a board should follow"),
        ("mismatches == 0 on rp2040 on rp2350", "it says on which boards twice"),
        ("mismatches == 0 on $(reboot)", "'$(reboot)' is not the name of a board"),
        ("mismatches == 0 everywhere on rp2040", "it says 'everywhere' and also where"),
        ("mismatches == 0 on rp2040,", "a comma is followed by nothing"),
        ("mismatches == 0 with 2 legs", "'with 2 legs': allowed are 'with N cores' and 'with N nodes'"),
        ("mismatches == 0 with 0 cores", "N in 1..64"),
        ("result required at most 24 parsecs old", "'parsecs' is no unit of age: allowed are min h d"),
        ("result required at most 0 h old", "an age of nothing"),
        ("result required, at least 24 h old", "'least' stands where 'most' should"),
        ("tests pass with 2 cores", "'tests pass' takes 'on BOARD' and 'for MODEL' only"),
        ("no latency", "nothing stands where 'regression' should"),
        ("", "check: missing"),
        ("latency\\u001b[31m <= 5 ms", "letters that do not print"),
        ("x" * 600, "longer than 500 characters"),
    ],
)
def test_what_they_mistype(text: str, says: str) -> None:
    with pytest.raises(GateFileError) as caught:
        read(FILE, f'schema = 1\n[conditions]\nmemory = "{text}"\n')
    assert caught.value.message.startswith("gate.toml: conditions.memory")
    assert says in caught.value.message
    assert caught.value.hint == "hil gate --help"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("conditions = 1", "schema: expected 1, found None"),
        ("schema = true", "schema: expected 1, found True"),
        ("schema = 2\n[conditions]\na = 'tests pass'", "schema: expected 1, found 2"),
        ("schema = 1", "conditions: expected a table"),
        ("schema = 1\n[conditions]", "conditions: expected a table of 1 to 1000 conditions"),
        ("schema = 1\nlimits = 3\n[conditions]\na = 'tests pass'", "limits: unknown key (known here: schema, cond"),
        ("schema = 1\n[conditions]\na = 3", "conditions.a: expected text, or a table with 'check', found 3"),
        ("schema = 1\n[conditions]\na = {chek = 'tests pass'}", "conditions.a.chek: unknown key (known here: check"),
        ("schema = 1\n[conditions]\na = {why = 'so'}", "conditions.a.check: missing"),
        ("schema = 1\n[conditions]\na = {check = 'tests pass', why = 3}", "conditions.a.why: expected text, found 3"),
        ("schema = 1\n[conditions]\n'a b' = 'tests pass'", "conditions.a b: names are letters, digits"),
        ("schema = 1\n[conditions]\na = 'tests pass'\na = 'tests pass'", "not TOML: Cannot overwrite a value"),
        ("schema = 1\n[[effect]]\nleast = 3\n[conditions]\na = 'tests pass'", "effect[0].least: expected a share"),
    ],
)
def test_files_that_are_none(text: str, says: str) -> None:
    with pytest.raises(GateFileError) as caught:
        read(FILE, text)
    assert caught.value.message.startswith("gate.toml: ")
    assert says in caught.value.message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(GateFileError, match="No such file") as caught:
        load(tmp_path / "absent.toml")
    assert caught.value.hint == "hil gate --init"
    (tmp_path / "long.toml").write_bytes(b"#" * (1 << 20) + b"##")
    with pytest.raises(GateFileError, match="longer than"):
        load(tmp_path / "long.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(GateFileError, match="not text in UTF-8"):
        load(tmp_path / "bytes.toml")


def test_the_first_file_is_one_and_so_are_its_suggestions() -> None:
    assert [one.name for one in read(FILE, FIRST).conditions] == ["right", "tested", "no-slower", "no-bigger"]
    suggested = FIRST.replace("# memory", "memory").replace("# real", "real")
    last = read(FILE, suggested).conditions[-2:]
    assert [one.name for one in last] == ["memory", "real"]
    assert last[0].why == "the application needs the rest"


@given(st.text(st.sampled_from("latencyrm_pk on for with <=>,%*0123456789. KiBus everywhere"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but `ValueError`, whatever is written."""
    with suppress(ValueError):
        parse(text)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda measure: measure.name)
def test_every_measurement_can_stand_in_a_condition_in_its_own_unit(measure: Measure) -> None:
    assert parse(f"{measure.name} <= 3 {measure.unit}")[0] == Limit(measure, "<=", 3)
    assert parse(f"no {measure.name} regression")[0] == NoRegression(measure)
