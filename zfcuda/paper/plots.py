"""Curves and bars as pictures, with matplotlib: the extra ``pip install zfcuda[plot]``."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

#: Colours that people who see no red or no green tell apart (Okabe & Ito), the first ones first.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def plotted(
    draw: Callable[[Any], None], *, rows: int = 1, columns: int = 1, size: tuple[float, float] = (7.0, 4.2)
) -> Image.Image | None:
    """What draw makes of the axes of a figure, as a picture; None without matplotlib.

    Args:
        draw: takes an array of axes [rows, columns].
        size: of the whole, in hundreds of pixels.
    """
    if not can_plot():
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # type: ignore[import-not-found,unused-ignore]
    from matplotlib.figure import Figure  # type: ignore[import-not-found,unused-ignore]

    figure = Figure(figsize=size, layout="constrained", dpi=100)  # pyplot would ask for a screen, and keep the figure
    canvas = FigureCanvasAgg(figure)
    draw(figure.subplots(rows, columns, squeeze=False))
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
