"""Filters are the model's weights; their noise has closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import zfcuda
from zfcuda.features.filter_sheet import filter_sheet, slice_tiles
from zfcuda.features.filters import named_filters
from zfcuda.features.spectrum import energies, fine_share, white_noise


class Backwards(nn.Module):
    """Its second convolution runs first."""

    def __init__(self) -> None:
        super().__init__()
        self.late, self.early = nn.Conv2d(4, 6, 3, groups=2), nn.Conv2d(3, 4, (5, 7))
        self.fc = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.late(self.early(x)).mean((2, 3)))
        return y


def test_reading_the_filters_of_a_training_model_leaves_it_as_it_was() -> None:
    model = nn.Sequential(parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = zfcuda.filters(model)
    assert model[0].training and all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(found, model.eval()[0].weight)


def test_the_first_convolution_is_the_one_that_runs_first() -> None:
    model = Backwards()
    name, weight = named_filters(model)
    assert name == "early" and torch.equal(weight, model.early.weight) and weight.shape == (4, 3, 5, 7)
    assert zfcuda.filters(nn.DataParallel(model), "module.late").shape == (6, 2, 3, 3)
    model.forward = None  # type: ignore[method-assign,assignment]
    assert named_filters(model)[0] == "late"  # cannot be followed


def test_what_is_returned_is_a_copy() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3)).bfloat16()
    found = zfcuda.filters(model)
    before = model[0].weight.clone()
    found.zero_()
    assert torch.equal(model[0].weight, before) and found.dtype == torch.bfloat16 and not found.requires_grad


def test_weights_that_are_computed() -> None:
    model = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 4, 3)))
    with torch.no_grad():
        model[0].parametrizations.weight.original0.mul_(3)
    assert torch.equal(zfcuda.filters(model), model[0].weight)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"layer: expected a convolution, got 'fc' \(Linear\); there are: late, early"):
        zfcuda.filters(Backwards(), "fc")
    with pytest.raises(ValueError, match="has no layer 'erly'"):
        zfcuda.filters(Backwards(), "erly")
    with pytest.raises(ValueError, match=r"model: expected one with a torch.nn.Conv2d, Linear has none"):
        zfcuda.filters(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"model: expected a torch.nn.Module, got int"):
        zfcuda.filters(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="yet to be made"):
        zfcuda.filters(nn.Sequential(nn.LazyConv2d(3, 3)))


# ---------------------------------------------------------------- noise


def checkerboard(rows: int, columns: int) -> Tensor:
    return 1 - 2 * ((torch.arange(rows)[:, None] + torch.arange(columns)) % 2).float()


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (3, 3), (4, 7), (7, 4), (11, 11)])
def test_closed_forms(rows: int, columns: int) -> None:
    board = checkerboard(rows, columns)
    assert fine_share(torch.ones(2, 3, rows, columns)) == pytest.approx(0, abs=1e-25)
    assert fine_share(board.expand(2, 3, -1, -1)) == pytest.approx(1, abs=1e-12)
    # The two do not meet in any frequency: their energies are shared as their squares are.
    both = (board + 3).expand(1, 1, -1, -1)
    assert fine_share(both) == pytest.approx(0.1, abs=1e-6)
    # A wave of a third of a cycle per pixel is fine, one of a sixth is not: 7 places are one period and half a one.
    wave = torch.cos(torch.arange(7) * torch.pi / 3)
    assert fine_share(wave.expand(1, 3, 7, 7)) == pytest.approx(0, abs=1e-10)
    assert fine_share(torch.cos(torch.arange(7) * 2 * torch.pi / 3).expand(1, 3, 7, 7)) == pytest.approx(1, abs=1e-10)


def by_sums(filters: np.ndarray) -> float:
    """The share by its definition, frequency by frequency."""
    rows, columns = filters.shape[-2:]
    fine = total = 0.0
    high, wide = max(1, 2 * rows - 2), max(1, 2 * columns - 2)
    y = np.array([*range(rows), *range(rows - 2, 0, -1)])
    x = np.array([*range(columns), *range(columns - 2, 0, -1)])
    for one in filters.reshape(-1, rows, columns):
        tile = one[np.ix_(y, x)]
        for v in range(high):
            for u in range(wide):
                wave = np.exp(-2j * np.pi * (v * np.arange(high)[:, None] / high + u * np.arange(wide) / wide))
                energy = abs((tile * wave).sum()) ** 2
                total += energy
                fine += energy if max(min(v, high - v) / high, min(u, wide - u) / wide) > 0.25 else 0
    return fine / total


@pytest.mark.parametrize("shape", [(3, 2, 3, 3), (2, 3, 5, 4), (2, 1, 7, 1), (1, 1, 1, 1)])
def test_against_the_definition(shape: tuple[int, ...]) -> None:
    filters = torch.randn(shape)
    assert fine_share(filters) == pytest.approx(by_sums(filters.double().numpy()), rel=1e-9, abs=1e-12)


def test_white_noise() -> None:
    for side in (3, 5, 7):
        assert fine_share(torch.randn(4000, 1, side, side)) == pytest.approx(white_noise(side, side), abs=0.01)


def test_filters_of_many_inputs_are_taken_some_at_a_time() -> None:
    filters = torch.randn(130, 2, 3, 3)
    fine, total = energies(filters)
    assert fine.shape == total.shape == (130,)
    assert float(fine[100] / total[100]) == pytest.approx(fine_share(filters[100:101]))


# ---------------------------------------------------------------- the picture


def test_in_colour_or_a_tile_for_each_input() -> None:
    colours = filter_sheet(torch.randn(40, 3, 7, 7), "conv1")
    assert colours.said[0] == "conv1: 40 filters of 3 x 7 x 7" and "of white noise it would be 68 %" in colours.said[1]
    deep = filter_sheet(torch.randn(6, 4, 3, 3), "conv2")
    assert len(deep.said) == 2 and len(slice_tiles(torch.randn(6, 4, 3, 3), 2)) == 24
    large = filter_sheet(torch.randn(300, 200, 5, 5), "conv3")
    assert large.said[2] == "drawn: 76 of the filters, 76 of the inputs" and max(large.picture.size) < 1800
    assert filter_sheet(torch.randn(6, 4, 1, 1), "mix").said[1] == "a filter of one place has no detail"
    assert filter_sheet(torch.zeros(6, 3, 3, 3), "off").said[1] == "all weights are zero"


def test_each_filter_has_its_own_scale() -> None:
    weight = torch.tensor([1.0, -0.5]).view(1, 2, 1, 1)
    for factor in (1.0, 1e-4):
        tiles = slice_tiles(weight * factor, 1)
        assert [tile.getpixel((0, 0)) for tile in tiles] == [(255,) * 3, (64,) * 3]
