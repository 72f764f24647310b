"""The strongest patches of a layer's units, each beside the projection of what was strongest there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from zfcuda import render
from zfcuda.backward.deconvnet import deconvnet_rules, depends_on_image
from zfcuda.backward.rules import Rules
from zfcuda.backward.walk import BackwardPath
from zfcuda.data.collection import Collection
from zfcuda.features.loading import placed
from zfcuda.features.strongest_patches import StrongestPatches
from zfcuda.network import Network, trace
from zfcuda.network.intact import deterministic
from zfcuda.report.attempt import attempted
from zfcuda.report.explanation import Form
from zfcuda.report.patches.drawing import cut_out, framed, shown_box, tile
from zfcuda.report.subject import Subject

_RULES = {
    Form.DECONVNET: deconvnet_rules("identity"),
    Form.GUIDED: Rules("guided", "exact"),
    Form.FILTER: Rules("guided", "exact"),
}


@dataclass
class Drawn:
    """One of a unit's strongest patches, drawn.

    Attributes:
        place: its rank, from 0. index: which picture.
        patch: what the unit saw there. projection: what of it excited the unit; None where that cannot be had.
    """

    place: int
    index: int
    patch: Image.Image
    projection: Image.Image | None


@dataclass
class LayerPatches:
    """The patches of some units of a layer.

    Attributes:
        found: the strongest patches of all units that were asked for.
        rows: which of them are shown, by their rows in it.
        drawn: row -> its patches, strongest first. whole: whether a unit sees as much as the picture has, or more.
        form: how they are projected; None before they are. refusal: why they are not; "" where they are.
    """

    found: StrongestPatches
    rows: list[int]
    form: Form | None = None
    refusal: str = ""
    drawn: dict[int, list[Drawn]] = field(default_factory=dict)
    whole: bool = False


def spread(found: StrongestPatches, count: int) -> list[int]:
    """The rows of so many units, evenly spaced among those that any picture excites; of all where none is excited."""
    active = (found.values[:, 0] > 0).nonzero().flatten().tolist() or list(range(len(found.units)))
    if len(active) <= count:
        return active
    return [active[i * len(active) // count] for i in range(count)]


def joined(
    subject: Subject, pictures: Collection, layers: Iterable[LayerPatches], *, progress: bool = False
) -> list[LayerPatches]:
    """Draws the patches of layers, and their projections; each picture runs once for each layer that it won in.

    A layer that the deconvnet shows the same of for every picture is shown by guided backpropagation; one that cannot
    be projected says why, and has its patches alone.
    """
    layers = list(layers)
    networks: dict[tuple[int, ...], tuple[Network | None, str]] = {}
    for layer in layers:
        layer.drawn = {row: [] for row in layer.rows}
    winners = sorted({index for layer in layers for index in winners_of(layer)})
    for index in tqdm(winners, desc="projections", unit="picture", disable=not progress):
        one, picture = pictures.image_and_picture(index)
        image = placed(one[None], subject.model)
        shape = tuple(image.shape)
        if shape not in networks:
            networks[shape] = attempted(partial(trace, subject.model, image))
        network, why = networks[shape]
        for layer in layers:
            at = places_of(layer, index)
            signals: Tensor | None = None
            if at and network is None:
                layer.refusal = layer.refusal or why
            if at and network is not None and not layer.refusal:
                signals, layer.refusal = attempted(partial(projections_of, network, layer, image, at))
            _draw(subject, picture, layer, index, at, signals)
    for layer in layers:
        for drawn in layer.drawn.values():
            drawn.sort(key=lambda each: each.place)
            if layer.refusal:  # some may have been projected before one that could not be
                for each in drawn:
                    each.projection = None
    return layers


def winners_of(layer: LayerPatches) -> list[int]:
    """The pictures that won for the rows that are shown."""
    return [index for index in layer.found.indices[layer.rows].unique().tolist() if index >= 0]


def places_of(layer: LayerPatches, index: int) -> list[tuple[int, int]]:
    """(row, rank) of what a picture won."""
    return [(row, place) for row in layer.rows for place in _where(layer.found.indices[row], index)]


def _where(indices: Tensor, index: int) -> list[int]:
    return (indices == index).nonzero().flatten().tolist()


def projections_of(network: Network, layer: LayerPatches, image: Tensor, at: Sequence[tuple[int, int]]) -> Tensor:
    """What excited the units where they won in a picture, [n,C,H,W]; the deconvnet's, or guided backpropagation's.

    The first time for a layer, its value is held against the model's own.
    """
    found, first = layer.found, layer.form is None
    if layer.form is None:
        layer.form = Form.DECONVNET if depends_on_image(network, found.layer) else Form.GUIDED
    with torch.no_grad(), deterministic():
        path = BackwardPath.of(network, found.layer, _RULES[layer.form])
        forward = path.checked_forward(image) if first else path.forward(image)
        activation = forward.activation[0]
        seeds = activation.new_zeros(len(at), *activation.shape)
        for number, (row, place) in enumerate(at):
            unit: tuple[int, ...] = (int(found.units[row]),)
            if found.positions is not None:
                unit += tuple(found.positions[row, place].tolist())
            seeds[(number, *unit)] = activation[unit].clamp(min=0)
        signals = forward.projections(seeds)
        if first and layer.form is Form.GUIDED:
            plain = BackwardPath.of(network, found.layer, _RULES[Form.DECONVNET]).forward(image).projections(seeds)
            if torch.allclose(signals, plain, rtol=0, atol=1e-4 * float(signals.abs().max())):
                layer.form = Form.FILTER
        return signals.float().cpu()


def _draw(
    subject: Subject,
    picture: Image.Image,
    layer: LayerPatches,
    index: int,
    at: Sequence[tuple[int, int]],
    signals: Tensor | None,
) -> None:
    for number, (row, place) in enumerate(at):
        box = shown_box(layer.found.boxes[row, place].tolist(), picture.size)
        layer.whole |= box == (0, 0, picture.height, picture.width)
        projection = None
        if signals is not None:
            left, top, right, bottom = (max(0, side) for side in (box[1], box[0], box[3], box[2]))
            signal = subject.in_colour(signals[number])[:, top:bottom, left:right]
            projection = tile(framed(render.projection(signal), (left, top), box))
        layer.drawn[row].append(Drawn(place, index, tile(cut_out(picture, box)), projection))
