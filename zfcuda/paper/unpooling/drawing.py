"""Draws a stage and its deconvnet: whole maps, and a few windows with their numbers.

The convnet is above, from left to right; the deconvnet below, from right to left. What stands below one another is of
one shape. Needs matplotlib.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zfcuda.paper.plots import plotted
from zfcuda.paper.unpooling.attached import Attached, Filtered
from zfcuda.paper.unpooling.caption import caption, limit, written
from zfcuda.paper.unpooling.extract import Extract

#: A colour for each window that is shown.
_WINDOWS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#4aa3df", "#7f3c8d", "#8c564b", "#000000")
_INK, _FAINT, _GRID, _BEYOND = "#202020", "#9a9a9a", "#dcdcdc", "#ececec"
_PALER = 1.7  # cells with numbers, so that these can be read
_LEGIBLE = 12  # cells each way, above which there is no room for numbers
_SMALL, _TEXT = 7.0, 9.5  # points

Box = tuple[int, int, int, int]  # top, left, bottom, right
Ends = tuple[Image.Image, Image.Image]  # the picture, and its projection


def drawing(stage: Attached, shown: Extract, picture: Image.Image, projection: Image.Image) -> Image.Image | None:
    """The figure; None without matplotlib.

    Args:
        picture, projection: what the network sees, and what the deconvnet makes of it; drawn where the image itself
            lies beneath.
    """
    columns = [] if stage.filtered is None else [_beneath]
    columns += [] if stage.maps is None or stage.rectified is None else [_maps]
    columns += [_pooled_maps, _pooled]

    def draw(axes: Any) -> None:
        for i, column in enumerate(columns):
            column(axes[:, i], stage, shown, (picture, projection))
        names = ("convnet", "convnet, in numbers", "deconvnet, in numbers", "deconvnet")
        for row, name in enumerate(names):
            axes[row, 0].set_ylabel(name, fontsize=_TEXT + 1, color=_INK, labelpad=10)
        _arrows(axes, stage)
        axes[0, 0].figure.get_layout_engine().set(wspace=0.09)
        axes[0, 0].figure.supxlabel(caption(stage, shown), fontsize=_TEXT, color=_INK, x=0.03, ha="left")

    return plotted(draw, rows=4, columns=len(columns), size=(2.85 * len(columns) + 0.3, 12.6))


# ---------------------------------------------------------------- columns, from the maps beneath to the pooled ones


def _beneath(axes: Any, stage: Attached, shown: Extract, ends: Ends) -> None:
    below = stage.filtered
    assert below is not None
    box = _seen_by(shown.cells, below)
    up: Any
    down: Any
    if below.is_image:
        up, down = ends
        names = ("the picture", "reconstruction, of all maps")
    else:
        channel = int(below.reconstruction.abs().flatten(1).amax(1).argmax())
        up, down = below.beneath[channel], below.reconstruction[channel]
        names = (f"maps beneath: number {channel}", f"reconstruction of it, of all {len(stage.pooled)} maps")
    size = below.beneath.shape[1:]
    _whole(axes[0], up, box, size)
    _whole(axes[3], down, box, size)
    for axis, values in ((axes[1], up), (axes[2], down)):
        _whole(axis, values, None, size)
        axis.set_xlim(box[1] - 0.5, box[3] - 0.5)
        axis.set_ylim(box[2] - 0.5, box[0] - 0.5)
        axis.set_facecolor(_BEYOND)
    _name(axes, names, size)


def _maps(axes: Any, stage: Attached, shown: Extract, ends: Ends) -> None:
    assert stage.maps is not None and stage.rectified is not None
    up, down = stage.maps[shown.unit], stage.rectified[shown.unit]
    _both(axes, stage, shown, up, down)
    _name(axes, ("feature map", "rectified unpooled map"), up.shape)


def _pooled_maps(axes: Any, stage: Attached, shown: Extract, ends: Ends) -> None:
    up, down = stage.pooled_maps[shown.unit], stage.unpooled[shown.unit]
    _both(axes, stage, shown, up, down)
    frames: dict[tuple[int, int], list[str]] = {}
    for colour, (y, x) in zip(_colours(shown), shown.places, strict=True):
        at = stage.winners(shown.unit)[y, x].tolist()
        frames.setdefault((at[0] - shown.cells[0], at[1] - shown.cells[1]), []).append(colour)
    for axis in axes[1:3]:
        for (y, x), colours in frames.items():
            _sides(axis, x, y, colours)
    named = "feature map" if stage.maps is None else "rectified feature map"
    _name(axes, (named, "unpooled map"), up.shape)


def _pooled(axes: Any, stage: Attached, shown: Extract, ends: Ends) -> None:
    up, down = stage.pooled[shown.unit], stage.signal[shown.unit]
    top, left, rows, columns = shown.windows
    box = (top, left, top + rows, left + columns)
    for whole, few, values, below in ((axes[0], axes[1], up, False), (axes[3], axes[2], down, True)):
        _whole(whole, values, box, values.shape)
        cells = values[top : top + rows, left : left + columns]
        _numbers(few, cells, written(limit(stage, shown, down=below)), above=0.2, size=_TEXT)
        for colour, (y, x) in zip(_colours(shown), shown.places, strict=True):
            _frame(few, (x - left - 0.5, y - top - 0.5), (1.0, 1.0), colour, inset=0.03, width=1.9)
            _switch(few, x - left, y - top, int(stage.switches[shown.unit, y, x]), stage.window.kernel, colour)
    _name(axes, ("pooled map", "signal from above"), up.shape)


# ---------------------------------------------------------------- pieces


def _both(axes: Any, stage: Attached, shown: Extract, up: Tensor, down: Tensor) -> None:
    for whole, few, values, below in ((axes[0], axes[1], up, False), (axes[3], axes[2], down, True)):
        _whole(whole, values, shown.cells, values.shape)
        _numbers(few, shown.cut(values), written(limit(stage, shown, down=below)))


def _whole(axis: Any, values: Any, box: Box | None, size: Any) -> None:
    """A map in white, red where it is positive and blue where it is negative, or a picture; a frame around a box."""
    high, wide = size
    if isinstance(values, Tensor):
        most = float(values.abs().max()) or 1.0
        axis.imshow(values.numpy(), cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
    else:
        axis.imshow(values, extent=(-0.5, wide - 0.5, high - 0.5, -0.5))
    if box is not None:
        top, left, bottom, right = box
        for colour, width in (("white", 3.6), (_INK, 1.4)):  # to be seen on any picture
            _frame(axis, (left - 0.5, top - 0.5), (right - left, bottom - top), colour, width=width)
    _bare(axis)


def _numbers(axis: Any, cells: Tensor, form: tuple[int, int], *, above: float = 0.0, size: float = _SMALL) -> None:
    """Cells with their numbers; grey beyond the border of the map.

    form: from written(). above: how much higher than the middle of a cell its number is.
    """
    from matplotlib import colormaps  # type: ignore[import-not-found,unused-ignore]

    most = float(torch.nan_to_num(cells).abs().max()) or 1.0
    colours = colormaps["RdBu_r"].with_extremes(bad=_BEYOND)
    axis.imshow(cells.numpy(), cmap=colours, vmin=-_PALER * most, vmax=_PALER * most)
    high, wide = cells.shape
    axis.set_xticks([x - 0.5 for x in range(1, wide)], minor=True)
    axis.set_yticks([y - 0.5 for y in range(1, high)], minor=True)
    axis.grid(which="minor", color=_GRID, linewidth=0.6)
    _bare(axis)
    if max(high, wide) > _LEGIBLE:
        return
    power, digits = form
    for y in range(high):
        for x in range(wide):
            value = float(cells[y, x])
            if not math.isnan(value):
                text = f"{value / 10**power:.{digits}f}" if value else "0"
                text = text.lstrip("-") if not float(text) else text
                colour = _INK if value else _FAINT
                axis.text(x, y - above, text, ha="center", va="center", fontsize=size, color=colour)
    if power:
        said = f"$\\times 10^{{{power}}}$"
        axis.text(1.0, -0.02, said, transform=axis.transAxes, ha="right", va="top", fontsize=_TEXT, color=_INK)


def _switch(axis: Any, x: float, y: float, offset: int, kernel: tuple[int, int], colour: str) -> None:
    """A little window with the place that won filled."""
    from matplotlib.patches import Rectangle  # type: ignore[import-not-found,unused-ignore]

    side = 0.42 / max(kernel)
    left, top = x - side * kernel[1] / 2, y + 0.02
    for place in range(kernel[0] * kernel[1]):
        row, column = divmod(place, kernel[1])
        filled = colour if place == offset else "white"
        corner = (left + column * side, top + row * side)
        axis.add_patch(Rectangle(corner, side, side, facecolor=filled, edgecolor=colour, linewidth=0.6))


def _frame(
    axis: Any, corner: tuple[float, float], size: tuple[float, float], colour: str, *, inset: float = 0.0, width: float
) -> None:
    from matplotlib.patches import Rectangle  # type: ignore[import-not-found,unused-ignore]

    x, y = corner[0] + inset, corner[1] + inset
    sides = (size[0] - 2 * inset, size[1] - 2 * inset)
    axis.add_patch(Rectangle((x, y), *sides, fill=False, edgecolor=colour, linewidth=width, joinstyle="miter"))


def _sides(axis: Any, x: int, y: int, colours: list[str]) -> None:
    """A frame around a cell whose sides share the colours."""
    near, far = -0.44, 0.44
    corners = [(near, far), (near, near), (far, near), (far, far), (near, far)]
    for i in range(4):
        (x0, y0), (x1, y1) = corners[i], corners[i + 1]
        colour = colours[i * len(colours) // 4 if len(colours) < 4 else i]
        axis.plot([x + x0, x + x1], [y + y0, y + y1], color=colour, linewidth=2.4, solid_capstyle="projecting")


def _bare(axis: Any) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.tick_params(which="both", length=0)
    for spine in axis.spines.values():
        spine.set_color(_FAINT)


def _name(axes: Any, names: tuple[str, str], size: Any) -> None:
    """Names above the convnet's maps and below the deconvnet's."""
    axes[0].set_title(f"{names[0]}\n{size[0]} x {size[1]}", fontsize=_TEXT, color=_INK)
    axes[3].set_xlabel(f"{names[1]}\n{size[0]} x {size[1]}", fontsize=_TEXT, color=_INK)


def _arrows(axes: Any, stage: Attached) -> None:
    """What leads from each column to the next, to the right and back, and the switches from above to below."""
    ups, downs = ["pool"], ["unpool"]
    if stage.maps is not None:
        ups, downs = ["ReLU", *ups], ["ReLU", *downs]
    if stage.filtered is not None:
        ups, downs = ["filters F", *ups], ["filters $F^T$", *downs]
    style = {"arrowstyle": "-|>", "color": _INK, "lw": 1.4}
    for i, (up, down) in enumerate(zip(ups, downs, strict=True)):
        for row, text, ends in ((0, up, (1.04, 1.29)), (3, down, (1.29, 1.04))):
            axis = axes[row, i]
            axis.annotate(
                "", xy=(ends[1], 0.5), xytext=(ends[0], 0.5), xycoords="axes fraction", arrowprops=style, zorder=9
            ).set_in_layout(False)
            axis.text(1.165, 0.54, text, transform=axis.transAxes, ha="center", va="bottom", fontsize=_TEXT, color=_INK)
    last = axes[1, -1]
    last.annotate("", xy=(0.5, -0.2), xytext=(0.5, -0.02), xycoords="axes fraction", arrowprops=style).set_in_layout(
        False
    )
    last.text(0.54, -0.11, "switches", transform=last.transAxes, ha="left", va="center", fontsize=_TEXT, color=_INK)


def _colours(shown: Extract) -> list[str]:
    return [_WINDOWS[i % len(_WINDOWS)] for i in range(len(shown.places))]


def _seen_by(cells: Box, below: Filtered) -> Box:
    """What the cells of a map see of the maps beneath."""
    kernel, stride, padding = below.window.kernel, below.window.stride, below.window.padding
    starts = [cells[i] * stride[i] - padding[i] for i in (0, 1)]
    ends = [(cells[2 + i] - 1) * stride[i] - padding[i] + kernel[i] for i in (0, 1)]
    return starts[0], starts[1], ends[0], ends[1]
