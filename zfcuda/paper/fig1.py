"""Figure 1: the deconvnet attached to a max pooling of a real network, with the switches and the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda import render
from zfcuda.inputs import integer
from zfcuda.network import trace
from zfcuda.paper.cache import Cache
from zfcuda.paper.estimate import Estimate
from zfcuda.paper.figure import Figure, Option, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.result import Claim, Result, Row
from zfcuda.paper.unpooling.attached import Attached, attached
from zfcuda.paper.unpooling.drawing import drawing
from zfcuda.paper.unpooling.extract import Extract, extract
from zfcuda.report.subject import subject_of

_WINDOWS = "windows that are shown"
_COUNTS = "maps of the pooling"


def fig1(
    model: nn.Module,
    pictures: Any = None,
    *,
    picture: int = 0,
    layer: str | None = None,
    above: str | None = None,
    unit: int | None = None,
    position: tuple[int, int] | None = None,
    preprocess: Any = None,
    cache: Cache | None = None,
    progress: bool = False,
) -> Result:
    """Draws a max pooling with its switches, and the deconvnet that is attached to it, with the numbers of both.

    The signal that comes down starts, as in the paper, from a single activation of a layer above, its strongest.

    Args:
        model: any network with a max pooling that :func:`zfcuda.project` walks through.
        pictures: as :class:`zfcuda.paper.gallery.Gallery` takes them.
        picture: which of them is looked at.
        layer: the max pooling; None: the first one.
        above: the layer that the signal starts from; None: the last convolution, or else what is next above.
        unit: which of its maps is shown; None: one where strong maxima meet a strong signal.
        position: (y, x) on the pooled map of the window in the middle of those whose numbers are shown; None: where
            two windows share a maximum, and the signal has both signs, if there is such a place.
        preprocess: as Gallery takes it.
        cache, progress: not needed: this takes a second.

    Returns:
        tensors, of the one picture: maps, pooled_maps [K,H,W], pooled, switches (uint8), signal [K,h,w], unpooled,
        rectified [K,H,W], beneath, reconstruction [C,h,w], wins [K,H,W], how many windows each element won. A table
        with a row for each window that is shown, and one with a row for each map. The picture needs matplotlib.

    Raises:
        NotApplicableError: no max pooling, no layer above it, or the deconvnet cannot come down to it.
        ValueError: no such picture, layer, unit or position, or `above` does not depend on the layer.
    """
    gallery = pictures if isinstance(pictures, Gallery) else Gallery(model, pictures, preprocess=preprocess)
    if not 0 <= integer("picture", picture) < len(gallery):
        raise ValueError(f"picture: expected 0 to {len(gallery) - 1}, got {picture}")
    image = gallery.image(picture)
    stage = attached(trace(gallery.model, image), image, layer, above)
    shown = extract(stage, unit, position)
    result = Result(
        tables={_WINDOWS: _windows(stage, shown), _COUNTS: _maps(stage)},
        tensors=_tensors(stage),
        claims=[_claim(stage)],
        notes=_notes(stage, shown),
    )
    drawn = drawing(stage, shown, gallery.picture(picture), _projection(gallery, stage))
    if drawn is not None:
        result.pictures[""] = drawn
    return result


def _projection(gallery: Gallery, stage: Attached) -> Image.Image:
    """What comes out at the bottom, in red, green and blue where it is the network's image."""
    if stage.filtered is None or not stage.filtered.is_image:
        return Image.new("RGB", (1, 1))
    subject = subject_of(gallery.model, preprocess=gallery.pictures.preprocess)
    return render.projection(subject.in_colour(stage.filtered.reconstruction))


def _windows(stage: Attached, shown: Extract) -> list[Row]:
    winners, wins = stage.winners(shown.unit), stage.wins()[shown.unit]
    rows: list[Row] = []
    for y, x in shown.places:
        at = winners[y, x].tolist()
        rows.append(
            {
                "map": shown.unit,
                "window": [y, x],
                "winner": at,
                "switch": int(stage.switches[shown.unit, y, x]),
                "maximum": float(stage.pooled[shown.unit, y, x]),
                "windows that this place won": int(wins[at[0], at[1]]),
                "signal from above": float(stage.signal[shown.unit, y, x]),
                "unpooled there": float(stage.unpooled[shown.unit, at[0], at[1]]),
            }
        )
    return rows


def _maps(stage: Attached) -> list[Row]:
    wins, likeness = stage.wins(), _likeness(stage)
    return [
        {
            "map": unit,
            "share of places that won": float((wins[unit] > 0).float().mean()),
            "share of these that won several windows": float((wins[unit][wins[unit] > 0] > 1).float().mean()),
            "correlation with what was pooled, through the switches": through,
            "correlation, each value in the middle of its window": middle,
        }
        for unit, (through, middle) in enumerate(likeness)
    ]


def _likeness(stage: Attached) -> list[tuple[float | None, float | None]]:
    """Correlation of each map with its maxima put back through the switches, and into the middle of each window."""
    kernel = stage.window.kernel
    middles = torch.full_like(stage.switches, kernel[0] // 2 * kernel[1] + kernel[1] // 2)
    back, middle = stage.unpool(stage.pooled), stage.unpool(stage.pooled, middles)
    return [
        (_correlation(each, back[unit]), _correlation(each, middle[unit]))
        for unit, each in enumerate(stage.pooled_maps)
    ]


def _correlation(a: Tensor, b: Tensor) -> float | None:
    """None where one of them is the same everywhere."""
    a, b = (each.double().flatten() - each.double().mean() for each in (a, b))
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if size > 0 else None


def _claim(stage: Attached) -> Claim:
    both = [(a, b) for a, b in _likeness(stage) if a is not None and b is not None]
    says = "The switches put what comes from above into its places, and so keep the structure of the stimulus."
    if len(both) < 2:
        return Claim(says, f"Fewer than two maps of {stage.layer} answer to this picture.", None)
    through, middle = np.asarray(both).T
    more = Estimate.of((through - middle).tolist())
    found = (
        f"Over the {len(both)} maps of {stage.layer} that answer to this picture, maxima put back through "
        f"the switches correlate with what was pooled by {through.mean():.2f} on average, and by {middle.mean():.2f} "
        f"where each is put into the middle of its window: a difference of {more}."
    )
    return Claim(says, found, more.positive)


def _notes(stage: Attached, shown: Extract) -> list[str]:
    at = "" if stage.above_position is None else f" at {stage.above_position}"
    wins = stage.wins()
    several = float((wins[wins > 0] > 1).float().mean())
    notes = [
        f"The signal starts from the strongest activation of {stage.above}: unit {stage.above_unit}{at}, "
        f"{stage.above_value:.3g}. Map {shown.unit} of {stage.layer} is shown.",
        f"{100 * several:.0f} % of the places that won a window of {stage.layer} won several: there the signals of all "
        "these windows add up."
        if several
        else f"No place won more than one window of {stage.layer}.",
    ]
    if stage.above_value <= 0:
        notes.append("That is not positive: nothing comes down.")
    if stage.filtered is None:
        notes.append(f"No convolution lies right below {stage.layer}: the figure ends with the unpooled maps.")
    return notes


def _tensors(stage: Attached) -> dict[str, Tensor]:
    below = stage.filtered
    every = {
        "maps": stage.maps,
        "pooled_maps": stage.pooled_maps,
        "pooled": stage.pooled,
        "switches": stage.switches,
        "wins": stage.wins(),
        "signal": stage.signal,
        "unpooled": stage.unpooled,
        "rectified": stage.rectified,
        "beneath": None if below is None else below.beneath,
        "reconstruction": None if below is None else below.reconstruction,
    }
    return {name: value for name, value in every.items() if value is not None}


def _run(setting: Setting) -> Result:
    given = setting.options
    return fig1(
        setting.model,
        setting.gallery,
        picture=given.get("picture", 0),
        layer=given.get("pooling") or None,
        above=given.get("above") or None,
        unit=None if given.get("map", -1) < 0 else given["map"],
        position=_place(given.get("place", "")),
        cache=setting.cache,
        progress=setting.progress,
    )


def _place(text: str) -> tuple[int, int] | None:
    """What --place says: Y,X; None where it says nothing."""
    words = [word.strip() for word in text.split(",")]
    if not text:
        return None
    if len(words) != 2 or not all(map(str.isdecimal, words)):
        raise ValueError(f"place: expected a place on the pooled map, as in 12,30, got {text!r}")
    return int(words[0]), int(words[1])


FIGURE = Figure(
    name="fig1",
    title="Figure 1: the deconvnet attached to a layer",
    source="Zeiler & Fergus, Fig. 1 and section 2.1",
    says="A deconvnet layer is attached to a convnet layer: it unpools, rectifies and filters with the transposed "
    "filters, and so reconstructs an approximation of what the convnet had beneath. Max pooling cannot be undone; "
    "switches record where in each pooling region the maximum was, and unpooling puts the signal from above there.",
    run=_run,
    options=(
        Option("picture", 0, "N", "which picture, counted from 0"),
        Option("pooling", "", "NAME", "a max pooling (the first one, where none is named)"),
        Option("above", "", "NAME", "the layer that the signal comes down from (the last convolution)"),
        Option("map", -1, "N", "which map of the pooling; -1: one in which much is going on"),
        Option("place", "", "Y,X", "the window in the middle of those whose numbers are shown, on the pooled map"),
    ),
)
