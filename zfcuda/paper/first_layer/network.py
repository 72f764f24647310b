"""The first two layers of one network, measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zfcuda.backward.deconvnet import project
from zfcuda.features.activations import activations
from zfcuda.features.strongest_patches import StrongestPatches
from zfcuda.network import trace
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.first_layer.aliasing import FREQUENCIES, excess, spectrum
from zfcuda.paper.first_layer.filters import BANDS, answers_likeness, bands, likeness, mid_energy, noisy, rms
from zfcuda.paper.gallery import Gallery
from zfcuda.report.layers import conv_layers

_ANSWERING = 32  # pictures that the answers of filters are compared over
_FINEST = 28  # places of a map each way, of larger ones a grid


@dataclass(frozen=True)
class FirstLayer:
    """What was measured of one network.

    Attributes:
        name: of its first convolution; second: of its second.
        filters: [N,C,kh,kw]; stride: that of the first convolution.
        by_filter: what it is -> a number for each filter, float64 [N]; where it is whether, 0 or 1.
        projections: of the units of the second layer that any picture excites, [U,C,h,w], as large as the field of
            view, zero beyond the border of the picture. units: their numbers.
        frequencies: cycles per pixel, [F]; spectra: of each projection, the share of its energy at each, float64 [U,F].
        excess: the share that stands out at FREQUENCIES, float64 [U,3].
    """

    name: str
    second: str
    filters: Tensor
    stride: int
    by_filter: dict[str, Tensor]
    projections: Tensor
    units: Tensor
    frequencies: Tensor
    spectra: Tensor
    excess: Tensor

    @property
    def kind(self) -> str:
        """Size and stride of its filters."""
        high, wide = self.filters.shape[2:]
        return f"{high}x{wide} stride {self.stride}"


def first_layer(gallery: Gallery, cache: Cache, *, progress: bool = False) -> FirstLayer:
    """Measures the first two convolutions of a network over pictures.

    Raises:
        NotApplicableError: it has fewer than two, or the first one does not read colours.
    """
    image = gallery.image(0)
    layers = conv_layers(gallery.model, image)[0]
    if len(layers) < 2 or image.shape[1] != 3:
        raise NotApplicableError(f"{type(gallery.model).__name__} has not two convolutions, the first one of colours")
    first, second = layers[:2]
    convolution = gallery.model.get_submodule(first.name)
    filters = convolution.weight.detach().cpu().float()  # type: ignore[union-attr,operator]
    patches = cache.patches(gallery, [first.output, second.output], top=1, progress=progress)
    facts = {"first": first.name, "second": second.output}
    found = cache.tensors(gallery, "first-layer", facts, lambda: _measured(gallery, first.name, patches[second.output]))
    named = bands(filters)
    by_filter = {
        "dead": (patches[first.output].values[:, 0] <= 0).double(),
        "like noise": noisy(filters).double(),
        **{f"{band} frequencies": torch.tensor([each == band for each in named]).double() for band in BANDS},
        "energy of mid frequencies": mid_energy(filters),
        "cosine": likeness(filters),
        "correlation of answers": found["answers"],
        "rms": rms(filters),
    }
    stride = convolution.stride[0]  # type: ignore[union-attr,index]
    frequencies = torch.arange(found["spectra"].shape[1]) / (2 * found["spectra"].shape[1] - 2)
    measures = torch.tensor([excess(frequencies, each) for each in found["spectra"]]).reshape(-1, len(FREQUENCIES))
    return FirstLayer(
        first.name,
        second.name,
        filters,
        int(stride),  # type: ignore[arg-type]
        by_filter,
        found["projections"],
        found["units"],
        frequencies,
        found["spectra"],
        measures.double(),
    )


def _measured(gallery: Gallery, first: str, second: StrongestPatches) -> dict[str, Tensor]:
    """What takes a pass over pictures."""
    some = range(min(len(gallery), _ANSWERING))
    answers = torch.cat([activations(gallery.model, gallery.image(index), first)[first] for index in some])
    step = max(1, *(-(-side // _FINEST) for side in answers.shape[2:]))
    alive = (second.values[:, 0] > 0).nonzero().flatten()
    boxes = second.boxes[alive, 0]
    high, wide = (int((boxes[:, side + 2] - boxes[:, side]).amax()) if len(boxes) else 1 for side in (0, 1))
    projections = torch.zeros(len(alive), 3, high, wide)
    network = trace(gallery.model, gallery.image(0))
    for row, (unit, box) in enumerate(zip(alive.tolist(), boxes.tolist(), strict=True)):
        place = second.positions[unit, 0].tolist() if second.positions is not None else (0, 0)
        image = gallery.image(int(second.indices[unit, 0]))
        whole = project(
            network, image, second.layer, unit=int(second.units[unit]), position=(int(place[0]), int(place[1]))
        )[0]
        top, left = (max(0, side) for side in box[:2])
        inside = whole[:, top : box[2], left : box[3]].float().cpu()
        y, x = top - box[0], left - box[1]
        projections[row, :, y : y + inside.shape[1], x : x + inside.shape[2]] = inside
    spectra = [spectrum(each)[1] for each in projections]
    return {
        "answers": answers_likeness(answers[..., ::step, ::step]),
        "projections": projections,
        "units": second.units[alive],
        "spectra": torch.stack(spectra) if spectra else torch.zeros(0, 33, dtype=torch.float64),
    }
