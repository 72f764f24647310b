"""What can be chosen about the training of a style network."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zfcuda.train import kinds

_WHOLE = ("size", "style_size", "batch", "steps", "keep")
_NATURAL = ("seed", "workers")
_AT_LEAST_0 = ("content_weight", "style_weight", "tv")
_POSITIVE = ("width", "rate", "save_minutes")
_SMALLEST = 16  # side of a picture
_MOST_WORKERS = 1024

#: What may differ between two starts of one run, as it changes no weight.
OF_THE_START = ("workers", "device", "keep", "save_minutes")


@dataclass(frozen=True)
class StyleOptions:
    """One training; equal options on the same pictures, network and machine give equal weights.

    Attributes:
        size: side of the parts of pictures that are trained on, in pixels.
        style_size: what the short side of the style pictures is scaled to, in pixels: a stroke that is so large in
            them is as large in what is drawn.
        batch: pictures of a step. Each is drawn in one of the styles, in turn.
        steps: how many.
        width: of the network; 1 is the paper's.
        content_weight: of |F - P|^2 / |P|^2, the distance of the content layer's values F from those P of the picture.
        style_weight: of |G - A|^2 / |A|^2, the distance of Gram matrices, as the mean over the style layers.
        tv: of the total variation: the mean squared difference of neighbouring pixels, of values of 0 to 1.
        rate: of Adam, at the beginning; it falls to 0 along a cosine.
        seed: of the first weights, the order and the parts of pictures.
        workers: processes that load pictures; None: as many as there are cores to spare.
        device: where it runs.
        keep: how many checkpoints are kept.
        save_minutes: the longest time between two of them.

    Raises:
        ValueError: naming the option.
    """

    size: int = 128
    style_size: int = 256
    batch: int = 2
    steps: int = 4000
    width: float = 0.5
    content_weight: float = 1.0
    style_weight: float = 25.0
    tv: float = 20.0
    rate: float = 2e-3
    seed: int = 0
    workers: int | None = None
    device: str = "cpu"
    keep: int = 2
    save_minutes: float = 2.0

    def __post_init__(self) -> None:
        numbers = (*_AT_LEAST_0, *_POSITIVE)
        kinds.checked(self, {kinds.whole: (*_WHOLE, *_NATURAL), kinds.number: numbers, kinds.text: ("device",)})
        for names, low in ((_WHOLE, 1), (_NATURAL, 0), (_AT_LEAST_0, 0)):
            for name in names:
                value = getattr(self, name)
                if value is not None and not low <= value < math.inf:
                    raise ValueError(f"{name}: expected at least {low}, got {value}")
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected a positive number, got {getattr(self, name)}")
        for name in ("size", "style_size"):
            if getattr(self, name) < _SMALLEST:
                raise ValueError(f"{name}: expected at least {_SMALLEST}, got {getattr(self, name)}")
        if self.style_weight == 0:
            raise ValueError("style_weight: expected a positive number, got 0: there would be nothing to learn")
        if self.seed >= 2**32:
            raise ValueError(f"seed: expected below 2**32, got {self.seed}")
        if self.workers is not None and self.workers > _MOST_WORKERS:
            raise ValueError(f"workers: expected at most {_MOST_WORKERS}, got {self.workers}")
