"""A texture as large as one likes that looks like a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from zfcuda.data.pictures import Picture, as_picture
from zfcuda.inputs import integer
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.texture.gram import gram_textured
from zfcuda.synthesis.texture.histograms import matched
from zfcuda.synthesis.texture.result import Textured
from zfcuda.synthesis.texture.tree import Search, grow
from zfcuda.synthesis.warn import warn

METHODS = ("tree", "exhaustive", "gram")
WINDOW = 9
MOST_PIXELS = 1 << 20  # of a sample; their neighbourhoods take 260 bytes each in colour


def texture(
    sample: Picture,
    size: tuple[int, int],
    *,
    method: str = "tree",
    model: nn.Module | None = None,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    window: int | None = None,
    progress: bool = False,
) -> Image.Image:
    """Makes a picture of any size that looks like a sample of a texture.

    "tree" is Wei & Levoy, "Fast Texture Synthesis using Tree-structured Vector Quantization" (SIGGRAPH 2000): from
    coarse to fine, in scan-line order, each pixel becomes that of the sample whose neighbourhood, of its own level and
    of the one above, is most like what is there; the neighbourhoods stand in a tree that k-means divides, of which
    a few leaves are searched. "exhaustive" compares all of them, several times slower. In both, beyond a border stands
    the other side, so that copies of the picture can be laid side by side, and the values are moved to the sample's
    histogram at the end, channel by channel. They run on the CPU. "gram" is Gatys et al. (2015): noise is changed until
    the correlations of a network's layers are those of the sample.

    "tree" needs the extra: ``pip install zfcuda[features]``.

    Args:
        sample: a PIL picture, a path, or an array uint8 [H,W] or [H,W,C].
        size: (width, height) in pixels.
        method: "tree", "exhaustive" or "gram".
        model: for "gram" alone, a network.
        layers: for "gram" alone, the names of its layers.
        seed: what chance begins with; the same seed gives the same picture.
        window: how many pixels wide a neighbourhood is, an odd number: as wide as what is regular in the sample, at
            some level. For "tree" and "exhaustive"; 9 by default.
        progress: whether there is a bar.

    Returns:
        A picture in mode "RGB". Ctrl-C gives it as far as it is, with a warning: finished coarse levels, enlarged.

    Raises:
        TypeError, ValueError: naming the argument: the sample is no picture, or smaller than the window; the size is
            not two positive integers; the method is unknown, or needs a model, or takes none.
        ImportError: scikit-learn is not installed, for "tree".
    """
    return textured(
        sample,
        size,
        method=method,
        model=model,
        layers=layers,
        seed=seed,
        window=window,
        progress=progress,
    ).picture


def textured(
    sample: Picture,
    size: tuple[int, int],
    *,
    method: str = "tree",
    model: nn.Module | None = None,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    window: int | None = None,
    pixel_range: PixelRange | None = None,
    progress: bool = False,
) -> Textured:
    """The same with why it ended, for commands, which know better what black and white are to the network."""
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(map(repr, METHODS))}, got {method!r}")
    picture = as_picture(sample, "sample")
    wanted = _size(size)
    seed = integer("seed", seed)
    if picture.width * picture.height > MOST_PIXELS:
        raise ValueError(
            f"sample: expected at most {MOST_PIXELS:,} pixels, as what is said of each is kept, got "
            f"{picture.width} x {picture.height}; cut a piece out, or make it smaller"
        )
    if method == "gram":
        if model is None:
            raise ValueError("model: expected a network for method 'gram', got None")
        if window is not None:
            raise ValueError(f"window: method 'gram' takes none, got {window}")
        return gram_textured(picture, wanted, model, layers, seed, pixel_range=pixel_range, progress=progress)
    for name, value in (("model", model), ("layers", layers)):
        if value is not None:
            raise ValueError(f"{name}: method {method!r} takes none, it is for 'gram'")
    side = _window(WINDOW if window is None else window)
    if min(picture.size) < side:
        raise ValueError(
            f"sample: expected at least {side} x {side} pixels, the size of the window, got {picture.width} x "
            f"{picture.height}"
        )
    search = Search() if method == "tree" else Search(leaf=None)
    return _grown(picture, wanted, side, search, seed, progress)


def _grown(
    sample: Image.Image, size: tuple[int, int], window: int, search: Search, seed: int, progress: bool
) -> Textured:
    pixels = np.asarray(sample)
    if (pixels == pixels[..., :1]).all():  # grey: a third of the work
        pixels = pixels[..., :1]
    grown = grow(np.ascontiguousarray(pixels), size, window=window, search=search, seed=seed % 2**32, progress=progress)
    picture = Image.fromarray(np.broadcast_to(grown.pixels, (*grown.pixels.shape[:2], 3)).copy())
    picture = matched(picture.resize(size, Image.Resampling.BICUBIC), sample)
    if grown.interrupted is None:
        return Textured(picture)
    stopped = f"stopped in level {len(grown.chosen)} of {grown.levels}: the picture so far"
    warn(stopped)
    return Textured(picture, stopped, grown.interrupted)


def _size(size: Any) -> tuple[int, int]:
    try:
        width, height = (integer("size", side) for side in size)
    except (TypeError, ValueError):
        width = height = 0
    if width < 1 or height < 1:
        raise ValueError(f"size: expected (width, height), two positive integers, got {size!r}")
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and width * height > most:
        raise ValueError(f"size: expected at most {most:,} pixels, got {width} x {height}")
    return width, height


def _window(window: Any) -> int:
    window = integer("window", window)
    if not (3 <= window <= 63 and window % 2):
        raise ValueError(f"window: expected an odd number from 3 to 63, got {window}")
    return window
