"""The places of docs/methods.md that are filled by what came: ``<!-- time gradcam -->0.1 s<!-- end -->``.

``picture``, ``time`` and ``said`` with a method's name, and ``measured`` alone: when and on what.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from benchmarks.methods.scene import Shown
from zfcuda.report.pieces import png

PLACE = re.compile(r"<!-- (picture|time|said|measured)(?: ([\w]+))? -->(.*?)<!-- end -->", re.DOTALL)
_WIDEST = 640  # pixels
_COLOURS = 128  # are enough for a small picture, and half the bytes


def filled(text: str, shown: Mapping[str, Shown], measured: str | None) -> str:
    """The document with its places filled; those of methods of which nothing came stay as they are.

    measured: when and on what; None leaves that too.
    """

    def place(match: re.Match[str]) -> str:
        kind, name, old = match.groups()
        if kind == "measured":
            new = old if measured is None else measured
        elif name not in shown:
            new = old
        else:
            new = _text(kind, shown[name])
        return f"<!-- {kind}{f' {name}' if name else ''} -->{new}<!-- end -->"

    return PLACE.sub(place, text)


def places(text: str) -> set[tuple[str, str]]:
    """(kind, name of the method) of each place in the document."""
    return {(kind, name) for kind, name, _ in PLACE.findall(text)}


def write_picture(one: Shown, folder: Path) -> int:
    """Writes the picture of a method, and returns its bytes."""
    picture = one.picture
    if picture.width > _WIDEST:
        picture = picture.resize((_WIDEST, round(picture.height * _WIDEST / picture.width)), Image.Resampling.LANCZOS)
    data = png(picture.quantize(_COLOURS, dither=Image.Dither.NONE))
    (folder / f"{one.name}.png").write_bytes(data)
    return len(data)


def _text(kind: str, one: Shown) -> str:
    if kind == "picture":
        words = one.name.replace("_", " ") + (f": {one.said}" if one.said else "")
        return f"![{words}](methods/{one.name}.png)"
    if kind == "said":
        return one.said
    return f"{one.seconds:.2g} s" if one.seconds >= 0.001 else "below 1 ms"
