"""What lies behind the object: a textured backdrop with clutter on it. Knows nothing of classes."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from zfcuda.data.dice import Dice
from zfcuda.data.palette import CHALK, INK, MUTED, Color, luma, mix
from zfcuda.data.pen import Frame, Pen, arc, oval
from zfcuda.data.pieces import Pieces


def _smooth(dice: Dice, cells: int, side: int) -> np.ndarray:
    """float32 [side, side], about 0 to 1: random hills, ``cells`` of them across."""
    small = Image.fromarray(dice.grid(cells, cells).astype(np.float32))
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))


def _field(dice: Dice, side: int) -> np.ndarray:
    """float [side, side]: one of several textures, about 0 to 1."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    angle = dice.between(0, math.pi)
    u = x * math.cos(angle) + y * math.sin(angle)
    v = y * math.cos(angle) - x * math.sin(angle)
    rough = 0.6 * _smooth(dice, 5, side) + 0.4 * _smooth(dice, 14, side)
    kind = dice.below(6)
    if kind == 0:  # clouds
        return 1.5 * rough - 0.25
    if kind == 1:  # waves
        waves: np.ndarray = 0.5 + 0.4 * np.sin(dice.between(25, 70) * u + dice.between(3, 9) * rough)
        return waves
    if kind == 2:  # cloth
        pitch = dice.between(30, 60)
        cloth: np.ndarray = 0.5 + 0.2 * np.sin(pitch * u) + 0.2 * np.sin(pitch * v) + 0.3 * (rough - 0.5)
        return cloth
    if kind == 3:  # planks
        count = 5 + dice.below(7)
        board = np.floor((u + 2) * count).astype(np.int64)
        tone = dice.grid(1, 4 * count + 8)[0][board % (4 * count)]
        seam = np.abs((u + 2) * count - board - 0.5) > 0.46
        planks: np.ndarray = 0.25 + 0.5 * tone + 0.3 * (rough - 0.5) - 0.3 * seam
        return planks
    if kind == 4:  # dunes, one behind the other
        dunes = 0.3 * rough
        for k in range(4):
            crest = 0.25 + 0.2 * k + 0.05 * np.sin(dice.between(4, 10) * x + dice.between(0, 7))
            dunes = dunes + 0.22 * (y > crest)
        return dunes
    pitch = dice.between(22, 45)  # dots
    dots: np.ndarray = 0.3 + 0.35 * (np.sin(pitch * u) * np.sin(pitch * v) > 0.45) + 0.4 * (rough - 0.3)
    return dots


def backdrop(dice: Dice, size: int) -> tuple[Image.Image, tuple[Color, ...]]:
    """A textured background with out-of-focus shapes on it.

    Returns:
        the picture (RGB, size x size) and the three colours it is made of.
    """
    side = max(16, size // 2)  # out of focus anyway
    base = dice.pick(MUTED)
    other = dice.pick(MUTED)
    third = mix(dice.pick(MUTED), dice.pick((INK, CHALK)), dice.between(0.1, 0.5))
    colors = (base, mix(base, other, 0.7), mix(base, third, 0.8))
    stops = np.linspace(0, 1, 256)
    ramp = np.stack([np.interp(stops, (0.0, 0.5, 1.0), [c[k] for c in colors]) for k in range(3)], axis=1)
    index = np.clip(_field(dice, side) * 255, 0, 255).astype(np.uint8)
    picture = Image.fromarray(np.take(ramp.astype(np.uint8), index, axis=0))
    draw = ImageDraw.Draw(picture)
    for _ in range(3 + dice.below(6)):
        frame = _strewn(dice, side, 0.05, 0.17)
        trinket(Pen(picture, frame), dice, mix(dice.pick(colors), dice.pick(MUTED), dice.between(0.2, 0.8)), None)
    if dice.chance(0.3):  # a thread or a crack across
        draw.line([dice.between(0, side) for _ in range(4)], fill=dice.pick(colors), width=1 + dice.below(3))
    blur = side / 112 * dice.pick((0.0, 0.5, 1.0, 1.6))
    picture = picture.filter(ImageFilter.BoxBlur(blur)) if blur else picture
    return picture.resize((size, size), Image.Resampling.BILINEAR), colors


def _strewn(dice: Dice, side: int, least: float, most: float) -> Frame:
    """A frame anywhere on a canvas of that side, turned at random, its size between two shares of that side."""
    x, y, size = dice.between(0, side), dice.between(0, side), dice.between(least, most)
    return Frame(x, y, side * size, dice.between(0, 2 * math.pi))


def trinket(pen: Pen, dice: Dice, color: Color, outline: Color | None) -> None:
    """One of the shapes that mean nothing, about one unit in radius: clutter, or what an object holds besides its part.

    None of them has the silhouette or the inner drawing of a defining part.
    """
    kind = dice.below(8)
    shade = mix(color, INK, 0.28)
    light = mix(color, CHALK, 0.35)
    width, height, power = 1.0, 1.0, 1.0
    if kind == 0:  # balloon
        shape = oval(0.9, dice.between(0.8, 1.0))
    elif kind == 1:  # pebble
        flat, square = dice.between(0.6, 0.8), dice.between(0.7, 1.0)
        shape = oval(1.0, flat, power=square, taper=dice.between(-0.25, 0.25), bend=dice.between(-0.2, 0.2))
    elif kind == 2:  # leaf
        shape = np.concatenate([arc((-1.1, 0), (1.1, 0), 0.26), arc((1.1, 0), (-1.1, 0), 0.26)])
    elif kind == 3:  # block
        width, height, power = dice.between(0.6, 0.95), dice.between(0.6, 0.95), 0.22
        shape = oval(width, height, power=power)
    elif kind == 4:  # cone
        shape = np.array([(-0.8, 0.75), (0.8, 0.75), (0.12, -0.95), (-0.12, -0.95)])
    elif kind == 5:  # cap
        t = np.linspace(math.pi, 2 * math.pi, 16)
        shape = np.stack([np.cos(t), np.sin(t) * 0.95 + 0.45], axis=1)
    elif kind == 6:  # drop
        right = np.array([(0.0, -1.15), (0.34, -0.55), (0.66, 0.0), (0.7, 0.42), (0.45, 0.85), (0.0, 1.0)])
        shape = np.concatenate([right, right[-2:0:-1] * (-1.0, 1.0)])
    else:  # stick
        shape = oval(1.25, 0.22, power=0.5, bend=0.0)
    if outline is not None:
        pen.polygon(shape * (1 + 0.12 / np.maximum(np.abs(shape).max(axis=0), 0.25)), outline)
    pen.polygon(shape, color)
    if kind in (0, 1):
        pen.polygon(oval(0.24, 0.17, x=-0.34, y=-0.3, count=14), light)
    elif kind == 2:
        pen.stroke([(-0.9, 0.0), (0.9, 0.0)], 0.1, shade)
    elif kind == 3:
        pen.stroke([(-0.6 * width, -0.4 * height), (0.6 * width, -0.4 * height)], 0.14, shade)
    elif kind == 4:
        pen.polygon(np.array([(-0.62, 0.35), (0.62, 0.35), (0.45, -0.05), (-0.45, -0.05)]), light)
    elif kind == 5:
        pen.disc(-0.3, 0.0, 0.16, light)
        pen.disc(0.35, 0.1, 0.12, light)
    elif kind == 6:
        pen.polygon(oval(0.14, 0.3, x=-0.3, y=0.35, count=14), light)


def clutter(canvas: Image.Image, dice: Dice, colors: tuple[Color, ...], pieces: Pieces) -> None:
    """Strews sharp small things over the canvas (RGB, changed in place), in colours near the background's."""
    side = canvas.width
    for k in range(3 + dice.below(6)):
        frame = _strewn(dice, side, 0.025, 0.06)
        color = mix(dice.pick(MUTED), dice.pick(colors), dice.between(0.0, 0.6))
        outline = mix(color, INK if luma(color) > 90 else CHALK, 0.45) if dice.chance(0.7) else None
        trinket(Pen(pieces.sheet(f"clutter {k + 1}", canvas), frame), dice, color, outline)
    for k in range(dice.below(4)):  # blades of grass, wires
        x, y = dice.between(0, side), dice.between(0, side)
        reach = side * dice.between(0.08, 0.22)
        turn = dice.between(0, 2 * math.pi)
        end = (x + reach * math.cos(turn), y + reach * math.sin(turn))
        pen = Pen(pieces.sheet(f"blade {k + 1}", canvas), Frame(0.0, 0.0, 1.0))
        curve, width = arc((x, y), end, dice.between(-0.25, 0.25), 7), side * dice.between(0.006, 0.012)
        pen.stroke(curve, width, mix(dice.pick(MUTED), dice.pick(colors), 0.4))
