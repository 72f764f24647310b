"""The shipped networks: small, good at their task, and what they say of themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from zfcuda import models
from zfcuda.cli import main
from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.data.preprocess import Preprocess
from zfcuda.models.architectures.zfnet import zfnet
from zfcuda.models.checkpoints.load import find
from zfcuda.models.checkpoints.trained import save_trained
from zfcuda.models.pretrained import demo
from zfcuda.models.pretrained.demo import load_demo

WEIGHTS = Path(models.__file__).parent / "pretrained"


def test_what_the_weights_say_of_themselves() -> None:
    facts = json.loads((WEIGHTS / "demo.json").read_text(encoding="utf-8"))
    assert facts["finished"] and facts["accuracy"] >= 0.95
    assert abs(facts["control_accuracy"] - facts["chance"]) <= 0.05
    assert facts["held_out"]["pictures"] >= 1000 and facts["seed"] != facts["held_out"]["seed"]
    assert facts["seconds"] < 30 * 60
    assert facts["command"].startswith("python -m zfcuda.train ") and facts["torch"]
    assert (WEIGHTS / "demo.safetensors").stat().st_size <= 8_000_000


def test_load_demo() -> None:
    network = load_demo()
    assert not network.training
    assert network.classes == list(Parts.classes)
    picture = Parts(seed=HELD_OUT_SEED)[0]
    image = network.preprocess(picture.image)
    assert image.shape == (1, 3, 224, 224) and image.dtype == torch.float32
    with torch.inference_mode():
        assert network(image).shape == (1, 12)
    assert [name for name, _ in network.named_children()][:4] == ["conv1", "relu1", "pool1", "norm1"]
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}
    assert network.preprocess == Preprocess.parts() and network.card["accuracy"] >= 0.95


# ---------------------------------------------------------------- the second one

CLASSES = ["dress", "hat", "shirt"]


@pytest.fixture
def clothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the network of clothes, in a folder of its own; its weights."""
    torch.manual_seed(0)
    folder = tmp_path / "pretrained"
    folder.mkdir()
    monkeypatch.setattr(demo, "FOLDER", folder)
    seen: dict[str, Any] = {"size": 224, "short_side": 256, "mean": [0.6, 0.5, 0.4], "std": [0.3, 0.2, 0.1]}
    options = {"num_classes": 3, "width": 0.02}
    card = {"architecture": {"name": "zfnet", **options}, "classes": CLASSES, "accuracy": 0.8}
    card["preprocess"] = seen | {"interpolation": "bilinear"}
    (folder / "clothing.json").write_text(json.dumps(card))
    save_trained(
        folder / "clothing.safetensors",
        zfnet(**options),
        network="zfnet",
        options=options,
        classes=CLASSES,
        preprocess=Preprocess(**card["preprocess"]),
        facts={},
        dtype=torch.float16,
    )
    return folder / "clothing.safetensors"


def test_the_second_network(clothing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = load_demo("clothing")
    assert not network.training and network.classes == CLASSES and network.card["accuracy"] == 0.8
    assert network.preprocess == Preprocess(mean=(0.6, 0.5, 0.4), std=(0.3, 0.2, 0.1), interpolation="bilinear")
    loaded = find("clothing", num_classes=3)
    assert loaded.title == "clothing, a small ZFNet trained on photographs of clothes" and loaded.trained
    assert (loaded.origin, loaded.options) == ("zfnet", {"num_classes": 3, "width": 0.02})
    again: Any = find(clothing).model
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())
    assert (again.classes, again.preprocess) == (CLASSES, network.preprocess)
    assert main(["layers", "clothing"]) == 0 and "fc8" in capsys.readouterr().out
    Image.new("RGB", (240, 260), (90, 120, 200)).save(tmp_path / "shirt.png")
    words = ["explain", str(tmp_path / "shirt.png"), "--model", "clothing", "--out", str(tmp_path / "page")]
    assert main([*words, "--window", "112", "--stride", "112", "--top", "1", "--target", "hat"]) == 0
    assert "a small ZFNet trained on photographs of clothes" in (tmp_path / "page" / "index.html").read_text("utf-8")


def test_networks_that_are_not_there(clothing: Path) -> None:
    with pytest.raises(ValueError, match=r"name: expected one of \('demo', 'clothing'\), got 'cats'"):
        load_demo("cats")
    for given in ("clothing.json", "clothing.safetensors"):
        (clothing.parent / given).unlink()
        with pytest.raises(ValueError, match="name: this copy of zfcuda lacks the network 'clothing' "):
            load_demo("clothing")
    with pytest.raises(ValueError, match="the clothing network has its own weights; name the network that"):
        find("clothing", weights=clothing)


def test_what_the_network_of_clothes_says_of_itself() -> None:
    if not (WEIGHTS / "clothing.safetensors").is_file():
        pytest.skip("this copy of the package lacks it")
    network = load_demo("clothing")
    card = network.card
    assert card["accuracy"] >= 0.7 and set(card["accuracy_by_class"]) == set(card["classes"]) and card["seed"] >= 0
    assert card["command"].split()[:2] in (["zfcuda", "train"], ["python", "-m"])
    assert card["data"]["name"] == "alexeygrigorev/clothing-dataset-small" and card["data"]["license"] == "CC0"
    assert (WEIGHTS / "clothing.safetensors").stat().st_size <= 8_000_000
    assert len(network.classes) == 10 and network(network.preprocess(Image.new("RGB", (300, 400)))).shape == (1, 10)
