"""A style network on an image in tiles, with the statistics of every norm from the whole image.

A part of a layer's output is computed from the part of its input that it sees, back to the image or to maps that are
kept. A norm first has all parts of what it norms computed once, for their mean and variance. Maps are kept where they
are smallest, at a quarter of the sides: what lies before and behind is computed anew in every pass, which takes half as
long again as the whole at once, and never exists but for a tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zfcuda.synthesis.style_network.layers import InstanceNorm, Layer, Residual


class Box(NamedTuple):
    """A part of maps, the ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int


class Maps(Protocol):
    """Maps [1,K,h,w] that are computed part by part, or are there.

    Attributes:
        high, wide: their sides.
        scale: how many pixels of the image one of theirs is, along a side.
    """

    high: int
    wide: int
    scale: int

    def part(self, box: Box) -> Tensor:
        """[1,K,h,w] of a part, on the device of the network."""


@dataclass(frozen=True)
class Parts:
    """What a style network is made of, in the order of its forward."""

    down: Sequence[Layer]
    blocks: Sequence[Residual]
    up: Sequence[Layer]
    colours: nn.Conv2d


def stylized_by_tiles(parts: Parts, image: Tensor, shares: Tensor, side: int) -> Tensor:
    """What a network of these parts makes of an image [1,3,H,W], H and W multiples of 4 from 16 on; on its device.

    Args:
        shares: [1,styles].
        side: of a tile, in pixels of the image.
    """
    maps: Maps = _Kept(image, 1, parts.colours.weight)
    for layer in parts.down[:-1]:
        maps = _layer(maps, layer, shares, side)
    maps = _kept_layer(maps, parts.down[-1], shares, side, image.device)
    for block in parts.blocks:
        inner = _kept_layer(maps, block.first, shares, side, image.device)
        added = _kept(_Convolved(inner, block.conv), side, image.device)
        maps = _kept(_Sum(maps, _Normed(added, block.norm, shares, side)), side, image.device)
    for layer in parts.up:
        maps = _layer(maps, layer, shares, side)
    return _kept(_Convolved(maps, parts.colours, ending=torch.sigmoid), side, image.device).whole


def _layer(maps: Maps, layer: Layer, shares: Tensor, side: int) -> Maps:
    """A layer that is computed anew wherever a part of it is asked for."""
    found = _Doubled(maps) if layer.doubled else maps
    return _Normed(_Convolved(found, layer.conv), layer.norm, shares, side, relu=True)


def _kept_layer(maps: Maps, layer: Layer, shares: Tensor, side: int, device: torch.device) -> Maps:
    return _Normed(_kept(_Convolved(maps, layer.conv), side, device), layer.norm, shares, side, relu=True)


class _Kept:
    """Maps that are there, wherever they lie."""

    def __init__(self, whole: Tensor, scale: int, like: Tensor) -> None:
        self.whole, self.scale, self._like = whole, scale, like
        self.high, self.wide = whole.shape[2:]

    def part(self, box: Box) -> Tensor:
        return self.whole[..., box.top : box.bottom, box.left : box.right].to(self._like)


class _Convolved:
    """A convolution, which sees the mirror image beyond the border of the whole."""

    def __init__(self, maps: Maps, conv: nn.Conv2d, *, ending: Callable[[Tensor], Tensor] | None = None) -> None:
        self._maps, self._conv, self._ending = maps, conv, ending
        self._side, self._stride = conv.kernel_size[0], conv.stride[0]
        self.high, self.wide = maps.high // self._stride, maps.wide // self._stride
        self.scale = maps.scale * self._stride

    def part(self, box: Box) -> Tensor:
        top, bottom, above, below = self._seen(box.top, box.bottom, self._maps.high)
        left, right, before, behind = self._seen(box.left, box.right, self._maps.wide)
        seen = self._maps.part(Box(top, bottom, left, right))
        if above or below or before or behind:
            seen = F.pad(seen, (before, behind, above, below), mode="reflect")
        found = F.conv2d(seen, self._conv.weight, self._conv.bias, self._stride)
        return found if self._ending is None else self._ending(found)

    def _seen(self, first: int, end: int, size: int) -> tuple[int, int, int, int]:
        """What of `size` rows the outputs first to end - 1 see: first, end, and how many lie beyond on either side."""
        start = first * self._stride - self._side // 2
        stop = start + (end - 1 - first) * self._stride + self._side
        return max(0, start), min(size, stop), max(0, -start), max(0, stop - size)


class _Doubled:
    """Maps twice as large, each pixel to four."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self.high, self.wide, self.scale = 2 * maps.high, 2 * maps.wide, maps.scale // 2

    def part(self, box: Box) -> Tensor:
        top, left = box.top // 2, box.left // 2
        found = self._maps.part(Box(top, -(-box.bottom // 2), left, -(-box.right // 2)))
        found = F.interpolate(found, scale_factor=2, mode="nearest")
        return found[..., box.top - 2 * top : box.bottom - 2 * top, box.left - 2 * left : box.right - 2 * left]


class _Normed:
    """Maps as a norm and maybe a ReLU leave them, by the statistics of all of them."""

    def __init__(self, maps: Maps, norm: InstanceNorm, shares: Tensor, side: int, *, relu: bool = False) -> None:
        self._maps, self._norm, self._shares, self._relu = maps, norm, shares, relu
        self.high, self.wide, self.scale = maps.high, maps.wide, maps.scale
        self._mean, self._variance = _statistics(maps, side)

    def part(self, box: Box) -> Tensor:
        found = self._norm.with_statistics(self._maps.part(box), self._shares, self._mean, self._variance)
        return found.relu_() if self._relu else found


class _Sum:
    def __init__(self, first: Maps, second: Maps) -> None:
        self._first, self._second = first, second
        self.high, self.wide, self.scale = first.high, first.wide, first.scale

    def part(self, box: Box) -> Tensor:
        return self._first.part(box) + self._second.part(box)


def _kept(maps: Maps, side: int, device: torch.device) -> _Kept:
    """All parts of maps, computed and put together on a device."""
    kept: _Kept | None = None
    for box in _boxes(maps, side):
        part = maps.part(box)
        if kept is None:
            kept = _Kept(part.new_empty(1, part.shape[1], maps.high, maps.wide, device=device), maps.scale, part[:0])
        kept.whole[..., box.top : box.bottom, box.left : box.right].copy_(part)
    assert kept is not None, "maps have at least one pixel"
    return kept


def _statistics(maps: Maps, side: int) -> tuple[Tensor, Tensor]:
    """Mean and variance [K] of each map, float32: of each part, and then of all (Chan, Golub & LeVeque 1979)."""
    count, mean, squares = 0, torch.zeros((), device="cpu"), torch.zeros((), device="cpu")
    for box in _boxes(maps, side):
        part = maps.part(box)[0].flatten(1).float()
        more = part.shape[1]
        of_part = part.mean(1)
        rest = (part - of_part[:, None]).square().sum(1)
        step = of_part - mean.to(of_part)
        count += more
        squares = squares.to(rest) + rest + step.square() * (more * (count - more) / count)
        mean = mean.to(step) + step * (more / count)
    return mean, squares / count


def _boxes(maps: Maps, side: int) -> Iterator[Box]:
    """The parts of maps that tiles of the image of this side have."""
    step = max(1, side // maps.scale)
    for top in range(0, maps.high, step):
        for left in range(0, maps.wide, step):
            yield Box(top, min(maps.high, top + step), left, min(maps.wide, left + step))
