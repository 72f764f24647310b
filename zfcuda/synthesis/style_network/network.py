"""A network that draws any picture in a style in one pass: Johnson, Alahi & Fei-Fei 2016.

It is trained by ``zfcuda style train``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from zfcuda import render
from zfcuda.data.pictures import Picture, as_picture
from zfcuda.inputs import above, check_plain, integer, number
from zfcuda.shown import pictures
from zfcuda.synthesis.style_network.file import read_style, write_style
from zfcuda.synthesis.style_network.layers import Layer, Residual, convolution
from zfcuda.synthesis.style_network.tiles import Parts, stylized_by_tiles

SMALLEST_TILE = 16
_UNITS = 32  # of the first layer, in a network of width 1
_BLOCKS = 5
_MULTIPLE = 4  # of the sides of images, inside
_SMALLEST = 16  # side of images, inside
_SLACK = 1e-3  # of what should be 1, or within 0 to 1


class StyleNetwork(nn.Module):
    """Draws images in a style.

    A convolution of 9 x 9, two that halve the sides, five residual blocks, two that double them, a convolution of 9 x 9
    to colours, which a sigmoid keeps within 0 to 1 (Johnson et al. 2016, without batch norm and transposed
    convolutions). Each convolution but the last has an instance norm (Ulyanov et al. 2016) with a scale and a shift for
    each style (Dumoulin et al. 2017).

    Its images are pictures as they are, red, green and blue of 0 to 1 [N,3,H,W], whatever the network that it was
    trained with reads.

    Args:
        styles: how many.
        width: of its layers: 1 has 32, 64 and 128 units.
        names: of the styles; none: they have numbers alone.

    Attributes:
        styles, width, names: as given.
        facts: what is known of its training.

    Raises:
        TypeError, ValueError: styles is below 1, width not above 0, or there is another number of names, or one twice.

    Example:
        network = zfcuda.synthesis.StyleNetwork.load("pen/weights.safetensors")
        network.draw("photo.jpg", [0.5, 0.5]).save("drawn.png")
    """

    def __init__(self, styles: int = 1, *, width: float = 1.0, names: Sequence[str] = ()) -> None:
        super().__init__()
        self.styles, self.width = integer("styles", styles, 1), above("width", width)
        self.names = _checked_names(names, self.styles)
        self.facts: Mapping[str, Any] = {}
        few, some, many = (max(1, round(self.width * _UNITS * factor)) for factor in (1, 2, 4))
        down = [
            Layer(3, few, 9, styles=styles),
            Layer(few, some, 3, 2, styles=styles),
            Layer(some, many, 3, 2, styles=styles),
        ]
        blocks = [Residual(many, styles) for _ in range(_BLOCKS)]
        up = [
            Layer(many, some, 3, styles=styles, doubled=True),
            Layer(some, few, 3, styles=styles, doubled=True),
        ]
        self.down, self.blocks, self.up = (nn.ModuleList(layers) for layers in (down, blocks, up))
        self.colours = convolution(few, 3, 9, bias=True)

    def forward(self, images: Tensor, shares: Tensor | None = None) -> Tensor:
        """Images in styles, differentiable.

        Args:
            images: [N,3,H,W], of 0 to 1; of any size from 1 x 1 on.
            shares: of each style in each image, [N,styles], or [1,styles] for all; None: the first style.

        Raises:
            RuntimeError: of torch, where images or shares have another shape; :meth:`stylize` says what is wrong.
        """
        if shares is None:
            shares = self.shares(0)
        shares = shares.to(self.colours.weight)
        maps = _enlarged(images)
        for part in (*self.down, *self.blocks, *self.up):
            maps = part(maps, shares)
        high, wide = images.shape[2:]
        drawn: Tensor = self.colours(maps)
        return drawn.sigmoid()[..., :high, :wide]

    @torch.no_grad()
    def stylize(self, image: Tensor, style: Any = 0, *, tile: int | None = None) -> Tensor:
        """Images in a style.

        Args:
            image: [3,H,W] or [N,3,H,W], red, green, blue of 0 to 1, floating, of any size, on any device.
            style: its index or name, or how much there is of each, [styles], which adds up to 1.
            tile: side of the parts that a larger image is computed in; None: it is computed as a whole. The norms have
                their statistics from the whole image all the same, so that there are no seams, and the same comes out
                but for rounding. It takes half as long again. Beside what a tile needs, the device of the image holds
                some 130 bytes a pixel at width 1, half of that at 0.5; as a whole it is 700.

        Returns:
            [N,3,H,W], of the dtype of the network, on the device of the image.

        Raises:
            TypeError, ValueError: the image or style is none of these, or tile is below 16.
        """
        images = _checked_images(image)
        weight = self.colours.weight
        shares = self.shares(style).to(weight)
        side = None if tile is None else integer("tile", tile, SMALLEST_TILE)
        if not len(images):
            return images.to(weight.dtype)
        if len(images) == 1:  # norms take it as it is, and convolutions of a CPU take two thirds of the time
            images = images.contiguous(memory_format=torch.channels_last)
        if side is None or max(images.shape[2:]) <= side:
            made = self(images.to(weight), shares).to(images.device, weight.dtype)  # autocast has its own
            return pictures(made, "In another style", render.picture)
        high, wide = images.shape[2:]
        parts = Parts(list(self.down), list(self.blocks), list(self.up), self.colours)  # type: ignore[arg-type]
        drawn = [stylized_by_tiles(parts, _enlarged(each[None]), shares, side) for each in images]
        return pictures(torch.cat(drawn)[..., :high, :wide].to(weight.dtype), "In another style", render.picture)

    def draw(self, picture: Picture, style: Any = 0, *, tile: int | None = None) -> Image.Image:
        """A picture, or the file of one, in a style and in its own size; arguments and errors as of :meth:`stylize`."""
        image = torch.from_numpy(np.array(as_picture(picture))).permute(2, 0, 1)
        return render.picture(self.stylize(image.float() / 255, style, tile=tile)[0])

    def shares(self, style: Any) -> Tensor:
        """How much there is of each style, float32 [1,styles]; style: as :meth:`stylize` takes it."""
        if isinstance(style, str):
            if style not in self.names:
                there = ", ".join(self.names) or f"no names, but indices from 0 to {self.styles - 1}"
                raise ValueError(f"style: the network has {there}, got {style!r}")
            style = self.names.index(style)
        if isinstance(style, Tensor) and style.ndim == 0:
            style = style.item()
        if not isinstance(style, Sequence | Tensor | np.ndarray):
            index = integer("style", style)
            if not 0 <= index < self.styles:
                raise ValueError(f"style: the network has 0 to {self.styles - 1}, got {index}")
            return F.one_hot(torch.tensor([index], device="cpu"), self.styles).float()
        given = [number("style", each) for each in style]
        if len(given) != self.styles:
            raise ValueError(f"style: expected a share of each of {self.styles} styles, got {len(given)}")
        if not all(0 <= each <= 1 + _SLACK for each in given) or abs(sum(given) - 1) > _SLACK:
            said = ", ".join(f"{each:g}" for each in given)
            raise ValueError(f"style: expected shares from 0 to 1 that add up to 1, got {said}")
        return torch.tensor([given], dtype=torch.float32, device="cpu")

    def save(self, path: str | os.PathLike[str], facts: Mapping[str, Any] | None = None) -> None:
        """Writes the network into one safetensors file, which says what it is: :meth:`load` needs nothing else.

        Args:
            path: the file, *.safetensors; written whole or not at all, an earlier one stays until then.
            facts: what else is worth knowing, as JSON takes it.

        Raises:
            ValueError: the path ends otherwise. OSError: the disk refuses.
        """
        known = {"styles": self.styles, "width": self.width, "names": list(self.names), "facts": dict(facts or {})}
        write_style(Path(path), self.state_dict(), known)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> StyleNetwork:
        """The network that is in a file, on the CPU. Nothing of the file is executed.

        Raises:
            ValueError: there is none, or the file is of something else.
        """
        known, tensors = read_style(Path(path))
        try:
            with torch.device("meta"):
                network = StyleNetwork(known["styles"], width=known["width"], names=known["names"])
            network.load_state_dict(tensors, assign=True)
        except (TypeError, ValueError, KeyError, RuntimeError) as error:
            said = " ".join(str(error).split())[:200]
            raise ValueError(f"{os.fspath(path)}: its weights are not those that it says they are ({said})") from None
        network.facts = known["facts"]
        return network.eval()


def _checked_names(names: Sequence[str], styles: int) -> tuple[str, ...]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"names: expected a list of names, got {names!r:.200}")
    if names and len(names) != styles:
        raise ValueError(f"names: expected one for each of {styles} styles, got {len(names)}")
    if len(set(names)) < len(names):
        raise ValueError(f"names: expected each once, got {', '.join(names)}")
    return tuple(names)


def _checked_images(image: Any) -> Tensor:
    """The images as [N,3,H,W]."""
    if not isinstance(image, Tensor):
        raise TypeError(f"image: expected a Tensor [3,H,W] or [N,3,H,W], got {type(image).__name__}; draw takes files")
    check_plain("image", image)
    if not image.is_floating_point():
        raise TypeError(f"image: expected a floating dtype with values of 0 to 1, got {image.dtype}")
    if image.ndim not in (3, 4) or image.shape[-3] != 3 or 0 in image.shape[-3:]:
        raise ValueError(f"image: expected [3,H,W] or [N,3,H,W], got shape {list(image.shape)}")
    if len(image):
        low, high = (float(value) for value in image.aminmax())
        if not (low >= -_SLACK and high <= 1 + _SLACK):
            raise ValueError(f"image: expected values of 0 to 1, as pictures have them, got {low:g} to {high:g}")
    return image.detach() if image.ndim == 4 else image.detach()[None]


def _enlarged(images: Tensor) -> Tensor:
    """Images [N,3,H,W] with the last row and column repeated, to sides that can be halved twice."""
    high, wide = images.shape[2:]
    more = [max(_SMALLEST, -(-side // _MULTIPLE) * _MULTIPLE) - side for side in (wide, high)]
    return F.pad(images, (0, more[0], 0, more[1]), mode="replicate") if any(more) else images
