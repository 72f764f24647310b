"""Draws tensors as pictures: projections, heat maps, label maps, filters, and sheets of them. Tensors in, PIL out.

Needs NumPy and Pillow alone. Tensors are of any real dtype, on any device, and stay as they are; pictures are RGB. An
error names the argument: TypeError where it is no Tensor, ValueError where its shape is another one. Values that are
not finite never spoil a picture: infinities take the end of the scale, NaN is drawn in ``NAN_COLOUR``.

Example:
    result = zfcuda.occlusion_map(model, image)
    zfcuda.render.overlay(photograph, result.heatmap(of="log_odds")).save("evidence.png")
    zfcuda.render.projection(zfcuda.project(model, image, "conv5")[0]).save("projection.png")
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

__all__ = [
    "CATEGORIES",
    "COLOURS",
    "NAN_COLOUR",
    "OTHER_COLOUR",
    "Label",
    "enlarged",
    "filters",
    "gradient",
    "grid",
    "heatmap",
    "hex_colour",
    "label_map",
    "outlined",
    "overlay",
    "picture",
    "projection",
    "robust_scale",
    "value_range",
]

Colour = tuple[int, int, int]
Array = npt.NDArray[Any]

#: The colour of what is no number.
NAN_COLOUR: Colour = (128, 128, 128)
#: The colour of classes that get none of their own.
OTHER_COLOUR: Colour = (176, 176, 176)

#: Control points, evenly spaced, between which colours are interpolated. The first two rise evenly in lightness, so
#: they read the same in grey and to colour-blind eyes; "diverging" is lightest at zero.
COLOURS: dict[str, tuple[str, ...]] = {
    "viridis": ("440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"),
    "inferno": ("000004", "1b0c41", "4a0c6b", "781c6d", "a52c60", "cf4446", "ed6925", "fb9b06", "f7d13d", "fcffa4"),
    "diverging": ("2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b"),
}

#: Colours of classes: distinct under the common kinds of colour blindness (after Okabe and Ito), then some more.
CATEGORIES: tuple[Colour, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
    (120, 94, 60),
    (106, 61, 154),
)


@dataclass(frozen=True)
class Label:
    """One entry of a label map's legend."""

    index: int  # the class; -1 for all that share OTHER_COLOUR
    colour: Colour
    count: int  # positions with this class


def hex_colour(colour: Colour) -> str:
    """(255, 0, 0) -> "#ff0000"."""
    return "#" + bytes(colour).hex()


def picture(image: Tensor) -> Image.Image:
    """[3,H,W] or [1,H,W] with values 0..1 -> RGB; values outside are clipped, NaN is black."""
    values = _channels("image", image)
    return _rgb(np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0).transpose(1, 2, 0))


def projection(signal: Tensor, *, scale: float | None = None, percentile: float = 99.5) -> Image.Image:
    """A signed picture [C,H,W] (C 1 or 3) -> RGB in which zero is middle grey.

    Args:
        signal: float, any sign.
        scale: the magnitude that is drawn full black or white; None: the given percentile of the magnitudes above
            zero, so that a few extreme pixels do not leave the rest grey.
        percentile: which one, 0 to 100.
    """
    values = _channels("signal", signal)
    limit = robust_scale(signal, percentile) if scale is None else scale
    values = np.nan_to_num(values / limit if limit > 0 else np.zeros_like(values), nan=0.0, posinf=1.0, neginf=-1.0)
    return _rgb(0.5 + 0.5 * np.clip(values, -1, 1).transpose(1, 2, 0))


def robust_scale(signal: Tensor, percentile: float = 99.5) -> float:
    """The percentile of the finite non-zero magnitudes of a Tensor of any shape [...]; 0.0 where there are none."""
    magnitudes = np.abs(_array(signal))
    magnitudes = magnitudes[np.isfinite(magnitudes) & (magnitudes > 0)]
    return float(np.percentile(magnitudes, percentile)) if magnitudes.size else 0.0


def value_range(values: Tensor) -> tuple[float, float]:
    """(smallest, largest) of the finite values of a Tensor of any shape [...]; (0.0, 0.0) where there are none."""
    array = _array(values)
    array = array[np.isfinite(array)]
    return (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)


def heatmap(
    values: Tensor, low: float | None = None, high: float | None = None, *, colours: str = "viridis"
) -> Image.Image:
    """[H,W] -> RGB of the same size.

    Args:
        values: any numbers.
        low, high: the values at the two ends of the colours; None: the smallest and largest finite one ("diverging":
            plus and minus the largest magnitude). Where they are equal, everything takes the colour of the low end
            ("diverging": of the middle).
        colours: a name in COLOURS.
    """
    _check_map("values", values)
    return Image.fromarray(_coloured(values, low, high, colours))


def overlay(under: Image.Image, values: Tensor, *, limit: float | None = None, strength: float = 0.85) -> Image.Image:
    """A signed map [H,W] in diverging colours over a greyed picture, the more opaque the larger its magnitude.

    Args:
        under: any size; the map is stretched over it.
        values: [H,W], any sign.
        limit: the magnitude drawn most opaque; None: the largest.
        strength: opacity there, 0..1.
    """
    _check_map("values", values)
    low, high = value_range(values)
    limit = max(abs(low), abs(high)) if limit is None else limit
    colours = Image.fromarray(_coloured(values, -limit, limit, "diverging"))
    share = np.clip(np.abs(np.nan_to_num(_array(values), nan=0.0)) / (limit or 1.0), 0, 1)
    mask = Image.fromarray(np.rint(share**0.75 * strength * 255).astype(np.uint8))
    grey = under.convert("L").convert("RGB")
    smooth = Image.Resampling.BICUBIC
    return Image.composite(colours.resize(under.size, smooth), grey, mask.resize(under.size, smooth))


def label_map(
    labels: Tensor, *, first: int | None = None, categories: Sequence[Colour] = CATEGORIES
) -> tuple[Image.Image, list[Label]]:
    """The class at each position [H,W] int -> (RGB of the same size, legend, most frequent class first).

    Args:
        labels: class indices.
        first: a class that leads the legend, and takes the first colour, if it occurs at all.
        categories: colours; the classes beyond them share OTHER_COLOUR and the last entry of the legend (index -1).
    """
    _check_map("labels", labels)
    array = labels.detach().cpu().numpy()
    classes, counts = np.unique(array, return_counts=True)
    ranked = sorted(zip(classes.tolist(), counts.tolist(), strict=True), key=lambda e: (e[0] != first, -e[1], e[0]))
    named = ranked if len(ranked) <= len(categories) else ranked[: len(categories)]
    out = np.empty((*array.shape, 3), np.uint8)
    out[:] = OTHER_COLOUR
    legend = []
    for (index, count), colour in zip(named, categories, strict=False):
        out[array == index] = colour
        legend.append(Label(index, colour, count))
    if len(ranked) > len(named):
        legend.append(Label(-1, OTHER_COLOUR, sum(count for _, count in ranked[len(named) :])))
    return Image.fromarray(out), legend


def filters(weight: Tensor, *, common: bool = False, factor: int = 5, columns: int | None = None) -> Image.Image:
    """Convolution weights [N,C,kh,kw] with C 1 or 3 -> a sheet of N signed pictures, zero in middle grey.

    Args:
        weight: any sign.
        common: scale all by the largest magnitude of all, which shows the filters that never learned; else each by
            its own.
        factor: how many pixels wide one weight is drawn.
        columns: None: about twice as many as rows.
    """
    _check_tensor("weight", weight)
    if weight.ndim != 4 or weight.shape[1] not in (1, 3):
        raise ValueError(f"weight: expected [N,3,kh,kw] or [N,1,kh,kw], got {list(weight.shape)}")
    scale = robust_scale(weight, 100.0) if common else None
    tiles = [enlarged(projection(one, scale=scale, percentile=100.0), factor) for one in weight]
    return grid(tiles, columns or min(len(tiles), math.ceil(math.sqrt(2 * len(tiles)))), gap=max(1, factor // 2))


def grid(
    pictures: Sequence[Image.Image], columns: int, *, gap: int = 2, background: Colour = (255, 255, 255)
) -> Image.Image:
    """Pictures in rows of `columns`, left to right, each centred in a cell as large as the largest of them."""
    if not pictures or columns < 1:
        raise ValueError(f"pictures, columns: expected at least one of each, got {len(pictures)} and {columns}")
    wide, high = max(p.width for p in pictures), max(p.height for p in pictures)
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (wide + gap) - gap, rows * (high + gap) - gap), background)
    for i, one in enumerate(pictures):
        y, x = divmod(i, columns)
        sheet.paste(one, (x * (wide + gap) + (wide - one.width) // 2, y * (high + gap) + (high - one.height) // 2))
    return sheet


def outlined(under: Image.Image, mask: Tensor, colour: Colour, *, thick: bool = False) -> Image.Image:
    """A picture with the outline of a mask on it: the outermost of the mask's own pixels.

    Args:
        under: any size; the mask is stretched over it.
        mask: bool [H,W].
        colour: of the outline, 0 to 255.
        thick: two pixels instead of one.
    """
    _check_map("mask", mask)
    stretched = Image.fromarray(mask.cpu().numpy()).resize(under.size, Image.Resampling.NEAREST)
    inside = np.asarray(stretched)
    padded = np.pad(inside, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge = inside & ~inner
    if thick:
        padded = np.pad(edge, 1)
        edge = edge | padded[:-2, 1:-1] | padded[1:-1, :-2]
    pixels = np.array(under.convert("RGB"))
    pixels[edge] = colour
    return Image.fromarray(pixels)


def enlarged(small: Image.Image, factor: int) -> Image.Image:
    """Each pixel as a square of factor x factor, with hard edges."""
    return small.resize((small.width * factor, small.height * factor), Image.Resampling.NEAREST)


def gradient(colours: str) -> str:
    """The CSS background of a horizontal colour bar."""
    return f"linear-gradient(90deg, {', '.join('#' + stop for stop in COLOURS[colours])})"


def _check_tensor(name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(value).__name__}")


def _check_map(name: str, value: Any) -> None:
    _check_tensor(name, value)
    if value.ndim != 2 or value.numel() == 0:
        raise ValueError(f"{name}: expected [H,W], got {list(value.shape)}")


def _channels(name: str, value: Any) -> Array:
    _check_tensor(name, value)
    if value.ndim != 3 or value.shape[0] not in (1, 3) or value.numel() == 0:
        raise ValueError(f"{name}: expected [3,H,W] or [1,H,W], got {list(value.shape)}")
    return _array(value)


def _array(values: Tensor) -> Array:
    array: Array = values.detach().to("cpu", torch.float64).numpy()
    return array


def _rgb(values: Array) -> Image.Image:
    """[H,W,C] in 0..1, C 1 or 3 -> an RGB picture."""
    bytes_ = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(bytes_, (*bytes_.shape[:2], 3))))


def _coloured(values: Tensor, low: float | None, high: float | None, colours: str) -> Array:
    if colours not in COLOURS:
        raise ValueError(f"colours: expected one of {sorted(COLOURS)}, got {colours!r}")
    smallest, largest = value_range(values)
    if colours == "diverging":
        smallest, largest = -max(abs(smallest), abs(largest)), max(abs(smallest), abs(largest))
    low = smallest if low is None else low
    high = largest if high is None else high
    array = _array(values)
    rest = 0.5 if colours == "diverging" else 0.0
    with np.errstate(invalid="ignore"):
        share = (array - low) / (high - low) if high > low else np.where(np.isfinite(array), rest, array)
    share = np.nan_to_num(share, nan=np.nan, posinf=1.0, neginf=0.0)
    stops = np.array([[int(stop[i : i + 2], 16) for i in (0, 2, 4)] for stop in COLOURS[colours]], np.float64)
    at = np.clip(np.nan_to_num(share), 0, 1) * (len(stops) - 1)
    whole = np.minimum(at.astype(np.int64), len(stops) - 2)
    part = (at - whole)[..., None]
    out: Array = np.rint(stops[whole] * (1 - part) + stops[whole + 1] * part).astype(np.uint8)
    out[np.isnan(share)] = NAN_COLOUR
    return out
