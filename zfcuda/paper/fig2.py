"""Figure 2: what excites units of each layer most, beside its projections, and what the paper reads off them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from tqdm import tqdm

from zfcuda.features.loading import first_image, placed
from zfcuda.features.strongest_patches import StrongestPatches
from zfcuda.inputs import integer
from zfcuda.paper.cache import Cache
from zfcuda.paper.excitation.claims import of_classes, of_likeness, of_truth
from zfcuda.paper.excitation.crops import Crops, crops
from zfcuda.paper.excitation.likeness import edges, pixels
from zfcuda.paper.excitation.sheets import layer_sheet, projections_sheet
from zfcuda.paper.excitation.tables import Measured, class_of, likeness_rows, purity_rows, truth_rows
from zfcuda.paper.figure import Figure, NotApplicableError, Option, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.result import Result
from zfcuda.report.explanation import Form
from zfcuda.report.layers import chosen, conv_layers
from zfcuda.report.patches.joined import spread
from zfcuda.report.subject import subject_of

_LAYERS = 5
_PIXELS = "how alike the patches of a unit are, and their projections, pixel by pixel"
_EDGES = "how alike they are by where their edges are"
_CLASSES = "classes among the strongest pictures of a unit"
_TRUTH = "where the strongest patches of a unit are"


def fig2(
    model: nn.Module,
    pictures: Any = None,
    *,
    layers: Sequence[str] | None = None,
    units: int = 6,
    measured: int = 24,
    top: int = 9,
    preprocess: Any = None,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Draws the strongest patches of some units of each layer beside their projections, and measures more of them.

    Args:
        model: any network that :func:`zfcuda.project` takes.
        pictures: as :class:`zfcuda.paper.gallery.Gallery` takes them.
        layers: None: up to five convolutions, from the first to the last.
        units: how many of each layer are drawn, evenly spaced among those that are measured.
        measured: how many of each layer are compared, evenly spaced among those that fire.
        top: patches of each unit, at least 2.
        preprocess: as Gallery takes it.
        cache: where patches, and what was cut out, are kept.
        progress: show bars on stderr.

    Returns:
        Tables of how alike patches and projections are, of classes and, on Parts, of parts, a row for each layer.
        tensors, for each layer: values, indices and boxes as :class:`zfcuda.features.StrongestPatches` has them, of all
        units; units, patches and projections of those that are drawn, as :class:`Crops` has them. pictures: the
        projections of all layers, and a sheet for each layer.

    Raises:
        NotApplicableError: the network has no convolution, and no layers are given.
        ValueError, TypeError: as :func:`zfcuda.strongest_patches`; units or measured less than 1, top less than 2.
    """
    for name, value, least in (("units", units, 1), ("measured", measured, 1), ("top", top, 2)):
        integer(name, value, least)
    gallery = pictures if isinstance(pictures, Gallery) else Gallery(model, pictures, preprocess=preprocess)
    cache = cache or Cache()
    names = list(layers) if layers is not None else _layers(gallery)
    found = cache.patches(gallery, names, top=top, progress=progress)
    every = [
        _measured(gallery, cache, found[name], max(measured, units), units)
        for name in tqdm(names, desc="projections", unit="layer", disable=not progress)
    ]
    labels = gallery.pictures.labels
    result = Result(notes=_notes(every))
    result.tables[_PIXELS], result.tables[_EDGES] = likeness_rows(every, pixels), likeness_rows(every, edges)
    result.claims += of_likeness(result.tables[_PIXELS], result.tables[_EDGES])
    if labels is not None:
        result.tables[_CLASSES] = purity_rows(every, labels)
        result.claims += of_classes(result.tables[_CLASSES])
    if gallery.parts is not None:
        result.tables[_TRUTH] = truth_rows(every)
        result.claims += of_truth(result.tables[_TRUTH])
    result.free = {""}
    result.pictures[""] = projections_sheet([(_title(n, each), each.crops, each.drawn) for n, each in _numbered(every)])
    for number, each in _numbered(every):
        said = [class_of(each, row, gallery.pictures) for row in each.drawn]
        result.pictures[each.found.layer] = layer_sheet(each.crops, each.drawn, _title(number, each), said)
    for each in every:
        kept = {"values": each.found.values, "indices": each.found.indices, "boxes": each.found.boxes}
        kept |= {name: getattr(each.crops, name)[each.drawn] for name in ("units", "patches", "projections")}
        result.tensors |= {f"{each.found.layer}.{name}": value for name, value in kept.items()}
    return result


def _layers(gallery: Gallery) -> list[str]:
    found, _ = conv_layers(gallery.model, placed(first_image(gallery.pictures)[None], gallery.model))
    if not found:
        raise NotApplicableError("this network has no convolution; name layers of it")
    return [layer.name for layer in chosen(found, _LAYERS)]


def _measured(gallery: Gallery, cache: Cache, found: StrongestPatches, measured: int, units: int) -> Measured:
    """Cuts out what excites some units of a layer, or takes it from the cache."""
    rows = spread(found, measured)
    subject = subject_of(gallery.model, preprocess=gallery.pictures.preprocess)
    facts = {"layer": found.layer, "units": found.units[rows].tolist(), "top": found.values.shape[1]}
    kept = cache.tensors(gallery, "excitation", facts, lambda: crops(gallery, subject, found, rows).tensors())
    drawn = [i * len(rows) // units for i in range(units)] if len(rows) > units else list(range(len(rows)))
    return Measured(found, Crops.of(kept), drawn)


def _numbered(every: Sequence[Measured]) -> list[tuple[int, Measured]]:
    return list(enumerate(every, 1))


def _title(number: int, layer: Measured) -> str:
    high, wide = layer.crops.field
    how = {
        Form.DECONVNET: "projected by the deconvnet",
        Form.GUIDED: "projected by guided backpropagation",
        Form.FILTER: "the filters themselves",
        None: "not projected",
    }[layer.crops.form]
    return f"Layer {number}: {layer.found.layer}, whose units see {high} x {wide} pixels; {how}"


def _notes(every: Sequence[Measured]) -> list[str]:
    notes = [
        "A pair of crops is compared over what both have within their pictures. The projections of any two units of a "
        "layer have in common that they fade towards the border of the field.",
    ]
    guided = [each.found.layer for each in every if each.crops.form is Form.GUIDED]
    if guided:
        notes.append(
            f"No max pooling lies before {', '.join(guided)}: the deconvnet would show the same for every picture, and "
            "guided backpropagation (Springenberg et al. 2014) takes its place."
        )
    notes += [f"{each.found.layer} is not projected: {each.crops.refusal}." for each in every if each.crops.refusal]
    skipped = len(every[0].found.skipped)
    return [*notes, f"{skipped} pictures could not be read."] if skipped else notes


def _run(setting: Setting) -> Result:
    given = setting.options
    names = [name.strip() for name in given.get("layers", "").split(",") if name.strip()]
    return fig2(
        setting.model,
        setting.gallery,
        layers=names or None,
        units=given.get("units", 6),
        measured=given.get("measured", 24),
        cache=setting.cache,
        progress=setting.progress,
    )


FIGURE = Figure(
    name="fig2",
    title="Figure 2: what excites the units of each layer",
    source="Zeiler & Fergus, Fig. 2 and section 4.1",
    says="For units of layers 1 to 5 the nine strongest activations over the validation pictures, each projected down "
    "to the pixels, beside the patches that caused them. Layer 2 answers to corners and edge-colour conjunctions, 3 to "
    "textures, 4 to parts of objects, 5 to whole objects; within each grid the patches vary more than the projections.",
    run=_run,
    options=(
        Option("layers", "", "NAME,NAME,...", "layers (up to five convolutions, where none are named)"),
        Option("units", 6, "N", "units of each layer that are drawn"),
        Option("measured", 24, "N", "units of each layer that are compared"),
    ),
)
