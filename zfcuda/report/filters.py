"""The filters of the first convolution, drawn, and what is said about them."""

from __future__ import annotations

from dataclasses import dataclass

from zfcuda import render
from zfcuda.features.filter_sheet import slice_tiles
from zfcuda.report.explanation import Explanation
from zfcuda.report.panels import Panel

_TILE = 56  # pixels that a filter is enlarged to, about
_COLUMNS = 12
_MOST = 96  # filters drawn in colour
_CHANNELS = 12  # drawn of filters that have no colours, and filters that are drawn then


@dataclass(frozen=True)
class Filters:
    """The picture, and the sentence that says what is in it."""

    panel: Panel
    caption: str


def first_filters(e: Explanation) -> Filters | None:
    """The weights of the first convolution; None where there is none, or where they cannot be read."""
    if e.filters is None or e.filters.dim() != 4 or not e.filters.numel():
        return None
    count, channels, high, wide = e.filters.shape
    factor = max(1, round(_TILE / max(high, wide)))
    each = "each filter scaled on its own; grey is zero"
    if channels in (1, 3):
        drawn = e.filters[:_MOST]
        sheet = render.filters(drawn, factor=factor, columns=min(len(drawn), _COLUMNS))
        said = f"{_some(count, len(drawn), 'filters')} of {e.layers[0].name}, {each}."
    else:
        drawn = e.filters[:_CHANNELS, :_CHANNELS]
        sheet = render.grid(slice_tiles(drawn, factor), drawn.shape[1], gap=max(1, factor // 2))
        tiles = "each" if drawn.shape[1] == channels else str(drawn.shape[1])
        said = (
            f"{_some(count, len(drawn), 'filters')} of {e.layers[0].name}, one a row, and in it a tile for {tiles} of "
            f"the {channels} input channels, which are no colours; {each}."
        )
    alt = f"The weights of {len(drawn)} filters of the first layer, {wide} x {high} pixels each"
    return Filters(Panel(sheet, alt, hard=True), said)


def _some(count: int, shown: int, what: str) -> str:
    return f"The {count} {what}" if shown == count else f"{shown} of the {count} {what}"
