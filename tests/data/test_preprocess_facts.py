"""The settings of a preprocess are read where they are known, and never claimed where they are not."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.data.transforms_of_others import CONFIG, HALVES, PICTURE, Net, Preset, composed, step, tensor
from zfcuda import Preprocess
from zfcuda.data import DigitPreprocess
from zfcuda.data.preprocess_facts import as_ours, facts, line
from zfcuda.data.preprocessing import as_preprocess, assumed, preprocess_of
from zfcuda.models.checkpoints.plain_torchvision import plain_torchvision


def test_facts_of_ours() -> None:
    known = facts(Preprocess(mean=(127 / 255,) * 3, std=(128 / 255,) * 3))
    assert line(known) == "short side to 256, bicubic, centre 224 x 224, mean 0.498, std 0.502"
    assert json.loads(json.dumps(known)) == known
    assert line(facts(Preprocess.caffe((20, 30)))).endswith(
        "centre 30 x 20, mean 0.408 0.459 0.482, std 0.00392, blue first"
    )
    assert line(facts(DigitPreprocess())) == (
        "short side to 28, bilinear, centre 28 x 28, a border of 2, mean 0.0784, std 0.784, grey"
    )
    assert line(facts(assumed(Net()))) == (
        "short side to 256, bilinear, centre 224 x 224, mean 0.485 0.456 0.406, std 0.229 0.224 0.225 "
        "(assumed: the network does not say how its pictures are made)"
    )


RESIZE = step("Resize", size=40, interpolation=SimpleNamespace(value="bicubic"), max_size=None)
SQUASH = step("Resize", size=(32, 48), interpolation="bicubic")
CROP = step("CenterCrop", size=(32, 32))
NORMALIZE = step("Normalize", mean=torch.tensor([0.1, 0.2, 0.3]), std=[0.5] * 3)
CONVERT = step("ToTensor")


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        (Preset(), "short side to 40, bilinear, centre 32 x 32, mean 0.4 0.5 0.6, std 0.2"),
        (
            composed(RESIZE, CROP, CONVERT, NORMALIZE),
            "short side to 40, bicubic, centre 32 x 32, mean 0.1 0.2 0.3, std 0.5",
        ),
        (composed(composed(RESIZE, CROP), CONVERT), "short side to 40, bicubic, centre 32 x 32"),
        (composed(SQUASH, CONVERT, NORMALIZE), "to 48 x 32 whatever its shape, bicubic, mean 0.1 0.2 0.3, std 0.5"),
        (composed(RESIZE, CONVERT), "short side to 40, bicubic"),
    ],
)
def test_facts_of_transforms(transform: Any, said: str) -> None:
    assert line(facts(as_preprocess(transform))) == said


@pytest.mark.parametrize(
    "transform",
    [
        composed(RESIZE, step("RandomCrop", size=32), CONVERT, NORMALIZE),
        composed(CROP, CONVERT),
        composed(RESIZE, RESIZE),
        composed(NORMALIZE, RESIZE),
        composed(SQUASH, CROP),
        composed(step("Resize", size=40, interpolation="bilinear", max_size=50)),
        composed(RESIZE, step("ToDtype", scale=False), NORMALIZE),
        tensor,
    ],
)
def test_what_is_not_known_is_not_claimed(transform: Any) -> None:
    known = facts(as_preprocess(transform))
    assert known["settings"] == "not known" and "size" not in known
    assert "whose settings are not known" in line(known)


def test_a_function_goes_by_its_name() -> None:
    assert line(facts(as_preprocess(tensor))) == "tests.data.transforms_of_others.tensor, whose settings are not known"


# ---------------------------------------------------------------- the real ones, where they are


def close(a: Tensor, b: Tensor) -> bool:
    """The same but for a level or two of 255 in few pixels of noise: cut and scaled in one step, or one by one."""
    off = (a - b).abs()
    return a.shape == b.shape and bool(off.max() < 2.01 / 255 / 0.2) and bool((off > 1e-5).float().mean() < 0.2)


def test_torchvisions_own() -> None:
    with plain_torchvision():
        presets = pytest.importorskip("torchvision.transforms._presets")
        v2 = pytest.importorskip("torchvision.transforms.v2")
    preset = as_preprocess(presets.ImageClassification(crop_size=64, resize_size=72))
    ours = as_ours(preset)
    assert ours is not None and close(preset(PICTURE), ours(PICTURE)) and preset(PICTURE).shape == (1, 3, 64, 64)
    steps = [
        v2.Resize(72),
        v2.CenterCrop(64),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(HALVES, HALVES),
    ]
    adapted = preprocess_of(Net(preprocess=v2.Compose(steps)))
    assert adapted is not None and type(adapted(PICTURE)) is Tensor
    assert line(facts(adapted)) == "short side to 72, bilinear, centre 64 x 64, mean 0.5, std 0.5"
    with pytest.raises(ValueError, match=r"torch\.uint8"):
        as_preprocess(v2.Compose(steps[:3]))(PICTURE)
    with pytest.raises(ValueError, match="gives a Image"):
        as_preprocess(v2.Compose(steps[:2]))(PICTURE)


def test_timms_own() -> None:
    with plain_torchvision():
        data = pytest.importorskip("timm.data")
    theirs = as_preprocess(data.create_transform(**data.resolve_data_config(pretrained_cfg=CONFIG), is_training=False))
    ours = as_preprocess(CONFIG)
    assert as_ours(theirs) == Preprocess((32, 32), 35, HALVES, HALVES, "bilinear")
    assert close(theirs(PICTURE), ours(PICTURE))
    border = as_preprocess(CONFIG | {"crop_mode": "border"})
    assert border(PICTURE).shape == (1, 3, 32, 32) and facts(border)["settings"] == "not known"
