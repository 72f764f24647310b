"""How many images run through a model together, so that each gets what it gets alone and memory holds them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.autograd import logits_of, run
from zfcuda.batches import scores
from zfcuda.independence import coupling
from zfcuda.memory.budget import budget_of
from zfcuda.memory.forward import ForwardMemory
from zfcuda.network import evaluating
from zfcuda.network.graph import submodules
from zfcuda.network.intact import Watching, restoring
from zfcuda.network.remembered import remembered
from zfcuda.network.trace import RECORDING

_FEW = 2**18  # pixels that run together in any case, 5 images of 224 x 224
# About so many, where larger batches gain nothing: on a CPU their maps leave the cache, and malloc takes fresh pages
# for each (with 16 together up to a third of the time was lost against 8); a GPU is full.
_LARGEST = {"cpu": 8, "cuda": 256}
_HEAVY = 16  # on a CPU, where the weights, which each batch reads, are more than the maps of _LARGEST images


def together(model: nn.Module, images: Tensor, count: int, *, target: Any = None, layer: str | None = None) -> int:
    """How many images run together: one where the model is not proven to compute each by itself.

    Args:
        images: [N,C,H,W], of the size that they all have.
        count: how many there are to run.
        target: the callable that makes a score of the logits; anything else stands for classes, and None for no score
            at all, where only a layer is asked for.
        layer: what is asked for besides the score, or alone.
    """
    if count < 2 or not len(images):
        return 1
    image = images[:1]
    if _coupling(model, image, target, layer) is not None:
        return 1
    if count * image.shape[2] * image.shape[3] <= _FEW:
        return count
    each = remembered(model, ("memory", *_kind(image)), lambda: _kept(model, image))
    fit = budget_of(None, image.device) // (2 * each) if each else 1  # the way back takes as much again
    largest = _LARGEST.get(image.device.type, 64)
    if image.device.type == "cpu":
        largest = max(_HEAVY if _weights(model) > largest * each else largest, torch.get_num_threads())
    batches = max(1, round(count / largest))  # of equal size: a small rest takes more time for each image
    return max(1, min(-(-count // batches), fit))


def _kind(image: Tensor) -> tuple[Any, ...]:
    device = image.device.type
    cast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return tuple(image.shape[1:]), image.dtype, device, cast


def _coupling(model: nn.Module, image: Tensor, target: Any, layer: str | None) -> str | None:
    """Says what couples the images of a batch; None: each is proven to be computed by itself."""

    def answers(stand_ins: Tensor) -> list[Any]:
        kept: list[Any] = []
        with Watching(model) as watching:
            if layer is not None:
                watching.add(submodules(model)[layer], lambda module, inputs, output: kept.append(output))
            if target is None:
                try:
                    run(model, stand_ins)
                except Exception:  # what fails behind the layer does not matter
                    if not kept:
                        raise
                return kept[-1:]
            logits = logits_of(model, stand_ins)
        return [scores(target, logits) if callable(target) else logits, *kept[-1:]]

    def proof() -> str | None:
        with RECORDING, restoring(model), evaluating(model):
            return coupling(answers, [image])

    if callable(target):
        return proof()
    return remembered(model, ("coupling", layer, target is None, *_kind(image)), proof)


def _kept(model: nn.Module, image: Tensor) -> int:
    """Bytes that a forward of one image writes, all of which may be kept for the way back; 0: that cannot be told."""
    memory = ForwardMemory(image)
    try:
        with torch.inference_mode(False), torch.no_grad(), restoring(model), evaluating(model), memory:
            run(model, image)
    except Exception:  # whatever cannot run under a dispatch mode; an error of the model's own comes again
        return 0
    return memory.written


def _weights(model: nn.Module) -> int:
    """Their bytes."""
    return sum(weight.nbytes for weight in model.parameters())
