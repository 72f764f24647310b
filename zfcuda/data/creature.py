"""The objects: little creatures and machines, the same for every class until the defining part is put on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from zfcuda.data.dice import Dice
from zfcuda.data.palette import CHALK, INK, VIVID, Color, apart_from, distance, mix
from zfcuda.data.pen import Frame, Pen, Point, arc, oval
from zfcuda.data.pieces import Pieces
from zfcuda.data.scenery import trinket

_LINE = 0.055  # outline, in units: the body is about one unit in radius


def _ball(side: int = 64) -> tuple[Image.Image, Image.Image]:
    """Soft shadow and soft light of a ball lit from the upper left, as "L" masks."""
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side * 2 - 1
    toward = -(x + 1.3 * y) / math.hypot(1.0, 1.3)
    shadow = np.clip(0.15 - toward, 0, 1) ** 1.3 * 150
    light = np.clip(1 - ((x + 0.36) ** 2 + (y + 0.45) ** 2) / 0.5, 0, 1) ** 1.5 * 110
    return Image.fromarray(shadow.astype(np.uint8)), Image.fromarray(light.astype(np.uint8))


_SHADOW, _LIGHT = _ball()


@dataclass(frozen=True)
class Build:
    """How one object is put together: everything but where it stands.

    Attributes:
        width, height: half sizes of the body, units.
        outline: the outline of the body, float [N, 2], units.
        color, second, dark: the body's colours.
        socket: where the defining part goes: "belly", "top", "left" or "right".
        places: the centre of each socket, units.
        filled: the other sockets that hold something, of no meaning.
    """

    width: float
    height: float
    outline: np.ndarray
    color: Color
    second: Color
    dark: Color
    socket: str
    places: dict[str, Point]
    filled: tuple[str, ...]

    @property
    def place(self) -> Point:
        return self.places[self.socket]


def design(dice: Dice) -> Build:
    """Chooses a body, its colours and its sockets."""
    width, height = dice.between(0.72, 1.08), dice.between(0.72, 1.08)
    power, taper, bend = dice.between(0.42, 1.05), dice.between(-0.28, 0.28), dice.between(-0.12, 0.12)
    outline = oval(width, height, power=power, taper=taper, bend=bend)
    color = dice.pick(VIVID)
    second = apart_from(dice, (color,), 70)
    dark = mix(mix(color, INK, 0.72), INK, 0.35)
    lean = dice.between(-0.35, 0.35)
    places = {
        "belly": (dice.between(-0.3, 0.3) * width, dice.between(0.0, 0.4) * height),
        "top": (lean, -height - dice.between(0.5, 0.7)),
        "left": (-width - dice.between(0.42, 0.6), dice.between(-0.6, 0.45)),
        "right": (width + dice.between(0.42, 0.6), dice.between(-0.6, 0.45)),
    }
    socket = dice.pick(("belly", "belly", "top", "left", "right"))
    filled = tuple(name for name in places if name != socket and dice.chance(0.2 if name == "belly" else 0.45))
    return Build(width, height, outline, color, second, dark, socket, places, filled)


def _limb(pen: Pen, points: np.ndarray, width: float, color: Color, dark: Color) -> None:
    pen.stroke(points, width + 2 * _LINE, dark)
    pen.stroke(points, width, color)


def _solid(pen: Pen, shape: np.ndarray, color: Color, dark: Color) -> None:
    center = (shape.max(axis=0) + shape.min(axis=0)) / 2
    reach = np.maximum((shape.max(axis=0) - shape.min(axis=0)) / 2, 0.05)
    pen.polygon(center + (shape - center) * (1 + _LINE / reach), dark)
    pen.polygon(shape, color)


def _stand(pen: Pen, dice: Dice, build: Build) -> list[Point]:
    """Legs, wheels, runners or a jet, below the body; where its outer ends are, the left one first."""
    w, h = build.width, build.height
    color = mix(build.color, INK, 0.15) if dice.chance(0.5) else build.second
    kind = dice.below(6)
    if kind <= 1:  # legs with feet
        count = 2 + dice.below(3)
        thick, length = dice.between(0.12, 0.2), dice.between(0.25, 0.5)
        step = dice.between(-0.12, 0.12)
        feet = []
        for k in range(count):
            x = w * 0.62 * (2 * k / (count - 1) - 1)
            foot = (x * 1.1 + step * (1 if k % 2 else -1), h + length)
            feet.append(foot)
            _limb(pen, np.array([(x, h * 0.5), ((x + foot[0]) / 2, h + 0.3 * length), foot]), thick, color, build.dark)
            _solid(pen, oval(0.22, 0.11, x=foot[0] + 0.06, y=foot[1] + 0.05, count=18), color, build.dark)
        ends = [feet[0], feet[-1]]
    elif kind == 2:  # tentacles
        count = 3 + dice.below(3)
        for k in range(count):
            x = w * 0.7 * (2 * k / (count - 1) - 1)
            t = np.linspace(0, 1, 9)
            wave = x * (1 + 0.35 * t) + 0.1 * np.sin(6 * t + k)
            _limb(pen, np.stack([wave, h * 0.5 + (h * 0.5 + 0.45) * t], axis=1), 0.15, color, build.dark)
        ends = [(side * 0.7 * w * 1.35 + 0.1 * math.sin(6 + k), h + 0.45) for side, k in ((-1, 0), (1, count - 1))]
    elif kind == 3:  # wheels
        count = 2 + dice.below(2)
        radius = dice.between(0.24, 0.34)
        for k in range(count):
            x = w * 0.66 * (2 * k / (count - 1) - 1)
            pen.disc(x, h + 0.08, radius + _LINE, build.dark)
            pen.disc(x, h + 0.08, radius, mix(INK, build.second, 0.3))
            pen.disc(x, h + 0.08, 0.09, build.second)
        ends = [(-0.66 * w, h + 0.08), (0.66 * w, h + 0.08)]
    elif kind == 4:  # runners
        for x in (-0.5 * w, 0.5 * w):
            _limb(pen, np.array([(x, 0.6 * h), (x, h + 0.24)]), 0.1, color, build.dark)
        board = np.array([(-w, h + 0.16), (-0.8 * w, h + 0.28), (0.8 * w, h + 0.28), (w, h + 0.16)])
        _limb(pen, board, 0.12, color, build.dark)
        ends = [(-0.8 * w, h + 0.28), (0.8 * w, h + 0.28)]
    else:  # a skirt
        skirt = np.array([(-0.5 * w, 0.6 * h), (0.5 * w, 0.6 * h), (0.8 * w, h + 0.26), (-0.8 * w, h + 0.26)])
        _solid(pen, skirt, color, build.dark)
        ends = [(-0.75 * w, h + 0.2), (0.75 * w, h + 0.2)]
    return ends


def _crest(pen: Pen, kind: int, build: Build, skin: Color) -> list[Point]:
    """Ears, horns or feelers; a point of each that the body does not cover."""
    w, h = build.width, build.height
    ends = []
    for side in (-1.0, 1.0):
        x = side * 0.55 * w
        if kind == 0:  # round ears
            pen.disc(x, -0.82 * h, 0.27 + _LINE, build.dark)
            pen.disc(x, -0.82 * h, 0.27, skin)
            ends.append((x + side * 0.09, -0.82 * h - 0.14))
        elif kind == 1:  # horns
            horn = np.array([(x - 0.16, -0.62 * h), (x + 0.16, -0.62 * h), (x + side * 0.22, -h - 0.26)])
            _solid(pen, horn, CHALK, build.dark)
            ends.append((x + side * 0.16, -h - 0.08))
        elif kind == 2:  # feelers
            _limb(pen, arc((0.5 * x, -0.8 * h), (x + side * 0.1, -h - 0.36), side * 0.2, 6), 0.05, skin, build.dark)
            pen.disc(x + side * 0.1, -h - 0.36, 0.11, build.dark)
            pen.disc(x + side * 0.1, -h - 0.36, 0.07, build.second)
            ends.append((x + side * 0.1, -h - 0.36))
        else:  # long ears
            _solid(pen, oval(0.15, 0.4, x=x, y=-h - 0.06, count=20), skin, build.dark)
            ends.append((x, -h - 0.22))
    return ends


def _behind(pen: Callable[[str], Pen], dice: Dice, build: Build, pieces: Pieces) -> None:
    """What the body covers in part: tail, ears, horns, fins, and the arms and the mast that lead to the sockets.

    pen: what draws the piece of that name.
    """
    w, h = build.width, build.height
    skin = mix(build.color, INK, 0.12)
    if dice.chance(0.4):
        tail = pen("tail")
        end = (-w - dice.between(0.3, 0.5), dice.between(0.3, 0.9))
        _limb(tail, arc((-0.5 * w, 0.5 * h), end, dice.between(-0.4, 0.4)), dice.between(0.1, 0.2), skin, build.dark)
    crest = dice.below(5)
    if crest < 4:
        crown = pen("crest")
        for point in _crest(crown, crest, build, skin):
            pieces.mark_side("ear", crown.frame, *point)
    for name, (x, y) in build.places.items():
        leads = name == build.socket or name in build.filled
        if name == "top" and leads:
            _limb(pen("mast"), np.array([(0.5 * x, -0.6 * h), (x, y)]), 0.08, mix(build.second, INK, 0.2), build.dark)
        elif name in ("left", "right") and (leads or dice.chance(0.6)):
            side = -1.0 if name == "left" else 1.0
            arm = pen(f"{name} arm")
            _limb(
                arm, arc((side * 0.5 * w, 0.1 * h), (x, y), side * dice.between(-0.25, 0.25), 7), 0.15, skin, build.dark
            )
            arm.disc(x, y, 0.15 + _LINE, build.dark)
            pieces.mark_side("hand", arm.frame, x, y)
            arm.disc(x, y, 0.15, skin)


def _body(canvas: Image.Image, dice: Dice, build: Build, pen: Pen) -> None:
    """The body, with its pattern and its soft light cut to its shape."""
    _solid(pen, build.outline, build.color, build.dark)
    corners = pen.frame.points(build.outline)
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0).tolist()
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, canvas.size).tolist()
    if right <= left or bottom <= top:
        return
    size = (right - left, bottom - top)
    frame = Frame(pen.frame.x - left, pen.frame.y - top, pen.frame.scale, pen.frame.angle, pen.frame.mirrored)
    shape = Image.new("L", size)
    Pen(shape, frame).polygon(build.outline, 255)
    coat = Image.new("RGB", size, build.color)
    _coat(Pen(coat, frame), dice, build)
    for color, tile in ((INK, _SHADOW), (CHALK, _LIGHT)):
        coat.paste(color, (0, 0), tile.resize(size, Image.Resampling.BILINEAR))
    canvas.paste(coat, (left, top), shape)


def _coat(pen: Pen, dice: Dice, build: Build) -> None:
    """The body's pattern, drawn beyond its edges."""
    tone = mix(build.color, build.second, dice.between(0.35, 0.8))
    kind = dice.below(6)
    w, h = build.width, build.height
    if kind == 0:  # hoops
        count = 3 + dice.below(3)
        for k in range(count):
            y = h * (2 * (k + 0.5) / count - 1)
            pen.stroke(arc((-1.3, y), (1.3, y), dice.between(-0.05, 0.05), 7), 0.55 * h / count * 1.1, tone)
    elif kind == 1:  # spots
        for _ in range(9):
            pen.disc(dice.between(-w, w), dice.between(-h, h), dice.between(0.06, 0.17), tone)
    elif kind == 2:  # a pale belly
        pen.polygon(oval(0.66 * w, 0.62 * h, y=0.42 * h), mix(build.color, CHALK, 0.55))
    elif kind == 3:  # two halves
        pen.polygon(np.array([(-2, dice.between(-0.2, 0.3)), (2, dice.between(-0.2, 0.3)), (2, 2), (-2, 2)]), tone)
    elif kind == 4:  # panels with rivets
        pen.stroke([(-2, -0.15), (2, -0.15)], 0.04, build.dark)
        for k in range(6):
            pen.disc(w * (2 * (k + 0.5) / 6 - 1), -0.02, 0.035, build.dark)


def _face(pen: Pen, dice: Dice, build: Build, pieces: Pieces) -> None:
    """Eyes and a mouth in the upper half of the body."""
    w, h = build.width, build.height
    count = dice.pick((1, 2, 2, 2, 3))
    radius = dice.between(0.12, 0.19) * (1.25 if count == 1 else 1.0)
    y = -0.48 * h
    look = (dice.between(-0.35, 0.35) * radius, dice.between(-0.3, 0.35) * radius)
    for k in range(count):
        x = 0.0 if count == 1 else 0.42 * w * (2 * k / (count - 1) - 1)
        if x:
            pieces.mark_side("eye", pen.frame, x, y)
        else:
            pieces.mark("middle eye", pen.frame, x, y)
        pen.disc(x, y, radius + 0.035, build.dark)
        pen.disc(x, y, radius, CHALK)
        pen.disc(x + look[0], y + look[1], 0.55 * radius, INK)
        pen.disc(x + look[0] - 0.2 * radius, y + look[1] - 0.2 * radius, 0.16 * radius, CHALK)
    kind = dice.below(4)
    y += radius + 0.16
    if kind == 0:
        pen.stroke(arc((-0.2, y - 0.03), (0.2, y - 0.03), -0.22, 7), 0.05, build.dark)
    elif kind == 1:
        pen.disc(0.0, y, 0.08, build.dark)
    elif kind == 2:
        pen.stroke([(-0.14, y), (0.14, y)], 0.05, build.dark)
    if kind < 3:
        pieces.mark("mouth", pen.frame, 0.0, y)


def draw(canvas: Image.Image, mask: Image.Image, dice: Dice, build: Build, frame: Frame, pieces: Pieces) -> None:
    """Draws the object without its defining part on ``canvas`` (RGB) and ``mask`` ("L"), both changed in place."""

    def pen(name: str) -> Pen:
        sheet, marked = pieces.sheets(name, canvas, mask)
        return Pen(sheet, frame, marked)

    _behind(pen, dice, build, pieces)
    for point in _stand(pen("stand"), dice, build):
        pieces.mark_side("foot", frame, *point)
    sheet, marked = pieces.sheets("body", canvas, mask)
    _body(sheet, dice, build, Pen(sheet, frame, marked))
    pieces.mark("body", frame, 0.0, 0.0)
    _face(pen("face"), dice, build, pieces)
    for name in build.filled:
        x, y = build.places[name]
        px, py = frame.point(x, y)
        size = frame.scale * dice.between(0.22, 0.36)
        color = apart_from(dice, (build.color,), 60)
        outline = INK if distance(color, INK) > 60 else CHALK
        sheet, marked = pieces.sheets(f"{name} trinket", canvas, mask)
        trinket(Pen(sheet, Frame(px, py, size, dice.between(0, 2 * math.pi)), marked), dice, color, outline)


def shadow(canvas: Image.Image, build: Build, frame: Frame) -> None:
    """Darkens the ground below the object (``canvas`` RGB, changed in place)."""
    x, y = frame.x, frame.y + frame.scale * (build.height + 0.45)
    half, flat = frame.scale * build.width * 1.2, frame.scale * 0.22
    left, top = int(x - half), int(y - flat)
    tile = Image.new("L", (max(2, int(2 * half)), max(2, int(2 * flat))))
    ImageDraw.Draw(tile).ellipse((0, 0, tile.width - 1, tile.height - 1), fill=90)
    canvas.paste(INK, (left, top), tile)
