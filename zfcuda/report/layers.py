"""The convolution layers that a network really runs, in the order it runs them, with what each of them answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from zfcuda.complaint import naming
from zfcuda.network import evaluating
from zfcuda.network.intact import Watching
from zfcuda.occlusion.output import ModelWithOutput, Output, picking, scores_of

_AFTER_CONV = (nn.BatchNorm2d, nn.Identity)  # may stand between a convolution and its rectification
_MOST = 8  # layers shown of a deep network
Layer = TypeVar("Layer")


@dataclass(frozen=True)
class ConvLayer:
    """One convolution layer and its answer to one picture.

    Attributes:
        name: the dotted name of the convolution.
        output: the dotted name of the module whose output counts as the layer's activity: the ReLU after it where
            there is one of its own, else the convolution.
        activity: [maps,h,w] float32 on the CPU, what `output` gave.
    """

    name: str
    output: str
    activity: Tensor


def conv_layers(model: nn.Module, image: Tensor, output: Output | None = None) -> tuple[list[ConvLayer], Tensor]:
    """All two-dimensional convolutions that run when the model sees the image, in that order, and the logits [classes].

    Args:
        model: in any mode; it is run as in eval.
        image: [1,C,H,W].
        output: what makes scores of the model's answer, as in :func:`zfcuda.occlusion_map`.
    """
    whole = model if output is None else ModelWithOutput(model, output)
    names = {module: name for name, module in model.named_modules()}
    calls: list[tuple[nn.Module, int, int, Tensor]] = []  # module, id of its input, id of its output, a copy of that
    keep: list[object] = []  # holds every tensor, so that no id is used twice

    def record(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and inputs:
            keep.extend((inputs[0], output))
            # A copy: a ReLU that works in place would overwrite what the convolution said.
            calls.append((module, id(inputs[0]), id(output), output.detach()[0].to("cpu", torch.float32, copy=True)))

    with Watching(model) as watching, evaluating(whole), torch.no_grad():
        for module in names:
            if isinstance(module, nn.Conv2d | nn.ReLU | nn.BatchNorm2d | nn.Identity):
                watching.add(module, record)
        answer = model(image)
        if output is not None:
            with naming("output"):
                answer = picking(output)(answer)
        logits = scores_of(answer, 1, picked=output is not None)

    once = {module for module in names if sum(call[0] is module for call in calls) == 1}
    by_name = {}
    for i, (module, _, output, activity) in enumerate(calls):
        if not isinstance(module, nn.Conv2d):
            continue
        result = ConvLayer(names[module], names[module], activity)
        for later, source, after, rectified in calls[i + 1 :]:
            if source != output or later not in once:
                break
            if isinstance(later, nn.ReLU):
                result = ConvLayer(names[module], names[later], rectified)
            if not isinstance(later, _AFTER_CONV):
                break
            output = after
        by_name[result.name] = result  # of a module called several times, the last call
    return list(by_name.values()), logits[0].detach().cpu()


def chosen(layers: list[Layer], most: int = _MOST) -> list[Layer]:
    """Chooses at most `most` of the layers, evenly spaced, the first and the last among them."""
    if len(layers) <= most:
        return layers
    return [layers[round(i * (len(layers) - 1) / (most - 1))] for i in range(most)]
