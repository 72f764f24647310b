"""Which layers' codes are compared where nobody names any: what each further layer with weights reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from zfcuda.network import evaluating
from zfcuda.network.intact import Watching, restoring

_SEVERAL = 10  # of more layers, only the last of each size of map is taken
_FEW = 3  # units with weights, below which they are looked into
_NO_CODE = (nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.Identity, nn.Flatten)


def default_layers(model: nn.Module, image: Tensor) -> list[str]:
    """A handful of layers from the first to the last: those that the next layer or block with weights reads.

    In ZFNet these are norm1, norm2, relu3, relu4, pool5, relu6 and relu7: the paper's layers 1 to 7 (Table 7). Blocks,
    as of ResNet, count as one. Of more than ten, the last of each size of map is taken, and all vectors.

    Args:
        model: unwrapped, in any mode; it is run once as in eval, and left as it was.
        image: [1,C,H,W], as the model takes it.

    Raises:
        ValueError: there is no layer with weights behind another one.
    """
    order = _outputs(model, image, _units(model))
    found: list[str] = []
    for place, (name, _) in enumerate(order):
        if not _weighted(model.get_submodule(name)) or not any(
            _weighted(model.get_submodule(before)) for before, _ in order[:place]
        ):
            continue
        before = next((b for b, _ in reversed(order[:place]) if not isinstance(model.get_submodule(b), _NO_CODE)), None)
        if before is not None and before not in found:
            found.append(before)
    if not found:
        raise ValueError(
            f"layers: expected names, since {type(model).__name__} has no layer with weights behind another one; "
            "zfcuda layers lists the names"
        )
    shapes = dict(order)
    if len(found) > _SEVERAL:
        last = {shapes[name][1:]: name for name in found if len(shapes[name]) == 3}
        found = [name for name in found if len(shapes[name]) == 1 or last[shapes[name][1:]] == name]
    if len(found) > _SEVERAL:
        step = (len(found) - 1) / (_SEVERAL - 1)
        found = [found[round(i * step)] for i in range(_SEVERAL)]
    return found


def _units(model: nn.Module) -> list[str]:
    """The layers and blocks that a model is made of: lists and sequences are looked into, blocks are not."""
    units = [(name, module) for name, module in _children(model, "")]
    while sum(_weighted(module) for _, module in units) < _FEW and any([*module.children()] for _, module in units):
        units = [each for name, module in units for each in ([*_children(module, f"{name}.")] or [(name, module)])]
    return [name for name, _ in units]


def _children(module: nn.Module, before: str) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList) and len(child):
            yield from _children(child, f"{before}{name}.")
        else:
            yield f"{before}{name}", child


def _outputs(model: nn.Module, image: Tensor, names: list[str]) -> list[tuple[str, tuple[int, ...]]]:
    """Those that give a map or a vector, in the order in which they are called, with its shape."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() in (2, 4) and output.is_floating_point():
            shape = tuple(output.shape[1:])
            shapes.pop(name, None)  # the last call counts
            # A vector may come as a map of one place.
            shapes[name] = shape[:1] if math.prod(shape) == shape[0] else shape

    def noting(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: note(name, output)

    watching = Watching(model)
    for name in names:
        watching.add(model.get_submodule(name), noting(name))
    with restoring(model), evaluating(model), torch.no_grad(), watching:
        model(image.clone())
    return list(shapes.items())


def _weighted(module: nn.Module) -> bool:
    """Whether it has more than a scale or an offset for each map, as batch norm and PReLU have."""
    return any(parameter.dim() > 1 for parameter in module.parameters())
