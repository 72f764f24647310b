"""Networks by name and by file: what users have is found, what does not fit is named."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zfcuda.models.architectures import registry
from zfcuda.models.architectures.zfnet import zfnet
from zfcuda.models.checkpoints import external
from zfcuda.models.checkpoints.convert import convert
from zfcuda.models.checkpoints.errors import WeightsError
from zfcuda.models.checkpoints.identify import fits, whose
from zfcuda.models.checkpoints.load import find, load
from zfcuda.models.checkpoints.loaded import UnknownNetworkError
from zfcuda.models.checkpoints.plain_torchvision import torchvision_models

State = dict[str, Tensor]


def state(name: str, num_classes: int, seed: int = 0) -> State:
    """The weights of a network by name, as a file would hold them; small where the network is large."""
    torch.manual_seed(seed)
    network = registry.build(name, num_classes=num_classes)
    return {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def resnet() -> State:
    return state("resnet18", 3)


@pytest.fixture(scope="module")
def lenet() -> State:
    return state("lenet5", 4)


def holds(model: nn.Module, content: State) -> bool:
    own = model.state_dict()
    return own.keys() == content.keys() and all(torch.equal(own[key], content[key].to(own[key])) for key in own)


def error(*arguments: Any, **options: Any) -> str:
    with pytest.raises(ValueError) as caught:
        load(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# ---------------------------------------------------------------- by name


def test_every_name() -> None:
    for name in registry.NAMES:
        if name.startswith("vgg") and name != "vgg11":
            continue  # hundreds of megabytes each, and alike
        loaded = find(name, num_classes=2)
        assert not loaded.model.training and not loaded.trained
        assert (loaded.title, loaded.num_classes) == (name, 2) and loaded.input_size == registry.entry(name).input_size
        assert loaded.model.preprocess(Image.new("RGB", (50, 40))).shape == (1, *loaded.input_size)
        assert loaded.model.classes is None, "two classes are not ImageNet's"


def test_names_are_taken_as_people_write_them() -> None:
    assert find("ResNet18", num_classes=2).title == "resnet18"
    assert find("zfnet-wide", num_classes=2).title == "zfnet_wide"
    assert load("demo").classes == load("demo", num_classes=12).classes


def test_published_classes() -> None:
    model: Any = load("resnet18")
    assert len(model.classes) == 1000 and model.classes[281] == "tabby"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet17", "no network 'resnet17'; did you mean resnet18"),
        ("", "there are lenet5, alexnet"),
        ("nets/none.pth", "nets/none.pth: no such file"),
        ("nets/none", "nets/none: no such file"),
        ("torchvision/no_such_net", "torchvision"),
        ("timm/no_such_net", "timm"),
        ("./", "a folder, not a network"),
        ("https://host/resnet18.pth", "https://host/resnet18.pth: an address, not a file; download it first"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    assert message in error(name)


def test_an_address_of_weights() -> None:
    assert error("resnet18", weights="s3://bucket/w.pth").startswith(
        "s3://bucket/w.pth: an address, not a file; download it first"
    )


def test_numbers_of_classes_that_cannot_be() -> None:
    assert "num_classes: expected at least 1, got 0" in error("resnet18", num_classes=0)
    assert "num_classes: expected 12, as the demo network has, got 3" in error("demo", num_classes=3)


# ---------------------------------------------------------------- published layouts of files


def as_checkpoint(content: State) -> dict[str, Any]:
    """What the training scripts of PyTorch's examples save."""
    weights = OrderedDict((f"module.{key}", value) for key, value in content.items())
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return {
        "epoch": 90,
        "arch": "resnet18",
        "state_dict": weights,
        "best_acc1": torch.tensor(69.8),
        "optimizer": optimizer,
    }


def with_metadata(content: State) -> OrderedDict[str, Tensor]:
    """A state_dict as modules give it: ordered, with the versions of its modules beside it."""
    ordered = OrderedDict(content)
    ordered._metadata = OrderedDict({"": {"version": 1}, "bn1": {"version": 2}})  # type: ignore[attr-defined]
    return ordered


LAYOUTS: dict[str, tuple[Callable[[State], Any], dict[str, Any]]] = {
    "zip": (with_metadata, {}),
    "before torch 1.6": (with_metadata, {"_use_new_zipfile_serialization": False}),
    "before num_batches_tracked": (
        lambda c: OrderedDict((k, v) for k, v in c.items() if not k.endswith("num_batches_tracked")),
        {"_use_new_zipfile_serialization": False},
    ),
    "parameters": (lambda c: OrderedDict((k, nn.Parameter(v, v.is_floating_point())) for k, v in c.items()), {}),
    "DataParallel": (lambda c: {f"module.{k}": v for k, v in c.items()}, {}),
    "Lightning": (lambda c: {"state_dict": {f"model.{k}": v for k, v in c.items()}, "epoch": 1}, {}),
    "checkpoint": (as_checkpoint, {}),
    "another order": (lambda c: dict(reversed(list(c.items()))), {}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path: Path, resnet: State, layout: str) -> None:
    make, options = LAYOUTS[layout]
    path = tmp_path / "resnet18-f37072fd.pth"
    torch.save(make(resnet), path, **options)
    assert (path.read_bytes()[:2] == b"PK") == (not options)
    by_name, by_file = find("resnet18", weights=path), find(path)
    expected = resnet
    for loaded in (by_name, by_file):
        own = loaded.model.state_dict()
        assert loaded.trained and loaded.num_classes == 3 and loaded.origin == "resnet18" and not loaded.model.training
        assert all(torch.equal(own[key], value.to(own[key])) for key, value in expected.items())
    assert by_name.title == by_file.title == "resnet18 with resnet18-f37072fd.pth"


def test_googlenet_with_its_auxiliary_classifiers(tmp_path: Path) -> None:
    content = state("googlenet", 3)
    published = content | {
        f"aux{i}.{key}": torch.zeros(shape)
        for i in (1, 2)
        for key, shape in {
            "conv.conv.weight": (128, 512, 1, 1),
            "fc1.weight": (1024, 2048),
            "fc2.weight": (3, 1024),
            "fc2.bias": (3,),
        }.items()
    }
    path = tmp_path / "googlenet-1378be20.pth"
    torch.save(published, path)
    assert holds(load("googlenet", weights=path), content) and find(path).origin == "googlenet"


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_large_networks_are_told_by_their_shapes(name: str) -> None:
    with torch.device("meta"):
        content = registry.build(name, num_classes=7).state_dict()
    best = fits(content)[0]
    assert best.exact and (best.name, best.options["num_classes"]) == (name, 7)
    assert whose(content) == f"; these are {name}'s, for 7 classes"
    assert whose({"a": torch.zeros(2)}) == ""


def test_a_narrow_zfnet(tmp_path: Path) -> None:
    content = zfnet(5, width=0.05).state_dict()
    save_file(content, tmp_path / "w.safetensors")
    assert holds(load("zfnet", weights=tmp_path / "w.safetensors"), content)
    loaded = find(tmp_path / "w.safetensors")
    assert holds(loaded.model, content) and loaded.model.preprocess is not None


def test_networks_of_the_same_shapes_have_to_be_named(tmp_path: Path) -> None:
    content = {key: value.half() for key, value in zfnet(2, variant="alexnet_conv1").state_dict().items()}
    save_file(content, tmp_path / "w.safetensors")
    message = error(tmp_path / "w.safetensors")
    assert "weights of alexnet_one_tower or zfnet_alexnet_conv1, which have the same shapes; say which" in message
    assert holds(load("zfnet_alexnet_conv1", weights=tmp_path / "w.safetensors"), content)


# ---------------------------------------------------------------- what does not fit


def test_weights_of_another_network(tmp_path: Path, resnet: State, lenet: State) -> None:
    path = tmp_path / "w.pth"
    torch.save(resnet, path)
    message = error("resnet34", weights=path)
    assert message == (
        f"{path}: weights of another network: 'layer1.2.conv1.weight' [64, 64, 3, 3] is missing from the file; "
        "these are resnet18's, for 3 classes"
    )
    torch.save({f"module.{key}": value for key, value in resnet.items()}, path)
    assert error("vgg11", weights=path).endswith("; these are resnet18's, for 3 classes")
    torch.save(resnet | {"extra.weight": torch.zeros(1)}, path)
    assert "'extra.weight' [1] does not exist in the network; the nearest is resnet18" in error(
        "resnet18", weights=path
    )
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(UnknownNetworkError, match="weights of none of the networks known by name; say of which"):
        load(path)


def test_another_number_of_classes(tmp_path: Path, lenet: State) -> None:
    path = tmp_path / "w.pth"
    torch.save(lenet, path)
    for name in ("lenet5", path):
        weights = {} if name == path else {"weights": path}
        assert error(name, **weights, num_classes=5) == f"num_classes: 5, but {path} is for 4 classes"
        assert find(name, **weights, num_classes=4).num_classes == 4


def test_a_file_and_weights(tmp_path: Path, lenet: State) -> None:
    path = tmp_path / "w.pth"
    torch.save(lenet, path)
    assert "holds weights already; name the network instead" in error(path, weights=path)
    assert "the demo network has its own weights" in error("demo", weights=path)


# ---------------------------------------------------------------- the user's own Python

MODULE = """
from torch import nn
import functools

network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
number = 3

def make(num_classes=2): return nn.Sequential(nn.Flatten(), nn.Linear(4, num_classes))
def needs(width): return network
def fails(): raise KeyError("weights")
def ends(): raise SystemExit(0)
def wrong(): return 3

class Lazily(type):
    def __getattr__(cls, name): raise OSError("gone")

class Lazy(metaclass=Lazily): pass

class Net(nn.Module):
    class Inner(nn.Module): pass
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the folder at hand, which is no place of modules otherwise."""
    name = f"own_{tmp_path.name.lower()}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import no_such_thing")
    (tmp_path / f"{name}_ends.py").write_text("import sys; sys.exit(3)")
    (tmp_path / f"{name}_odd.py").write_text("def f(:")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != ""])
    return name


def test_own_networks(own: str, tmp_path: Path) -> None:
    before = list(sys.path)
    assert load(f"{own}:make")[1].out_features == 2  # type: ignore[index]
    assert load(f"{own}:make", num_classes=7)[1].out_features == 7  # type: ignore[index]
    assert load(f"{own}:network") is sys.modules[own].network
    assert type(load(f"{own}:Net.Inner")).__name__ == "Inner" and load(f"{own}:Net").classes is None
    weights = {"1.weight": torch.ones(2, 4), "1.bias": torch.ones(2)}
    save_file(weights, tmp_path / "w.safetensors")
    assert holds(load(f"{own}:make", weights=tmp_path / "w.safetensors"), weights)
    assert sys.path == before


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        (":nothing", "has no 'nothing'; it has "),
        (":needs", "cannot be called with no arguments (missing a required argument: 'width')"),
        (":fails", "fails when called: KeyError: 'weights'"),
        (":ends", "fails when called: SystemExit: 0"),
        ("_ends:make", "fails: SystemExit: 3"),
        (":Lazy.attribute", "looking for 'attribute' fails: OSError: gone"),
        (":wrong", "returns a int, not a torch.nn.Module"),
        (":number", "a int, neither a torch.nn.Module nor a function that makes one"),
        (":", "expected module:attribute"),
        ("_broken:make", "fails: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("_odd:make", "fails: SyntaxError: "),
        ("_none:make", "no Python module '"),
    ],
)
def test_own_networks_that_are_none(own: str, attribute: str, message: str) -> None:
    assert message in error(own + attribute)


def test_own_networks_and_classes(own: str) -> None:
    assert "is a network already" in error(f"{own}:network", num_classes=3)
    assert "fails when called: TypeError: " in error(f"{own}:Net", num_classes=3)
    assert "cannot be called with num_classes=3" in error(f"{own}:wrong", num_classes=3)


# ---------------------------------------------------------------- torchvision and timm


class TinyNet(nn.Sequential):
    """What a package elsewhere might have."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, num_classes))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(name: str) -> external.External | None:
        def describe(model: nn.Module) -> tuple[Any, Any, Any]:
            return (lambda picture: torch.zeros(1, 3, 8, 8)), (3, 8, 8), ["a"] * 1000

        return external.External(TinyNet, describe) if name == "tiny_net" else None

    monkeypatch.setattr(external, "_torchvision", make)
    monkeypatch.setattr(external, "installed", lambda package: package == "torchvision")


def test_a_network_of_another_package(tiny: None, tmp_path: Path) -> None:
    whole: Any = load("torchvision/tiny_net")
    assert len(whole.classes) == 1000 and whole.preprocess(None).shape == (1, 3, 8, 8)
    assert find("tiny_net").title == "torchvision/tiny_net" and not find("tiny_net").trained
    torch.save(TinyNet(6).state_dict(), tmp_path / "w.pth")
    loaded = find("tiny_net", weights=tmp_path / "w.pth")
    assert (
        loaded.trained and loaded.num_classes == 6 and loaded.model.classes is None and loaded.input_size == (3, 8, 8)
    )
    assert "num_classes: 2, but" in error("tiny_net", weights=tmp_path / "w.pth", num_classes=2)
    assert error("torchvision/huge_net") == "torchvision has no network 'huge_net'"
    said = convert(tmp_path / "w.pth", tmp_path / "w.safetensors", model="tiny_net")
    assert said.endswith("4 tensors of torchvision/tiny_net")
    assert find(tmp_path / "w.safetensors").title == "torchvision/tiny_net with w.safetensors"


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "timm" in error("timm/vit_tiny")
    broken = ModuleType("timm")
    broken.__spec__ = None
    monkeypatch.setattr(
        external.importlib, "import_module", lambda name: exec("raise RuntimeError('operator missing')")
    )
    assert error("timm/vit_tiny") == "timm cannot be imported: RuntimeError: operator missing"


def test_no_builder_is_left_to_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither torchvision's, by whatever name its argument goes, nor one that is named as Python."""
    asked: list[object] = []

    def build(
        *,
        weights: object = "W",
        weights_backbone: object = "B",
        pretrained_head: object = "H",
        num_classes: int = 2,
    ) -> nn.Module:
        asked.extend(value for value in (weights, weights_backbone, pretrained_head) if value)
        return TinyNet(num_classes)

    build.__module__ = "torchvision.models.segmentation"
    models: Any = ModuleType("torchvision.models")
    models.list_models = lambda: ["fcn_like"]
    models.get_model_builder = lambda name: build
    models.get_model = lambda name, **options: build(**options)
    models.get_model_weights = lambda name: []
    models.fcn_like = build
    monkeypatch.setattr(external.importlib, "import_module", lambda name: models)
    assert load("torchvision/fcn_like", num_classes=4)[2].out_features == 4  # type: ignore[index]
    assert load("torchvision.models:fcn_like", num_classes=3)[2].out_features == 3  # type: ignore[index]
    assert asked == []


def test_torchvisions_own(tmp_path: Path) -> None:
    with torchvision_models() as models:
        if models is None:
            pytest.skip("no torchvision")
        other = models.densenet121(num_classes=3)
    torch.save(other.state_dict(), tmp_path / "w.pth")
    loaded = find("densenet121", weights=tmp_path / "w.pth")
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(loaded.model(x), other.eval()(x))
    assert loaded.num_classes == 3 and loaded.input_size == (3, 224, 224)
    assert loaded.model.preprocess(Image.new("L", (300, 200))).shape == (1, 3, 224, 224)


# ---------------------------------------------------------------- convert


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata())


def test_convert(tmp_path: Path, lenet: State) -> None:
    source, out = tmp_path / "lenet.pth", tmp_path / "lenet.safetensors"
    torch.save({"state_dict": {f"module.{key}": value for key, value in lenet.items()}}, source)
    assert convert(source, out) == f"{out}: {len(lenet)} tensors of lenet5"
    facts = metadata(out)
    assert facts["zfcuda.network"] == "lenet5" and facts["zfcuda.num_classes"] == "4"
    assert facts["zfcuda.source"] == "lenet.pth"
    loaded = find(out)
    assert holds(loaded.model, lenet) and loaded.origin == "lenet5"
    with safe_open(out, "pt") as file:
        assert file.get_tensor(next(iter(lenet))).dtype == torch.float16, "dtypes stay"
    again = tmp_path / "again.safetensors"
    convert(out, again)
    assert metadata(again)["zfcuda.network"] == "lenet5" and holds(load(again), lenet)


def test_a_name_in_the_file_decides_between_equal_shapes(tmp_path: Path) -> None:
    content = {key: value.half() for key, value in zfnet(2, variant="alexnet_conv1").state_dict().items()}
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="say which"):
        convert(tmp_path / "w.pth", tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()
    convert(tmp_path / "w.pth", tmp_path / "w.safetensors", model="zfnet_alexnet_conv1")
    assert find(tmp_path / "w.safetensors").origin == "zfnet_alexnet_conv1"


def test_convert_what_is_not_known_by_name(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    torch.save({"a": shared, "b": shared, "c": shared.view(2, 3).T}, tmp_path / "w.pth")
    said = convert(tmp_path / "w.pth", tmp_path / "w.safetensors")
    assert said.endswith("3 tensors of a network not known by name")
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert torch.equal(file.get_tensor("b"), shared) and torch.equal(file.get_tensor("c"), shared.view(2, 3).T)
    assert "zfcuda.network" not in metadata(tmp_path / "w.safetensors")


def test_convert_loses_nothing(tmp_path: Path, lenet: State, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = tmp_path / "w.pth", tmp_path / "out.safetensors"
    torch.save(lenet, source)
    out.write_text("an earlier file")
    with pytest.raises(ValueError, match="exists already; --force overwrites it"):
        convert(source, out)

    def full(*arguments: Any) -> None:
        Path(arguments[1]).write_text("half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("zfcuda.files.tensors.save_file", full)
        with pytest.raises(ValueError, match=r"cannot be written \(No space left on device\)"):
            convert(source, out, force=True)
    assert out.read_text() == "an earlier file" and sorted(p.name for p in tmp_path.iterdir()) == [
        out.name,
        source.name,
    ]
    convert(source, out, force=True)
    assert holds(load(out), lenet)
    convert(out, out, force=True)
    assert holds(load(out), lenet), "onto itself"


def test_a_file_cannot_name_python_to_run(tmp_path: Path, lenet: State) -> None:
    path = tmp_path / "w.safetensors"
    save_file(lenet, path, {"zfcuda.network": "os:getcwd"})
    assert find(path).origin == "lenet5", "what the file says is no name of ours, so the shapes decide"


def test_convert_caffe(tmp_path: Path) -> None:
    pytest.importorskip("google.protobuf")
    from tests.models.test_caffe import files

    prototxt, weights = files(tmp_path, "zf")
    out = tmp_path / "zf.safetensors"
    convert(prototxt, out, mean="1,2,3")
    assert metadata(out)["zfcuda.source"] == "zf.caffemodel"
    before: Any = load(prototxt)
    weights.unlink()
    prototxt.unlink()
    after: Any = load(out)
    x = torch.randn(1, 3, 63, 47)
    assert torch.equal(before(x), after(x)) and after.preprocess.mean == (1 / 255, 2 / 255, 3 / 255)
    again = tmp_path / "again.safetensors"
    convert(out, again)
    assert metadata(again)["zfcuda.prototxt"] == metadata(out)["zfcuda.prototxt"]
    with pytest.raises(ValueError, match=r"mean: expected 3 numbers, one per channel, got 2 \(1,2\)"):
        convert(*files(tmp_path, "zf")[:1], tmp_path / "new.safetensors", mean="1,2")
    for odd in ("nan,1,2", "1,inf,2"):
        with pytest.raises(ValueError, match="mean: expected finite numbers"):
            convert(*files(tmp_path, "zf")[:1], tmp_path / "new.safetensors", mean=odd)
    save_file(load_file(out), tmp_path / "odd.safetensors", metadata(out) | {"zfcuda.mean": "1,2,x"})
    assert "odd.safetensors: zfcuda.mean: expected numbers like 104,117,123, got '1,2,x'" in error(
        tmp_path / "odd.safetensors"
    )


def test_pipes_are_not_waited_for(tmp_path: Path, own: str) -> None:
    for name in ("a.prototxt", "b.caffemodel", "c.pth", "d"):
        os.mkfifo(tmp_path / name)
        assert "not a regular file" in error(tmp_path / name) and "not a regular file" in error(name)
    assert "not a regular file" in error("lenet5", weights=tmp_path / "d")
    os.mkfifo(tmp_path / "out.safetensors")
    save_file({"1.weight": torch.ones(2, 4)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="not a regular file"):
        convert(tmp_path / "w.safetensors", tmp_path / "out.safetensors", force=True)
