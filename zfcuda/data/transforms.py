"""Transforms of torchvision, timm or a user's own as a preprocess: RGB in, [1,C,H,W] out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda.data.pictures import Picture, as_picture

_EXPECTED = "expected a Tensor [1,C,H,W]"


class Adapted:
    """A transform of one picture as a preprocess.

    It is no torch.nn.Module, so that a model does not take it for one of its layers where it hangs on it.

    Attributes:
        transform: PIL picture in RGB -> Tensor [C,H,W] or [1,C,H,W], floating. It is run without gradients, and a
            torch.nn.Module in eval mode.
        note: where it comes from, in words; "" where there is nothing to say.
    """

    def __init__(self, transform: Callable[[Any], Any], note: str = "") -> None:
        self.transform, self.note = transform, note

    def __call__(self, picture: Picture) -> Tensor:
        """A picture, as :class:`zfcuda.Preprocess` takes it -> Tensor [1,C,H,W] of the transform's floating dtype.

        Raises:
            ValueError: the transform gives something else; what the transform itself raises comes through.
        """
        return image_of(self.transform, picture, f"preprocess: {name_of(self.transform)}")

    def __repr__(self) -> str:
        return f"Adapted({self.transform!r})"


def image_of(preprocess: Callable[[Any], Any], picture: Picture, who: str) -> Tensor:
    """What a preprocess of any kind makes of a picture: Tensor [1,C,H,W], floating, without history.

    Args:
        preprocess: PIL picture -> Tensor [C,H,W] or [1,C,H,W].
        picture: as :func:`zfcuda.data.pictures.as_picture` takes it.
        who: what errors call the preprocess.

    Raises:
        ValueError: it gives something else.
    """
    image = run(preprocess.transform if isinstance(preprocess, Adapted) else preprocess, as_picture(picture))
    if not isinstance(image, Tensor):
        hint = "; let it end in ToTensor(), or in ToImage() and ToDtype(torch.float32, scale=True)"
        is_picture = hasattr(image, "convert") or type(image).__name__ == "ndarray"
        raise ValueError(f"{who} gives a {type(image).__name__}; {_EXPECTED}{hint if is_picture else ''}")
    if image.is_nested or image.layout != torch.strided or image.is_meta:
        raise ValueError(f"{who} gives no plain tensor of floating numbers; {_EXPECTED}")
    if not image.is_floating_point():
        raise ValueError(
            f"{who} gives {image.dtype} {list(image.shape)}; {_EXPECTED} of floating numbers, scaled as in its "
            "training, by ToDtype(torch.float32, scale=True) and Normalize for example"
        )
    batch = image[None] if image.dim() == 3 else image
    if batch.dim() != 4 or len(batch) != 1 or batch.numel() == 0:
        raise ValueError(f"{who} gives a tensor {list(image.shape)}; {_EXPECTED}")
    return batch.detach().as_subclass(Tensor)  # torchvision's tensors remember that they are images


def run(transform: Callable[[Any], Any], picture: Image.Image) -> Any:
    """What a transform gives, whatever it is."""
    with torch.no_grad(), _evaluating(transform):
        return transform(picture)


@contextmanager
def _evaluating(transform: Any) -> Iterator[None]:
    """Keeps a transform that is a module in eval mode; its flags are set one by one, and back."""
    modules = [m for m in transform.modules() if m.training] if isinstance(transform, nn.Module) else []
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module in modules:
            module.training = True


def name_of(transform: Any) -> str:
    """What to call a transform: the name of the function, or of its class, with that of its module."""
    function = getattr(transform, "func", transform)  # of a functools.partial
    named = function if hasattr(function, "__qualname__") else type(function)
    module = getattr(named, "__module__", None)
    return named.__qualname__ if module in (None, "builtins", "__main__") else f"{module}.{named.__qualname__}"
