"""What a view is: a picture and chance in, pixels out; and what becomes of the pixels where the network runs."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from PIL import Image
from torch import Tensor

from zfcuda.data.dice import Dice
from zfcuda.data.preprocess import Preprocess


class Cropped(NamedTuple):
    """What a worker hands on of a picture: bytes, a quarter of what floats take.

    Attributes:
        pixels: uint8 [C,H,W].
        crop: which of the view's crops they are, 0 where it has but one kind.
    """

    pixels: Tensor
    crop: int = 0


class View(Protocol):
    """A way to see pictures while training."""

    @property
    def preprocess(self) -> Preprocess:
        """What the network reads."""

    def __call__(self, picture: Image.Image, dice: Dice, epoch: int) -> Cropped:
        """What is seen of a picture in an epoch."""

    def images(self, pixels: Tensor, crops: Tensor) -> Tensor:
        """uint8 [N,C,H,W] and int64 [N] -> float32 [N,C,H,W] as the network reads it, on the device of the pixels.

        They are channels_last, and hold until the next call.
        """
