"""`python -m benchmarks.picture`: draws the picture at the top of the README, with the network in the package."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

import zfcuda
from zfcuda import render
from zfcuda.data import HELD_OUT_SEED, Parts

OUT = Path(__file__).resolve().parent.parent / "docs" / "occlusion.png"
PICTURES = (3, 5)  # the held-out pictures to show, one row each


def row(index: int) -> list[Image.Image]:
    """A picture, where covering it costs the class, the probability at each place, the strongest conv5 unit."""
    net = zfcuda.models.load_demo()
    picture = Parts(seed=HELD_OUT_SEED)[index].image
    image = net.preprocess(picture)
    map = zfcuda.occlusion_map(net, image, window=32, stride=4)
    probability = render.heatmap(map.probability, 0.0, 1.0).resize(picture.size, Image.Resampling.NEAREST)
    projection = zfcuda.project(net, image, "conv5")[0]
    return [picture, render.overlay(picture, map.heatmap()), probability, render.projection(projection)]


if __name__ == "__main__":
    render.grid([panel for index in PICTURES for panel in row(index)], 4, gap=6).save(OUT, optimize=True)
    print(OUT)
