"""Inversion from many layers: how the error grows with depth, and how much of the place of things survives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from zfcuda.autograd import module_of
from zfcuda.files.signals import held
from zfcuda.inputs import checked_image, integer
from zfcuda.synthesis.interrupted import kept
from zfcuda.synthesis.inversion.invert import Inversion, checked_code, invert
from zfcuda.synthesis.inversion.survival import Survival, survival
from zfcuda.synthesis.pixel_range import PixelRange


@dataclass(frozen=True)
class FromLayer:
    """An inversion and what survives in it."""

    inversion: Inversion
    survival: Survival


def inversions(
    model: nn.Module,
    image: Any,
    layers: Sequence[str],
    *,
    steps: int = 400,
    tv: float = 3.0,
    seed: int = 0,
    grid: int = 4,
    norm: float | None = None,
    limits: Any = None,
    progress: bool = False,
) -> list[FromLayer]:
    """Inverts each of some layers, and says how much of the image survives; the errors in order are the error curve.

    Args:
        model, image, steps, tv, seed, norm, limits, progress: as :func:`zfcuda.invert` takes them.
        layers: dotted names.
        grid: how many regions there are along each side.

    Returns:
        One for each layer; fewer where Ctrl-C ended the last one.

    Raises:
        TypeError, ValueError: as zfcuda.invert, of any layer before the first is inverted; no layers; a grid that is
            below 1 or finer than the image.
    """
    if isinstance(layers, str) or not layers:
        raise ValueError(f"layers: expected a list of at least one name, got {layers!r}")
    inner = module_of(model)
    given = checked_image(image, inner)
    for layer in layers:
        checked_code(model, given, layer)
    grid = integer("grid", grid)
    if not 1 <= grid <= min(given.shape[2:]):
        raise ValueError(f"grid: expected 1 to {min(given.shape[2:])}, got {grid}")
    pixel_range = PixelRange.of(inner, limits).to(given)
    found = []
    original = pixel_range.unit(given.float())
    for layer in layers:
        try:
            made = invert(
                model, given, layer, steps=steps, tv=tv, seed=seed, norm=norm, limits=limits, progress=progress
            )
            with held():
                now = pixel_range.unit(made.image.float())
                found.append(FromLayer(made, survival(original, now, made.code0, made.code, grid)))
        except KeyboardInterrupt as stop:
            if not found:
                raise
            last = found[-1].inversion
            stopped = kept(stop, f"stopped behind layer {last.layer!r}: those so far")
            found[-1] = replace(found[-1], inversion=replace(last, interrupted=stopped))
        if found[-1].inversion.interrupted is not None:
            break
    return found
