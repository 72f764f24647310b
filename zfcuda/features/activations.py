"""What the layers of a model give for images: the model's own values, which it computes itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.batches import checked_images
from zfcuda.features.activation_sheet import activation_sheet
from zfcuda.features.catching import Catching, calls_of
from zfcuda.inputs import checked_layer
from zfcuda.misfit import misfit
from zfcuda.network.graph import unwrap, wrapper_of
from zfcuda.shown import Display, LayerDict, View, shown


def activations(model: nn.Module, image: Any, layers: str | Sequence[str]) -> dict[str, Tensor]:
    """What layers of a model give for an image or a batch: the paper's feature maps, of one layer or of many.

    The model itself runs once, as in eval mode, and what passes at the layers is copied: hooks of the user's and
    replaced methods count, and a ReLU in place behind a layer does not. Each image gets what it gets alone: where it
    is not proven that the model keeps the images of a batch apart, they run one by one.

    Args:
        model: any module, in any mode; it is left as it was.
        image: [C,H,W] or [N,C,H,W] of the model's dtype, on its device; or a PIL picture, a path or an array uint8
            [H,W,C], which the model's own `.preprocess` makes an image of. It may be of another size than the model
            was made for, as far as the layers that are asked for take it.
        layers: the dotted name of a submodule, or several; zfcuda.network.layers lists them.

    Returns:
        By the names as they were given, in this order: what the last call of the layer gave, [N,units,h,w] of a layer
        with maps, [N,units] of a vector layer, in the model's dtype, on its device.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there is no such layer, it gives something else than a tensor or does not run for this image; the
            image does not fit.

    Example:
        maps = zfcuda.activations(model, "cat.jpg", ["conv1", "relu5"])
        maps["relu5"][0, 12]                                           # [h,w]: unit 12

        from zfcuda.features.activation_sheet import activation_sheet
        activation_sheet(maps["relu5"][0], "relu5").picture.save("relu5.png")
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    wanted = [layers] if isinstance(layers, str) else layers
    if not isinstance(wanted, Sequence) or not all(isinstance(name, str) for name in wanted):
        raise TypeError(f"layers: expected the name of a layer, or a list of names, got {layers!r}")
    if not wanted:
        raise ValueError("layers: expected the name of at least one layer, got none")
    wrapper, model = wrapper_of(model), unwrap(model)
    names = {given: checked_layer(given, model, wrapper) for given in wanted}
    images = checked_images(image, model)
    distinct = list(dict.fromkeys(names.values()))
    numbers = torch.arange(len(images))
    all_calls = calls_of(model, distinct)
    with Catching(model, distinct, lambda _, activation, __: activation.clone(), all_calls=all_calls) as catching:
        alone = len(images) > 1 and catching.coupling(images[:1]) is not None
        some = zip(images.split(1), numbers.split(1), strict=True) if alone else [(images, numbers)]
        try:
            parts = [catching(part.clone(), each) for part, each in some]  # a model may write to its image
        except RuntimeError as error:
            raise misfit(error, model, images) or error from error
    found = parts[0] if len(parts) == 1 else {name: torch.cat([part[name] for part in parts]) for name in distinct}
    return LayerDict((given, shown(found[name], partial(_display, given))) for given, name in names.items())


def _display(layer: str, values: Tensor) -> Display:
    def views() -> Iterator[View]:
        for i, each in enumerate(values):
            sheet = activation_sheet(each, layer)
            yield View(sheet.picture, f"image {i}: {'; '.join(sheet.said)}", sheet=True)

    return Display(
        f"Activations of {layer}", [("shape", " x ".join(map(str, values.shape)))], views(), len(values), few=1
    )
