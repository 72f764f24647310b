"""A run becomes a network of the package: small, measured again, with a card that says all of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.sets.trees import three_parts
from zfcuda.models.checkpoints.load import find
from zfcuda.models.checkpoints.trained import read_trained
from zfcuda.models.pretrained import demo
from zfcuda.train import pack as module
from zfcuda.train import train
from zfcuda.train.pack import main, pack

KNOWN: dict[str, Any] = {"source": "somebody/cats-and-dogs", "license": "CC0"}
OPTIONS: dict[str, Any] = {"width": 0.02, "epochs": 1, "batch": 4, "workers": 0, "short_side": 224}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The folder of a run that learned of another one, and its pictures."""
    folder = tmp_path_factory.mktemp("runs")
    data = three_parts(folder / "data")
    train(data, folder / "teacher", seed=2, command="zfcuda train data --out teacher", **OPTIONS)
    teacher = str(folder / "teacher" / "weights.safetensors")
    train(data, folder / "run", seed=1, command="zfcuda train data", teacher=teacher, **OPTIONS)
    yield folder / "run", data


@pytest.fixture
def into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "package").mkdir()
    monkeypatch.setattr(demo, "FOLDER", tmp_path / "package")
    return tmp_path / "package"


def test_the_package_has_the_network_of_the_run(
    run: tuple[Path, Path], into: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, data = run
    words = [str(path), "clothing", str(data), "--source", KNOWN["source"], "--license", "CC0", "--out", str(into)]
    assert main(words) == 0
    assert sorted(each.name for each in into.iterdir()) == ["clothing.json", "clothing.safetensors"]
    network, trained = demo.load_demo("clothing"), find(path / "weights.safetensors").model
    assert (network.classes, network.preprocess) == (["cat", "dog"], trained.preprocess)
    for name, value in trained.state_dict().items():
        assert torch.equal(network.state_dict()[name], value.half().float())
    assert (into / "clothing.safetensors").stat().st_size < (path / "weights.safetensors").stat().st_size * 0.6
    card, result = network.card, json.loads((path / "result.json").read_text())
    assert card["architecture"] == {"name": "zfnet", "width": 0.02, "num_classes": 2}
    assert (card["command"], card["seed"], card["recipe"]) == ("zfcuda train data", 1, "modern")
    assert card["accuracy"] == card["float32_accuracy"] == result["test"] and card["test_pictures"] == 3
    assert card["accuracy_by_class"] == result["by_class"] and card["confusion"] == result["confusion"]
    assert card["data"]["name"] == KNOWN["source"] and card["data"]["license"] == "CC0"
    teacher = json.loads((path.parent / "teacher" / "result.json").read_text())
    assert card["teacher"]["network"] == "zfnet" and card["teacher"]["accuracy"] == teacher["test"]
    assert card["teacher"]["command"] == "zfcuda train data --out teacher" and card["training"]["epochs"] == 1
    said = capsys.readouterr().out
    assert said.startswith("clothing: ") and "of 3 test pictures (float16)" in said
    assert main(words) == 2 and "exists already; --force overwrites it" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0


def refused(run: Path, data: Path, into: Path, name: str = "clothing") -> str:
    with pytest.raises(ValueError) as caught:
        pack(run, name, data, folder=into, **KNOWN)
    assert not list(into.iterdir()) and "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_run_of_a_network_for_the_package(run: tuple[Path, Path], into: Path, tmp_path: Path) -> None:
    path, data = run
    assert refused(path, data, into, "cats") == "name: expected one of ('demo', 'clothing'), got 'cats'"
    with pytest.raises(ValueError, match=r"folder: .*: no such folder"):
        pack(path, "clothing", data, folder=tmp_path / "none", **KNOWN)
    assert refused(tmp_path, data, into).endswith("result.json: no such file; expected a run that has ended")
    other = three_parts(tmp_path / "other")
    (other / "test" / "cat" / "0.png").unlink()
    shutil.copy(other / "test" / "dog" / "0.png", other / "test" / "cat" / "9.png")
    assert refused(path, other, into).startswith("data: expected the pictures of the run, data: ")
    orphan = shutil.copytree(path, tmp_path / "orphan")
    config = json.loads((orphan / "config.json").read_text())
    (orphan / "config.json").write_text(json.dumps(config | {"teacher": "gone/weights.safetensors"}))
    assert refused(orphan, data, into).startswith("run: its teacher gone/weights.safetensors: no such file here")
    without = shutil.copytree(path, tmp_path / "without")
    result = json.loads((without / "result.json").read_text())
    (without / "result.json").write_text(json.dumps(result | {"test": None}))
    assert refused(without, data, into).endswith("expected a run with test pictures, got one without")


def test_figures_that_the_halved_weights_do_not_keep(
    run: tuple[Path, Path], into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = run
    better = shutil.copytree(path, tmp_path / "better")
    result = json.loads((better / "result.json").read_text())
    (better / "result.json").write_text(json.dumps(result | {"test": result["test"] + 0.2}))
    assert refused(better, data, into).endswith(f"and {result['test']:.2%} in float16")
    monkeypatch.setattr(module, "LARGEST", 1000)
    assert "expected at most 1,000 bytes in float16, got " in refused(path, data, into)
    assert read_trained(path / "weights.safetensors") is not None
