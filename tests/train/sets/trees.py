"""Small trees of class folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(number: int, size: tuple[int, int] = (12, 10)) -> Image.Image:
    dice = np.random.default_rng(number)
    return Image.fromarray(dice.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def tree(folder: Path, counts: dict[str, int]) -> Path:
    """Writes pictures, all different. counts: class folder, with its part -> how many."""
    number = 0
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture(number := number + 1).save(folder / name / f"{index}.png")
    return folder


def three_parts(folder: Path) -> Path:
    """Cats and dogs: 4 and 5 to train on, 2 and 1 to validate on, 1 and 2 to test on."""
    return tree(
        folder,
        {"train/cat": 4, "train/dog": 5, "validation/cat": 2, "validation/dog": 1, "test/cat": 1, "test/dog": 2},
    )
