"""Small pieces of HTML: escaped text, pictures, maps and switches for the script, percentages."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from html import escape

from PIL import Image

from zfcuda.complaint import writable
from zfcuda.occlusion.map_data import Rectangle
from zfcuda.report.panels import Panel

_SPACE = "\u00a0"  # does not break the line between a number and its unit


def text(value: str) -> str:
    """Any text, safe inside an element or an attribute, undecodable bytes of a file name included."""
    return escape(writable(value))


def png(picture: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def loaded(panel: Panel, address: str) -> str:
    """An <img> that is there from the start, and carries its own data."""
    size = f'width="{panel.image.width}" height="{panel.image.height}"'
    return f'<img {size} alt="{text(panel.alt)}" src="{address}">'


def later(key: str, panel: Panel) -> str:
    """An <img> whose data the script takes from `images` of the picture's data."""
    hard = ' class="hard"' if panel.hard else ""
    size = f'width="{panel.image.width}" height="{panel.image.height}"'
    return _holder(f'<img{hard} data-image="{key}" {size} alt="{text(panel.alt)}">')


def cut(field: Rectangle | None, size: tuple[int, int], alt: str) -> str:
    """A part of the picture [H,W], which the script cuts out of the page's; without a field all of it."""
    box = " ".join(map(str, field or (0, 0, *size)))
    return _holder(f'<div class="frame" role="img" data-cut="{box}" aria-label="{text(alt)}"></div>')


def chart(key: str, panel: Panel) -> str:
    """A map that the script draws of numbers: `maps` of the picture's data has them under the key.

    Args:
        panel: the same as a picture.
    """
    size = f'width="{panel.image.width}" height="{panel.image.height}"'
    label = f'aria-label="{text(panel.alt)}"'
    return _holder(f'<div class="frame" data-map="{key}" {label}><canvas {size}></canvas></div>')


def told(key: str, otherwise: str) -> str:
    """A line that tells the value of a map under the pointer, and something else without one."""
    return f'<span class="value" data-value="{key}" aria-live="polite">{otherwise}</span>'


def stage(panel: Panel) -> str:
    """Where the script shows the picture with the square."""
    return _holder(f'<div class="frame stage" data-stage aria-label="{text(panel.alt)}"></div>')


def _holder(inner: str) -> str:
    """What the button that saves a panel stands in."""
    return f'<div class="holder">{inner}</div>'


def choice(group: str, words: str, options: Mapping[str, str], *, kind: str) -> str:
    """Radio buttons in a row, the first one chosen: `group` is their own name, `kind` what the script knows them by."""
    buttons = "".join(
        f'<input type="radio" name="{group}" id="{group}-{value}" value="{value}" data-choice="{kind}"'
        f'{" checked" * (not i)}><label for="{group}-{value}">{said}</label>'
        for i, (value, said) in enumerate(options.items())
    )
    return f'<div class="switch" role="radiogroup" aria-label="{words}"><span>{words}</span>{buttons}</div>'


def slider(identity: str, words: str, value: int, *, kind: str) -> str:
    """A slider of 0 to 100 per cent."""
    shown = f'<output for="{identity}">{value}{_SPACE}%</output>'
    return (
        f'<div class="slider"><label for="{identity}">{words}</label><input type="range" id="{identity}" min="0" '
        f'max="100" step="5" value="{value}" data-choice="{kind}">{shown}</div>'
    )


def bar(share: float) -> str:
    """A share of 0 to 1 as a bar; numbers beside it say the same."""
    width = 0.0 if math.isnan(share) else 100 * share
    return (
        '<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{max(width, 0.4):.2f}" height="1"></rect></svg>'
    )


def swatch(colour: str) -> str:
    """A square of a colour, for a legend."""
    return f'<svg viewBox="0 0 1 1" aria-hidden="true"><rect width="1" height="1" fill="{colour}"></rect></svg>'


def key_bar(key: str) -> str:
    """The colour bar of a map, which the script fills in."""
    return f'<div class="scale" data-scale="{key}"><div class="ramp"></div><div class="ends num"></div></div>'


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
