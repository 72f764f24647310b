"""Curves of how layers converge, over the epochs of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from zfcuda.paper.evolution.convergence import ALIKE
from zfcuda.paper.plots import plotted

_MARKS = "os^Dv<>PX*"


def curves(epochs: Sequence[int], panels: Mapping[str, Mapping[str, Sequence[float]]]) -> Image.Image | None:
    """A panel for each measure, a curve in it for each layer, light the first and dark the last.

    Args:
        epochs: of the points; 0 is the initial network.
        panels: the words on the vertical axis -> layer -> a value for each epoch, from 0 to 1.
    """

    def draw(axes: Any) -> None:
        import matplotlib  # type: ignore[import-not-found,unused-ignore]

        places = [epoch**0.5 for epoch in epochs]  # early epochs lie apart, and 0 has a place
        for axis, (title, layers) in zip(axes.flat, panels.items(), strict=True):
            for number, (name, values) in enumerate(layers.items()):
                colour = matplotlib.colormaps["viridis"](0.95 * (1 - number / max(1, len(layers) - 1)))
                axis.plot(places, values, f"-{_MARKS[number % len(_MARKS)]}", color=colour, label=name, ms=4, lw=1.4)
            axis.axhline(ALIKE if "to go" not in title else 0.5, color="0.6", lw=0.8, ls="--", zorder=0)
            axis.set_xticks(places, [f"{epoch}" for epoch in epochs])
            axis.set_xlabel("epoch (0: initial weights)" if 0 in epochs else "epoch")
            axis.set_ylabel(title)
            axis.grid(alpha=0.25)
        axes[0][-1].legend(frameon=False, fontsize=9, loc="lower right")

    return plotted(draw, columns=len(panels), size=(11.5, 4.0))
