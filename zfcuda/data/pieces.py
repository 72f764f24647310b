"""The pieces a picture is drawn of, each of which can be left out while all others stay as they are."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image


class Pieces:
    """Says where each piece is drawn: on the canvas, or where it is to be left out, on a sheet that is thrown away.

    A piece that is left out is drawn all the same, so that the chance of those after it stays what it is.

    Attributes:
        drawn: the names of the pieces, in the order in which they were drawn.
        without: those that are left out.
    """

    def __init__(self, without: Iterable[str] = ()) -> None:
        self.without = frozenset(without)
        self.drawn: list[str] = []

    def sheets(self, name: str, canvas: Image.Image, mask: Image.Image) -> tuple[Image.Image, Image.Image]:
        """Notes the piece, and gives the canvas (RGB) and the mask ("L") that it is to be drawn on."""
        canvas = self.sheet(name, canvas)
        return canvas, Image.new("L", mask.size) if name in self.without else mask

    def sheet(self, name: str, canvas: Image.Image) -> Image.Image:
        """The same without a mask."""
        self.drawn.append(name)
        return Image.new(canvas.mode, canvas.size) if name in self.without else canvas
