"""The true importance of the pieces of a drawn picture, on networks that look at one place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zfcuda.data import Parts, Preprocess
from zfcuda.faithfulness import part_importance

PARTS = Parts(seed=21, size=96)
SEEN = Preprocess.parts(96)


class Watching(nn.Module):
    """One class: minus the distance, over the mask, from the image that it knows; another that is 0."""

    def __init__(self, known: Tensor, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("known", known)
        self.register_buffer("mask", mask)

    def forward(self, images: Tensor) -> Tensor:
        far = ((images - self.known).abs() * self.mask).sum((1, 2, 3))
        return torch.stack([-far, torch.zeros_like(far)], 1)


def changed(index: int, **without: object) -> Tensor:
    whole, other = (SEEN(PARTS.draw(index, **kind).image) for kind in ({}, without))  # type: ignore[arg-type]
    return (whole != other).any(1)[0]


def test_the_drop_is_that_of_the_piece_that_is_looked_at() -> None:
    for index in (0, 3):
        part = torch.from_numpy(PARTS[index].part_mask)
        found = part_importance(Watching(SEEN(PARTS[index].image), part), PARTS, index, target=0, preprocess=SEEN)
        assert found.names[-1] == "the defining part" and set(found.names[:-1]) <= set(PARTS.pieces(index))
        assert found.masks.shape == (len(found.names), 96, 96) and found.masks.any((1, 2)).all()
        assert torch.equal(found.masks[-1], changed(index, part=False))
        body = found.names.index("body")
        assert torch.equal(found.masks[body], changed(index, without=["body"]))
        expected = (SEEN(PARTS[index].image) - SEEN(PARTS.draw(index, part=False).image)).abs().sum()
        assert float(found.drops[-1]) == pytest.approx(float(expected), rel=1e-4) == float(found.drops.max())
        said = f"PartImportance of {len(found.names)} pieces; the score drops most without: the defining part "
        assert str(found).startswith(said)


def test_the_map_that_knows_the_drops_correlates_with_them() -> None:
    image = SEEN(PARTS[1].image)
    found = part_importance(Watching(image, torch.ones(96, 96)), PARTS, 1, target=0, preprocess=SEEN)
    # What each pixel costs, shared among the pieces that change it: nearly the drop of each.
    map = torch.zeros(96, 96, dtype=torch.float64)
    for mask, drop in zip(found.masks, found.drops, strict=True):
        map[mask] += drop / mask.sum()
    assert found.rank_correlation(map) > 0.8 and found.rank_correlation(-map) < -0.8
    assert found.rank_correlation(torch.zeros(96, 96)) == 0.0
    assert torch.equal(found.mass(torch.ones(96, 96)), found.masks.sum((1, 2)).double())


def test_the_models_own_preprocess_and_class_are_taken() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 12)).double().train()
    model.preprocess = SEEN  # type: ignore[assignment]
    found = part_importance(model, PARTS, 2)
    assert found.drops.dtype == torch.float64 and model.training
    with torch.inference_mode():
        logits = model(SEEN(PARTS[2].image).double())[0]
        without = model(SEEN(PARTS.draw(2, part=False).image).double())[0]
    top = int(logits.argmax())
    assert float(found.drops[-1]) == pytest.approx(float(logits[top] - without[top]), abs=1e-6)


def test_bad_arguments_are_named() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 96 * 96, 2))
    with pytest.raises(TypeError, match=r"preprocess: expected one, since Sequential has no \.preprocess of its own"):
        part_importance(model, PARTS, 0)
    with pytest.raises(TypeError, match=r"parts: expected zfcuda\.data\.Parts, got ndarray"):
        part_importance(model, np.zeros(3), 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="index: expected at least 0, got -1"):
        part_importance(model, PARTS, -1, preprocess=SEEN)
    with pytest.raises(TypeError, match="index: expected an integer, got 'first'"):
        part_importance(model, PARTS, "first", preprocess=SEEN)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"preprocess: expected a zfcuda.Preprocess, .* got a int"):
        part_importance(model, PARTS, 0, preprocess=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="target: the model has classes 0 to 1, got 5"):
        part_importance(model, PARTS, 0, target=5, preprocess=SEEN)
    found = part_importance(model, PARTS, 0, preprocess=SEEN)
    with pytest.raises(ValueError, match=r"map: expected \[96, 96\], as the image, got \[10, 96\]"):
        found.rank_correlation(torch.zeros(10, 96))
