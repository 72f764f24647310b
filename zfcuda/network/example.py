"""An image that a model takes, where only its size is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from zfcuda.network.intact import evaluating


def image_dtypes(model: nn.Module) -> list[torch.dtype]:
    """The dtypes that a model's images may have, likely ones first: a number beside the layers may have one of its own.

    Filters and matrices come before vectors and numbers; float32 for a model without parameters.
    """
    tensors = sorted((p for p in model.parameters() if p.is_floating_point()), key=_is_small)
    return list(dict.fromkeys(p.dtype for p in tensors)) or [torch.get_default_dtype()]


def _is_small(parameter: nn.Parameter) -> bool:
    return is_lazy(parameter) or parameter.dim() < 2


def example_image(model: nn.Module, size: Sequence[int]) -> Tensor:
    """An image [1,C,H,W] of zeros, of the model's device and of the first of its dtypes that it takes.

    A model whose parameters have several dtypes is run, in eval mode, to find out which.
    """
    dtypes = image_dtypes(model)
    device = next((p.device for p in model.parameters() if p.is_floating_point()), None)
    images = [torch.zeros(1, *size, dtype=dtype, device=device) for dtype in dtypes]
    return next((image for image in images if len(images) > 1 and takes(model, image)), images[0])


def takes(model: nn.Module, image: Tensor) -> bool:
    """Whether the model runs on an image [1,C,H,W]."""
    with torch.no_grad(), evaluating(model):
        try:
            model(image.clone())
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception:
            return False
    return True
