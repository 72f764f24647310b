"""A preprocess of any kind is found where it hangs on a model, made to give [1,C,H,W], and said in facts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.data.transforms_of_others import CONFIG, HALVES, PICTURE, Net, Preset, Weights, composed, tensor
from zfcuda import Preprocess
from zfcuda.data import DigitPreprocess
from zfcuda.data.preprocess_facts import as_ours, facts, line
from zfcuda.data.preprocessing import as_preprocess, assumed, changed, made_for, preprocess_of
from zfcuda.data.transforms import Adapted

# ---------------------------------------------------------------- which one a model has


def test_a_module_is_a_preprocess_where_it_takes_pictures() -> None:
    preset = Preset()
    found = preprocess_of(Net(preprocess=preset))
    assert found is not None
    image = found(PICTURE)
    assert image.shape == (1, 3, 32, 32) and torch.equal(image[0], preset(PICTURE))
    assert preset.modes[-2] == (False, False), "in eval mode, without gradients"
    assert preset.training, "and left as it was"


def test_a_part_of_the_network_is_none() -> None:
    model = Net(preprocess=nn.BatchNorm2d(3), transforms=nn.Identity())
    assert preprocess_of(model) is None
    assert "its .preprocess, a BatchNorm2d, takes no pictures" in line(facts(assumed(model)))


@pytest.mark.parametrize(
    ("place", "value", "size"),
    [
        ("preprocess", Preset(), 32),
        ("transforms", Preset(), 32),
        ("preprocess", Weights(), 24),
        ("preprocess", CONFIG, 32),
        ("preprocess", Preprocess(20, 20), 20),
        ("preprocess", DigitPreprocess(), 32),
        ("preprocess", lambda picture: tensor(picture.resize((16, 16))), 16),
        ("transforms", Weights.transforms, 24),
        ("pretrained_cfg", CONFIG, 32),
        ("default_cfg", CONFIG, 32),
    ],
)
def test_where_it_hangs_on_the_model(place: str, value: Any, size: int) -> None:
    found = preprocess_of(Net(**{place: value}))
    assert found is not None and found(PICTURE).shape[2:] == (size, size)
    assert not isinstance(found, nn.Module), "it would become a layer of the model that it is set on"


def test_what_hangs_closer_comes_first() -> None:
    own = Preprocess(20, 20)
    assert preprocess_of(Net(preprocess=own, transforms=Preset(), pretrained_cfg=CONFIG)) is own
    assert preprocess_of(Net(preprocess=None, classes=["a"])) is None


def test_no_preprocess_is_made_of_anything() -> None:
    with pytest.raises(TypeError, match=r"preprocess: expected a zfcuda.Preprocess, a transform .*, got a int"):
        as_preprocess(3)


def test_arrays_and_paths_go_through_transforms_too(tmp_path: Any) -> None:
    PICTURE.save(tmp_path / "a.png")
    adapted = as_preprocess(Preset())
    assert torch.equal(adapted(tmp_path / "a.png"), adapted(np.asarray(PICTURE)))
    assert adapted(PICTURE.convert("L")).shape == (1, 3, 32, 32), "in colour"


# ---------------------------------------------------------------- what it may give


class TensorOfTheirOwn(Tensor):
    """As torchvision's tv_tensors.Image."""


def test_tensors_that_know_that_they_are_images_become_plain() -> None:
    adapted = as_preprocess(lambda picture: tensor(picture).as_subclass(TensorOfTheirOwn))
    assert type(adapted(PICTURE)) is Tensor


@pytest.mark.parametrize(
    ("gives", "message"),
    [
        (lambda picture: picture, r"gives a Image; expected a Tensor \[1,C,H,W\]; let it end in ToTensor\(\)"),
        (np.asarray, r"gives a ndarray; expected a Tensor \[1,C,H,W\]; let it end in"),
        (
            lambda p: (255 * tensor(p)).byte(),
            r"gives torch.uint8 \[3, 80, 100\]; .*ToDtype\(torch.float32",
        ),
        (lambda p: {"pixel_values": tensor(p)}, "gives a dict; expected"),
        (lambda p: tensor(p)[None].repeat(2, 1, 1, 1), r"gives a tensor \[2, 3, 80, 100\]; expected"),
        (lambda p: tensor(p)[0], r"gives a tensor \[80, 100\]; expected"),
        (lambda p: tensor(p)[:, :0], r"gives a tensor \[3, 0, 100\]; expected"),
        (lambda p: tensor(p).to_sparse(), "gives no plain tensor"),
    ],
)
def test_anything_else_is_named(gives: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"preprocess: .*{message}"):
        as_preprocess(composed(gives=gives))(PICTURE)


def test_an_uint8_module_is_refused_rather_than_passed_over() -> None:
    class Raw(nn.Module):
        def forward(self, picture: Image.Image) -> Tensor:
            return (255 * tensor(picture)).byte()

    found = preprocess_of(Net(preprocess=Raw()))
    assert found is not None
    with pytest.raises(ValueError, match=r"torch\.uint8"):
        found(PICTURE)


def test_what_a_transform_raises_comes_through() -> None:
    def gives(picture: Image.Image) -> Tensor:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        as_preprocess(gives)(PICTURE)


# ---------------------------------------------------------------- timm's config


def test_a_config_is_a_preprocess_of_these_settings() -> None:
    found = preprocess_of(Net(pretrained_cfg=CONFIG))
    assert as_ours(found) == found and facts(found) == {
        "kind": "zfcuda.Preprocess",
        "note": "from the model's pretrained_cfg",
        "size": [32, 32],
        "short_side": 35,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bilinear",
        "order": "rgb",
    }
    grey = as_preprocess(CONFIG | {"input_size": (1, 32, 32), "mean": (0.4, 0.5, 0.6)})
    assert grey(PICTURE).shape == (1, 1, 32, 32) and facts(grey)["mean"] == [0.5]
    assert as_preprocess({"input_size": (3, 32, 48)})(PICTURE).shape == (1, 3, 32, 48)


def test_what_only_timm_can_do_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm.data", None)
    with pytest.raises(ValueError, match=r"preprocess: from timm's data config, .* by crop_mode 'border' .* only timm"):
        as_preprocess(CONFIG | {"crop_mode": "border"})


# ---------------------------------------------------------------- other settings, and what is assumed


def test_single_settings_change() -> None:
    base, default = Preprocess(), assumed(Net())
    assert as_ours(changed(base, default, mean=(0.5,))).mean == HALVES  # type: ignore[union-attr]
    assert changed(base, default, size=(20, 300)).short_side == 300
    assert changed(base, default, size=200).short_side == 256
    both = changed(base, default, size=20, short_side=21, interpolation="nearest")
    assert (both.size, both.short_side, both.interpolation, both.mean) == (20, 21, "nearest", base.mean)
    with pytest.raises(ValueError, match="size, short_side"):
        changed(base, default, size=300, short_side=299)
    blue_first = changed(Preprocess.caffe((20, 20)), default, mean=(0.3, 0.2, 0.1))
    assert blue_first.mean == (0.1, 0.2, 0.3) and blue_first.order == "bgr"


def test_settings_of_a_preset_change_too() -> None:
    found = changed(Adapted(Preset()), assumed(Net()), mean=HALVES)
    assert (found.sides, found.short_side, found.mean, found.std) == ((32, 32), 40, HALVES, (0.2,) * 3)
    assert line(facts(found)).endswith("(mean as given)")
    unknown = changed(Adapted(tensor), assumed(Net()), mean=HALVES)
    assert unknown.sides == (224, 224) and "(mean as given; the rest assumed: " in line(facts(unknown))


def test_what_is_assumed_follows_the_size_that_the_model_names() -> None:
    assert assumed(Net()).sides == (224, 224) and assumed(Net()).short_side == 256
    grey = assumed(Net(input_size=(1, 28, 28)))
    assert grey(PICTURE).shape == (1, 1, 28, 28) and grey.short_side == 32
    assert assumed(Net(input_size="any")).sides == (224, 224)
    assert assumed(Net(), (3, 299, 299)).short_side == 342


def test_what_a_model_was_made_for() -> None:
    assert made_for(Net(input_size=(3, 8, 9), preprocess=Preset())) == (3, 8, 9)
    assert made_for(Net(preprocess=Preset())) == (3, 32, 32)
    assert made_for(Net(preprocess=DigitPreprocess())) == (1, 32, 32)
    assert made_for(Net(preprocess=tensor)) is None and made_for(Net()) is None
