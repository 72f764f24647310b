"""Small pieces of HTML: escaped text, pictures as data, percentages, colour bars."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from html import escape

from PIL import Image

from zfcuda import render
from zfcuda.report.panels import Panel

_SPACE = "\u00a0"  # does not break the line between a number and its unit


def text(value: str) -> str:
    """Any text, safe inside an element or an attribute, undecodable bytes of a file name included."""
    return escape(value.encode("utf-8", "backslashreplace").decode("utf-8"))


def png(picture: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_of(picture: Image.Image) -> str:
    """A picture as an address that carries its data."""
    return f"data:image/png;base64,{base64.b64encode(png(picture)).decode('ascii')}"


def picture(panel: Panel, identity: str = "") -> str:
    """An <img> that carries its own data."""
    hard = ' class="hard"' if panel.hard else ""
    named = f' id="{identity}"' if identity else ""
    size = f'width="{panel.image.width}" height="{panel.image.height}"'
    return f'<img{named}{hard} {size} alt="{text(panel.alt)}" src="{data_of(panel.image)}">'


def percent(share: float) -> str:
    """0.123 -> "12.3 %"; what would be rounded to 0 or to 100 is "below 0.1 %" or "above 99.9 %"."""
    if math.isnan(share):
        return "unknown"
    if 0 < share < 0.0005:
        return f"below{_SPACE}0.1{_SPACE}%"
    return f"above{_SPACE}99.9{_SPACE}%" if 0.9995 <= share < 1 else f"{100 * share:.1f}{_SPACE}%"


def number(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


def signed(value: float) -> str:
    """Three significant digits and a sign."""
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def points(value: float) -> str:
    """A difference of probabilities in percentage points, with a sign: 0.123 -> "+12.3"."""
    return signed(100 * value)


def times(a: int, b: int) -> str:
    """ "7 × 9", unbroken."""
    return f"{a}{_SPACE}×{_SPACE}{b}"


def scale(
    colours: str, low: float, high: float, form: Callable[[float], str] = number, mark: float | None = None
) -> str:
    """A colour bar with the numbers at its ends, and a tick at `mark`."""
    tick = ""
    if mark is not None and high > low:
        tick = f'<i style="left:{100 * min(1.0, max(0.0, (mark - low) / (high - low))):.1f}%"></i>'
    return (
        f'<div class="scale"><div class="ramp" style="background:{render.gradient(colours)}">{tick}</div>'
        f'<div class="ends num"><span>{form(low)}</span><span>{form(high)}</span></div></div>'
    )
