"""Which layers of a network tell style and content, where nobody names them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.autograd import differentiating, run
from zfcuda.network.graph import submodules
from zfcuda.synthesis.watched import Enough

_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish)
_COARSEST = 16  # pixels of the image that one of a style layer's is, along a side
_CONTENT = 8  # and one of the content layer's


@torch.no_grad()
def style_choice(model: nn.Module, images: Tensor, argument: str = "style_layers") -> tuple[str, tuple[str, ...]]:
    """A content layer and style layers, of the rectifiers of a network.

    Style is the first of each size of map, down to a sixteenth of the sides: of VGG16 the four that Gatys, Ecker &
    Bethge 2016 have, conv1_1 to conv4_1. Content is the last at an eighth of the sides, or at what is nearest to it.

    Args:
        model: unwrapped; it is run as in eval, up to its first fully connected layer.
        images: [N,C,H,W], of the model's dtype and on its device.
        argument: what the caller names style layers by, for the error.

    Raises:
        ValueError: no rectifier of the model is a module that gives maps.
    """
    # By how many pixels of the image one of the map is, along a side.
    first: dict[int, str] = {}
    last: dict[int, str] = {}

    def looked_at(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(module, nn.Linear):
                raise Enough
            if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
                size = max(1, round(images.shape[2] / output.shape[2]))
                first.setdefault(size, name)
                last[size] = name

        return hook

    with differentiating(model, gradients=False) as watching:
        for name, module in submodules(model).items():
            if isinstance(module, (*_RECTIFIERS, nn.Linear)):
                watching.add(module, looked_at(name))
        try:
            run(model, images)
        except Enough:
            pass
        except Exception:  # what fails behind the maps does not matter
            if not last:
                raise
    there = [size for size in sorted(last) if size <= _COARSEST]
    if not there:
        raise ValueError(
            f"{argument}: expected names, as no rectifier of {type(model).__name__} is a module that gives maps of "
            "at least a sixteenth of the image's sides"
        )
    content = min(there, key=lambda size: (abs(size - _CONTENT), size))
    return last[content], tuple(dict.fromkeys(first[size] for size in there))
