"""Tiles: what they say together is what the whole image says, where they overlap by what a unit sees."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from zfcuda.synthesis import layer, unit
from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.dream.tiles import Look, Tiling, tiled
from zfcuda.synthesis.objectives import Objective
from zfcuda.synthesis.watched import Seen, watching


def network() -> nn.Sequential:
    """Units that see 17 pixels, 4 apart."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU()
    )


def gradient(model: nn.Module, objective: Objective, image: Tensor, tiling: Tiling, jitter: int = 0) -> Tensor:
    pixels = image.clone().requires_grad_()
    with watching(model, objective.layers, logits=objective.logits) as watched:
        looked = tiled(Look(watched, model, objective), tiling, Dice(3, 1), jitter)
        looked.value(Seen(pixels)).sum().backward()
    assert pixels.grad is not None
    return pixels.grad


@pytest.mark.parametrize("size", [(64, 64), (61, 83), (40, 131)])
@pytest.mark.parametrize("objective", [layer("4"), unit("3", 2)], ids=["layer", "unit"])
def test_tiles_that_overlap_by_what_a_unit_sees_give_the_gradient_of_the_whole(
    size: tuple[int, int], objective: Objective
) -> None:
    model, image = network(), torch.randn(1, 3, *size)
    whole = gradient(model, objective, image, Tiling(200))
    given = gradient(model, objective, image, Tiling(56, 16, 4))
    given *= whole.norm() / given.norm()  # how many places there are is counted by tiles
    torch.testing.assert_close(given, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


def test_tiles_that_overlap_less_do_not() -> None:
    model, image = network(), torch.randn(1, 3, 64, 64)
    whole = gradient(model, layer("4"), image, Tiling(200))
    given = gradient(model, layer("4"), image, Tiling(32, 4, 4))
    assert (given / given.norm() - whole / whole.norm()).norm() > 0.02


def test_the_overlap_is_the_receptive_field() -> None:
    model, image = network(), torch.zeros(1, 3, 300, 40)
    field = 3 + 2 + 2 * 4
    assert Tiling.of(model, ["4"], False, image, 256) == Tiling(256, -(-(field - 1) // 4) * 4, 4)
    assert Tiling.of(model, ["4"], False, image, 300) == Tiling(300)
    assert Tiling.of(model, ["4"], False, image, 64) == Tiling(64, 8, 4, exact=False)


class Unfollowed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(torch.from_numpy(x.detach().cpu().numpy()).to(x) + x)
        return y


def test_a_model_that_cannot_be_followed_has_an_overlap_too() -> None:
    tiling = Tiling.of(Unfollowed(), ["conv"], False, torch.zeros(1, 3, 200, 200), 64)
    assert tiling == Tiling(64, 8, exact=False)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 97, 128, 129, 200, 1001])
@pytest.mark.parametrize("tiling", [Tiling(64), Tiling(64, 8, 4), Tiling(64, 8, 8), Tiling(64, 7, 1), Tiling(8, 1, 1)])
def test_parts_cover_a_side_once_and_are_no_larger_than_a_tile(tiling: Tiling, length: int) -> None:
    parts = tiling.parts(length)
    asked = [place for part, _ in parts for place in range(part.start, part.stop)]
    assert asked == list(range(length))
    for part, seen in parts:
        assert 0 <= seen.start <= part.start < part.stop <= seen.stop <= length
        assert seen.stop - seen.start <= tiling.side and seen.start % tiling.stride == 0
        assert part.start - seen.start == min(part.start, tiling.overlap)
        assert seen.stop - part.stop == min(length - part.stop, tiling.overlap)


def test_the_model_sees_no_more_than_a_tile() -> None:
    model, sizes = network(), []
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(tuple(inputs[0].shape)))
    gradient(model, layer("4"), torch.randn(1, 3, 150, 90), Tiling(64, 16, 4))
    assert len(sizes) > 6 and all(shape[0] == 1 and max(shape[2:]) <= 64 for shape in sizes)


def test_the_shift_of_an_image_moves_the_cuts() -> None:
    model, image = network(), torch.randn(1, 3, 64, 64)
    moved = [gradient(model, layer("4"), image, Tiling(32, 4, 4), jitter) for jitter in (0, 20)]
    assert not torch.allclose(*moved)


def test_a_shift_is_in_the_image_and_its_mirror_image() -> None:
    """A linear layer of single pixels: the gradient of each is its own, as often as it is seen."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False))
    nn.init.ones_(model[0].weight)
    image = torch.rand(1, 1, 6, 9) + 1
    seen = gradient(model, layer("0"), image, Tiling(64), 3) * image[0].numel() / image
    torch.testing.assert_close(seen, seen.round(), atol=1e-4, rtol=0)
    assert float(seen.sum()) == pytest.approx(image.numel())
    assert {0, 4} <= set(seen.round().unique().tolist()) <= {0, 1, 2, 4}
