"""The networks of the paper's Table 3: what each has of the ZFNet, and that they can be had by name and from files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from zfcuda import models
from zfcuda.models.architectures import registry
from zfcuda.models.architectures.zfnet import zfnet
from zfcuda.models.checkpoints.load import find
from zfcuda.models.checkpoints.trained import save_trained
from zfcuda.train.close_up_network import without_last_pooling

CONV = {1: 96 * (3 * 49 + 1), 2: 256 * (96 * 25 + 1)}


def held(variant: str, num_classes: int = 1000, width: float = 1.0) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in zfnet(num_classes, variant=variant, width=width).parameters())


def test_parameters_by_hand() -> None:
    first = CONV[1] + CONV[2]
    conv3, conv4, conv5 = 384 * (256 * 9 + 1), 384 * (384 * 9 + 1), 256 * (384 * 9 + 1)
    conv5_of_2 = 256 * (256 * 9 + 1)
    codes = 256 * 36
    assert held("paper") == first + conv3 + conv4 + conv5 + 4096 * (codes + 1) + 4096 * 4097 + 1000 * 4097
    assert held("without_3_4") == first + conv5_of_2 + 4096 * (codes + 1) + 4096 * 4097 + 1000 * 4097
    assert held("without_7") == first + conv3 + conv4 + conv5 + 4096 * (codes + 1) + 1000 * 4097
    assert held("without_6_7") == first + conv3 + conv4 + conv5 + 1000 * (codes + 1)
    assert held("without_3_4_6_7") == first + conv5_of_2 + 1000 * (codes + 1)
    assert held("hidden_2048") == first + conv3 + conv4 + conv5 + 2048 * (codes + 1) + 2048 * 2049 + 1000 * 2049
    wide = 512 * (256 * 9 + 1) + 1024 * (512 * 9 + 1) + 512 * (1024 * 9 + 1)
    assert held("wide_hidden_8192") == first + wide + 8192 * (2 * codes + 1) + 8192 * 8193 + 1000 * 8193


def test_layers_that_are_left_out_are_gone_with_their_relu_and_dropout() -> None:
    with torch.device("meta"):
        whole, shallow = (list(dict(zfnet(3, variant=name).named_children())) for name in ("paper", "without_3_4_6_7"))
    gone = ["conv3", "relu3", "conv4", "relu4", "fc6", "relu6", "drop6", "fc7", "relu7", "drop7"]
    assert [name for name in whole if name not in gone] == shallow


@pytest.mark.parametrize("name", registry.TABLE_3)
def test_by_name(name: str) -> None:
    """They run, and stand on no list of networks that people have."""
    assert name not in models.NAMES
    found = find(name, num_classes=3)
    assert (found.title, found.num_classes, found.trained) == (name, 3, False)
    with torch.device("meta"):
        net = registry.entry(name).build(5, width=0.05).eval()  # type: ignore[call-arg]
    assert net(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 5)
    assert without_last_pooling(net)(torch.empty(2, 3, 112, 112, device="meta")).shape == (2, 5)


@pytest.mark.parametrize("name", [*registry.TABLE_3, "alexnet_one_tower"])
def test_what_a_training_wrote_is_loaded(name: str, tmp_path: Path) -> None:
    net = registry.entry(name).build(3, width=0.05).eval()  # type: ignore[call-arg]
    known = registry.entry(name).preprocess
    save_trained(
        tmp_path / "w.safetensors",
        net,
        network=name,
        options={"num_classes": 3, "width": 0.05},
        classes=["a", "b", "c"],
        preprocess=known,  # type: ignore[arg-type]
        facts={},
    )
    back = models.load(tmp_path / "w.safetensors")
    image = known(Image.effect_noise((224, 224), 60).convert("RGB"))
    with torch.inference_mode():
        assert torch.equal(back(image), net(image))


def test_a_narrow_alexnet() -> None:
    with torch.device("meta"):
        net = models.alexnet_one_tower(7, width=0.25)
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert shapes["conv1.weight"] == (24, 3, 11, 11) and shapes["fc6.weight"] == (1024, 64 * 36)
    assert net.eval()(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 7)
    with pytest.raises(ValueError, match="width: expected a positive number, got 0"):
        models.alexnet_one_tower(width=0)
    with pytest.raises(ValueError, match="close_ups: expected a ZFNet, got FusedSequential"):
        without_last_pooling(models.from_pattern("conv8 relu fc3", (3, 32, 32)))
