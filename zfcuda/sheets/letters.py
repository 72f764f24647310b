"""The letters on sheets of pictures: Pillow's own."""

from __future__ import annotations

import math

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def letters(size: int) -> Font:
    """Letters of so many pixels; Pillow's small ones where this Pillow has no others."""
    try:
        return ImageFont.load_default(size)
    except (TypeError, ImportError):  # before 10.1, and without FreeType
        return ImageFont.load_default()


def width(font: Font, text: str) -> int:
    """How wide a text is, in pixels."""
    return math.ceil(font.getlength(text))


def shortened(font: Font, text: str, most: int) -> str:
    """The text, or as much of its beginning as fits into so many pixels, with three points behind it."""
    if width(font, text) <= most:
        return text
    end = len(text)
    while end and width(font, f"{text[:end]}...") > most:
        end -= 1
    return f"{text[:end]}..."
