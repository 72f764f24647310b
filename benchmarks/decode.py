"""`python -m benchmarks.decode [FOLDER]`: pictures that one core reads, decodes and cuts for training, each second.

FOLDER has class folders of pictures; without it, six photographs of scikit-image are made JPEGs of 500 x 375, the usual
size of ImageNet's. Seconds of the processor, not of the clock: what else runs on the machine does not count.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from zfcuda.data import Preprocess
from zfcuda.data.sources import FileSource
from zfcuda.train.decoded import decoded
from zfcuda.train.loading import Samples
from zfcuda.train.views import ResizedCrops, TenCrops, View

COUNT = 240  # pictures that are read for a figure
_PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "rocket.jpg",
    "motorcycle_left.png",
)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else photographs(Path(tempfile.mkdtemp()))
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:COUNT]
    sizes = [path.stat().st_size for path in files]
    sides = np.array([Image.open(path).size for path in files]).mean(0)
    print(f"{len(files)} pictures of {sides[0]:.0f} x {sides[1]:.0f} and {np.mean(sizes) / 1e3:.1f} kB in the mean")
    preprocess = Preprocess(224, 256, interpolation="bilinear")
    views: dict[str, View] = {"paper": TenCrops(preprocess), "modern": ResizedCrops(preprocess, 0.35, 0.3)}
    for name, view in views.items():
        print(f"{name}: {rate(files, view):.0f} pictures per second and core")


def rate(files: list[Path], view: View) -> float:
    """Pictures per second of one processor."""
    source: Any = FileSource(files, labels=[0] * len(files), classes=["a"])
    samples = Samples(decoded(source, 512, 0), view, seed=0)
    best = 0.0
    for epoch in range(3):
        begun = time.process_time()
        for index in range(COUNT):
            samples[epoch, index % len(files)]
        best = max(best, COUNT / (time.process_time() - begun))
    return best


def photographs(folder: Path) -> Path:
    """JPEGs of ImageNet's usual size and bytes."""
    import skimage

    for name in _PHOTOGRAPHS:
        picture = Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")
        ImageOps.fit(picture, (500, 375)).save(folder / f"{Path(name).stem}.jpg", quality=95)
    return folder


if __name__ == "__main__":
    main()
