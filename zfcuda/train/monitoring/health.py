"""What is wrong with a network that learns, with figures: dead units, filters that run away, no better than chance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zfcuda.complaint import out_of_memory
from zfcuda.data.preprocess import Preprocess
from zfcuda.features.dead_units import dead_units
from zfcuda.features.rectifiers import rectified_layers
from zfcuda.train.evaluate import autocast
from zfcuda.train.pictures import picture_of
from zfcuda.train.sets import Labelled

SAMPLE = 72  # validation pictures that units are looked for with
SHARE = 0.02  # of the time of training that this may take
FAR = 10.0  # a filter runs away whose root mean square is so many times its layer's median
_COST = 1.7  # what a picture of the sample takes, in pictures learned: at most, in bfloat16 on a CPU
_LEAST = 0.01  # the share of a layer's units whose death is worth a word
_EPOCHS, _STEPS = 5, 200  # after which a network should be better than chance
_NAMED = 3  # units, and layers, that a warning names


class Dead(NamedTuple):
    """A layer's units that nothing excites."""

    layer: str
    units: list[int]
    size: int  # units that the layer has


class Runaway(NamedTuple):
    """A filter that is far larger than its like."""

    layer: str
    unit: int
    rms: float
    median: float


def every(pictures: int, sample: int) -> int:
    """Every so many epochs of so many pictures a sample may be looked at, so that it takes its share of the time."""
    return max(1, math.ceil(_COST * sample / (SHARE * max(1, pictures))))


def sample_of(source: Labelled, preprocess: Preprocess, count: int = SAMPLE) -> Tensor | None:
    """float32 [n,C,H,W]: pictures evenly spread over a source, those that can be read; None: none can."""
    names = source.names
    spread = np.unique(np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int))
    images = []
    for index in spread.tolist():
        try:
            images.append(preprocess(picture_of(source, index, index)))
        except Exception as error:  # named by the validation
            if out_of_memory(error):
                raise
    return torch.cat(images) if images else None


def rectified(network: nn.Module, frozen: Iterable[nn.Module]) -> list[str]:
    """The layers whose units can die: those that rectify, and are not frozen."""
    still = set(frozen)
    return [name for name in rectified_layers(network) if network.get_submodule(name) not in still]


def dead(network: nn.Module, sample: Tensor, layers: Sequence[str], precision: torch.dtype) -> list[Dead]:
    """The units that no image of a sample excites, of each layer where there are any."""
    found: dict[str, list[int]] = {}
    counts: Counter[str] = Counter()
    with autocast(next(network.parameters()).device, precision):
        rows = dead_units(network, sample, layers=layers)
    for row in rows:
        counts[row.layer] += 1
        if row.kind == "dead":
            found.setdefault(row.layer, []).append(row.unit)
    return [Dead(layer, units, counts[layer]) for layer, units in found.items()]


@torch.no_grad()
def runaways(network: nn.Module) -> list[Runaway]:
    """The filters of convolutions, and rows of linear layers, that learn and are FAR above their layer's median."""
    found = []
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear) or not layer.weight.requires_grad:
            continue
        rms = layer.weight.detach().float().square().flatten(1).mean(1).sqrt_()
        median = rms.median()
        for unit in (rms > FAR * median).nonzero()[:, 0].tolist() if median > 0 else ():
            found.append(Runaway(name, unit, float(rms[unit]), float(median)))
    return found


class HealthWarnings:
    """Warnings of dead units and of filters that run away: each is given once, and again where it is twice as bad."""

    def __init__(self, at_first: Iterable[Runaway]) -> None:
        """at_first: filters that were large when training began are nobody's mistake."""
        self._far = {(each.layer, each.unit) for each in at_first}
        self._dead: dict[str, int] = {}

    def of_dead(self, found: Sequence[Dead], pictures: int) -> str | None:
        """A warning of the layers where more units are dead than were said; None where there is nothing new."""
        new = [
            each
            for each in found
            if len(each.units) >= max(1, _LEAST * each.size) and len(each.units) >= 2 * self._dead.get(each.layer, 0)
        ]
        if not new:
            return None
        self._dead |= {each.layer: len(each.units) for each in new}
        new.sort(key=lambda each: len(each.units) / each.size, reverse=True)
        parts = [f"{len(each.units)} of {each.size} units of {each.layer} ({_listed(each.units)})" for each in new]
        return (
            f"none of {pictures} validation pictures excites {_some(parts, 'layers')}; "
            "a smaller --rate keeps units alive"
        )

    def of_runaways(self, found: Sequence[Runaway]) -> str | None:
        """A warning of the filters that have run away since; None where there are none."""
        new = [each for each in found if (each.layer, each.unit) not in self._far]
        if not new:
            return None
        self._far |= {(each.layer, each.unit) for each in new}
        new.sort(key=lambda each: each.rms / each.median, reverse=True)
        parts = [
            f"unit {each.unit} of {each.layer} has an RMS of {each.rms:.3g}, the layer's median is {each.median:.3g}"
            for each in new
        ]
        return f"{_some(parts, 'filters', '; ')}; --filter-rms 0.1 scales filters of convolutions back"


def at_chance(
    epoch: int, epoch_steps: int, best: float, labels: Sequence[int], chosen: Mapping[str, Any]
) -> str | None:
    """A hint, at the end of one epoch, where validation is no better than always answering the commonest class.

    Args:
        epoch: how many are done. best: the largest accuracy so far.
        labels: of the validation pictures. chosen: rate, init.
    """
    if epoch != max(_EPOCHS, math.ceil(_STEPS / epoch_steps)):
        return None
    chance = max(Counter(labels).values()) / len(labels)
    if best > chance + 2 * math.sqrt(chance * (1 - chance) / len(labels)):
        return None
    rate = float(chosen["rate"])
    init = ", or --init he," if chosen.get("init") == "normal" else ""
    return (
        f"after {epoch} epochs validation is no better than chance: {best:.1%} at best, and always the commonest "
        f"class scores {chance:.1%}; --rate {rate / 3:.2g} or {rate * 3:.2g}{init} may help"
    )


def _listed(units: Sequence[int]) -> str:
    return ", ".join(map(str, units[:_NAMED])) + (", ..." if len(units) > _NAMED else "")


def _some(parts: Sequence[str], what: str, between: str = ", ") -> str:
    more = len(parts) - _NAMED
    return between.join(parts[:_NAMED]) + (f"{between}and of {more} {what} more" if more > 0 else "")
