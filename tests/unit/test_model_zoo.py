"""The zoo: entries that are whole and true, and errors that name file and key."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hil.errors import UsageError
from hil.model import schema, tflite
from hil.model.reference import reference
from hil.model.zoo import Limits, SeededInputs, ZooModel, built_path, load_accuracy, load_entry, load_zoo
from hil.paths import ZOO
from model_zoo.recipes import operators, place, record
from tests.support.models import small_model

NAMES = ("autoencoder", "digits", "dscnn", "mobilenetv1_025", "mobilenetv2_035", "resnet8")


@pytest.fixture(scope="module")
def zoo() -> dict[str, ZooModel]:
    return {model.name: model for model in load_zoo(ZOO)}


def test_the_zoo_is_whole(zoo: dict[str, ZooModel]) -> None:
    assert set(NAMES) <= set(zoo)
    assert set(zoo) - set(NAMES) == {f"op_{make.__name__}" for make in operators.MODELS}
    assert sum(model.path.stat().st_size for model in zoo.values()) < 3_000_000
    readme = (ZOO / "README.md").read_text()
    for model in zoo.values():
        assert model.recipe is not None
        assert model.recipe.is_file()
        assert model.licence == "MIT"
        assert "rp2040" in model.limits
        assert f"| `{model.name}` |" in readme


def test_what_no_board_holds_is_left_to_those_who_ask(zoo: dict[str, ZooModel]) -> None:
    two = {model.name: model for model in load_zoo(ZOO, nodes=2)}
    everything = {model.name: model for model in load_zoo(ZOO, nodes=None)}
    assert set(two) - set(zoo) == {"mobilenetv2_100"}
    assert set(everything) - set(two) == {"mobilenetv2_100_224"}
    readme = (ZOO / "README.md").read_text()
    for name in sorted(set(everything) - set(zoo)):
        assert f"| `{name}` |" in readme
        assert everything[name].built
        graph = tflite.load(built_path(name))
        assert graph.sha256 == everything[name].sha256
        assert graph.tensors[graph.outputs[0]].shape == (1, 1000)
        weights = sum(t.bytes for t in graph.tensors if t.data is not None)
        assert 3_500_000 < weights < 4_000_000


def test_the_zoo_uses_every_operator(zoo: dict[str, ZooModel]) -> None:
    used = {kind for model in zoo.values() for kind in tflite.load(model.path).operator_counts()}
    assert used == set(schema.KINDS)


def test_shapes_of_the_big_models(zoo: dict[str, ZooModel]) -> None:
    def edges(name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        graph = tflite.load(zoo[name].path)
        return graph.tensors[graph.inputs[0]].shape, graph.tensors[graph.outputs[0]].shape

    assert edges("dscnn") == ((1, 49, 10, 1), (1, 12))
    assert edges("resnet8") == ((1, 32, 32, 3), (1, 10))
    assert edges("mobilenetv1_025") == ((1, 96, 96, 3), (1, 2))
    assert edges("mobilenetv2_035") == ((1, 96, 96, 3), (1, 10))
    assert edges("autoencoder") == ((1, 640), (1, 640))
    assert edges("digits") == ((1, 8, 8, 1), (1, 10))


@pytest.mark.parametrize("path", sorted(ZOO.glob("*/model.toml")), ids=lambda path: path.parent.name)
def test_inputs_run_and_matter(path: Path) -> None:
    model = load_entry(path)
    graph = tflite.load(model.path)
    sets = model.input_sets(graph, count=6)
    assert len(sets) == 6
    result = reference(graph, sets, layers=True)
    assert result.layers is not None
    for place_, index in enumerate(graph.outputs):
        several = {result.outputs[k][place_].tobytes() for k in (0, 4, 5)}
        assert len(several) > 1 or graph.tensors[index].elements == 1  # inputs lead to different outputs
    for index in result.layers[0]:
        values = np.stack([result.layers[k][index] for k in (0, 4, 5)])
        assert len(np.unique(values)) > 1, f"{graph.tensors[index]} is constant"


def test_digits_knows_digits(zoo: dict[str, ZooModel]) -> None:
    model = zoo["digits"]
    assert model.accuracy is not None
    graph = tflite.load(model.path)
    sets, labels = load_accuracy(model.accuracy, graph)
    assert len(sets) == len(labels) >= 100
    assert set(labels.tolist()) == set(range(10))
    answers = [int(outputs[0].argmax()) for outputs in reference(graph, sets).outputs]
    share = float(np.mean(np.array(answers) == labels))
    assert model.accuracy.minimum <= share <= 1.0
    assert model.accuracy.minimum > 0.9
    assert np.array_equal(model.input_sets(graph)[7][0], sets[7][0])


def test_the_recipe_of_the_small_models_makes_the_committed_bytes(
    zoo: dict[str, ZooModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "ZOO", tmp_path)
    for make in operators.MODELS:
        make()
        name = f"op_{make.__name__}"
        assert (tmp_path / name / f"{name}.tflite").read_bytes() == zoo[name].path.read_bytes()


def test_record_writes_the_digest_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = _entry(tmp_path)
    before = entry.read_text()
    monkeypatch.setattr(record, "ZOO", tmp_path)
    record.main()
    assert entry.read_text() == before
    entry.with_name("m.tflite").write_bytes(small_model() + b"\0")
    record.main()
    assert load_entry(entry).name == "m"
    assert re.sub("[0-9a-f]{64}", "", entry.read_text()) == re.sub("[0-9a-f]{64}", "", before)


GOOD = """
name = "m"
file = "m.tflite"
sha256 = "SHA"
licence = "MIT"
provenance = "made for a test"
recipe = "recipes/m.py"

[inputs]
seed = 5
count = 3

[limits.rp2040]
latency_us = 12.5
ram_bytes = 4096

[limits.other]
latency_us = 700

[accuracy]
file = "set.npz"
minimum = 0.5
"""


def _entry(folder: Path, *changes: tuple[str, str]) -> Path:
    """A zoo of one entry in `folder`; `changes` replace texts of its TOML file."""
    home = folder / "m"
    home.mkdir(parents=True, exist_ok=True)
    (home / "m.tflite").write_bytes(small_model())
    np.savez(home / "set.npz", input_0=np.zeros((2, 1, 4, 4, 2), np.int8), labels=np.array([1, 2]))
    text = GOOD.replace("SHA", tflite.parse(small_model(), "m").sha256)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (home / "model.toml").write_text(text)
    return home / "model.toml"


def test_an_entry_reads_back(tmp_path: Path) -> None:
    (model,) = load_zoo(_entry(tmp_path).parents[1])
    assert (model.name, model.inputs) == ("m", SeededInputs(5, 3))
    assert model.recipe == tmp_path / "recipes" / "m.py"
    assert model.limits == {"rp2040": Limits(12.5, 4096), "other": Limits(700.0, None)}
    assert model.accuracy is not None
    assert model.accuracy.file == tmp_path / "m" / "set.npz"
    graph = tflite.load(model.path)
    assert len(model.input_sets(graph)) == 3
    assert len(model.input_sets(graph, count=5, seed=9)) == 5
    assert not np.array_equal(model.input_sets(graph)[0][0], model.input_sets(graph, seed=9)[0][0])
    assert load_accuracy(model.accuracy, graph)[1].tolist() == [1, 2]


def test_a_file_s_sets_come_before_seeded_ones(tmp_path: Path) -> None:
    model = load_entry(_entry(tmp_path, ("seed = 5\ncount = 3", 'file = "set.npz"')))
    graph = tflite.load(model.path)
    assert len(model.input_sets(graph)) == 2
    assert len(model.input_sets(graph, count=1)) == 1
    more = model.input_sets(graph, count=4, seed=3)
    assert [int(np.abs(one[0].astype(int)).max()) == 0 for one in more] == [True, True, False, False]


WRONG = {
    "name": [
        ('name = "m"', 'name = ""'),
        ('name = "m"', 'name = "a b"'),
        ('name = "m"', "name = 3"),
        ('name = "m"', ""),
    ],
    "file": [('"m.tflite"', '"no.tflite"'), ('"m.tflite"', '"../m/m.tflite"'), ('"m.tflite"', "4")],
    "sha256": [("sha256 =", "other ="), ('sha256 = "', 'sha256 = 5 # "')],
    "licence": [('"MIT"', "1"), ('licence = "MIT"', "")],
    "provenance": [('"made for a test"', "[]")],
    "recipe": [('"recipes/m.py"', "7")],
    "inputs": [("[inputs]\nseed = 5\ncount = 3", "inputs = 3"), ("[inputs]", "[other]")],
    "inputs.seed": [("seed = 5", "seed = -1"), ("seed = 5", "seed = true"), ("seed = 5", "")],
    "inputs.count": [("count = 3", "count = 0"), ("count = 3", "count = 2.5")],
    "inputs.file": [("seed = 5\ncount = 3", 'file = "none.npz"')],
    "inputs.extra": [("seed = 5", "seed = 5\nextra = 1")],
    "limits.rp2040": [("[limits.rp2040]\nlatency_us = 12.5\nram_bytes = 4096", "[limits]\nrp2040 = 7")],
    "limits.rp2040.latency_us": [("12.5", "-1"), ("12.5", "nan"), ("12.5", '"fast"')],
    "limits.rp2040.ram_bytes": [("4096", "0"), ("4096", "4096.5")],
    "limits.rp2040.ram": [("ram_bytes", "ram")],
    "limits.other.latency_us": [("700", "false")],
    "accuracy.minimum": [("0.5", "1.5"), ("0.5", "true"), ("minimum = 0.5", "")],
    "accuracy.file": [('"set.npz"', '"none.npz"')],
    "extra": [('name = "m"', 'name = "m"\nextra = 2')],
}


@pytest.mark.parametrize(("key", "old", "new"), [(key, *change) for key in WRONG for change in WRONG[key]])
def test_errors_name_file_and_key(tmp_path: Path, key: str, old: str, new: str) -> None:
    entry = _entry(tmp_path, (old, new))
    with pytest.raises(UsageError, match=rf"^{re.escape(str(entry))}: {re.escape(key)}\b"):
        load_entry(entry)


def test_a_model_that_changed_is_refused(tmp_path: Path) -> None:
    entry = _entry(tmp_path)
    entry.with_name("m.tflite").write_bytes(small_model() + b"\0")
    with pytest.raises(UsageError, match=r"sha256: m\.tflite has [0-9a-f]{64}"):
        load_zoo(tmp_path)


@pytest.mark.parametrize("text", [b"name = ", b"\xff\xfe"])
def test_what_is_no_toml(tmp_path: Path, text: bytes) -> None:
    entry = _entry(tmp_path)
    entry.write_bytes(text)
    with pytest.raises(UsageError, match="not TOML"):
        load_entry(entry)


RECIPE = """
import sys
from pathlib import Path

count = Path(__file__).with_name("count")
count.write_text(count.read_text() + "x" if count.exists() else "x")
Path(sys.argv[1]).write_bytes(Path(__file__).with_name("bytes").read_bytes())
"""


def _built(folder: Path, recipe: str = RECIPE) -> Path:
    """A zoo of one entry that its recipe makes."""
    entry = _entry(folder, ('name = "m"', 'name = "m"\nbuilt = true\nnodes = 3'))
    recipes = folder / "recipes"
    recipes.mkdir(exist_ok=True)
    entry.with_name("m.tflite").rename(recipes / "bytes")
    (recipes / "m.py").write_text(recipe)
    return entry


def test_a_built_entry_is_made_once_and_only_when_its_file_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIL_CACHE_DIR", str(tmp_path / "cache"))
    entry = _built(tmp_path)
    assert load_zoo(tmp_path) == load_zoo(tmp_path, nodes=2) == ()
    (model,) = load_zoo(tmp_path, nodes=3)
    count = tmp_path / "recipes" / "count"
    assert not count.exists()
    assert model.path.read_bytes() == small_model()
    assert built_path("m", tmp_path) == load_entry(entry).path == model.path
    assert count.read_text() == "x"
    with pytest.raises(UsageError, match="no model is called 'n'"):
        built_path("n", tmp_path)


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        (RECIPE + "\nopen(sys.argv[1], 'ab').write(b'more')", r"sha256: m\.py makes [0-9a-f]{64} here"),
        ("raise ValueError('no such luck')", r"recipe: m\.py failed: ValueError: no such luck"),
        ("", r"recipe: m\.py failed: it ended with 0 and made no file"),
    ],
)
def test_a_recipe_that_fails_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, why: str
) -> None:
    monkeypatch.setenv("HIL_CACHE_DIR", str(tmp_path / "cache"))
    entry = _built(tmp_path, recipe)
    model = load_entry(entry)
    with pytest.raises(UsageError, match=rf"^{re.escape(str(entry))}: {why}"):
        _ = model.path
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.name == "m.tflite"]


def test_errors_of_built_entries_name_the_key(tmp_path: Path) -> None:
    entry = _built(tmp_path)
    text = entry.read_text()
    for old, new, key in (
        ('recipe = "recipes/m.py"', "", "recipe"),
        ("recipes/m.py", "recipes/n.py", "recipe"),
        ('sha256 = "', 'sha256 = "0', "sha256"),
        ("built = true", "built = 1", "built"),
        ("nodes = 3", "nodes = -1", "nodes"),
    ):
        entry.write_text(text.replace(old, new))
        with pytest.raises(UsageError, match=rf"^{re.escape(str(entry))}: {key}\b"):
            load_entry(entry)


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model in it"):
        load_zoo(tmp_path)
    with pytest.raises(UsageError, match="no model in it"):
        load_zoo(tmp_path / "none")
    with pytest.raises(UsageError, match="cannot be read"):
        load_entry(tmp_path / "none" / "model.toml")
    _entry(tmp_path)
    entry = _entry(tmp_path / "again")
    entry.parent.rename(tmp_path / "second")
    with pytest.raises(UsageError, match="two models are called 'm'"):
        load_zoo(tmp_path)


def test_labels_are_held(tmp_path: Path) -> None:
    model = load_entry(_entry(tmp_path))
    graph = tflite.load(model.path)
    assert model.accuracy is not None
    for labels in (np.array([1]), np.array([0.5, 1.0]), None):
        arrays = {} if labels is None else {"labels": labels}
        np.savez(model.accuracy.file, input_0=np.zeros((2, 1, 4, 4, 2), np.int8), **arrays)
        with pytest.raises(UsageError, match="'labels' of 2 integers"):
            load_accuracy(model.accuracy, graph)
