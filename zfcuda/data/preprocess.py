"""Turns a picture into what a network reads, and back: scale, cut out the centre, subtract the mean, divide.

A preprocess is a function picture -> Tensor [1,C,H,W] float32 on the CPU. The picture may have any size and mode. Those
here take it as a PIL picture, as the path of a file, or as an array uint8 [H,W,C].
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zfcuda.data.mean_image import centre, checked_mean_image, colours
from zfcuda.data.pictures import Picture, as_picture

#: Mean and standard deviation of ImageNet's pixels, red, green, blue in 0 to 1, as torchvision has them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
#: Mean and standard deviation of the pixels of Parts, red, green, blue in 0 to 1.
PARTS_MEAN = (0.53, 0.51, 0.5)
PARTS_STD = (0.17, 0.17, 0.17)
#: ImageNet's mean in Caffe's files: blue, green, red, 0 to 255.
CAFFE_MEAN = (104.0, 117.0, 123.0)

#: The names that `interpolation` takes, and Pillow's filters of these names.
INTERPOLATIONS = {
    name: Image.Resampling[name.upper()] for name in ("bicubic", "bilinear", "lanczos", "hamming", "box", "nearest")
}


@dataclass(frozen=True, eq=False, repr=False)
class Preprocess:
    """Scales the short side to ``short_side``, cuts out the centre, subtracts the mean, divides by the deviation.

    So 0 is the mean colour, and an occluder filled with 0 is the grey of the paper. With a ``mean_image`` the mean of
    each pixel is subtracted (section 3 of the paper), and an image of zeros is the centre of the mean picture.

    Attributes:
        size: how large what the network sees is, in pixels: a side, or (height, width).
        short_side: what the picture's short side is scaled to before its centre is cut out; `size` leaves no border.
        mean, std: per channel, in 0 to 1; one channel alone takes the picture in grey.
        interpolation: "bicubic", "bilinear", "lanczos", "hamming", "box" or "nearest", Pillow's filter of that name.
        order: the order of the channels, "rgb" or "bgr".
        mean_image: the mean of each pixel of the square of ``short_side``, uint8 or float32 [C,short_side,short_side]
            of 0 to 255, a Tensor or an array, which is copied; channels in the order of the network. ``mean`` is then
            its colour, whatever was given. None: one mean for all pixels of a channel.

    Raises:
        TypeError, ValueError: naming the setting that is none of these.

    Example:
        model.preprocess = zfcuda.Preprocess(size=240, short_side=274, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        image = model.preprocess("photo.jpg")
    """

    size: int | tuple[int, int] = 224
    short_side: int = 256
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bicubic"
    order: str = "rgb"
    mean_image: Tensor | None = None

    def __post_init__(self) -> None:
        if self.mean_image is not None:
            object.__setattr__(self, "mean_image", checked_mean_image(self.mean_image, self.short_side))
            object.__setattr__(self, "mean", colours(self.mean_image))
        for name in ("mean", "std"):  # a list is as good as a tuple, but cannot be hashed
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        if not isinstance(self.size, int):
            object.__setattr__(self, "size", _sides(self.size))
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation: expected one of {tuple(INTERPOLATIONS)}, got {self.interpolation!r}")
        if self.order not in ("rgb", "bgr"):
            raise ValueError(f"order: expected 'rgb' or 'bgr', got {self.order!r}")
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ValueError(f"mean, std: expected one or three numbers each, got {self.mean} and {self.std}")
        if min(self.std) == 0:
            raise ValueError(f"std: expected numbers above 0, got {self.std}")
        if min(self.sides) < 1 or self.short_side < max(self.sides):
            raise ValueError(
                f"size, short_side: expected positive sides of at most short_side, got {self.size} and "
                f"{self.short_side}"
            )

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        shown = {field.name: repr(getattr(self, field.name)) for field in fields(self)}
        if self.mean_image is not None:
            shown["mean_image"] = f"<{self.mean_image.dtype} {list(self.mean_image.shape)}>"
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in shown.items())})"

    def _values(self) -> tuple[object, ...]:
        """All settings, the mean picture as its bytes."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.mean_image is not None:
            values["mean_image"] = (str(self.mean_image.dtype), self.mean_image.numpy().tobytes())
        return tuple(values.values())

    @staticmethod
    def parts(size: int = 224) -> Preprocess:
        """What the network in the package sees of pictures: their whole short side, in the colours of Parts."""
        return Preprocess(size, size, PARTS_MEAN, PARTS_STD)

    @staticmethod
    def caffe(size: tuple[int, int], mean: tuple[float, ...] = CAFFE_MEAN) -> Preprocess:
        """What Caffe's networks see: values of 0 to 255 less the mean; of three channels blue comes first.

        Caffe's own tools scale a picture to 256 x 256 whatever its shape; here it keeps its shape.

        Args:
            size: (height, width) of the cut, in pixels.
            mean: per channel, 0 to 255: three, of blue, green and red, or one of grey.

        Raises:
            TypeError, ValueError: naming the setting, as Preprocess does.
        """
        count = len(mean)
        means = tuple(value / 255 for value in mean)
        return Preprocess(size, max(256, *size), means, (1 / 255,) * count, "bilinear", "bgr" if count == 3 else "rgb")

    @property
    def sides(self) -> tuple[int, int]:
        """(height, width) of what the network sees."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def __call__(self, picture: Picture) -> Tensor:
        """A picture -> float32 [1,C,*size].

        Args:
            picture: a PIL picture of any size and mode; the path of a file; an array uint8, [H,W] or [H,W,1] grey,
                [H,W,3] or [H,W,4]. It is turned upright, and what is transparent is laid on white.

        Raises:
            TypeError, ValueError: it is none of these, or the file is not readable.
        """
        pixels = np.atleast_3d(np.array(self.crop(picture))).transpose(2, 0, 1)
        if self.order == "bgr":
            pixels = pixels[::-1]
        return self.normalized(torch.from_numpy(np.ascontiguousarray(pixels))[None])

    def crop(self, picture: Picture) -> Image.Image:
        """The part of the picture that the network sees, in RGB, or in grey where it has one channel."""
        shown = as_picture(picture)
        shown = shown.convert("L") if len(self.mean) == 1 else shown
        return centre_crop(shown, self.sides, self.short_side, self.interpolation)

    def normalized(self, pixels: Tensor) -> Tensor:
        """Makes images of pixels: uint8 [N,C,H,W], channels in the network's order -> float32, memory format kept.

        Of a mean picture the centre of H x W is subtracted.

        Raises:
            ValueError: they are larger than the mean picture.
        """
        mean, std = self._scaled(pixels)
        if self.mean_image is not None and mean.shape[2:] != pixels.shape[2:]:
            raise ValueError(
                f"pixels: expected at most {self.short_side} x {self.short_side}, as mean_image has, got "
                f"{list(pixels.shape)}"
            )
        return pixels.float().sub_(mean).div_(std)

    def restored(self, image: Tensor) -> Tensor:
        """Makes pixels of images: float [N,C,H,W] -> uint8 [N,C,H,W], the inverse of :meth:`normalized`, clipped.

        Of an image that is larger than the mean picture, its colour is the mean.
        """
        mean, std = self._scaled(image)
        return (image.float() * std + mean).round().clamp(0, 255).to(torch.uint8)

    def _scaled(self, images: Tensor) -> list[Tensor]:
        """Mean and deviation of values of 0 to 255, for images [N,C,H,W] and on their device."""
        both = (self.mean, self.std)
        mean, std = (torch.tensor([255 * v for v in values], device=images.device).view(1, -1, 1, 1) for values in both)
        each = None if self.mean_image is None else centre(self.mean_image, images.shape[2], images.shape[3])
        return [mean if each is None else each.to(images.device, torch.float32)[None], std]


@dataclass(frozen=True, eq=False, repr=False)
class NotedPreprocess(Preprocess):
    """A Preprocess that says where its settings are from.

    Attributes:
        note: in words, such as "assumed: the network does not say what it was trained on".
    """

    note: str = ""


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    """The means or deviations as a tuple, refused where they are none of pixels of 0 to 1."""
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a tuple of numbers, one per channel, got {values!r}") from None
    if any(number > 1 for number in numbers):
        raise ValueError(
            f"{name}: expected numbers of 0 to 1, as the pixels are taken, got {numbers}; divide those for 0 to 255 by "
            "255"
        )
    if not all(number >= 0 for number in numbers):  # NaN neither
        raise ValueError(f"{name}: expected numbers of 0 to 1, got {numbers}")
    return numbers


def _sides(size: Any) -> tuple[int, int]:
    try:
        high, wide = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise TypeError(f"size: expected a side in pixels or (height, width), got {size!r}") from None
    return high, wide


@dataclass(frozen=True)
class DigitPreprocess:
    """What LeNet-5 sees (LeCun et al. 1998, sections II-B and III-A): the picture of 28x28 in the middle of 32x32,
    background -0.1, strokes 1.175. Strokes are bright and the background dark, as in MNIST's files.

    Attributes:
        size: the side of the whole, in pixels. digit: the side of the picture inside.
    """

    size: int = 32
    digit: int = 28

    @property
    def inside(self) -> Preprocess:
        """What becomes of the part in the middle."""
        return Preprocess(self.digit, self.digit, (0.1 / 1.275,), (1 / 1.275,), "bilinear")

    def __call__(self, picture: Picture) -> Tensor:
        """A picture, as :class:`Preprocess` takes it -> float32 [1,1,size,size]."""
        inside = self.inside(picture)
        before = (self.size - self.digit) // 2
        after = self.size - self.digit - before
        return torch.nn.functional.pad(inside, (before, after, before, after), value=-0.1)


def centre_crop(
    picture: Image.Image, size: tuple[int, int], short_side: int, interpolation: str = "bicubic"
) -> Image.Image:
    """The middle of a picture that is scaled until `size` (height, width) leaves a border of short_side in it.

    A square cut is torchvision's: the shorter side is scaled to `short_side`, size x size are cut out. Of another shape
    the longer side of the cut stands for it. Cut and scaled in one step: scaling first would blow a picture of
    10000 x 1 up to gigabytes.

    Raises:
        ValueError: the picture has no pixels.
    """
    high, wide = size
    if min(picture.size) < 1:
        raise ValueError(f"picture: expected at least one pixel, got {picture.width} x {picture.height}")
    if picture.size == (wide, high) and short_side == max(size):
        return picture
    left, top, right, bottom = crop_box(picture.size, size, short_side)
    inside = (max(0.0, left), max(0.0, top), min(float(picture.width), right), min(float(picture.height), bottom))
    return picture.resize((wide, high), INTERPOLATIONS[interpolation], box=inside)


def crop_box(lengths: tuple[int, int], size: tuple[int, int], short_side: int) -> tuple[float, float, float, float]:
    """Where :func:`centre_crop` cuts: left, top, right, bottom in the pixels of a picture (width, height)."""
    high, wide = size
    # The side of the picture that limits the cut, and the length that it is scaled to.
    limiting, side = (0, wide) if lengths[0] * high <= lengths[1] * wide else (1, high)
    scaled_to = short_side * side // max(size)
    box: list[float] = []
    for length, cut in zip(lengths, (wide, high), strict=True):
        scaled = scaled_to * length // lengths[limiting]
        start = round((scaled - cut) / 2)
        box.append(start * length / scaled)
        box.append((start + cut) * length / scaled)
    left, right, top, bottom = box
    return left, top, right, bottom
