"""What a style network learns from, against what follows from its definition."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.train.style.tiny import Network
from zfcuda.synthesis.gram import gram
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.train.style.loss import Losses, LossNetwork

CONTENT, STYLES = "4", ["1", "4"]


def network(model: nn.Module, images: list[Tensor], **options: Any) -> LossNetwork:
    given = {"content_layer": CONTENT, "style_layers": STYLES, "size": 16} | options
    return LossNetwork(model, PixelRange.of(model), images, **given)


def losses(loss: LossNetwork, images: Tensor, drawn: Tensor, which: list[int]) -> Losses:
    with loss.watched() as watched:
        return loss.losses(watched, images, drawn, torch.tensor(which))


def test_a_picture_has_its_own_content_and_a_style_picture_its_own_style() -> None:
    images = torch.rand(2, 3, 16, 16)
    loss = network(Network(), [images[:1], images[1:]])
    found = losses(loss, images, images.clone().requires_grad_(), [0, 1])
    assert found.content == 0 and float(found.style) < 1e-10
    assert float(losses(loss, images, images, [1, 0]).style) > 1e-3


def test_the_parts_are_what_they_are_defined_as() -> None:
    model = Network()
    images, drawn, styles = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16), torch.rand(2, 3, 12, 20)
    found = losses(network(model, [styles[:1], styles[1:]]), images, drawn, [1, 0])
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.2)))

    conv, relu, pool, other = list(model.children())[:4]

    def layers(pictures: Tensor) -> list[Tensor]:
        first = relu(conv((pictures - mean) / deviation))
        return [first, relu(other(pool(first)))]

    with torch.no_grad():
        code, got = layers(images)[1], layers(drawn)[1]
        content = [float((a - b).square().sum() / b.square().sum()) for a, b in zip(got, code, strict=True)]
        style = [
            float((gram(a[i : i + 1]) - gram(b[[1 - i]])).square().sum() / gram(b[[1 - i]]).square().sum())
            for a, b in zip(layers(drawn), layers(styles), strict=True)
            for i in (0, 1)
        ]
    dx, dy = drawn[..., :-1, 1:] - drawn[..., :-1, :-1], drawn[..., 1:, :-1] - drawn[..., :-1, :-1]
    assert float(found.content) == pytest.approx(sum(content) / 2, rel=1e-4)
    assert float(found.style) == pytest.approx(sum(style) / 4, rel=1e-4)
    assert float(found.tv) == pytest.approx(float((dx.square() + dy.square()).mean()), rel=1e-4)


def test_a_network_that_reads_blue_first() -> None:
    model, other = Network(), Network("bgr")
    with torch.no_grad():
        other[0].weight.copy_(model[0].weight.flip(1))
    other.preprocess = type(model.preprocess)(16, 16, (0.6, 0.5, 0.4), (0.2, 0.3, 0.2), order="bgr")
    images, drawn, style = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16), [torch.rand(1, 3, 16, 16)]
    wanted, found = (losses(network(each, style), images, drawn, [0]) for each in (model, other))
    assert torch.allclose(torch.stack(found), torch.stack(wanted), rtol=1e-4)


def test_the_network_is_left_as_it_was() -> None:
    model = Network().train()
    drawn = torch.rand(1, 3, 16, 16, requires_grad=True)
    losses(network(model, [drawn.detach()]), drawn.detach(), drawn, [0]).content.backward(inputs=[drawn])
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"style_layers": ["1", "6"]}, "style layer: expected a map [N,K,h,w], got a vector [1,2] from '6': behind"),
        ({"style_layers": ["9"]}, "layer: Network has no layer '9'; there are: 0, 1"),
        ({"content_layer": "9"}, "layer: Network has no layer '9'; there are: 0, 1"),
    ],
)
def test_no_layer(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as raised:
        network(Network(), [torch.rand(1, 3, 16, 16)], **options)
    assert str(raised.value).startswith(said)


def test_a_network_of_grey_pictures() -> None:
    with pytest.raises(ValueError, match="channels"):
        network(
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()),
            [torch.rand(1, 3, 16, 16)],
            content_layer="1",
            style_layers=["1"],
        )
