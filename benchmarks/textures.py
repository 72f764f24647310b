"""Textures of neighbourhoods: a tree of them against exhaustive search, and how like the sample the result is.

    python -m benchmarks.textures [--json benchmarks/results/textures.json] [--rounds 3]

A texture of 192 x 192 from a sample of 128 x 128, brick, grass and gravel in grey and the fur of a cat in colour
(scikit-image's pictures). The tree's time is that of everything: pyramids, k-means, search. Three ways of exhaustive
search stand beside it:

- ours: the same kernel, and all neighbourhoods in one leaf; all levels;
- numpy: a pixel at a time, as the paper describes it, the distances from one product of a matrix and a vector; the
  finest level alone, without what comes before;
- batched: pixels that do not depend on one another together, the distances from one product of matrices in torch; the
  finest level alone, too. What lies beyond the left border is what was there before, so that it is no texture to keep.

The share of equal choices is that of the pixels for which the tree finds what exhaustive search finds, each asked for
alone. The earth mover's distances are of the pixel values of 255, the largest of the channels: before and after the
histogram is given to the picture, and between two pieces of the photograph, as large as the sample, for a measure.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import zfcuda
from benchmarks.environment import environment
from benchmarks.measure import Run, race_against, timed
from zfcuda.files.drafts import whole
from zfcuda.synthesis.texture.histograms import earth_movers
from zfcuda.synthesis.texture.neighbourhoods import Bytes, Neighbourhoods, depth, neighbourhoods, pyramid
from zfcuda.synthesis.texture.tree import Search, equal_choices, grow

SAMPLE, SIZE, WINDOW = 128, (192, 192), 9
TREE, EXHAUSTIVE = Search(), Search(leaf=None)
TIMED = ("gravel", "fur")
CPU = torch.device("cpu")


def samples() -> dict[str, tuple[Image.Image, Image.Image]]:
    """By name: a sample, and another piece of the same photograph."""
    from skimage import data

    photographs = {name: Image.fromarray(getattr(data, name)()).reduce(2) for name in ("brick", "grass", "gravel")}
    pieces = {name: ((0, 0), (128, 128)) for name in photographs}
    photographs["fur"] = Image.fromarray(data.chelsea())
    pieces["fur"] = ((20, 10), (60, 160))
    return {
        name: tuple(photographs[name].convert("RGB").crop((x, y, x + SAMPLE, y + SAMPLE)) for x, y in pieces[name])  # type: ignore[misc]
        for name in photographs
    }


def pixels_of(sample: Image.Image) -> Bytes:
    """[H,W,C] with one channel where it is grey, as zfcuda.texture has it."""
    pixels = np.asarray(sample)
    return np.ascontiguousarray(pixels[..., :1] if (pixels == pixels[..., :1]).all() else pixels)


class Finest:
    """The finest level of a texture, as exhaustive search leaves it, to be gone over again."""

    def __init__(self, sample: Bytes) -> None:
        levels = pyramid(sample, depth(sample.shape[:2], WINDOW))
        made = grow(sample, SIZE, window=WINDOW, search=EXHAUSTIVE, seed=0)
        self.around: Neighbourhoods = neighbourhoods(levels[0], levels[1], WINDOW)
        above = neighbourhoods(levels[1], levels[2], WINDOW)
        self.output = made.pixels.astype(np.float32)
        self.coarser = above.values[made.chosen[-2]].astype(np.float32)
        r = WINDOW // 2
        self.square = np.array([(y, x) for y in range(-r, r + 1) for x in range(-r, r + 1)])
        self.before = self.square[: len(self.square) // 2]
        size = sample.shape[2] * (len(self.before) + len(self.square))
        self.windows = np.ascontiguousarray(self.around.windows[:, :size].astype(np.float32))
        self.norms = (self.windows**2).sum(1) / 2

    def seen(self, ys: Any, xs: Any) -> Any:
        """The windows [n,P] of pixels."""
        height, width, _ = self.output.shape
        own = self.output[(ys[:, None] + self.before[:, 0]) % height, (xs[:, None] + self.before[:, 1]) % width]
        above = self.coarser[
            (ys[:, None] // 2 + self.square[:, 0]) % self.coarser.shape[0],
            (xs[:, None] // 2 + self.square[:, 1]) % self.coarser.shape[1],
        ]
        return np.concatenate([own.reshape(len(ys), -1), above.reshape(len(ys), -1)], 1)

    def by_pixels(self) -> None:
        """One after the other."""
        for y in range(SIZE[1]):
            for x in range(SIZE[0]):
                window = self.seen(np.array([y]), np.array([x]))[0]
                self.output[y, x] = self.around.values[(self.norms - self.windows @ window).argmin()]

    def by_fronts(self) -> None:
        """A row is so far behind the one above that it sees all of it that it needs."""
        windows, norms = torch.from_numpy(self.windows), torch.from_numpy(self.norms)
        rows, columns = np.arange(SIZE[1]), SIZE[0]
        skew = WINDOW // 2 + 1
        for front in range(columns + skew * (len(rows) - 1)):
            xs = front - skew * rows
            ys = rows[(xs >= 0) & (xs < columns)]
            xs = xs[ys]
            seen = torch.from_numpy(self.seen(ys, xs))
            self.output[ys, xs] = self.around.values[torch.addmm(norms, seen, windows.T, alpha=-1).argmin(1)]


def likeness(name: str, sample: Image.Image, other: Image.Image) -> dict[str, Any]:
    """How like a sample its texture is, and how often the tree finds what exhaustive search finds."""
    pixels = pixels_of(sample)
    grown = grow(pixels, SIZE, window=WINDOW, search=TREE, seed=0).pixels
    raw = Image.fromarray(np.broadcast_to(grown, (*grown.shape[:2], 3)).copy())
    made = zfcuda.texture(sample, SIZE)
    share = equal_choices(pixels, SIZE, window=WINDOW, search=TREE, seed=0, every=3)
    return {
        "texture": name,
        "equal_choices": round(share, 4),
        "earth_movers": {
            "before": round(max(earth_movers(raw, sample)), 3),
            "after": round(max(earth_movers(made, sample)), 3),
            "two_pieces": round(max(earth_movers(sample, other)), 3),
        },
    }


def speed(name: str, sample: Image.Image, rounds: int) -> dict[str, Any]:
    """Seconds of the tree and of the ways of exhaustive search, in turns, and their ratios."""
    pixels = pixels_of(sample)
    finest = Finest(pixels)

    def ours(search: Search) -> None:
        grow(pixels, SIZE, window=WINDOW, search=search, seed=0)

    others: dict[str, Run] = {"ours": lambda: ours(EXHAUSTIVE), "numpy": finest.by_pixels, "batched": finest.by_fronts}
    tree, slow = race_against(lambda: ours(TREE), others, CPU, seconds=0, rounds=(rounds, rounds))
    return {
        "texture": name,
        "channels": pixels.shape[2],
        **timed({"tree": tree} | {f"exhaustive_{side}": timing for side, timing in slow.items()}, 3),
        "ratios": {side: round(timing.median / tree.median, 1) for side, timing in slow.items()},
    }


def measured(rounds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(section, row), as they come."""
    pieces = samples()
    for name, (sample, other) in pieces.items():
        yield "likeness", likeness(name, sample, other)
    for name in TIMED:
        yield "speed", speed(name, pieces[name][0], rounds)


def main() -> int:
    parser = argparse.ArgumentParser(description="Textures: a tree of neighbourhoods against exhaustive search.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results go")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of the race (default: %(default)s)")
    arguments = parser.parse_args()
    results: dict[str, Any] = {
        "environment": environment(CPU),
        "sample": [SAMPLE, SAMPLE],
        "size": list(SIZE),
        "window": WINDOW,
        "leaf": TREE.leaf,
        "leaves": TREE.leaves,
        "likeness": [],
        "speed": [],
    }
    for section, row in measured(arguments.rounds):
        results[section].append(row)
        print(json.dumps(row), flush=True)
    if arguments.json is not None:
        with whole(arguments.json) as [draft]:
            draft.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(f"written: {arguments.json}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
