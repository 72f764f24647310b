"""Deletion and insertion: what the network says while pixels go, or come, in the order of a map (RISE)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.faithfulness.checks import checked_map
from zfcuda.faithfulness.curve import Curve
from zfcuda.faithfulness.scored import Scored
from zfcuda.inputs import ClassTarget, integer
from zfcuda.occlusion.fill import Fill, Filling

_BLUR = 7  # the window of fill="blur" is this part of the image: 32 pixels of 224


def deletion(
    model: nn.Module, image: Any, map: Tensor, *, target: ClassTarget = None, steps: int = 50, fill: Fill = 0.0
) -> Curve:
    """The probability of a class while pixels are removed, those that the map gives most first (Petsiuk et al. 2018).

    A map that tells what the network looks at makes the probability fall soon: a small area is good. But an image with
    scattered pixels missing is none that the network has seen, and maps that scatter may fool it by that alone.

    Args:
        model: images [N,C,H,W] -> [N,classes], in any mode; it is run as in eval, and left as it was.
        image: [C,H,W] or [1,C,H,W]; or a picture, where the model carries its preprocess.
        map: [H,W], of the image's size. Pixels of one value go row by row, from the top.
        target: a class index or name; a callable [n,classes] -> [n]; None: the most probable class of the image.
        steps: how many times pixels are removed, as equal shares as can be; the image's number of pixels, at most.
        fill: what stands in a removed pixel, as in :func:`zfcuda.occlusion_map`: a number, one per channel, a Tensor,
            "mean", "blur" or "noise".

    Returns:
        A Curve of steps + 1 points; `.auc` is the area under it.

    Raises:
        TypeError, ValueError: naming the argument, before the model runs on more than the image.
    """
    return _curve("deletion", model, image, map, target, steps, fill)


def insertion(
    model: nn.Module, image: Any, map: Tensor, *, target: ClassTarget = None, steps: int = 50, fill: Fill = "blur"
) -> Curve:
    """The probability of a class while pixels come in, those that the map gives most first (Petsiuk et al. 2018).

    A large area is good. It begins with the image blurred, by a standard deviation of a fourteenth of its sides,
    because pixels on a plain ground make edges of their own.

    Args:
        model, image, map, target, steps: as :func:`deletion` takes them.
        fill: what the image begins as, as :func:`deletion` takes it.

    Returns:
        A Curve with `steps` + 1 points.

    Raises:
        TypeError, ValueError: as deletion.
    """
    return _curve("insertion", model, image, map, target, steps, fill)


def _curve(kind: str, model: nn.Module, image: Any, map: Tensor, target: ClassTarget, steps: int, fill: Fill) -> Curve:
    values, steps = checked_map(map), integer("steps", steps)
    if not 1 <= steps <= values.numel():
        raise ValueError(f"steps: expected 1 to {values.numel()}, one for each pixel of the map, got {steps}")
    scored = Scored(model, image, target)
    whole = scored.image[0]
    if values.shape != whole.shape[1:]:
        raise ValueError(f"map: expected {list(whole.shape[1:])}, as the image, got {list(values.shape)}")
    window = tuple(max(1, side // _BLUR) for side in values.shape)
    covering = Filling(fill, whole, (window[0], window[1])).of(whole)

    # After how many pixels each step ends, and at which step each pixel's turn comes.
    ends = torch.linspace(0, values.numel(), steps + 1, dtype=torch.float64).round().long()
    place = torch.empty(values.numel(), dtype=torch.int64)
    place[values.flatten().argsort(descending=True, stable=True)] = torch.arange(values.numel())
    place = place.view(values.shape).to(whole.device)
    before, after = (whole, covering) if kind == "deletion" else (covering, whole)

    def images(piece: slice) -> Tensor:
        changed = place < ends[piece].to(place.device)[:, None, None]
        return torch.where(changed[:, None], after, before)

    scores = scored.probability(scored.run_made(steps + 1, images))
    return Curve(kind, ends.double() / values.numel(), scores.to("cpu", torch.float64))
