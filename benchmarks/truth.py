"""Are the explanations true? Held against Parts' masks: ``python -m benchmarks.truth [--pictures 200] [--json FILE]``.

Each figure is a share of held-out pictures, with the demo network:

- occlusion: the occluder position (window 32, stride 8) where the true class is least probable overlaps the defining
  part; beside it what a position chosen at random scores.
- projection: the energy per pixel of the strongest conv5 unit's projection is at least 3 times as high on the object
  as off it; beside it the median ratio, and the share for a projection spread evenly over its receptive field.
- accuracy, and the control: accuracy when the defining part is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import zfcuda
from benchmarks.environment import environment
from zfcuda.data import HELD_OUT_SEED, Parts, PartsPicture
from zfcuda.models.pretrained.demo import DemoNetwork, load_demo

WINDOW, STRIDE, LAYER, CONTRAST = 32, 8, "conv5", 3.0


@dataclass(frozen=True)
class Truth:
    """See the module; shares from 0 to 1."""

    pictures: int
    occlusion: float
    occlusion_at_random: float
    projection: float
    projection_median_ratio: float
    projection_spread_evenly: float
    accuracy: float
    control_accuracy: float
    chance: float


def overlaps(part: np.ndarray, origins: np.ndarray, window: int) -> np.ndarray:
    """bool [rows, cols]: which occluders (``origins`` int [rows, cols, 2], y and x) cover a pixel of the part."""
    total = np.pad(part.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    top, left = origins[..., 0], origins[..., 1]
    bottom, right = np.minimum(top + window, part.shape[0]), np.minimum(left + window, part.shape[1])
    covered: np.ndarray = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left] > 0
    return covered


def contrast(energy: np.ndarray, mask: np.ndarray) -> float:
    """Mean of ``energy`` [H, W] on the mask over its mean off it; infinite where there is none off it."""
    off = float(energy[~mask].mean())
    return float(energy[mask].mean()) / off if off > 0 else float("inf")


def measure(network: DemoNetwork, pictures: Iterable[PartsPicture], parts: Parts) -> Truth:
    """Measures the network on pictures of ``parts``."""
    occlusion, at_random, ratios, even, right, control = [], [], [], [], [], []
    for picture in pictures:
        image = network.preprocess(picture.image)
        blank = network.preprocess(parts.draw(picture.index, part=False).image)
        with torch.inference_mode():
            guess = network(torch.cat([image, blank])).argmax(1).tolist()
        right.append(guess[0] == picture.label)
        control.append(guess[1] == picture.label)

        result = zfcuda.occlusion_map(network, image, window=WINDOW, stride=STRIDE, target=picture.label)
        hits = overlaps(picture.part_mask, result.origins.cpu().numpy(), WINDOW)
        occlusion.append(bool(hits.ravel()[int(result.probability.flatten().argmin())]))
        at_random.append(float(hits.mean()))

        projection = zfcuda.project(network, image, LAYER)[0]
        energy = projection.double().square().sum(0).cpu().numpy()
        ratios.append(contrast(energy, picture.object_mask))
        even.append(contrast((energy > 0).astype(np.float64), picture.object_mask))
    return Truth(
        pictures=len(occlusion),
        occlusion=statistics.mean(occlusion),
        occlusion_at_random=statistics.mean(at_random),
        projection=statistics.mean(ratio >= CONTRAST for ratio in ratios),
        projection_median_ratio=statistics.median(ratios),
        projection_spread_evenly=statistics.mean(ratio >= CONTRAST for ratio in even),
        accuracy=statistics.mean(right),
        control_accuracy=statistics.mean(control),
        chance=1 / len(parts.classes),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description="Are the explanations true?")
    parser.add_argument("--pictures", type=int, default=200, help="held-out pictures (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also writes the figures there")
    arguments = parser.parse_args()
    if arguments.pictures < 1:
        parser.error(f"pictures: expected at least 1, got {arguments.pictures}")
    parts = Parts(seed=HELD_OUT_SEED)
    pictures = tqdm(islice(parts, arguments.pictures), total=arguments.pictures, unit="picture")
    truth = measure(load_demo(), pictures, parts)
    print(f"over {truth.pictures} held-out pictures")
    for name, value in (
        ("least probable under an occluder on the defining part (wanted: 90 %)", f"{truth.occlusion:.1%}"),
        ("  an occluder placed at random", f"{truth.occlusion_at_random:.1%}"),
        (f"{LAYER} projection {CONTRAST:g}x denser on the object (wanted: 80 %)", f"{truth.projection:.1%}"),
        ("  one spread evenly over the same pixels", f"{truth.projection_spread_evenly:.1%}"),
        ("  median ratio", f"{truth.projection_median_ratio:.1f}"),
        ("accuracy", f"{truth.accuracy:.1%}"),
        (f"  without the defining part (chance: {truth.chance:.1%})", f"{truth.control_accuracy:.1%}"),
    ):
        print(f"  {name:72}{value:>7}")
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        where = environment(torch.device("cpu"))
        result = asdict(truth) | {key: where[key] for key in ("command", "torch", "date")}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
