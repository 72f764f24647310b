"""Judges of made images: another network's answer, codes, strongest activations of photographs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.synthesis import Objective, each
from zfcuda.synthesis.maximize import maximize
from zfcuda.synthesis.pixel_range import PixelRange

BATCH = 10
Pictures = list[Image.Image]


def made(model: nn.Module, objectives: Sequence[Objective], steps: int, seeds: Sequence[int]) -> Tensor:
    """An image [N,C,H,W] for each objective, with the defaults of the method; seeds: of each, one after another."""
    batches = []
    for first in range(0, len(objectives), BATCH):
        some = list(objectives[first : first + BATCH])
        assert list(seeds[first : first + len(some)]) == list(range(seeds[first], seeds[first] + len(some)))
        batches.append(maximize(model, each(some), count=len(some), steps=steps, seed=seeds[first]))
    return torch.cat(batches)


def pictures_of(model: nn.Module, images: Tensor) -> Pictures:
    """Images as the files that a user gets: 8 bits a colour."""
    limits = PixelRange.of(model)
    return [limits.picture(image) for image in images]


def read(model: Any, pictures: Sequence[Any]) -> Tensor:
    """Pictures as a network gets them, through its own preprocess."""
    return torch.cat([model.preprocess(picture) for picture in pictures])


@torch.inference_mode()
def named(judge: Any, pictures: Pictures, targets: Sequence[int]) -> dict[str, Any]:
    """What a network says of pictures: shares in which the class is its first answer and among its first five, and the
    mean probability of the class."""
    logits = torch.cat([judge(read(judge, [picture])) for picture in pictures])
    wanted = torch.tensor(targets)
    first = logits.argmax(1) == wanted
    five = (logits.topk(5).indices == wanted[:, None]).any(1)
    probability = logits.softmax(1).gather(1, wanted[:, None])[:, 0]
    return {
        "images": len(pictures),
        "top1": round(float(first.float().mean()), 4),
        "top5": round(float(five.float().mean()), 4),
        "probability": round(float(probability.mean()), 4),
        "missed": [judge.classes[target] for target, hit in zip(targets, first.tolist(), strict=True) if not hit],
    }


@torch.inference_mode()
def strongest(
    model: Any, pictures: Sequence[Any], layers: Sequence[str], batch: int = 32
) -> tuple[dict[str, Tensor], Tensor]:
    """Means of maps [pictures,units] by layer, and logits [pictures,classes]: what `maximize` makes larger."""
    means: dict[str, list[Tensor]] = {name: [] for name in layers}
    logits = []
    kept: dict[str, Tensor] = {}
    modules = dict(model.named_modules())
    hooks = [
        modules[name].register_forward_hook(
            lambda module, inputs, output, name=name: kept.__setitem__(name, _means(output))
        )
        for name in layers
    ]
    try:
        for first in range(0, len(pictures), batch):
            logits.append(model(read(model, pictures[first : first + batch])).clone())
            for name in layers:
                means[name].append(kept[name])
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(parts) for name, parts in means.items()}, torch.cat(logits)


def _means(output: Tensor) -> Tensor:
    return (output.flatten(2).mean(2) if output.ndim > 2 else output).clone()


@torch.inference_mode()
def spread(judge: Any, pictures: Sequence[Any], layers: Sequence[str]) -> tuple[float, float]:
    """Mean distances between pictures: of codes in front of the classes; and of what layers say at each place, each
    divided by its length (Zhang et al. 2018, without learned weights)."""
    found = zfcuda.activations(judge, read(judge, pictures), [*layers, "_flatten"])
    codes = found["_flatten"]
    pairs = list(combinations(range(len(codes)), 2))
    by_code = sum(float((codes[i] - codes[j]).norm()) for i, j in pairs) / len(pairs)
    by_place = 0.0
    for name in layers:
        maps = found[name] / (found[name].norm(dim=1, keepdim=True) + 1e-10)
        by_place += sum(float((maps[i] - maps[j]).square().sum(0).mean()) for i, j in pairs) / len(pairs)
    return by_code, by_place / len(layers)
