"""The pieces a picture is drawn of, each of which can be left out while all others stay as they are."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image

from zfcuda.data.pen import Frame, Point


class Pieces:
    """Says where each piece is drawn: on the canvas, or where it is to be left out, on a sheet that is thrown away.

    A piece that is left out is drawn all the same, so that the chance of those after it stays what it is.

    Attributes:
        drawn: the names of the pieces, in the order in which they were drawn.
        without: those that are left out.
        points: where named points of the object lie, (x, y) in canvas pixels.
    """

    def __init__(self, without: Iterable[str] = ()) -> None:
        self.without = frozenset(without)
        self.drawn: list[str] = []
        self.points: dict[str, Point] = {}

    def sheets(self, name: str, canvas: Image.Image, mask: Image.Image) -> tuple[Image.Image, Image.Image]:
        """Notes the piece, and gives the canvas (RGB) and the mask ("L") that it is to be drawn on."""
        canvas = self.sheet(name, canvas)
        return canvas, Image.new("L", mask.size) if name in self.without else mask

    def sheet(self, name: str, canvas: Image.Image) -> Image.Image:
        """The same without a mask."""
        self.drawn.append(name)
        return Image.new(canvas.mode, canvas.size) if name in self.without else canvas

    def mark(self, name: str, frame: Frame, x: float, y: float) -> None:
        """Notes a point that an object has once, given in its frame's units."""
        self.points[name] = frame.point(x, y)

    def mark_side(self, name: str, frame: Frame, x: float, y: float) -> None:
        """Notes one of a pair, as left or right as it is seen once the object is set upright: mirrored or not."""
        right = (x > 0) != frame.mirrored
        self.mark(f"{'right' if right else 'left'} {name}", frame, x, y)
