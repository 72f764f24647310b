"""The base of all results that show themselves."""

from __future__ import annotations

from typing import Any

from zfcuda.shown.display import Display
from zfcuda.shown.page import page
from zfcuda.shown.plot import draw


class Displayed:
    """A result that shows itself. What cannot be drawn shows its text in a notebook; nothing there raises."""

    def display(self) -> Display:
        """What there is to see of it."""
        raise NotImplementedError

    def plot(self, ax: Any = None) -> Any:
        """Draws the result with matplotlib; of many pictures the first ones, side by side.

        Args:
            ax: matplotlib's Axes; None: those of a new figure.

        Returns:
            The Axes.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: there is nothing that could be drawn.
        """
        return draw(self.display(), ax)

    def _repr_html_(self) -> str:
        return page(self, self.display)
