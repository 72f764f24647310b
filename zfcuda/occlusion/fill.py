"""What covers the image: numbers, a tensor of the user's, or what is made of the image itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from zfcuda.inputs import check_plain

Fill = float | Sequence[float] | Tensor | str
FILLS = ("mean", "blur", "noise")  # what is made of the image

# Half of the window: what is as large as the window melts into its surroundings, whose colours stay.
_BLUR = 0.5
_SEED = 0


class Filling:
    """What covers images of one size, made for each image anew where it is made of the image.

    fill: as in zfcuda.occlusion_map. image: [C,H,W], one of this size. window: (rows, columns).

    Attributes:
        record: what a map says of it: the word; a number, or one per channel; "tensor" for one that differs from place
            to place.

    Raises:
        TypeError, ValueError: naming fill.
    """

    record: str | float | tuple[float, ...]

    def __init__(self, fill: Fill, image: Tensor, window: tuple[int, int]) -> None:
        if isinstance(fill, str):
            self._make, self.record = _maker(fill, image, window), fill
            return
        value = _value(fill, image)
        self._make = lambda image: value
        self.record = _recorded(fill, value, len(image))

    def of(self, image: Tensor) -> Tensor:
        """What covers this image, [C,H,W], of its dtype and on its device. Nothing in here waits for a GPU."""
        return self._make(image).to(image.dtype).expand_as(image)


def _maker(fill: str, image: Tensor, window: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    # In float64 nothing depends on TF32 or autocast. Apple's GPUs have no float64.
    dtype = torch.float32 if image.device.type == "mps" else torch.float64
    if fill == "mean":
        return lambda image: image.to(dtype).mean((1, 2), keepdim=True)
    if fill == "blur":
        rows, columns = (
            _gaussian(n, _BLUR * w).to(image.device, dtype) for n, w in zip(image.shape[1:], window, strict=True)
        )
        return lambda image: rows @ image.to(dtype) @ columns.T
    if fill == "noise":
        # Made on the CPU: the same for an image on a GPU.
        random = torch.Generator().manual_seed(_SEED)
        noise = torch.randn(image.shape, generator=random, dtype=torch.float64).to(image.device, dtype)

        def noisy(image: Tensor) -> Tensor:
            std, mean = torch.std_mean(image.to(dtype), (1, 2), correction=0, keepdim=True)
            return mean + std * noise

        return noisy
    raise ValueError(f"fill: expected a number, one per channel, a Tensor, or one of {FILLS}, got {fill!r}")


def _gaussian(length: int, deviation: float) -> Tensor:
    """The weights that blur a line of pixels, float64 [to,from]; those of a pixel add up to 1 at the border too."""
    place = torch.arange(length, dtype=torch.float64)
    return (-0.5 * ((place - place[:, None]) / deviation) ** 2).softmax(1)


def _value(fill: float | Sequence[float] | Tensor, image: Tensor) -> Tensor:
    """The fill as a tensor that broadcasts to [C,H,W]."""
    channels = len(image)
    if isinstance(fill, Tensor):
        check_plain("fill", fill)
        value = fill.detach().to(image)
    elif isinstance(fill, int | float | Real):  # NumPy's numbers too
        value = torch.tensor(float(fill), dtype=image.dtype).to(image)
    else:
        try:
            value = torch.tensor([float(v) for v in fill], dtype=image.dtype).to(image)
        except (TypeError, ValueError):
            raise TypeError(
                f"fill: expected a number, one per channel, a Tensor, or one of {FILLS}, got {fill!r}"
            ) from None
        if len(value) != channels:
            raise ValueError(f"fill: expected a number or {channels} numbers, one per channel, got {len(value)}")
        value = value[:, None, None]
    if value.dim() == 4 and value.shape[0] == 1:
        value = value[0]
    try:
        value.expand_as(image)
    except RuntimeError:
        raise ValueError(
            f"fill: shape {list(value.shape)} does not broadcast to the image's {list(image.shape)}"
        ) from None
    if not torch.isfinite(value).all():
        raise ValueError("fill: it holds NaN or infinity")
    return value


def _recorded(fill: Any, value: Tensor, channels: int) -> str | float | tuple[float, ...]:
    if not isinstance(fill, Tensor):  # as it was given, not rounded to the image's dtype
        return float(fill) if isinstance(fill, int | float | Real) else tuple(map(float, fill))
    if value.numel() == 1:
        return float(value)
    return tuple(value.flatten().tolist()) if value.shape == (channels, 1, 1) else "tensor"
