"""The pictures of Fig. 6: first-layer filters, projections of the second layer, and curves of what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zfcuda import render
from zfcuda.paper.first_layer.aliasing import FREQUENCIES, density_of
from zfcuda.paper.first_layer.claims import fraction
from zfcuda.paper.first_layer.clipping import Clipping
from zfcuda.paper.first_layer.filters import BANDS
from zfcuda.paper.first_layer.network import FirstLayer
from zfcuda.paper.panels import laid_out, panel
from zfcuda.paper.plots import COLOURS, plotted

_FILTERS, _PROJECTIONS = 8, 6  # in a row
_FILTER, _PROJECTION = 56, 88  # pixels of a side, about
_ROWS = 4  # of projections
_GAP = 4


def sheet(ours: FirstLayer, theirs: FirstLayer, clipping: Sequence[Clipping]) -> Image.Image:
    """The paper's panels (a) to (e); (a) is missing where no training tells of clipping."""
    panels = []
    if clipping:
        without = clipping[-1].filters[1]
        every = [(without, "without clipping", "all on one scale")]
        every += [(each.filters[0], "with clipping", f"RMS clipped at {each.radius:g}") for each in clipping]
        scale = max(render.robust_scale(values, 100.0) for values, _, _ in every)
        for values, words, how in every:
            panels.append(panel(_filters(values, scale), f"(a) first layer, {words}", below=how))
    for letter, each in zip("bc", (theirs, ours), strict=True):
        panels.append(
            panel(_filters(each.filters), f"({letter}) first layer, {each.kind}", below="each on its own scale")
        )
    for letter, each in zip("de", (theirs, ours), strict=True):
        below = f"projections of the strongest of {each.second}, {each.projections.shape[2]} pixels wide"
        panels.append(panel(_projections(each), f"({letter}) second layer, behind {each.kind}", below=below))
    return laid_out(panels)


def aliasing(kinds: Mapping[str, Sequence[FirstLayer]]) -> Image.Image | None:
    """Mean spectra of the projections of the second layer, a line for each training."""

    def draw(axes: Any) -> None:
        axis, bars = axes[0]
        for colour, (kind, networks) in zip(COLOURS, kinds.items(), strict=False):
            for number, network in enumerate(networks):
                if len(network.spectra):
                    energy = density_of(network.spectra).mean(0)
                    axis.semilogy(network.frequencies, energy, color=colour, lw=1.3, label=None if number else kind)
        marks = (1 / 8, *FREQUENCIES)
        for line in marks:
            axis.axvline(line, color="0.6", lw=0.8, ls=":", zorder=0)
        axis.set_xticks([0, *marks], ["0", *map(fraction, marks)])
        axis.set_xlabel("cycles per pixel")
        axis.set_ylabel("share of the energy")
        axis.legend(frameon=False, title="a line for each training")
        width = 0.8 / len(kinds)
        for place, (colour, (kind, networks)) in enumerate(zip(COLOURS, kinds.items(), strict=False)):
            at = torch.arange(len(FREQUENCIES)) + (place - (len(kinds) - 1) / 2) * width
            each = torch.stack([100 * network.excess.mean(0) for network in networks])
            bars.bar(at, each.mean(0), width, color=colour, alpha=0.55, label=kind)
            for training in each:
                bars.plot(at, training, "o", color=colour, ms=4)
        bars.axhline(0, color="0.3", lw=0.8)
        bars.set_xticks(range(len(FREQUENCIES)), map(fraction, FREQUENCIES))
        bars.set_xlabel("cycles per pixel")
        bars.set_ylabel("energy that stands out, %")
        bars.legend(frameon=False, title="a point for each training")

    return plotted(draw, columns=2, size=(11.0, 4.2))


def numbers(kinds: Mapping[str, Sequence[FirstLayer]], clipping: Sequence[Clipping]) -> Image.Image | None:
    """The bands of first-layer filters, how alike their answers are, and their RMS with and without clipping."""

    def draw(axes: Any) -> None:
        bars, alike = axes[0][:2]
        width = 0.8 / len(kinds)
        for place, (colour, (kind, networks)) in enumerate(zip(COLOURS, kinds.items(), strict=False)):
            words = [*(f"{band} frequencies" for band in BANDS), "like noise", "dead"]
            at = torch.arange(len(words)) + (place - (len(kinds) - 1) / 2) * width
            shares = torch.tensor(
                [[100 * float(network.by_filter[word].mean()) for word in words] for network in networks]
            )
            bars.bar(at, shares.mean(0), width, color=colour, alpha=0.55, label=kind)
            for one in shares:
                bars.plot(at, one, "o", color=colour, ms=4)
            together = torch.cat([network.by_filter["correlation of answers"] for network in networks]).sort().values
            alike.plot(together, torch.linspace(0, 100, len(together)), color=colour, label=kind)
        bars.set_xticks(range(5), ["low", "mid", "high", "like\nnoise", "dead"])
        bars.set_ylabel("first-layer filters, %")
        bars.legend(frameon=False, title="a point for each training")
        alike.set_xlabel("mean |correlation| of a filter's answers\nwith those of the others")
        alike.set_ylabel("first-layer filters below, %")
        alike.legend(frameon=False)
        if not clipping:
            return
        axis = axes[0][2]
        lines = [("without clipping", clipping[-1].unclipped)]
        lines += [(f"clipped at {each.radius:g}", each.clipped) for each in clipping]
        for place, (word, values) in enumerate(lines):
            style, colour = "--" if place else "-", COLOURS[2 + place]
            axis.plot(values[-1].sort(descending=True).values, style, color=colour, marker=".", label=word)
        highest = max(float(values[-1].max()) for _, values in lines)
        for place, one in enumerate(clipping):
            if one.radius < 2 * highest:  # others would press the curves down
                axis.axhline(one.radius, color=COLOURS[3 + place], lw=0.8, ls=":", label=f"radius {one.radius:g}")
        axis.set_ylim(0)
        axis.set_xlabel("first-layer filters, the largest first")
        axis.set_ylabel("RMS in the end")
        axis.legend(frameon=False)

    return plotted(draw, columns=3 if clipping else 2, size=(11.5 if clipping else 8.0, 4.0))


def _filters(filters: Tensor, scale: float | None = None) -> Image.Image:
    factor = max(1, _FILTER // max(filters.shape[2:]))
    tiles = [render.enlarged(render.projection(each, scale=scale, percentile=100.0), factor) for each in filters]
    return render.grid(tiles, _FILTERS, gap=_GAP)


def _projections(layer: FirstLayer) -> Image.Image:
    """Those of units evenly spaced."""
    count = min(len(layer.projections), _PROJECTIONS * _ROWS)
    rows = [place * len(layer.projections) // count for place in range(count)]
    tiles = [
        render.projection(layer.projections[row]).resize((_PROJECTION, _PROJECTION), Image.Resampling.LANCZOS)
        for row in rows
    ] or [Image.new("RGB", (_PROJECTION, _PROJECTION), (128, 128, 128))]
    return render.grid(tiles, _PROJECTIONS, gap=_GAP)
