"""A file of weights that says what it holds is enough to have the network back, and it is all or nothing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zfcuda.cli import main
from zfcuda.data.preprocess import DigitPreprocess, NotedPreprocess, Preprocess
from zfcuda.models.architectures import imagenet, registry
from zfcuda.models.architectures.zfnet import zfnet
from zfcuda.models.checkpoints.convert import convert
from zfcuda.models.checkpoints.load import find, load
from zfcuda.models.checkpoints.match import load_weights
from zfcuda.models.checkpoints.trained import KEY, read_trained, save_trained

CLASSES = ["dress", "hat", "shirt"]
FACTS = {"command": "zfcuda train clothing --out run", "seed": 3, "accuracy": 0.75, "epoch": None}
SEEN = Preprocess(short_side=230, mean=(0.1, 0.2, 1 / 3), std=(0.5, 0.25, 0.3), interpolation="bilinear", order="bgr")


def save(path: Path, model: nn.Module, network: str = "zfnet", **changed: Any) -> Path:
    known: dict[str, Any] = {
        "network": network,
        "options": {"num_classes": 3},
        "classes": CLASSES,
        "preprocess": SEEN,
        "facts": FACTS,
    }
    save_trained(path, model, **known | changed)
    return path


def rewritten(path: Path, **changed: Any) -> Path:
    """The file with another description."""
    with safe_open(path, "pt") as file:
        known = json.loads(file.metadata()[KEY])
    save_file(load_file(path), path, {KEY: json.dumps(known | changed)})
    return path


def same(model: nn.Module, other: nn.Module) -> bool:
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def error(*arguments: Any, **options: Any) -> str:
    with pytest.raises(ValueError) as caught:
        load(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def lenet() -> nn.Module:
    return registry.build("lenet5", num_classes=3)


@pytest.mark.parametrize(("width", "variant"), [(0.3, "paper"), (0.0371, "paper"), (0.011, "paper"), (0.05, "wide")])
def test_a_zfnet_of_any_width(tmp_path: Path, width: float, variant: str) -> None:
    made = zfnet(3, width=width, variant=variant)
    options = {"num_classes": 3, "width": width, "variant": variant}
    path = save(tmp_path / "w.safetensors", made, options=options)
    loaded, name = find(path), "zfnet" if variant == "paper" else "zfnet_wide"
    model: Any = loaded.model
    assert same(model, made) and not model.training
    assert (model.classes, model.preprocess) == (CLASSES, SEEN)
    assert (loaded.title, loaded.num_classes, loaded.input_size) == (f"{name} with w.safetensors", 3, (3, 224, 224))
    by_name: Any = load(name, weights=path, num_classes=3)
    assert same(by_name, made) and (by_name.classes, by_name.preprocess) == (CLASSES, SEEN)
    save_file(made.state_dict(), tmp_path / "bare.safetensors")
    assert same(load(name, weights=tmp_path / "bare.safetensors"), made), "the width is read off the shapes, too"


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "efficientnet_lite0", "googlenet"])
def test_networks_by_name(tmp_path: Path, name: str) -> None:
    made = registry.build(name, num_classes=3)
    for buffer in made.buffers():
        buffer.add_(1)  # running means and counts, which are no parameters
    model: Any = load(save(tmp_path / "w.safetensors", made, name))
    assert same(model, made) and model.classes == CLASSES


def test_every_name_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = nn.Linear(2, 3)
    for name in registry.NAMES:
        assert read_trained(save(tmp_path / "w.safetensors", tiny, name)).network == name  # type: ignore[union-attr]


def test_half_the_size(tmp_path: Path) -> None:
    made = registry.build("resnet18", num_classes=3)
    path = save(tmp_path / "w.safetensors", made, "resnet18", dtype=torch.float16)
    assert load_file(path)["conv1.weight"].dtype == torch.float16
    assert load_file(path)["bn1.num_batches_tracked"].dtype == torch.int64
    model: Any = load(path)
    assert model.conv1.weight.dtype == torch.float32
    assert torch.equal(model.conv1.weight, made.conv1.weight.half().float())  # type: ignore[operator]
    with torch.no_grad():
        made.fc.weight[1, 2] = -1e6  # type: ignore[operator,union-attr,index]
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"dtype: 'fc.weight' has numbers up to 1e\+06, too large for torch.float16"):
        save(path, made, "resnet18", dtype=torch.float16)
    assert path.read_bytes() == before


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_mean_picture_comes_along(tmp_path: Path, lenet: nn.Module, dtype: torch.dtype) -> None:
    mean_image = (255 * torch.rand(1, 40, 40)).to(dtype)
    seen = Preprocess(32, 40, std=(1 / 255,), mean_image=mean_image)
    path = save(tmp_path / "w.safetensors", lenet, "lenet5", preprocess=seen)
    model: Any = load(path)
    assert model.preprocess == seen and torch.equal(model.preprocess.mean_image, mean_image)
    assert find(path).input_size == (1, 32, 32)
    load_weights(lenet, path)  # it is no weight
    convert(path, tmp_path / "v.safetensors")
    again: Any = load(tmp_path / "v.safetensors")
    assert (again.classes, again.preprocess) == (CLASSES, seen) and same(again, lenet)


@pytest.mark.parametrize("seen", [None, DigitPreprocess(), NotedPreprocess(32, 32, (0.1,), (0.2,), note="assumed")])
def test_other_preprocesses(tmp_path: Path, lenet: nn.Module, seen: Any) -> None:
    model: Any = load(save(tmp_path / "w.safetensors", lenet, "lenet5", preprocess=seen))
    assert model.preprocess == seen and type(model.preprocess) is type(seen)


def test_the_folder_of_a_training_is_its_weights(tmp_path: Path, lenet: nn.Module) -> None:
    (tmp_path / "run").mkdir()
    path = save(tmp_path / "run" / "weights.safetensors", lenet, "lenet5")
    for model in (load(tmp_path / "run"), load(f"{tmp_path}/run/")):
        assert same(model, lenet)
    assert error(tmp_path / "run", weights=path).startswith(f"weights: {path}, but {path} holds weights already")
    with pytest.raises(ValueError, match="a folder, not a network"):
        load(tmp_path)


def test_what_is_known_besides(tmp_path: Path, lenet: nn.Module) -> None:
    trained = read_trained(save(tmp_path / "w.safetensors", nn.DataParallel(lenet), "lenet5"))
    assert trained is not None and trained.facts == FACTS and trained.options == {"num_classes": 3}
    assert "conv1.weight" in load_file(tmp_path / "w.safetensors"), "without the wrapper's prefix"
    save_file(lenet.state_dict(), tmp_path / "bare.safetensors")
    assert read_trained(tmp_path / "bare.safetensors") is None and read_trained(tmp_path / "none") is None


def test_imagenets_classes_keep_their_synonyms(tmp_path: Path) -> None:
    made = registry.build("resnet18")
    options = {"num_classes": 1000}
    classes = list(imagenet.classes())
    model: Any = load(save(tmp_path / "w.safetensors", made, "resnet18", options=options, classes=classes))
    assert model.classes.synonyms == imagenet.classes().synonyms


# ---------------------------------------------------------------- the user's own Python

MODULE = """
from torch import nn

class Tied(nn.Module):
    def __init__(self, num_classes=5, width=1.0):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.last = nn.Linear(4, round(num_classes * width))
        self.register_buffer("scale", self.first.bias.detach())
    def forward(self, x): return self.last(self.second(self.first(x.flatten(1)[:, :4])) * self.scale)

network = Tied(3)
def backbone(): return Tied(7)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_{tmp_path.name.lower()}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return name


def test_own_networks(own: str, tmp_path: Path) -> None:
    made: Any = load(f"{own}:Tied", num_classes=4)
    path = save(tmp_path / "w.safetensors", made, f"{own}:Tied", options={"num_classes": 3, "width": 4 / 3})
    for name in ("Tied", "network"):
        if name == "network":
            save(path, load(f"{own}:network"), f"{own}:Tied")
        loaded = find(f"{own}:{name}", weights=path)
        model: Any = loaded.model
        assert model.classes == CLASSES and model.preprocess == SEEN and loaded.input_size == (3, 224, 224)
    begun = load(f"{own}:backbone")
    begun.last = nn.Linear(4, 3)
    model = load(f"{own}:backbone", weights=save(path, begun, f"{own}:backbone"))
    assert same(model, begun), "its last layer was begun anew, for other classes"
    save(path, nn.Linear(4, 4), f"{own}:Other")
    assert error(f"{own}:Tied", weights=path).endswith(f"; the file says that they are of {own}:Other")


def test_own_python_runs_only_where_it_is_named(own: str, tmp_path: Path) -> None:
    path = save(tmp_path / "w.safetensors", nn.Linear(4, 4), f"{own}:Tied")
    assert error(path) == (
        f"{path}: weights of {own}:Tied, Python of somebody's own, which no file runs; give --model {own}:Tied "
        f"--weights {path}"
    )
    assert error("zfnet", weights=path) == f"{path}: weights of {own}:Tied, not of zfnet"
    assert own not in sys.modules


def test_networks_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zfcuda.models.checkpoints import external

    def describe(model: nn.Module) -> Any:
        return None, (3, 8, 8), None

    monkeypatch.setattr(
        external,
        "find",
        lambda package, name: external.External(lambda num_classes=9: nn.Linear(2, num_classes), describe),
    )
    made = nn.Linear(2, 3)
    path = save(tmp_path / "w.safetensors", made, "torchvision/tiny", preprocess=SEEN)
    loaded = find(path)
    model: Any = loaded.model
    assert same(model, made) and (model.classes, model.preprocess) == (CLASSES, SEEN)
    assert loaded.input_size == (3, 224, 224) and loaded.origin == "torchvision/tiny"
    assert error("timm/tiny", weights=path) == f"{path}: weights of torchvision/tiny, not of timm/tiny"
    assert error(path, num_classes=4) == f"num_classes: 4, but {path} is for 3 classes"


# ---------------------------------------------------------------- what does not fit


def test_weights_of_another_network(tmp_path: Path, lenet: nn.Module) -> None:
    path = save(tmp_path / "w.safetensors", lenet, "lenet5")
    assert error("zfnet", weights=path) == f"{path}: weights of lenet5, not of zfnet"
    assert error(path, num_classes=5) == f"num_classes: 5, but {path} is for 3 classes"
    rewritten(path, network="resnet18")
    assert error(path).endswith("; these are lenet5's, for 3 classes")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"version": 2}, "written by a newer zfcuda (description 2, this one reads up to 1); pip install --upgrade"),
        ({"network": "resnet17"}, "cannot be read (ValueError: network: no network 'resnet17'; did you mean resnet1"),
        ({"network": 3}, "cannot be read (TypeError: network: expected a name, got 3)"),
        ({"network": "timm/\n"}, "network: expected a name"),
        ({"options": {"num_classes": "os:system"}}, "options: expected numbers, as num_classes and width are, got"),
        ({"options": {"pretrained": 1}}, "options: expected numbers, as num_classes and width are, got 'pretrained'"),
        ({"options": {"depth": 1}}, "lenet5 cannot be built with {'depth': 1} (TypeError: lenet5() got an unexpected"),
        ({"options": {"num_classes": -1}}, "cannot be built with {'num_classes': -1} (ValueError: num_classes: expe"),
        ({"options": {"num_classes": 10**30}}, "lenet5 cannot be built with {'num_classes': 1000000"),
        ({"options": [1]}, "cannot be read (TypeError"),
        ({"classes": [1, 2]}, "cannot be read (TypeError: names that are none)"),
        ({"classes": None}, "cannot be read (TypeError"),
        ({"preprocess": {"kind": "pickle"}}, "cannot be read (KeyError: 'pickle')"),
        ({"preprocess": {"kind": "picture", "size": 300}}, "cannot be read (ValueError: size, short_side: expected"),
        ({"facts": 3}, "cannot be read (TypeError"),
    ],
)
def test_descriptions_that_are_none(tmp_path: Path, lenet: nn.Module, changed: dict[str, Any], said: str) -> None:
    path = rewritten(save(tmp_path / "w.safetensors", lenet, "lenet5"), **changed)
    assert error(path).startswith(f"{path}: ") and said in error(path)


def test_a_description_that_is_no_json(tmp_path: Path, lenet: nn.Module) -> None:
    for text in ("{", "[]", '{"version": 1}', "[" * 100_000):
        save_file(lenet.state_dict(), tmp_path / "w.safetensors", {KEY: text})
        assert "what it says about its weights cannot be read" in error(tmp_path / "w.safetensors")


# ---------------------------------------------------------------- what is not written


class Strange:
    def __call__(self, picture: Image.Image) -> Tensor:
        return torch.zeros(1, 3, 8, 8)


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        ({"network": "resnet17"}, ValueError, "network: no network 'resnet17'; did you mean resnet1"),
        ({"options": {"num_classes": 3, "variant": "small"}, "network": "zfnet"}, ValueError, "options: no variant"),
        ({"options": {"num_classes": True}}, ValueError, "options: expected numbers"),
        ({"options": {"num_classes": 4}}, ValueError, "classes: expected 4 names, as num_classes says, got 3"),
        ({"classes": "dress"}, TypeError, "classes: expected a list of names, got 'dress'"),
        ({"classes": [1, 2, 3]}, TypeError, "classes: expected a list of names"),
        ({"preprocess": Strange()}, TypeError, "preprocess: expected a zfcuda.Preprocess or None, got a Strange whose"),
        ({"facts": {"loss": float("nan")}}, ValueError, "facts: expected what JSON takes, got {'loss': nan}"),
        ({"facts": {"path": Path("x")}}, TypeError, "facts: expected what JSON takes"),
        ({"dtype": torch.int8}, ValueError, "dtype: expected a floating one, got torch.int8"),
    ],
)
def test_what_cannot_be_described(
    tmp_path: Path, lenet: nn.Module, changed: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as caught:
        save(tmp_path / "w.safetensors", lenet, **{"network": "lenet5"} | changed)
    assert str(caught.value).startswith(said) and not list(tmp_path.iterdir())


def test_models_without_numbers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path: expected a name that ends in \.safetensors, got .*w.pth"):
        save(tmp_path / "w.pth", nn.Linear(2, 3))
    with pytest.raises(ValueError, match="model: ReLU has no weights"):
        save(tmp_path / "w.safetensors", nn.ReLU())
    with pytest.raises(ValueError, match="model: 'weight' is not a plain dense tensor"):
        save(tmp_path / "w.safetensors", nn.Linear(2, 3, device="meta"))


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, lenet: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "w.safetensors", lenet, "lenet5")
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, lenet, "lenet5", facts={})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------- commands


def test_commands_take_the_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    mean_image = torch.full((3, 230, 230), 100.0)
    mean_image[:, :100] = 160
    seen = Preprocess(short_side=230, std=(0.25,) * 3, mean_image=mean_image)
    path = save(
        tmp_path / "w.safetensors", zfnet(3, width=0.03), options={"num_classes": 3, "width": 0.03}, preprocess=seen
    )
    Image.new("RGB", (240, 260), (90, 120, 200)).save(tmp_path / "cat.png")
    for verb in ("layers", "summary"):
        assert main([verb, str(path)]) == 0
        assert "fc8" in capsys.readouterr().out
    words = ["explain", str(tmp_path / "cat.png"), "--model", str(path), "--out", str(tmp_path / "page")]
    assert main([*words, "--window", "100", "--stride", "80", "--top", "1", "--target", "hat"]) == 0
    page = (tmp_path / "page" / "index.html").read_text("utf-8")
    assert "each pixel its own" in page and "hat" in page
    numbers = json.loads((tmp_path / "page" / "numbers.json").read_text())
    assert "mean_image" in json.dumps(numbers) and "assumed" not in json.dumps(numbers)
