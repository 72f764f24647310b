"""Sliding a network over a larger image beside running it on every crop: python -m benchmarks.convolutionize

zfcuda.models.convolutionize against the crops at the same places, in one batch, in inference mode and channels_last.
First the scores are compared: with every crop's where the network pads nothing, and otherwise (`exact` is False) with
that of the one crop that is the whole image, at the network's own size. Then the two take turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import zoo
from benchmarks.device import device_name
from benchmarks.measure import race
from zfcuda import models
from zfcuda.models.architectures.convolutionize import ScoreMap, convolutionize
from zfcuda.models.architectures.pattern import from_pattern


def _unpadded() -> nn.Module:
    """An AlexNet with nothing padded, so that every score is a crop's: 227 -> 55 -> 27 -> 23 -> 11 -> 7 -> 3."""
    stages = "conv96/11s4p0 relu pool/3s2 lrn conv256/5p0 relu pool/3s2 lrn [conv384/3p0 relu]*2 pool/3s2"
    return from_pattern(f"{stages} fc1024 relu fc1000", (3, 227, 227))


# Name -> network, the side of its image, the side of the larger one.
CASES: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "unpadded": (_unpadded, 227, 419),
    "zfnet": (lambda: zoo.made(models.zfnet), 224, 384),
    "alexnet": (zoo.NETWORKS["alexnet"], 224, 384),
    "vgg16": (zoo.NETWORKS["vgg16"], 224, 384),
    "resnet18": (zoo.NETWORKS["resnet18"], 224, 384),
}


def crops(image: Tensor, sliding: ScoreMap, rows: int, columns: int) -> Tensor:
    """[1,C,H,W] -> [rows*columns,C,h,w]: what each score sees."""
    (height, width), (down, right) = sliding.window, sliding.stride
    places = [(y * down, x * right) for y in range(rows) for x in range(columns)]
    cut = torch.cat([image[:, :, y : y + height, x : x + width] for y, x in places])
    return cut.contiguous(memory_format=torch.channels_last)


def run(names: list[str], device: torch.device, repeats: int, warmup: int) -> Iterator[dict[str, Any]]:
    """One row per network, as soon as it is measured."""
    for name in names:
        build, size, larger = CASES[name]
        torch.manual_seed(0)
        network = build().eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        sliding = convolutionize(network, (3, size, size))
        sliding.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        image = zoo.picture(larger).to(device, memory_format=torch.channels_last)
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            rows, columns = sliding(image).shape[2:]
            cut = crops(image, sliding, rows, columns)
            deviation = _verify(network, sliding, image, cut, size)
            sides: dict[str, Callable[[], object]] = {
                "sliding": lambda f=sliding, x=image: f(x),  # type: ignore[misc]
                "crops": lambda f=network, x=cut: f(x),  # type: ignore[misc]
            }
            times = race(sides, device, repeats=repeats, warmup=warmup)
        yield {
            "network": name,
            "picture": larger,
            "scores": (rows, columns),
            "exact": sliding.exact,
            "deviation": deviation,
            "seconds": {side: timing.median for side, timing in times.items()},
            "quartiles": {side: timing.spread for side, timing in times.items()},
            "speed_up": times["crops"].median / times["sliding"].median,
        }


def _verify(network: nn.Module, sliding: ScoreMap, image: Tensor, cut: Tensor, size: int) -> float:
    """The largest difference of a score, as a part of the scores' standard deviation; raises where it is too large."""
    if sliding.exact:
        expected = network(cut)
        scores = sliding(image)[0].flatten(1).T
    else:
        corner = image[:, :, :size, :size].contiguous(memory_format=torch.channels_last)
        expected, scores = network(corner), sliding(corner)[:, :, 0, 0]
    deviation = float((scores - expected).abs().max() / expected.std())
    if not deviation < 1e-3:
        raise AssertionError(f"the scores are {deviation:.2g} standard deviations from those of the crops")
    return deviation


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convolutionize", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--networks", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    options = parser.parse_args()
    device = torch.device(options.device)
    print(f"{device_name(device)}; medians of {options.repeats}, the sides in turns")
    for row in run(options.networks, device, options.repeats, options.warmup):
        seconds = row["seconds"]
        print(
            f"{row['network']:9} {row['picture']}x{row['picture']} -> {row['scores'][0]}x{row['scores'][1]} scores: "
            f"sliding {seconds['sliding'] * 1e3:.1f} ms, {row['speed_up']:.1f}x faster than crops; "
            f"{'all scores' if row['exact'] else 'the one whole crop'} verified, off by {row['deviation']:.1g}",
            flush=True,
        )


if __name__ == "__main__":
    main()
