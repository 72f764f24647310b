"""Parts: pictures drawn on the spot, in which one known part, and nothing else, tells the class."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from zfcuda.data import creature, emblems, scenery
from zfcuda.data.dice import Dice
from zfcuda.data.palette import CHALK, INK, Color, apart_from, luma
from zfcuda.data.pen import Frame
from zfcuda.data.pieces import Pieces

_FINE = 2  # canvas pixels per picture pixel, each way
#: The seed kept for measuring: ``zfcuda.train`` refuses to learn from it.
HELD_OUT_SEED = 1_000_000
#: What :meth:`Parts.points` calls the middle of the part that tells the class.
DEFINING = "defining part"
_SCENE, _ORDER = 0, 1  # the streams of chance of a seed


@dataclass(frozen=True)
class PartsPicture:
    """One drawn picture and what is known of it.

    Attributes:
        image: RGB, size x size.
        label: the class, an index into ``Parts.classes``.
        class_name: its name.
        object_mask: bool [size, size] (y, x), the object with its defining part.
        part_mask: bool [size, size], every pixel that the defining part touches; empty in a picture drawn without it.
        index: which picture of its seed this is.
    """

    image: Image.Image
    label: int
    class_name: str
    object_mask: np.ndarray
    part_mask: np.ndarray
    index: int

    def __repr__(self) -> str:
        shares = (f"{100 * mask.mean():.1f} %" for mask in (self.object_mask, self.part_mask))
        return "PartsPicture {}: {} {!r}, {} x {} pixels, object {} of them, defining part {}".format(
            self.index, self.label, self.class_name, *self.image.size, *shares
        )


class Parts:
    """An endless set of drawn pictures: creatures and machines before cluttered backgrounds, told apart by one part.

    Each class is one shape (a star, a gear, a ladder, ...) that the object wears or holds somewhere. That shape
    covers 2 to 8 % of the picture, and it alone tells the class: everything else is chosen before and independently
    of the class, so picture ``i`` of a seed is the same scene whatever class it is drawn with.

    Picture ``i`` of a seed is always the same picture, and any run of ``len(classes)`` pictures that starts at a
    multiple of it holds each class once. Iterating never ends.

    Args:
        seed: which endless set; non-negative.
        size: side of the pictures in pixels, 32 to 2048.

    Raises:
        ValueError: ``seed`` or ``size`` out of range.

    Example:
        >>> picture = zfcuda.data.Parts(seed=1)[0]
        >>> picture.image.size, picture.part_mask.shape
        ((224, 224), (224, 224))
    """

    classes: tuple[str, ...] = emblems.NAMES

    def __init__(self, seed: int = 0, size: int = 224) -> None:
        if seed < 0:
            raise ValueError(f"seed: expected at least 0, got {seed}")
        if not 32 <= size <= 2048:
            raise ValueError(f"size: expected 32 to 2048 pixels, got {size}")
        self.seed = seed
        self.size = size

    def __repr__(self) -> str:
        return f"Parts(seed={self.seed}, size={self.size})"

    def __getitem__(self, index: int) -> PartsPicture:
        return self.draw(index)

    def __iter__(self) -> Iterator[PartsPicture]:
        return map(self.draw, itertools.count())

    def label(self, index: int) -> int:
        """The class of picture ``index``, without drawing it."""
        block, place = divmod(self._checked(index), len(self.classes))
        return Dice(self.seed, _ORDER, block).shuffled(len(self.classes))[place]

    def draw(
        self, index: int, *, part: bool = True, label: int | None = None, without: Collection[str] = ()
    ) -> PartsPicture:
        """Picture ``index``.

        Args:
            index: from 0.
            part: False leaves the defining part out. Every pixel outside that part's mask stays as it was; inside it
                shows what the part had covered.
            label: draws the same scene with another class's part in the same place.
            without: names of other pieces that are left out in the same way; :meth:`pieces` lists those there are.

        Raises:
            TypeError: ``without`` is one string.
            ValueError: ``index`` is negative, there is no class ``label``, or the picture has no such piece.
        """
        if isinstance(without, str):
            raise TypeError(f"without: expected a list of names, got {without!r}")
        pieces = Pieces(without)
        picture = self._drawn(index, part, label, pieces)
        unknown = sorted(pieces.without - set(pieces.drawn))
        if unknown:
            raise ValueError(f"without: picture {index} has no {unknown[0]!r}; it has {', '.join(pieces.drawn)}")
        return picture

    def pieces(self, index: int) -> tuple[str, ...]:
        """What picture ``index`` can be drawn without, from the back to the front: the names that ``draw`` takes.

        The defining part, which is not among them, is left out by ``part=False``. One piece may hide another.

        Raises:
            ValueError: ``index`` is negative.
        """
        pieces = Pieces()
        self._drawn(index, False, None, pieces)
        return tuple(pieces.drawn)

    def points(self, index: int) -> dict[str, tuple[float, float]]:
        """Where named points of the object are seen in picture ``index``: the same names are the same places of it.

        Those there are of: left, right and middle eye, mouth, body (its centre), left and right ear (horns and feelers,
        too), hand and foot, defining part. Left and right are as one sees them once the object is set upright, in a
        mirrored one too, as people say them of faces. Points that another piece covers are left out, and those outside
        the picture.

        Returns:
            name -> (y, x) in pixels of the picture, whole numbers in their centres.

        Raises:
            ValueError: ``index`` is negative.
        """
        pieces = Pieces()
        picture = self._drawn(index, True, None, pieces)
        trinkets = [name for name in pieces.drawn if name.endswith(" trinket")]
        bare = self.draw(index, without=trinkets) if trinkets else picture
        hidden = picture.part_mask | (np.asarray(picture.image) != np.asarray(bare.image)).any(axis=2)
        found = {}
        for name, (x, y) in pieces.points.items():
            at = ((y - (_FINE - 1) / 2) / _FINE, (x - (_FINE - 1) / 2) / _FINE)
            row, column = round(at[0]), round(at[1])
            if 0 <= row < self.size and 0 <= column < self.size and (name == DEFINING or not hidden[row, column]):
                found[name] = at
        return found

    def _drawn(self, index: int, part: bool, label: int | None, pieces: Pieces) -> PartsPicture:
        if label is None:
            label = self.label(index)
        elif not 0 <= label < len(self.classes):
            raise ValueError(f"label: expected 0 to {len(self.classes) - 1}, got {label}")
        dice = Dice(self.seed, _SCENE, self._checked(index))
        size, side = self.size, self.size * _FINE

        # All of this is settled before the class is looked at.
        build = creature.design(dice)
        scale = side * dice.between(0.17, 0.25)
        area = side * side * (dice.between(0.026, 0.04) + 0.25 * (scale / side - 0.17))
        turn, mirrored = math.radians(dice.between(-24, 24)), dice.chance(0.5)
        part_turn, part_mirrored = dice.between(0, 2 * math.pi), dice.chance(0.5)
        colors = _part_colors(dice, build)
        frame = _placed(dice, build, side, scale, turn, mirrored, emblems.REACH * math.sqrt(area))

        ground, ground_colors = scenery.backdrop(dice, size)
        canvas = ground.resize((side, side), Image.Resampling.NEAREST)
        scenery.clutter(canvas, dice, ground_colors, pieces)
        mask = Image.new("L", (side, side))
        if dice.chance(0.6):
            creature.shadow(pieces.sheet("shadow", canvas), build, frame)
        creature.draw(canvas, mask, dice, build, frame, pieces)
        pieces.mark(DEFINING, frame, *build.place)
        object_mask = np.asarray(mask.reduce(_FINE)) >= 128
        part_mask = np.zeros_like(object_mask)
        if part:
            x, y = frame.point(*build.place)
            covered = emblems.paint(canvas, self.classes[label], x, y, area, part_turn, part_mirrored, colors)
            part_mask = np.asarray(covered.reduce(_FINE)) > 0
            object_mask = object_mask | part_mask
        picture = _lit(canvas.reduce(_FINE), dice)
        return PartsPicture(picture, label, self.classes[label], object_mask, part_mask, index)

    @staticmethod
    def _checked(index: int) -> int:
        if index < 0:
            raise ValueError(f"index: expected at least 0, got {index}")
        return index


def _part_colors(dice: Dice, build: creature.Build) -> tuple[Color, Color, Color]:
    """Outline, fill and accent of the defining part, set off from the body and from each other."""
    fill = apart_from(dice, (build.color, build.second), 75)
    accent = apart_from(dice, (fill,), 130)
    outline = INK if luma(fill) > 90 else CHALK
    return outline, fill, accent


def _placed(
    dice: Dice, build: creature.Build, side: int, scale: float, turn: float, mirrored: bool, reach: float
) -> Frame:
    """The object somewhere in the picture, moved until its defining part (of radius ``reach``) is inside."""
    frame = Frame(side * dice.between(0.3, 0.7), side * dice.between(0.32, 0.68), scale, turn, mirrored)
    x, y = frame.point(*build.place)
    margin = reach + 2 * _FINE
    dx = min(max(x, margin), side - margin) - x
    dy = min(max(y, margin), side - margin) - y
    return Frame(frame.x + dx, frame.y + dy, scale, turn, mirrored)


def _lit(picture: Image.Image, dice: Dice) -> Image.Image:
    """An RGB picture under a light from somewhere, of some strength and tint, with a little grain."""
    size = picture.width
    line = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    angle, slope = dice.between(0, 2 * math.pi), dice.between(0.0, 0.22)
    exposure, vignette = dice.between(0.8, 1.2), dice.between(0.0, 0.16)
    warmth = dice.between(-0.06, 0.06)
    across = slope * math.cos(angle) * line - vignette * line * line
    down = slope * math.sin(angle) * line - vignette * line * line
    light = (exposure * (1.0 + across[None, :] + down[:, None])).astype(np.float32)
    grain = (dice.grid(size, size).astype(np.float32) - 0.5) * dice.between(3.0, 12.0)
    planes = []
    for plane, tint in zip(picture.split(), (1 + warmth, 1.0, 1 - warmth), strict=True):
        lit = np.asarray(plane) * light  # plane by plane: several times faster than broadcasting over colours
        lit *= np.float32(tint)
        lit += grain
        planes.append(Image.fromarray(np.clip(lit, 0, 255, out=lit).astype(np.uint8)))
    return Image.merge("RGB", planes)
