"""Images that stay near others: within a ball around each and the range of pixels, to the last bit."""

from __future__ import annotations

import torch
from torch import Tensor

from zfcuda.synthesis.dice import Dice
from zfcuda.synthesis.pixel_range import PixelRange

NORMS = ("inf", "2")
_INSIDE = 1 - 2**-18  # of the radius: a norm of float32 then says no more, in whatever order it is added up
_SLACK = 1e-3  # of a pixel value, which rounding may cost


class Ball:
    """Images around a start: a parameterization whose every image lies in its ball.

    Args:
        start: [N,C,H,W], of any floating dtype, within the range.
        pixel_range: the range.
        epsilon: [N or 1,C or 1,1,1], how far from the start: of norm "inf" |x - start| <= epsilon holds for every
            number as the start's dtype has it; of norm "2" it is |(x - start) / epsilon| <= 1. None: anywhere.
        noise: [N,C,H,W], a point of the unit ball to begin at; None: the start.
        rounded: whether its images have values that 8 bits have, black 0 and white 255. What lies nearer to the start
            than those do stays out of the ball.
    """

    def __init__(
        self,
        start: Tensor,
        pixel_range: PixelRange,
        *,
        epsilon: Tensor | None = None,
        norm: str = "inf",
        noise: Tensor | None = None,
        rounded: bool = False,
    ) -> None:
        self.start, self._norm, self._range, self._rounded = start, norm, pixel_range, rounded
        self._kind = start.dtype if start.dtype.itemsize >= 4 else torch.float32
        self._centre = start.to(self._kind)
        self._epsilon = None if epsilon is None else epsilon.to(self._kind)
        low, high = (_reach(start, sign, epsilon if norm == "inf" else None) for sign in (-1, 1))
        least, most = limits_for(start, pixel_range)
        low = torch.maximum(low, torch.minimum(least, start))
        high = torch.minimum(high, torch.maximum(most, start))
        self._low, self._high = low.to(self._kind), high.to(self._kind)
        at = (
            self._centre
            if noise is None or self._epsilon is None
            else self._centre + noise.to(self._kind) * self._epsilon
        )
        self._pixels = self._inside(at).clone().requires_grad_()
        self.parameters = [self._pixels]

    def images(self) -> Tensor:
        """[N,C,H,W], float32 at least, of values that the start's dtype has; the gradient passes rounding."""
        if not self._rounded and self._kind == self.start.dtype:
            return self._pixels
        values = self._pixels.detach()
        shown = self._of_8_bits(values) if self._rounded else values
        if self._kind != self.start.dtype:
            shown = self._inside(self._as_started(shown))
        return shown + (self._pixels - self._pixels.detach())

    def project(self) -> None:
        self._pixels.copy_(self._inside(self._pixels))

    def _inside(self, images: Tensor) -> Tensor:
        if self._norm == "2" and self._epsilon is not None:
            for _ in range(2):  # once more for what rounding did
                change = (images - self._centre) / self._epsilon
                size = _size(change)
                allowed = change * self._epsilon * (_INSIDE / size.clamp_min(_INSIDE))
                nearer = self._centre + allowed
                beyond = (nearer - self._centre).abs() > allowed.abs()
                nearer = torch.where(beyond, torch.nextafter(nearer, self._centre), nearer)
                images = torch.where(size > _INSIDE, nearer, images)
        return images.maximum(self._low).minimum(self._high)

    def _as_started(self, images: Tensor) -> Tensor:
        """The nearest values of the start's dtype, or in a ball of norm 2 those towards the start."""
        near = images.to(self.start.dtype).to(self._kind)
        if self._norm == "2" and self._epsilon is not None:
            farther = (near - self._centre).abs() > (images - self._centre).abs()
            step = near.abs() * torch.finfo(self.start.dtype).eps
            moved = (near - (near - self._centre).sign() * step).to(self.start.dtype).to(self._kind)
            past = (moved - self._centre) * (near - self._centre) < 0
            near = torch.where(farther, torch.where(past, self._centre, moved), near)
        return near

    def _of_8_bits(self, images: Tensor) -> Tensor:
        """The nearest images of 8 bits within the ball."""
        ends = self._grid(self._low), self._grid(self._high)  # the other way round where black is the higher value
        within = (torch.minimum(*ends) - _SLACK).ceil(), (torch.maximum(*ends) + _SLACK).floor()
        middle = self._grid(self._centre).round()
        empty = within[0] > within[1]
        low, high = (torch.where(empty, middle, each) for each in within)
        if self._norm != "2" or self._epsilon is None:
            return self._of_grid(self._grid(images).round().maximum(low).minimum(high))
        change, share = images - self._centre, torch.ones_like(images[:, :1, :1, :1])
        for _ in range(12):
            made = self._of_grid(self._grid(self._centre + share * change).round().maximum(low).minimum(high))
            size = _size((made - self._centre) / self._epsilon)
            share = torch.where(size > _INSIDE, share * (_INSIDE / size).clamp(0.8, 0.98), share)
        return torch.where(size > _INSIDE, self._centre, made)  # nothing of 8 bits is in the ball

    def _grid(self, images: Tensor) -> Tensor:
        return self._range.unit(images) * 255

    def _of_grid(self, values: Tensor) -> Tensor:
        return self._range.of_unit(values / 255).maximum(self._low).minimum(self._high)


def limits_for(images: Tensor, pixel_range: PixelRange) -> tuple[Tensor, Tensor]:
    """The least and the largest value of each number of images, of their shape; infinite where there is no limit."""
    least, most = (pixel_range.clamp(torch.full_like(images, end)) for end in (-torch.inf, torch.inf))
    return least, most


def noise_of(dice: Dice, shape: torch.Size, norm: str) -> Tensor:
    """Points spread evenly over the unit ball of a norm, [N,*shape]."""
    if norm == "inf":
        return 2 * dice.uniform(*shape) - 1
    directions = dice.normal(*shape)
    radius = dice.uniform(1, 1, 1) ** (1 / shape.numel())
    return directions / _size(directions) * radius


def _size(images: Tensor) -> Tensor:
    return images.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def _reach(start: Tensor, sign: int, epsilon: Tensor | None) -> Tensor:
    """The farthest value from each of the start for which |value - start| <= epsilon, as their dtype computes it."""
    if epsilon is None:
        return torch.full_like(start, sign * torch.inf)
    fine = torch.finfo(start.dtype).eps
    kept = epsilon.to(start)
    kept = torch.where(kept.double() > epsilon.double(), kept * (1 - fine), kept)  # rounded down
    value = start + sign * kept
    for _ in range(4):
        beyond = sign * (value - start) > kept
        nearer = value - sign * value.abs() * fine
        value = torch.where(beyond, torch.where(sign * (nearer - start) < 0, start, nearer), value)
    return torch.where(sign * (value - start) > kept, start, value)
