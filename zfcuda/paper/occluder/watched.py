"""The feature map that Figure 7 follows: which it is, and what of a picture it answers to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zfcuda.backward.deconvnet import depends_on_image, projections
from zfcuda.backward.rules import Rules
from zfcuda.features.activations import activations
from zfcuda.features.rectifiers import rectified_layers
from zfcuda.network import layers as layers_of
from zfcuda.network import receptive_field, trace
from zfcuda.paper.figure import NotApplicableError
from zfcuda.report.attempt import attempted
from zfcuda.report.layers import conv_layers


@dataclass(frozen=True)
class Watched:
    """The map of the last convolution whose total activity is the largest in a picture.

    Attributes:
        layer: the module whose output it is, rectified where it is rectified.
        unit: its channel.
        activity: the sum over the map.
        source: the module that it is projected from: `layer`, or what goes into a rectifier with a ceiling, as ReLU6
            has: where that is reached, nothing comes back through it.
        place: (y, x) of its strongest activation there.
    """

    layer: str
    unit: int
    activity: float
    source: str
    place: tuple[int, int]


@dataclass(frozen=True)
class Projected:
    """What of a picture excites a map.

    Attributes:
        signal: float [C,H,W], the projection down to the pixels, on the CPU.
        box: (top, left, bottom, right), the pixels that the strongest place sees; all where that is not known.
        guided: whether it is by guided backpropagation, since the deconvnet shows the same of every picture.
    """

    signal: Tensor
    box: tuple[int, int, int, int]
    guided: bool


def watched(model: nn.Module, image: Tensor, layer: str | None = None) -> Watched:
    """The map that is the most active one in an image [1,C,H,W].

    layer: the dotted name of a convolution; None: the last one.

    Raises:
        NotApplicableError: the network has no such convolution.
    """
    layers, _ = conv_layers(model, image)
    found = layers[-1] if layers and layer is None else next((each for each in layers if each.name == layer), None)
    if found is None:
        named = "" if layer is None else f" {layer!r}; it has {', '.join(each.name for each in layers) or 'none'}"
        raise NotApplicableError(f"fig7 follows a feature map, and the network has no convolution{named}")
    name, source, activity, before = found.output, found.output, found.activity, found.activity
    if name == found.name:
        source, name = _rectified(model, image, name)
        maps = activations(model, image, list(dict.fromkeys((source, name))))
        before, activity = (maps[each][0].float().cpu() for each in (source, name))
    sums = activity.double().sum((1, 2))
    unit = int(sums.argmax())
    y, x = divmod(int(before[unit].argmax()), before.shape[2])
    return Watched(name, unit, float(sums[unit]), source, (y, x))


def projected(
    model: nn.Module, image: Tensor, layer: str, unit: int, place: tuple[int, int]
) -> tuple[Projected | None, str]:
    """Projects an activation down to the pixels of an image [1,C,H,W]; or (None, why that cannot be)."""

    def work() -> Projected:
        network = trace(model, image)
        guided = not depends_on_image(network, layer)
        rules = Rules("guided", "exact") if guided else None
        found = projections(network, image, layer, unit=unit, position=place, positive=True, rules=rules)
        height, width = image.shape[2:]
        signal = found.images[0].float().cpu() if len(found.images) else torch.zeros(image.shape[1:])
        field, _ = attempted(lambda: receptive_field(network, layer, tuple(image.shape[-3:])))
        seen = None if field is None else field.rectangle(*place)
        return Projected(signal, seen or (0, 0, height, width), guided)

    return attempted(work)


def _rectified(model: nn.Module, image: Tensor, layer: str) -> tuple[str, str]:
    """The next layer behind a convolution that rectifies as many maps as it has, and the one in front of that.

    Twice the convolution itself where there is none.
    """
    order, _ = attempted(lambda: layers_of(model))
    following = order[order.index(layer) :] if order and layer in order else []
    able = [name for name in rectified_layers(model) if name in following]
    if not able:
        return layer, layer
    first = min(able, key=following.index)
    source = following[max(0, following.index(first) - 1)]
    shapes = {value.shape for value in activations(model, image, [layer, source, first]).values()}
    return (source, first) if len(shapes) == 1 else (layer, layer)
