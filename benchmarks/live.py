"""One rectangle at a time, at fresh places, beside the whole network's forward: what an occluder in the hand costs.

The opponent is the model's own forward of one covered image, in eval and inference mode, contiguous or channels_last,
whichever is faster; covering the image is not counted against it. Ours is a zfcuda.Occluder, prepared once, asked for
a window of 32 x 32 pixels at a new random place each time. Its answers are verified against the model's before
anything is timed; preparing it is timed by itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

import zfcuda
from benchmarks import by_network, zoo
from benchmarks.measure import race, timed
from zfcuda.data import HELD_OUT_SEED, Parts


def _random(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """A network of the package with random weights."""

    def made() -> nn.Module:
        with torch.device("meta"):  # no weights that are thrown away
            network = build()
        zoo.randomise(network)
        return network

    return made


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "zfnet": _random(zfcuda.models.zfnet),
    "vgg16": zoo.NETWORKS["vgg16"],
    "resnet18": zoo.NETWORKS["resnet18"],
    "efficientnet_lite0": _random(zfcuda.models.efficientnet_lite0),
    "demo": zfcuda.models.load_demo,
}
TITLES = {
    "zfnet": "ZFNet",
    "vgg16": "VGG16",
    "resnet18": "ResNet-18",
    "efficientnet_lite0": "EfficientNet-Lite0",
    "demo": "the network in the package",
}
OURS, CONTIGUOUS, CHANNELS_LAST = "zfcuda", "forward", "forward, channels_last"
FORWARDS = (CONTIGUOUS, CHANNELS_LAST)
_WINDOW = 32
_VERIFIED = 8  # places
_TOLERANCE = 1e-4  # of the largest logit


def run(
    device: torch.device, dtype: torch.dtype, quick: bool, networks: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """One row per network, as soon as it is measured; in float32 alone. quick: few repeats."""
    if dtype != torch.float32:
        return
    yield from by_network.rows(TITLES, networks, lambda name: _row(name, device, quick), describe)


def _row(name: str, device: torch.device, quick: bool) -> dict[str, Any]:
    network = NETWORKS[name]().eval().to(device)
    image = _image(network).to(device)
    # What has no memory format is shared, so that no side finds the cache full of another's copy.
    shared = {id(tensor): tensor for tensor in [*network.parameters(), *network.buffers()] if tensor.dim() != 4}
    last: nn.Module = deepcopy(network, shared).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    begin = time.perf_counter()
    occluder = zfcuda.Occluder(network, image)
    prepared = time.perf_counter() - begin
    places = _places(occluder.size)
    deviation = max(_deviation(network, image, occluder, next(places)) for _ in range(_VERIFIED))
    if not deviation <= _TOLERANCE:  # NaN too
        raise RuntimeError(f"{TITLES[name]}: a logit is off by {deviation:.3g} of the largest")
    batch = image[None]
    turned = batch.contiguous(memory_format=torch.channels_last)
    sides: dict[str, Callable[[], object]] = {
        OURS: lambda: occluder(*next(places)),
        CONTIGUOUS: torch.inference_mode()(lambda: network(batch)),
        CHANNELS_LAST: torch.inference_mode()(lambda: last(turned)),
    }
    timings = race(sides, device, repeats=3 if quick else 61, warmup=1 if quick else 10)
    best = min((CONTIGUOUS, CHANNELS_LAST), key=lambda side: timings[side].median)
    return {
        "network": name,
        "title": TITLES[name],
        "dtype": "float32",
        "window": _WINDOW,
        "threads": torch.get_num_threads(),
        "method": occluder.method,
        "reason": occluder.reason,
        "deviation": deviation,
        "prepared_seconds": round(prepared, 4),
        **timed(timings),
        "left_out": {},
        "opponent": best,
        "ratio": {best: round(timings[best].median / timings[OURS].median, 3)},
    }


def _image(network: nn.Module) -> Tensor:
    """A drawn picture as the network takes it, [C,H,W]."""
    preprocess: Any = getattr(network, "preprocess", None)
    if preprocess is None:
        return zoo.picture()[0]
    image: Tensor = preprocess(Parts(seed=HELD_OUT_SEED)[0].image)
    return image[0] if image.dim() == 4 else image


def _places(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Windows at random places, without end."""
    generator = random.Random(0)
    while True:
        yield generator.randrange(size[0] - _WINDOW + 1), generator.randrange(size[1] - _WINDOW + 1), _WINDOW, _WINDOW


@torch.inference_mode()
def _deviation(network: nn.Module, image: Tensor, occluder: zfcuda.Occluder, place: tuple[int, int, int, int]) -> float:
    """How far the answer is from the model's own, of its largest logit."""
    top, left, height, width = place
    covered = image.clone()
    covered[:, top : top + height, left : left + width] = 0
    own = network(covered[None])[0]
    return float((occluder(*place) - own).abs().max() / own.abs().max())


def describe(row: dict[str, Any]) -> str:
    """A few lines for people."""
    best = row["opponent"]
    lines = [
        f"{row['title']}, one window of {row['window']} x {row['window']} at a fresh place: {row['ratio'][best]:.2f}x "
        f"as fast as the whole network ({best}), {row['threads']} threads",
        f"  verified: the worst logit is off by {row['deviation']:.2g} of the largest; "
        f"{row['method']}: {row['reason']}",
    ]
    for name, seconds in row["seconds"].items():
        low, high = (1e3 * quartile for quartile in row["quartiles"][name])
        lines.append(f"  {name:24} {1e3 * seconds:8.2f} ms ({low:.2f} to {high:.2f})")
    lines.append(f"  prepared in {1e3 * row['prepared_seconds']:.0f} ms")
    return "\n".join(lines)
