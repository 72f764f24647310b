"""What a run trains: its first weights, those that it starts from, and what stays as it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

import zfcuda
from zfcuda.models.checkpoints.trained import save_trained
from zfcuda.train.messages import ending
from zfcuda.train.network import frozen, subject
from zfcuda.train.options import Options

PREPROCESS = zfcuda.Preprocess(224, 240, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


@pytest.fixture
def own() -> Iterator[str]:
    """A network of the user's own Python, with batch norms."""
    module = ModuleType("own_network")

    def network() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 7)
        )

    module.network = network  # type: ignore[attr-defined]
    sys.modules["own_network"] = module
    yield "own_network:network"
    del sys.modules["own_network"]


def saved(path: Path, classes: list[str], width: float = 0.05) -> tuple[str, nn.Module]:
    network = zfcuda.models.zfnet(len(classes), width=width)
    options = {"num_classes": len(classes), "width": width}
    save_trained(path, network, network="zfnet", options=options, classes=classes, preprocess=PREPROCESS, facts={})
    return str(path), network


def test_a_named_network_is_built_for_the_classes_with_weights_of_the_seed() -> None:
    options = Options(width=0.05, init="normal", initial=0.02, dropout=0.25)
    one, again = subject(options, 5), subject(options, 5)
    other = subject(Options(width=0.05, init="normal", initial=0.02, seed=1), 5)
    assert one.name == "zfnet" and one.options == {"num_classes": 5, "width": 0.05} and one.preprocess is None
    assert one.model.fc8.out_features == 5  # type: ignore[union-attr]
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    weight, changed = one.model.get_parameter("fc6.weight"), other.model.get_parameter("fc6.weight")
    assert not torch.equal(weight, changed)
    assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not one.model.get_parameter("fc6.bias").any()
    assert [layer.p for layer in one.model.modules() if isinstance(layer, nn.Dropout)] == [0.25, 0.25]


def test_he_s_weights_have_small_first_filters_and_a_small_last_layer() -> None:
    model = subject(Options(width=0.25, init="he"), 100).model
    deviation = {name: model.get_parameter(f"{name}.weight").std().item() for name in ("conv1", "conv3", "fc6", "fc8")}
    assert deviation["conv1"] == pytest.approx(0.01, rel=0.1)
    assert deviation["fc8"] == pytest.approx(0.01, rel=0.1)
    for name in ("conv3", "fc6"):
        fan_in = model.get_parameter(f"{name}.weight")[0].numel()
        assert deviation[name] == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)


def test_weights_of_the_same_classes_are_gone_on_with(tmp_path: Path) -> None:
    file, network = saved(tmp_path / "a.safetensors", ["cat", "dog", "hat"])
    found = subject(Options(model="zfnet", weights=file), 3)
    assert found.begun is None and found.preprocess == PREPROCESS
    assert (found.name, found.options) == ("zfnet", {"num_classes": 3, "width": 0.05}), "what the next file says"
    for name, value in network.state_dict().items():
        assert torch.equal(value, found.model.state_dict()[name]), name


def test_weights_of_other_classes_lose_their_last_layer_alone(tmp_path: Path) -> None:
    file, network = saved(tmp_path / "a.safetensors", ["cat", "dog", "hat"])
    found = subject(Options(model="zfnet", weights=file), 8)
    assert found.begun == "fc8" and found.options == {"num_classes": 8, "width": 0.05}
    here = found.model.state_dict()
    assert here["fc8.weight"].shape[0] == 8 and not here["fc8.weight"].any() and not here["fc8.bias"].any()
    for name, value in network.state_dict().items():
        if not name.startswith("fc8"):
            assert torch.equal(value, here[name]), name


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file, _ = saved(tmp_path / "a.safetensors", ["cat", "dog"])
    with pytest.raises(ValueError, match="alexnet"):
        subject(Options(model="alexnet", weights=file), 2)


def test_a_network_without_weights_of_its_own_cannot_start_from_them() -> None:
    with pytest.raises(ValueError, match="weights: zfnet has none that are installed"):
        subject(Options(model="zfnet", weights="pretrained"), 2)


def test_a_network_of_one_s_own_gets_a_last_layer_for_the_classes(own: str) -> None:
    found = subject(Options(model=own, init="keep"), 3)
    assert found.name == own and found.begun is None
    assert found.model(torch.zeros(1, 3, 8, 8)).shape == (1, 3)


def test_what_is_trained_of_one_s_own_is_loaded_again(own: str, tmp_path: Path) -> None:
    found = subject(Options(model=own, init="keep"), 3)
    known = {"network": found.name, "options": found.options, "preprocess": PREPROCESS, "facts": {}}
    save_trained(tmp_path / "w.safetensors", found.model, classes=["cat", "dog", "hat"], **known)
    again = zfcuda.models.load(own, weights=tmp_path / "w.safetensors")
    assert again.classes == ["cat", "dog", "hat"] and again(torch.zeros(1, 3, 8, 8)).shape == (1, 3)


def test_the_network_in_the_package_is_a_zfnet() -> None:
    found = subject(Options(model="demo", weights="pretrained"), 3)
    assert (found.name, found.begun) == ("zfnet", "fc8") and found.options == {
        "num_classes": 3,
        "variant": "paper",
        "width": 0.25,
    }


def test_nothing_below_a_layer_learns(own: str) -> None:
    model = subject(Options(model=own, init="keep", freeze_below="2"), 3).model
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {"5.weight", "5.bias"}
    assert [type(layer) for layer in frozen(model, "2")] == [nn.Conv2d, nn.BatchNorm2d]
    assert not list(frozen(model, None))


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"freeze_below: expected a layer .* got 'conv9'; there are conv1, "):
        subject(Options(width=0.05, freeze_below="conv9"), 2)


def test_an_error_begins_with_the_option() -> None:
    with pytest.raises(ValueError, match=r"^model: no network .resnet81.; did you mean"):
        subject(Options(model="resnet81"), 2)
    with pytest.raises(ValueError, match=r"^weights: nowhere\.pth: no such file"):
        subject(Options(weights="nowhere.pth"), 2)


def test_what_to_try_next_names_python_of_ones_own_again() -> None:
    facts = {"validation": 0.5, "epoch": 1}
    assert "--model mine:net --weights run/weights.safetensors" in ending(facts, Path("run"), "mine:net")
    assert "--model run/weights.safetensors" in ending(facts, Path("run"), "alexnet")
