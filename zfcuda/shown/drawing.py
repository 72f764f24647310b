"""Tensors as pictures: maps of the pixels, signals in the colours of the image, images that a network is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda import render
from zfcuda.sheets.numbered import Bar
from zfcuda.shown.display import FEW, Display, View
from zfcuda.shown.pixels import pixels_of, way_back
from zfcuda.shown.tensor import shown

_SIDE = 256  # pixels of the longer side of what is kept of an image
_SHARE = 0.6  # of the colours, where a map without a sign lies over its image
_RAMP, _SIGNED = "inferno", "diverging"


def maps(found: Tensor, title: str, signed: bool, model: nn.Module, images: Tensor) -> Tensor:
    """Maps of pixels, [N,H,W], or [N,C,H,W] whose channels add up, so that they show themselves over their images.

    Args:
        title: what the method is called.
        signed: whether values below zero mean something.
        model: unwrapped; its preprocess says what the images look like. It is not kept.
        images: [N,C,H,W], what the maps are of. Of the first few a small copy is kept.
    """
    if type(found) is not Tensor:
        return found
    kept, back, shape = _small(images), way_back(model), found.shape

    def how(values: Tensor) -> Display:
        values = (values.sum(1) if values.dim() == 4 else values).float().cpu()
        rule = "the channels added up; red speaks for it, blue against it" if signed else "bright where it is large"
        facts = [("maps", f"{_shape(shape)}: {rule}"), *_strange(values)]
        names, under = _names(len(values)), pixels_of(kept.float(), back)
        views = (_map(value, names[i], signed, under[i : i + 1]) for i, value in enumerate(values))
        return Display(title, facts, views, len(values))

    return shown(found, how)


def signals(found: Tensor, title: str, captions: Callable[[], Sequence[str]] | None = None) -> Tensor:
    """Signed images [N,C,H,W], so that they show themselves: in colours around grey, each on its own scale.

    captions: what to say of each, asked for when they are drawn.
    """

    def how(values: Tensor) -> Display:
        said = captions() if captions is not None else _names(len(values))
        facts = [("signals", f"{_shape(values.shape)}: grey is zero, each on its own scale"), *_strange(values)]
        return Display(title, facts, _signals(values, said), len(values))

    return shown(found, how)


def pictures(images: Tensor, title: str, drawn: Callable[[Tensor], Image.Image]) -> Tensor:
    """Images [N,C,H,W] of a network, so that they show themselves.

    drawn: makes a picture of one of them, [C,H,W]. It is kept.
    """

    def how(values: Tensor) -> Display:
        low, high = render.value_range(values)
        facts = [("images", f"{_shape(values.shape)}: from {low:.3g} to {high:.3g} in the network's units")]
        views = (View(drawn(value), name) for value, name in zip(values.cpu(), _names(len(values)), strict=True))
        return Display(title, [*facts, *_strange(values)], views, len(values))

    return shown(images, how)


def _map(value: Tensor, name: str, signed: bool, under: Tensor) -> View:
    low, high = render.value_range(value)
    end = render.robust_scale(value)  # a few extreme pixels do not leave the rest pale
    colours, ends = (_SIGNED, (-end, end)) if signed else (_RAMP, (min(low, 0.0), end))
    below, above = f"{ends[0]:.3g}", f"{end:.3g}"
    bar = Bar(colours, f"{below} and below" if low < ends[0] else below, f"{above} and above" if high > end else above)
    caption = _caption(name, value)
    if not len(under):
        return View(render.heatmap(value, *ends, colours=colours), caption, bar)
    size = (value.shape[1], value.shape[0])
    picture = Image.fromarray(under[0].permute(1, 2, 0).cpu().contiguous().numpy()).resize(size)
    if signed:
        return View(render.overlay(picture, value, limit=end), caption, bar)
    heat = render.heatmap(value, *ends, colours=colours)
    return View(Image.blend(picture.convert("L").convert("RGB"), heat, _SHARE), caption, bar)


def _signals(values: Tensor, said: Sequence[str]) -> Iterator[View]:
    for value, caption in zip(values.float().cpu(), said, strict=True):
        caption = _caption(caption, value)
        if len(value) in (1, 3):
            yield View(render.projection(value), caption)
        else:
            yield View(render.heatmap(value.sum(0), colours=_SIGNED), f"{caption} (channels added up)".strip())


def _names(count: int) -> list[str]:
    """What the images of a batch are called; one alone has no name."""
    return [f"image {i}" for i in range(count)] if count > 1 else [""] * count


def _caption(name: str, value: Tensor) -> str:
    return name if value.any() else f"{name}: nothing at all, zero everywhere".removeprefix(": ")


def _small(images: Tensor) -> Tensor:
    """A copy [n,C,h,w] with so much of images as a picture of them takes; it costs microseconds."""
    step = math.ceil(max(images.shape[2:]) / _SIDE)
    return images.detach()[:FEW, :, ::step, ::step].to(torch.float16, copy=True)


def _strange(values: Tensor) -> list[tuple[str, str]]:
    """What is worth a warning."""
    bad = int((~values.isfinite()).sum())
    return [("not finite", f"{bad:,} of {values.numel():,} values")] if bad else []


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
