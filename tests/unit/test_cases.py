"""What is tested: known boards, models that are there, ids that are stable and unique."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.cases import Case, Model, board_names, models
from hil.errors import UsageError
from hil.record import NO_LIMITS, Limits
from tests.support.fakes import tiny_model


def zoo(folder: Path, *names: str) -> Path:
    for name in names:
        place = folder / name
        place.mkdir(parents=True)
        (place / "m.tflite").write_bytes(tiny_model())
        (place / "model.toml").write_text(
            f'name = "{name}"\nfile = "m.tflite"\nsha256 = "{hashlib.sha256(tiny_model()).hexdigest()}"\n'
            'licence = "MIT"\nprovenance = "made by a test"\n[inputs]\nseed = 1\ncount = 3\n'
            "[limits.rp2040]\nlatency_us = 50.5\nram_bytes = 9000\n"
        )
    return folder


def files(folder: Path, *names: str) -> list[Path]:
    made = []
    for k, name in enumerate(names):
        path = folder / str(k) / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
        made.append(path)
    return made


def names(found: tuple[Model, ...]) -> list[str]:
    return [model.name for model in found]


# -- boards ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [["rp2040"], ["rp2040,rp2040"], ["rp2040", "rp2040"], [" rp2040 , "], [",rp2040,"]])
def test_board_names_are_split_and_unique(values: list[str]) -> None:
    assert board_names(values) == ("rp2040",)


def test_no_board_is_no_board() -> None:
    assert board_names([]) == ()


@pytest.mark.parametrize("values", [[""], [","], [" "], ["", ","]])
def test_a_board_option_without_a_name_is_refused(values: list[str]) -> None:
    with pytest.raises(UsageError, match="names no board"):
        board_names(values)


@pytest.mark.parametrize("value", ["pico", "rp2040,pico", "../rp2040", "rp2040;x"])
def test_an_unknown_board_is_refused_by_name(value: str) -> None:
    with pytest.raises(UsageError, match="no board is called") as caught:
        board_names([value])
    assert value.rsplit(",", maxsplit=1)[-1] in caught.value.message
    assert "rp2040" in caught.value.message.split("known:")[1]


# -- models ------------------------------------------------------------------------------------------------------------


def test_zoo_first_then_other_zoos_then_files(tmp_path: Path) -> None:
    paths = files(tmp_path / "f", "b.tflite", "a.tflite")
    first, second = zoo(tmp_path / "z1", "zz", "yy"), zoo(tmp_path / "z2", "xx")
    found = models(paths, [first, second], builtin=False)
    assert names(found) == ["yy", "zz", "xx", "b", "a"]
    assert [model.zoo is None for model in found] == [False, False, False, True, True]


def test_without_anything_there_is_nothing() -> None:
    assert models([], [], builtin=False) == ()


@pytest.mark.parametrize(
    ("stems", "expected"),
    [
        (["a", "a", "a"], ["a", "a_2", "a_3"]),
        (["a", "a", "a_2"], ["a", "a_3", "a_2"]),
        (["a_2", "a", "a"], ["a_2", "a", "a_3"]),
        (["a", "a", "a_2", "a_2"], ["a", "a_3", "a_2", "a_2_2"]),
        (["my model (1)", "my-model-1"], ["my_model_1_", "my_model_1"]),
        (["[red]x", "x\x1b[1m"], ["_red_x", "x_1m"]),
        (["ключ", "模型"], ["_", "__2"]),
    ],
    ids=str,
)
def test_names_of_files_are_safe_and_unique(tmp_path: Path, stems: list[str], expected: list[str]) -> None:
    found = models(files(tmp_path, *(f"{stem}.tflite" for stem in stems)), [], builtin=False)
    assert names(found) == expected


@given(st.lists(st.sampled_from(["a", "a_2", "a_3", "a_2_2", "b"]), max_size=8))
def test_names_are_always_unique_and_the_first_keeps_its_own(stems: list[str]) -> None:
    from hil.cases import _unique

    found = names(_unique([Model(stem, Path(stem)) for stem in stems]))
    assert len(set(found)) == len(stems)
    for stem in set(stems):
        assert found[stems.index(stem)] == stem


def test_a_file_named_like_a_zoo_entry_leaves_the_entry_its_name(tmp_path: Path) -> None:
    found = models(files(tmp_path, "tiny.tflite"), [zoo(tmp_path / "zoo", "tiny")], builtin=False)
    assert names(found) == ["tiny", "tiny_2"]
    assert found[0].zoo is not None


def test_a_missing_model_is_refused_by_path(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.tflite", tmp_path):
        with pytest.raises(UsageError, match="no model at") as caught:
            models([path], [], builtin=False)
        assert str(path) in caught.value.message


def test_a_missing_or_empty_zoo_is_refused_by_path(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "absent", tmp_path / "empty"):
        with pytest.raises(UsageError) as caught:
            models([], [folder], builtin=False)
        assert str(folder) in caught.value.message


# -- cases -------------------------------------------------------------------------------------------------------------


def test_ids_are_stable() -> None:
    model = Model("kws", Path("kws.tflite"))
    assert Case(model, "rp2040").id == "kws-rp2040-1core"
    assert Case(model, "rp2040", cores=2).id == "kws-rp2040-2core"


@given(st.text(alphabet=st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_ids_are_words(stem: str) -> None:
    """pytest shows ids, JUnit stores them, and people type them after `-k`."""
    from hil.cases import file_name

    assert re.fullmatch(r"[A-Za-z0-9_.]+", file_name(Path(f"{stem}.tflite")))


def test_limits_are_the_zoos_for_that_board_alone(tmp_path: Path) -> None:
    entry, plain = models(files(tmp_path, "x.tflite"), [zoo(tmp_path / "zoo", "tiny")], builtin=False)
    assert entry.limits("rp2040") == Limits(50.5, 9000)
    assert entry.limits("other") == NO_LIMITS
    assert plain.limits("rp2040") == NO_LIMITS
