"""Figure 2: for units of each layer the nine strongest patches, beside the projections of what excited them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from zfcuda.features.loading import first_image, placed
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import Figure, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.result import Result
from zfcuda.report.layers import chosen, conv_layers
from zfcuda.report.patches.drawing import card, sheet
from zfcuda.report.patches.joined import LayerPatches, joined, spread
from zfcuda.report.subject import subject_of


def fig2(
    model: nn.Module,
    pictures: Any = None,
    *,
    layers: Sequence[str] | None = None,
    units: int = 6,
    top: int = 9,
    preprocess: Any = None,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Draws the strongest patches of some units of each layer, beside their projections.

    Args:
        model: any network that :func:`zfcuda.project` takes.
        pictures: as :class:`zfcuda.paper.gallery.Gallery` takes them.
        layers: None: up to five convolutions, from the first to the last.
        units: how many of each layer, evenly spaced among those that fire.
        top: patches of each unit.
        cache: where patches are kept.
        progress: show bars on stderr.
    """
    gallery = pictures if isinstance(pictures, Gallery) else Gallery(model, pictures, preprocess=preprocess)
    cache = cache or Cache()
    found, _ = conv_layers(gallery.model, placed(first_image(gallery.pictures)[None], gallery.model))
    names = list(layers or [layer.name for layer in chosen(found, 5)])
    patches = cache.patches(gallery, names, top=top, progress=progress)
    drawn = joined(
        subject_of(gallery.model, preprocess=gallery.pictures.preprocess),
        gallery.pictures,
        [LayerPatches(each, spread(each, units)) for each in patches.values()],
        progress=progress,
    )
    result = Result()
    for layer in drawn:
        cards = [
            card([each.projection for each in layer.drawn[row]], [each.patch for each in layer.drawn[row]], top)
            for row in layer.rows
        ]
        result.pictures[layer.found.layer] = sheet(cards)
        result.tensors[f"{layer.found.layer}.values"] = layer.found.values
    return result


def _run(setting: Setting) -> Result:
    return fig2(setting.model, setting.gallery, cache=setting.cache, progress=setting.progress)


FIGURE = Figure(
    name="fig2",
    title="Figure 2: what excites the units of each layer",
    source="Zeiler & Fergus, Fig. 2 and section 4.1",
    says="For units of layers 1 to 5 the nine strongest activations over the validation pictures, each projected down "
    "to the pixels, beside the patches that caused them. Layer 2 answers to corners and edge-colour conjunctions, 3 to "
    "textures, 4 to parts of objects, 5 to whole objects; within each grid the patches vary more than the projections.",
    run=_run,
)
