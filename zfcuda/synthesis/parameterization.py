"""What stands for the images while they are made: their pixels, or their spectrum in colours without correlation.

Adding one is adding a class with what :class:`Parameterization` says.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.precision import as_it_is
from zfcuda.synthesis.priors import Regularizers


class Parameterization(Protocol):
    """Numbers that images are made of.

    Attributes:
        parameters: leaves, of float32.
    """

    parameters: list[Tensor]

    def images(self) -> Tensor:
        """The images that they stand for, [N,C,H,W] float32, differentiable."""

    def project(self) -> None:
        """Brings them back to where they may be, after a step."""


class Pixels:
    """The images themselves, in the network's input units, kept within its range.

    Args:
        start: [N,C,H,W].
        regularizers: what is done to them after each step.
    """

    def __init__(self, start: Tensor, pixel_range: PixelRange, regularizers: Regularizers | None = None) -> None:
        self._range, self._regularizers, self._step = pixel_range, regularizers, 0
        self._pixels = pixel_range.clamp(start.detach().float().clone()).requires_grad_()
        self.parameters = [self._pixels]

    def images(self) -> Tensor:
        return self._pixels

    def project(self) -> None:
        pixels: Tensor = self._pixels
        if self._regularizers is not None:
            pixels = self._regularizers(pixels, self._pixels.grad, self._step)
            self._step += 1
        self._pixels.copy_(self._range.clamp(pixels))


class Fourier:
    """The spectrum of each colour, scaled as photographs' is, in colours without correlation.

    Steps then change all frequencies alike, where those on pixels change the highest alone. Source: Olah, Mordvintsev
    & Schubert, "Feature Visualization", Distill 2017.

    Args:
        shape: (N, C, H, W).
        contrast: the standard deviation of the start's spectrum.
        exponent: frequencies f are scaled by 1 / f**exponent, the whole as strong as with 1; photographs have 1, larger
            ones give larger shapes.
        gain: of all frequencies.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dice: Dice,
        pixel_range: PixelRange,
        contrast: float,
        exponent: float = 1.0,
        gain: float = 1.0,
    ) -> None:
        _, channels, high, wide = shape
        self._size = (high, wide)
        self._range = pixel_range
        kind = {"dtype": torch.float32, "device": "cpu"}  # whatever a program has for defaults
        fy, fx = torch.fft.fftfreq(high, **kind)[:, None], torch.fft.rfftfreq(wide, **kind)[None]
        frequency = (fy.square() + fx.square()).sqrt().clamp_min(1 / max(high, wide))
        steep = frequency.pow(-exponent)
        steep = steep * (frequency.reciprocal().norm() / steep.norm())
        self._scale = (steep * gain * (high * wide) ** 0.5 / 4).to(dice.device)
        self._spectrum = (dice.normal(channels, *frequency.shape, 2) * contrast).requires_grad_()
        self.parameters = [self._spectrum]
        self._colours = _COLOURS.to(dice.device) if channels == 3 else None

    def images(self) -> Tensor:
        spectrum = torch.view_as_complex(self._spectrum) * self._scale
        values = torch.fft.irfft2(spectrum, s=self._size)
        if self._colours is not None:
            values = self._mixed(values, self._order(self._colours))
        return self._range.of_unit(values.sigmoid() if self._range.low is not None else values)

    def start_at(self, images: Tensor) -> None:
        """Makes it stand for images [N,C,H,W], for those within the range up to a fiftieth of it."""
        values = self._range.unit(images).clamp(0.02, 0.98).logit() if self._range.low is not None else images
        if self._colours is not None:
            values = self._mixed(values.float(), self._order(self._colours).inverse())
        with torch.no_grad():
            self._spectrum.copy_(torch.view_as_real(torch.fft.rfft2(values.float()) / self._scale))

    def project(self) -> None:
        """Every spectrum is one of an image within the range."""

    def _order(self, colours: Tensor) -> Tensor:
        return colours.flip(0) if self._range.reversed else colours

    @staticmethod
    def _mixed(values: Tensor, weights: Tensor) -> Tensor:
        with as_it_is(values):
            return torch.einsum("nchw,dc->ndhw", values, weights)


# The square root of the covariance of colours of photographs (red, green, blue), scaled so that its longest column is
# 1 long; Olah et al. 2017.
_COLOURS = torch.tensor(
    [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], dtype=torch.float32, device="cpu"
)
_COLOURS = _COLOURS / _COLOURS.norm(dim=0).max()
