"""Figure 5: how far shifts, enlargements, turns and flips of a picture move its features, and its class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.data.preprocess import crop_box
from zfcuda.data.preprocess_facts import as_ours
from zfcuda.inputs import checked_layer, integer
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import Figure, NotApplicableError, Option, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.invariance import drawing, tables
from zfcuda.paper.invariance.canvas import Canvas, canvas_of, shown_share
from zfcuda.paper.invariance.changes import BORDERS, DISC, SHIFT, TURN, Change, all_changes, farthest_shift
from zfcuda.paper.invariance.claims import claims, symmetric
from zfcuda.paper.invariance.curves import Array, Curves, curves_of
from zfcuda.paper.invariance.responses import Responses
from zfcuda.paper.result import Result
from zfcuda.train.transfer.layers import default_layers

_SHEET = 3  # pictures whose changes are shown
_IN_VIEW = 0.9  # of a part's pixels, which have to be shown


def fig5(
    model: nn.Module,
    pictures: Any = None,
    *,
    layers: Sequence[str] | None = None,
    count: int = 60,
    border: str = "reflect",
    seed: int = 0,
    preprocess: Any = None,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Measures how far changes of a picture move its features, and what becomes of the probability of its class.

    Vertical shifts by -60 to 60 of 224 pixels, enlargements up to 1.8, turns about the centre by 0 to 350 degrees, and
    flips, as in Figure 5 (Zeiler & Fergus, arXiv 1311.2901, section 4.1). A distance is Euclidean, divided by the
    median distance between two different pictures, so that layers can be compared. What comes in at the border is of
    the picture where it is larger than what the network sees; beyond that, see `border`. Turns are measured twice: of
    the whole, into which corners come, and of the largest disc, in which nothing but the angle changes.

    Args:
        model: any network that gives scores [N,classes].
        pictures: as :class:`zfcuda.paper.gallery.Gallery` takes them. Those that cannot be read, or whose image has
            another size than the first's, are left out.
        layers: names in the order of their depth, of which the first and the last are drawn; None: those of
            :func:`zfcuda.train.transfer.layers.default_layers`: in ZFNet the paper's layers 1 to 7.
        count: of pictures, drawn at random, as many of each class.
        border: what comes in where the picture ends: "reflect", its mirror image, which leaves the statistics of its
            pixels as they are; "mean", the mean colour; "edge", its last pixels. A few shifts with "mean" ("reflect",
            where that was given) show what it matters.
        seed: of the choice of pictures.
        preprocess: as :class:`zfcuda.paper.gallery.Gallery` takes it.
        cache: where what was measured is kept.
        progress: show a bar on stderr.

    Returns:
        Tables by layer and by change, with 95 % intervals by the bootstrap over pictures. Tensors: `pictures` int64
        [P], `amounts` [n], `probability` [P,n], and of each layer `NAME.distance` (relative) and `NAME.of_norm` [P,n].

    Raises:
        TypeError, ValueError: naming the argument.
        NotApplicableError: the network gives no scores, or has less than two layers; or less than two pictures can be
            read.
    """
    if border not in BORDERS:
        raise ValueError(f"border: expected one of {', '.join(BORDERS)}, got {border!r}")
    integer("count", count, 2)
    gallery = pictures if isinstance(pictures, Gallery) else Gallery(model, pictures, preprocess=preprocess)
    cache = cache or Cache()
    chosen, left_out = _readable(gallery, gallery.sample(count, seed=seed))
    size = gallery.image(chosen[0]).shape[2:]
    names = _layers(gallery, layers, gallery.image(chosen[0]))
    try:
        responses = Responses(gallery.model, names, gallery.image(chosen[0]))
    except ValueError as error:
        raise NotApplicableError(str(error)) from error
    changes = all_changes(size[0], border)
    facts = {"layers": names, "changes": [list(vars(change).values()) for change in changes]}
    records = []
    with cache.kept(gallery, "invariance", facts) as kept:
        for index in tqdm(chosen, desc="changes", unit="picture", disable=not progress):
            if index not in kept.records:
                canvas = canvas_of(gallery, index, farthest_shift(size[0]))
                kept.add({"picture": index, **responses.record(canvas, changes, gallery.label(index))})
            records.append(kept.records[index])
    between = _between(cache, gallery, responses, chosen)
    curves = replace(curves_of(records, changes, names, between), in_view=_in_view(gallery, chosen, changes))
    return _result(curves, gallery, records, border, left_out)


def _result(curves: Curves, gallery: Gallery, records: Sequence[dict[str, Any]], border: str, left_out: int) -> Result:
    result = Result()
    result.tables = {
        "Mean relative distance by layer": tables.by_layer(curves),
        "Smallest changes": tables.small(curves),
        "Probability and answer": tables.answers(curves),
        "Straightness: a line through the origin": tables.lines(curves),
        "The circle: share of the variance by period": tables.circle(curves),
        "Curves": tables.all_curves(curves),
    }
    result.claims = claims(curves)
    of_parts = symmetric(curves, gallery.parts) if gallery.parts is not None and curves.in_view is not None else None
    if of_parts is not None:
        result.tables["Rotational symmetry of the defining parts"], claim = of_parts
        result.claims.append(claim)
    result.tensors = {
        "pictures": torch.tensor(curves.pictures),
        "amounts": torch.tensor([change.amount for change in curves.changes]),
        "probability": torch.tensor(curves.probability),
        **{f"{layer}.distance": torch.tensor(values) for layer, values in curves.distances.items()},
        **{f"{layer}.of_norm": torch.tensor(values) for layer, values in curves.of_norm.items()},
    }
    canvases = [_canvas(gallery, index) for index in curves.pictures[:: max(1, len(records) // _SHEET)][:_SHEET]]
    drawn = {
        "": drawing.curves_picture(curves),
        "layers": drawing.layers_picture(curves),
        "changes": drawing.changes_sheet(canvases, border),
    }
    result.pictures = {name: picture for name, picture in drawn.items() if picture is not None}
    result.free = {"", "layers"} & set(result.pictures)
    result.notes = _notes(curves, records, canvases, border, left_out)
    return result


def _notes(
    curves: Curves, records: Sequence[dict[str, Any]], canvases: list[Canvas], border: str, left_out: int
) -> list[str]:
    same = [place for place, change in enumerate(curves.changes) if change.same]
    still = max(float(values[:, same].max()) for values in curves.distances.values())
    far = farthest_shift(canvases[0].size[0])
    share = float(np.mean([canvas.beyond(Change(SHIFT, far, border)) for canvas in canvases]))
    corners = float(np.mean([canvas.beyond(Change(TURN, 40, border)) for canvas in canvases]))
    known = sum(record["known"] for record in records)
    notes = [
        f"{len(records)} pictures. The class is the true one of {known}, of the others the one that the network gives "
        "to the original.",
        "A distance of 1 is the median one between two different pictures, of discs between two discs. What changes "
        f"nothing moves features by at most {still:g}.",
        f"Where a picture ends, {_BORDER_WORDS[border]} comes in: at a shift of {far} pixels in {100 * share:.0f} % of "
        f"what the network sees, turned by 40 degrees in {100 * corners:.0f} %. Discs have no such border: all outside "
        "them has the mean colour, before and after the turn.",
        "Enlargements, and turns by other angles than 90, 180 and 270 degrees, interpolate colours (bicubic), which is "
        "itself a change; the row of half a pixel says how much that may be.",
    ]
    return [*notes, *([f"{left_out} pictures were left out: unreadable, or of another size."] if left_out else [])]


_BORDER_WORDS = {"reflect": "its mirror image", "mean": "the mean colour", "edge": "its last row of pixels"}


def _layers(gallery: Gallery, layers: Sequence[str] | None, image: Tensor) -> list[str]:
    if layers is not None:
        names = [checked_layer(layer, gallery.model) for layer in layers]
        if len(dict.fromkeys(names)) < 2:
            raise ValueError(f"layers: expected at least two, got {list(layers)}")
        return list(dict.fromkeys(names))
    try:
        names = default_layers(gallery.model, image)
    except ValueError as error:
        raise NotApplicableError(str(error)) from error
    if len(names) < 2:
        raise NotApplicableError(f"layers: expected a network with at least two that are compared, got {names}")
    return names


def _readable(gallery: Gallery, indices: Sequence[int]) -> tuple[list[int], int]:
    """Those that can be read and have the size of the first one, and how many others there are."""
    sizes: dict[int, tuple[int, ...]] = {}
    for index in indices:
        try:
            sizes[index] = tuple(gallery.image(index).shape)
        except (ValueError, TypeError, OSError):
            continue
    found = [index for index, size in sizes.items() if size == next(iter(sizes.values()))]
    if len(found) < 2:
        raise NotApplicableError(f"pictures: expected at least two that can be read, got {len(found)}")
    return found, len(indices) - len(found)


def _in_view(gallery: Gallery, indices: Sequence[int], changes: Sequence[Change]) -> Array | None:
    """Whether the defining part of each picture is still shown after each change, as far as that is known."""
    preprocess = as_ours(gallery.pictures.preprocess)
    if gallery.parts is None or preprocess is None:
        return None
    high, wide = preprocess.sides
    side = gallery.parts.size
    left, top, right, bottom = crop_box((side, side), (high, wide), preprocess.short_side)
    rows = []
    for index in indices:
        y, x = np.nonzero(gallery.parts.draw(index).part_mask)
        across = ((x + 0.5 - left) / (right - left) - 0.5) * wide
        down = ((y + 0.5 - top) / (bottom - top) - 0.5) * high
        points = torch.from_numpy(np.stack([across, down], axis=1))
        rows.append((shown_share(points, (high, wide), changes) >= _IN_VIEW).numpy())
    return np.stack(rows)


def _canvas(gallery: Gallery, index: int) -> Canvas:
    return canvas_of(gallery, index, farthest_shift(gallery.image(index).shape[2]))


def _between(cache: Cache, gallery: Gallery, responses: Responses, indices: Sequence[int]) -> dict[str, list[float]]:
    """Of each layer the median distance between two of the pictures, and between the discs of two."""

    def work() -> dict[str, Tensor]:
        rows: dict[str, list[Tensor]] = {layer: [] for layer in responses.layers}
        originals = [Change(TURN, 0, "reflect"), Change(DISC, 0, "reflect")]
        for index in indices:
            for layer, values in responses(_canvas(gallery, index).changed(originals)).features.items():
                rows[layer].append(values.float().cpu())
        found = {}
        for layer, parts in rows.items():
            both = torch.stack(parts, dim=1)  # [2,pictures,D]
            found[layer] = torch.tensor([float(np.median(_apart(each).cpu().numpy())) for each in both])
        return found

    found = cache.tensors(gallery, "between two", {"layers": responses.layers, "pictures": list(indices)}, work)
    return {layer: found[layer].tolist() for layer in responses.layers}


def _apart(rows: Tensor) -> Tensor:
    """The distances between all pairs of rows [n,D], as [n(n-1)/2], in float64."""
    rows = rows.double()
    first, second = torch.triu_indices(len(rows), len(rows), 1)
    products = rows @ rows.T
    squares = products.diagonal()
    return (squares[first] + squares[second] - 2 * products[first, second]).clamp_min(0).sqrt()


def _run(setting: Setting) -> Result:
    return fig5(
        setting.model,
        setting.gallery,
        border=setting.options["border"],
        cache=setting.cache,
        seed=setting.seed,
        progress=setting.progress,
    )


FIGURE = Figure(
    name="fig5",
    title="Figure 5: what shifts, enlargements and turns do to the features",
    source="Zeiler & Fergus, Fig. 5 and section 4.1",
    says="Five pictures are shifted vertically by up to 60 pixels, enlarged up to 1.8 times, and turned through the "
    "circle; drawn are the Euclidean distances of the features of layers 1 and 7 to the original's, and the "
    "probability of the true class. Small changes have a dramatic effect in the first layer and a lesser one in the "
    "top layer, where it is quasi-linear for translation and scaling. The output is stable to translations and "
    "scalings, and in general not invariant to rotation, but for objects with rotational symmetry.",
    run=_run,
    options=(Option("border", "reflect", "WHAT", "what comes in where a picture ends: reflect, mean or edge"),),
)
