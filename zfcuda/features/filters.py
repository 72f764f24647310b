"""The weights of a convolution: the filters of the course notes, and of the paper's Fig. 6."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from zfcuda.features.filter_sheet import filter_sheet
from zfcuda.inputs import checked_layer
from zfcuda.network import evaluating, trace
from zfcuda.network.graph import plain_name, submodules, unwrap, wrapper_of
from zfcuda.shown import Display, View, shown

_LISTED = 12  # layers that an error names


def filters(model: nn.Module, layer: str | None = None) -> Tensor:
    """The weights of a convolution.

    Those of the first one are pictures in the colours of the image; of a deeper one each is a stack of maps, one for
    each channel that it reads (of its group, where there are groups).

    Args:
        model: any module; it is not run.
        layer: the dotted name of a torch.nn.Conv2d; None: the first one that an image meets, as far as the model can be
            followed, else the first one that it holds.

    Returns:
        A copy, [O,I,kh,kw], of the weights' dtype on their device. Where the layer computes them anew from others, as
        torch.nn.utils.parametrizations do, what it computes.

    Raises:
        TypeError: an argument is of another type.
        ValueError: the layer is no such convolution (those that there are follow), the model has none, or its weights
            are yet to be made.

    Example:
        zfcuda.render.filters(zfcuda.filters(model)).save("filters.png")

        from zfcuda.features.spectrum import fine_share
        fine_share(zfcuda.filters(model))       # how noisy they are, 0 ... 1
    """
    name, weight = named_filters(model, layer)
    return shown(weight, partial(_display, name))


def named_filters(model: nn.Module, layer: str | None = None) -> tuple[str, Tensor]:
    """Does as :func:`filters`, and returns the name of the layer, too."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    wrapper, model = wrapper_of(model), unwrap(model)
    there = {name: module for name, module in submodules(model).items() if isinstance(module, nn.Conv2d)}
    if layer is not None:
        name = checked_layer(layer, model, wrapper)
    elif there:
        name = _first(model, there)
    else:
        raise ValueError(f"model: expected one with a torch.nn.Conv2d, {type(model).__name__} has none")
    if name not in there:
        listed = ", ".join(list(there)[:_LISTED]) + (", ..." if len(there) > _LISTED else "")
        kind = type(submodules(model)[name]).__name__
        raise ValueError(f"layer: expected a convolution, got {name!r} ({kind}); there are: {listed or 'none'}")
    with evaluating(model):  # what computes a weight anew may go on with its own work otherwise, as spectral_norm does
        weight = there[name].weight
    if is_lazy(weight):
        raise ValueError(f"layer: the weights of {name!r} are yet to be made, by a first run of the model")
    return name, weight.detach().clone()


def _display(name: str, weight: Tensor) -> Display:
    sheet = filter_sheet(weight.float().cpu(), name)
    return Display("Filters", (), [View(sheet.picture, sheet.said[0], sheet=True)], 1)


def _first(model: nn.Module, there: dict[str, nn.Conv2d]) -> str:
    """The first of the convolutions to run."""
    try:
        calls = [name for name, _ in trace(model).calls if plain_name(name) in there]
    except ValueError:
        calls = []
    return next(iter([*calls, *there]))
