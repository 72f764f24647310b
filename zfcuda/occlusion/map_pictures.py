"""Pictures of an occlusion map, as large as its image, and its plot."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from zfcuda import render
from zfcuda.complaint import one_line
from zfcuda.occlusion.map_data import MapData, check_quantity
from zfcuda.occlusion.map_text import percent
from zfcuda.shown.plot import axes

#: What pictures there are. The last five show the value for the window whose centre is nearest to each pixel.
KINDS = ("overlay", "heatmap", "picture", "score", "log_odds", "probability", "label", "activity")
_OF_DROPS = ("overlay", "heatmap")
_DROPS = {"score": "score", "log_odds": "log-odds", "probability": "probability"}


def draw(m: MapData, kind: str | None = None, of: str | None = None) -> Image.Image:
    """One picture of the map, as OcclusionMap.image says."""
    if kind is None:
        kind = "heatmap" if m.shown is None else "overlay"
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {KINDS}, got {kind!r}")
    if of is not None and kind not in _OF_DROPS:
        raise ValueError(f"of: {kind!r} is no map of drops; expected it with one of {_OF_DROPS}")
    if kind in ("overlay", "picture") and m.shown is None:
        raise ValueError(f"kind: {kind!r} needs the image, which this map does not hold")
    if kind == "picture":
        return _picture(m)
    if kind in _OF_DROPS:
        heat = drop(m, "log_odds" if of is None else of)
        if kind == "overlay":
            return render.overlay(_picture(m), heat)
        return render.heatmap(heat, colours="diverging").resize(m.size[::-1], Image.Resampling.BICUBIC)
    values = getattr(m, kind)
    if values is None:
        raise ValueError("kind: 'activity' needs a layer, and this map was made without layer=")
    if kind == "label":
        return render.label_map(_nearest(m, values), first=m.target_label)[0]
    return render.heatmap(_nearest(m, values), colours="inferno" if kind == "activity" else "viridis")


def drop(m: MapData, of: str) -> Tensor:
    """What is lost where pixels are covered, as it is drawn: one value for each step of the occluder, [h,w] on the CPU.

    The map knows no finer detail; where there are pixels that no window covers, it stays as it is, [H,W].
    """
    check_quantity(of)
    heat = m.heatmap(of=of).cpu()
    if heat.isnan().any():
        return heat
    steps = (math.ceil(m.size[0] / m.stride[0]), math.ceil(m.size[1] / m.stride[1]))
    return F.adaptive_avg_pool2d(heat[None], steps)[0]


def plot(m: MapData, ax: Any, of: str) -> Any:
    """Draws the map over its picture on axes of matplotlib, as OcclusionMap.plot says."""
    check_quantity(of)
    ax = axes(ax)
    from matplotlib import colormaps, colors  # type: ignore[import-not-found,unused-ignore]

    heat = F.interpolate(drop(m, of)[None, None], m.size, mode="bilinear")[0, 0]
    limit = max(map(abs, render.value_range(heat))) or 1.0
    ours = colors.LinearSegmentedColormap.from_list("drop", [f"#{stop}" for stop in render.COLOURS["diverging"]])
    opacity: Any = None
    if m.shown is not None:
        ax.imshow(_picture(m).convert("L"), cmap=colormaps["gray"], vmin=0, vmax=255)
        opacity = (0.85 * (heat.abs() / limit).nan_to_num(0.0).clamp(0, 1) ** 0.75).numpy()
    drawn = ax.imshow(heat.numpy(), cmap=ours, vmin=-limit, vmax=limit, alpha=opacity, interpolation="nearest")
    ax.set_title(f"{one_line(m.label_name(m.target_label))}: {percent(m.base_probability)}")
    ax.figure.colorbar(drawn, ax=ax, fraction=0.046, pad=0.04, label=f"drop of the {_DROPS[of]} where covered")
    return ax


def _picture(m: MapData) -> Image.Image:
    assert m.pixels is not None
    return Image.fromarray(m.pixels.permute(1, 2, 0).cpu().contiguous().numpy())


def _nearest(m: MapData, values: Tensor) -> Tensor:
    """[rows,cols] -> [H,W]: for each pixel the value for the window whose centre, in the image, is nearest."""
    for axis in (0, 1):
        first = m.origins.select(1 - axis, 0)[:, axis]
        centre = (first + (first + m.window[axis]).clamp(max=m.size[axis])).float() / 2
        pixel = torch.arange(m.size[axis], device=centre.device).float() + 0.5
        nearest = (pixel[:, None] - centre).abs().argmin(1)
        values = values.index_select(axis, nearest)
    return values
