"""Style transfer on networks of a few maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.data import Preprocess
from zfcuda.synthesis import grams, style
from zfcuda.synthesis.transfer_style import transferred
from zfcuda.synthesis.watched import Seen


def network() -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)
    )
    model(torch.zeros(1, 3, 16, 16))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / max(1, parameter[0].numel()) ** 0.5
    model.preprocess = Preprocess(16, 16, (0.5,) * 3, (0.25,) * 3)
    return model


def image(seed: int, high: int = 16, wide: int = 16) -> Tensor:
    """Values of half the range of the network, which is -2 to 2."""
    return torch.rand(1, 3, high, wide, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def distance(model: nn.Module, made: Tensor, manner: Tensor, layer: str) -> float:
    said = style(grams(model, manner, [layer]))
    return -float(said.value(Seen(made, {layer: zfcuda.activations(model, made, [layer])[layer]})))


def test_without_style_the_content_comes_back() -> None:
    content = image(1)
    made = zfcuda.transfer_style(network(), content, image(2), style_weight=0, steps=5)
    torch.testing.assert_close(made, content, atol=1e-4, rtol=0)


def test_the_style_comes_nearer_and_the_content_stays_nearer_than_without_its_weight() -> None:
    model, content, manner = network(), image(1), image(2).square()
    made = {
        weight: zfcuda.transfer_style(model, content, manner, content_weight=weight, steps=30) for weight in (0, 50)
    }
    before = distance(model, content, manner, "1")
    assert distance(model, made[0], manner, "1") < before / 50
    assert (made[0] - content).norm() > (made[50] - content).norm() > 0
    again = zfcuda.transfer_style(model, content, manner, content_weight=50, steps=30)
    assert torch.equal(again, made[50])


def test_layers_may_be_named_as_a_wrapper_names_them() -> None:
    model, content, manner = network(), image(1), image(2)
    plain = zfcuda.transfer_style(model, content, manner, content_layer="3", style_layers={"1": 1.0}, steps=2)
    names: dict[str, Any] = {"content_layer": "module.3", "style_layers": {"module.1": 1.0}}
    assert torch.equal(zfcuda.transfer_style(nn.DataParallel(model), content, manner, steps=2, **names), plain)


def test_it_has_the_content_s_size_and_the_style_any() -> None:
    model = network()
    made = zfcuda.transfer_style(model, image(1, 21, 34), image(2, 13, 40), steps=2)
    assert made.shape == (1, 3, 21, 34)
    assert made.dtype == torch.float32
    assert made.abs().max() <= 2.0001


def test_a_style_of_another_scale_is_another_style() -> None:
    model, content = network(), image(1)
    manner = image(2, 32, 32)
    made = [zfcuda.transfer_style(model, content, manner, style_size=side, steps=5) for side in (8, 16, 32)]
    assert not torch.equal(made[0], made[1])
    assert not torch.equal(made[1], made[2])
    assert torch.equal(made[1], zfcuda.transfer_style(model, content, manner, steps=5))  # None: the content's


def test_pictures_are_taken_in_their_full_size() -> None:
    model = network()
    picture = Image.fromarray(np.random.default_rng(0).integers(64, 192, (20, 30, 3), dtype=np.uint8))
    made = zfcuda.transfer_style(model, picture, np.asarray(picture)[:12], style_weight=0, steps=2)
    wanted = torch.from_numpy(np.asarray(picture)).permute(2, 0, 1)[None] / 255 * 4 - 2
    torch.testing.assert_close(made, wanted.float(), atol=1e-4, rtol=0)


def test_layers_may_be_named_and_weighed() -> None:
    model = network()
    made = transferred(model, image(1), image(2), content_layer="2", style_layers={"0": 1.0, "3": 0.0}, steps=3)
    only = transferred(model, image(1), image(2), content_layer="2", style_layers=["0"], steps=3)
    assert torch.equal(made.images, only.images)
    assert made.values[-1] > made.values[0]


def test_a_model_in_16_bits_is_run_in_them() -> None:
    model = network().bfloat16()
    made = zfcuda.transfer_style(model, image(1).bfloat16(), image(2).bfloat16(), steps=2)
    assert made.dtype == torch.float32
    assert made.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"style_layers": ["1", "5"]}, r"style layer: expected a map \[N,K,h,w\], got a vector \[1,4\] from '5'"),
        ({"style_layers": ["conv9"]}, "layer: Sequential has no layer 'conv9'"),
        ({"content_layer": "conv9"}, "layer: Sequential has no layer 'conv9'"),
        ({"style_layers": {"1": -1.0}}, r"weights\['1'\]: expected a number of at least 0, got -1"),
        ({"style_weight": -1}, "style_weight: expected a number of at least 0, got -1"),
        ({"content_weight": float("nan")}, "content_weight: expected a number of at least 0, got nan"),
        ({"style_size": 0}, "style_size: expected at least 1, got 0"),
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"content": torch.zeros(2, 3, 16, 16)}, r"content: expected \[C,H,W\] or \[1,C,H,W\], got shape"),
        ({"style": torch.full((3, 16, 16), float("nan"))}, "style: expected finite values"),
        ({"style": torch.zeros(1, 1, 16, 16)}, "style: expected 3 channels, as content has, got 1"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, Any], message: str) -> None:
    images = {"content": arguments.pop("content", image(1)), "style": arguments.pop("style", image(2))}
    with pytest.raises((TypeError, ValueError), match=message):
        zfcuda.transfer_style(network(), images["content"], images["style"], **arguments)


def test_names_without_a_list_around_them_and_numbers_in_words_are_refused() -> None:
    with pytest.raises(TypeError, match="style_layers: expected names of layers, got '1'"):
        zfcuda.transfer_style(network(), image(1), image(2), style_layers="1")
    with pytest.raises(TypeError, match="style_weight: expected a number"):
        zfcuda.transfer_style(network(), image(1), image(2), style_weight="much")  # type: ignore[arg-type]
