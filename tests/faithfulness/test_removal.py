"""Deletion and insertion on a network whose probability is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.faithfulness.small import SIDE, Corners, layered, noise, quarter
from zfcuda.faithfulness import Curve, deletion, insertion

IMAGE = torch.ones(3, SIDE, SIDE)
MAP = quarter().float()


def test_deletion_in_closed_form() -> None:
    """Half of the quarter goes, then all of it: the logit falls 8, 4, 0, and then stays; the other one follows."""
    curve = deletion(Corners(), IMAGE, MAP, target=0, steps=8)
    assert curve.shares.tolist() == [k / 8 for k in range(9)]
    first = [8 * max(0.0, 1 - k / 2) for k in range(9)]
    last = [8.0 - float(min(1.0, max(0.0, gone))) * 8 for gone in _other_gone(MAP, 8)]
    expected = [1 / (1 + math.exp(b - a)) for a, b in zip(first, last, strict=True)]
    assert curve.scores.tolist() == pytest.approx(expected, rel=1e-5)
    assert curve.scores.dtype == torch.float64 and curve.kind == "deletion"
    area = sum((a + b) / 2 for a, b in pairwise(expected)) / 8
    assert curve.auc == pytest.approx(area, rel=1e-5) == pytest.approx(np.trapezoid(curve.scores, curve.shares))


def _other_gone(map: Tensor, steps: int) -> list[float]:
    """The share of the lower right quarter that is gone after each step; equal values go row by row."""
    order = sorted(range(SIDE * SIDE), key=lambda k: (-float(map.flatten()[k]), k))
    other = quarter(top=False).flatten()
    return [float(other[order[: round(k * SIDE * SIDE / steps)]].double().sum() / 36) for k in range(steps + 1)]


def test_insertion_is_deletion_backwards_on_the_same_ground() -> None:
    forth = deletion(Corners(), IMAGE, noise(), target=1, steps=12, fill=0.25)
    back = insertion(Corners(), IMAGE, -noise(), target=1, steps=12, fill=0.25)
    torch.testing.assert_close(forth.scores, back.scores.flip(0))
    assert forth.auc == pytest.approx(back.auc) and back.kind == "insertion"


def test_the_order_decides() -> None:
    good, bad = quarter().float(), quarter(top=False).float()
    assert deletion(Corners(), IMAGE, good, target=0).auc < deletion(Corners(), IMAGE, bad, target=0).auc - 0.3
    assert (
        insertion(Corners(), IMAGE, good, target=0, fill=0.0).auc
        > insertion(Corners(), IMAGE, bad, target=0, fill=0.0).auc + 0.3
    )


def test_targets_and_fills() -> None:
    score = deletion(Corners(), IMAGE, MAP, target=lambda logits: logits[:, 0], steps=4).scores
    assert score.tolist() == pytest.approx([8.0, 0.0, 0.0, 0.0, 0.0])
    model = Corners()
    model.classes = ["left", "right"]  # type: ignore[assignment]
    named = deletion(model, IMAGE, MAP, target="right")
    torch.testing.assert_close(named.scores, deletion(model, IMAGE, MAP, target=1).scores)
    bright = torch.cat([2 * IMAGE[:, :6], IMAGE[:, 6:]], 1)
    torch.testing.assert_close(deletion(model, bright, MAP).scores, deletion(model, bright, MAP, target=0).scores)
    for fill in ("mean", "blur", "noise", 0.5, [0.1, 0.2, 0.3], torch.zeros(3, SIDE, SIDE)):
        assert deletion(model, IMAGE, MAP, fill=fill).scores.isfinite().all()
    steady = insertion(model, bright, MAP, fill=bright)
    assert steady.auc == pytest.approx(float(steady.scores[0])) and len(steady.scores) == 51


class Brightest(Corners):
    """Sees each image relative to the brightest one beside it."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images / images.amax().clamp(min=1e-9))


def test_images_that_influence_one_another_run_alone() -> None:
    dim = IMAGE * torch.linspace(0.2, 1, SIDE)
    found = deletion(Brightest(), dim, noise(), target=0, steps=6)
    order = noise().flatten().argsort(descending=True, stable=True)
    for k, score in enumerate(found.scores.tolist()):
        image = dim.clone()
        image[:, order.argsort().view(SIDE, SIDE) < round(k * SIDE * SIDE / 6)] = 0
        assert score == pytest.approx(float(Brightest()(image[None]).softmax(1)[0, 0]), rel=1e-5)


def test_quantus_flips_the_same_pixels() -> None:
    """PixelFlipping flips values one by one, in each channel by itself: a map in whole numbers, and fractions of one
    for the channels, keeps those of a pixel together. Its curve begins after the first flip.
    """
    quantus = pytest.importorskip("quantus")
    model = nn.Sequential(layered(), nn.Softmax(1)).eval()
    image = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    map = noise().flatten().argsort().argsort().view(SIDE, SIDE).float()
    ours = deletion(model, image, map, target=2, steps=12)
    theirs = quantus.PixelFlipping(
        features_in_step=3 * SIDE * SIDE // 12,
        perturb_func=_flipped,
        normalise=False,
        abs=False,
        disable_warnings=True,
        display_progressbar=False,
    )(
        model=model,
        x_batch=image[None].numpy(),
        y_batch=np.array([2]),
        a_batch=(map + torch.tensor([0.0, 0.1, 0.2])[:, None, None])[None].numpy(),
    )
    assert ours.scores[1:].tolist() == pytest.approx(np.ravel(theirs).tolist(), rel=1e-4)


def _flipped(arr: np.ndarray, indices: np.ndarray, **_: object) -> np.ndarray:
    out = arr.copy().reshape(len(arr), -1)
    for row, index in zip(out, indices, strict=True):
        row[index] = 0.0
    return out.reshape(arr.shape)


def test_a_curve_says_and_draws_itself() -> None:
    curve = Curve("deletion", torch.tensor([0.0, 0.5, 1.0]).double(), torch.tensor([1.0, 0.5, 0.0]).double())
    assert repr(curve) == "Curve of deletion: area 0.5, from 1 to 0 in 2 steps"
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    ax = curve.plot()
    assert curve.plot(ax) is ax and len(ax.lines) == 2 and ax.get_xlabel() == "share of the pixels removed"


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: deletion(Corners(), IMAGE, MAP, steps=0), ValueError, "steps: expected 1 to 144, .* got 0"),
        (lambda: deletion(Corners(), IMAGE, MAP, steps=145), ValueError, "steps: expected 1 to 144, .* got 145"),
        (lambda: deletion(Corners(), IMAGE, MAP, steps=2.5), TypeError, "steps: expected an integer, got 2.5"),
        (
            lambda: insertion(Corners(), IMAGE, MAP[:6]),
            ValueError,
            r"map: expected \[12, 12\], as the image, got \[6, 12",
        ),
        (lambda: insertion(Corners(), IMAGE, MAP * math.inf), ValueError, "map: expected finite values"),
        (lambda: insertion(Corners(), IMAGE, MAP, target=2), ValueError, "target: the model has classes 0 to 1, got 2"),
        (lambda: insertion(Corners(), IMAGE, MAP, fill="grey"), ValueError, "fill: expected a number"),
        (
            lambda: deletion(nn.Sequential(nn.Conv2d(IMAGE.shape[-3] + 1, 2, 3)), IMAGE, MAP),
            ValueError,
            "image: .* does not fit layer '0'",
        ),
        (lambda: insertion(Corners(), IMAGE[None, None], MAP), ValueError, "image: expected"),
        (lambda: deletion(Corners().forward, IMAGE, MAP), TypeError, "model: expected a torch.nn.Module, got method"),
    ],
)
def test_bad_arguments_are_named(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
