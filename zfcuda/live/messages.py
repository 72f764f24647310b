"""What clients say: JSON objects, read with suspicion; and what is answered."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zfcuda.complaint import own, reason
from zfcuda.report.cover import PAINTS

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_LARGEST = 2**53  # whole numbers that JavaScript has


class MessageError(ValueError):
    """What is wrong with a message, in one sentence for who sent it."""


@dataclass(frozen=True)
class Answer:
    """What is sent: a header, and the bytes of a binary frame behind it, where there are any."""

    header: dict[str, Any]
    payload: bytes = b""

    @cached_property
    def text(self) -> str:
        """The header as JSON; a number that is none is null, which JSON has."""
        more = {"bytes": len(self.payload)} if self.payload else {}
        return json.dumps(_finite(self.header | more), allow_nan=False, separators=(",", ":"))

    @property
    def size(self) -> int:
        """Bytes, about."""
        return len(self.text) + len(self.payload)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


class Message:
    """One message of a client, whose fields are asked for one by one.

    Raises:
        MessageError: it is no JSON object.
    """

    def __init__(self, text: str) -> None:
        try:
            fields = json.loads(text, parse_constant=_refused)
        except (ValueError, RecursionError):
            raise MessageError("expected one JSON object") from None
        if not isinstance(fields, dict):
            raise MessageError("expected one JSON object")
        self._fields = fields

    @property
    def identity(self) -> int | None:
        """The number that the client gave it; None where that is none."""
        value = self._fields.get("id")
        return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST else None

    @property
    def kind(self) -> str:
        """What it asks for, at most a few characters of it."""
        value = self._fields.get("kind")
        return value[:20] if isinstance(value, str) else ""

    def text(self, name: str, default: str | None = None) -> str:
        """A string.

        Raises:
            MessageError: it is none, or there is none and no default.
        """
        value = self._fields.get(name, default)
        if not isinstance(value, str) or len(value) > 1000:
            raise MessageError(f"{name}: expected a string, got {_shown(value)}")
        return value

    def maybe_text(self, name: str) -> str | None:
        """A string, or None where it is null or missing."""
        return None if self._fields.get(name) is None else self.text(name)

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number from low to high.

        Raises:
            MessageError: it is none, or beyond them.
        """
        value = self._fields.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise MessageError(f"{name}: expected a whole number from {low} to {high}, got {_shown(value)}")
        return value

    def maybe_integer(self, name: str, low: int, high: int) -> int | None:
        """A whole number, or None where it is null or missing."""
        return None if self._fields.get(name) is None else self.integer(name, low, high)

    def target(self) -> int | str | None:
        """A class: its number, its name, or None for the most probable.

        Raises:
            MessageError: it is none of these.
        """
        value = self._fields.get("target")
        if value is None or isinstance(value, str):
            return self.maybe_text("target")
        return self.integer("target", 0, 2**31)

    def fill(self) -> str | list[int]:
        """What covers the picture, as zfcuda.report.cover takes it.

        Raises:
            MessageError: it is no word for that and no colour.
        """
        value = self.text("fill", "grey")
        if _COLOUR.fullmatch(value):
            return list(bytes.fromhex(value[1:]))
        if value not in PAINTS:
            raise MessageError(f"fill: expected {', '.join(PAINTS)} or a colour as in #ff0000, got {_shown(value)}")
        return value

    def pair(self, name: str, default: int) -> tuple[int, int]:
        """A side, or (rows, columns).

        Raises:
            MessageError: it is neither.
        """
        value = self._fields.get(name, default)
        both = value if isinstance(value, list) else [value, value]
        if len(both) != 2 or not all(_is_size(each) for each in both):
            raise MessageError(f"{name}: expected a whole number above 0, or two, got {_shown(value)}")
        return both[0], both[1]

    def boxes(self, most: int = 8) -> list[tuple[int, int, int, int]]:
        """Rectangles (top, left, height, width), or none.

        Raises:
            MessageError: they are none, or more than that.
        """
        value = self._fields.get("boxes")
        if not isinstance(value, list) or len(value) > most:
            raise MessageError(f"boxes: expected 0 to {most} of [top, left, height, width], got {_shown(value)}")
        for box in value:
            if not isinstance(box, list) or len(box) != 4 or not all(_is_place(each) for each in box):
                raise MessageError(f"boxes: expected [top, left, height, width] of pixels, got {_shown(box)}")
        return [(box[0], box[1], box[2], box[3]) for box in value]

    def names(self, name: str) -> list[str]:
        """Strings.

        Raises:
            MessageError: they are none.
        """
        value = self._fields.get(name)
        if not isinstance(value, list) or not 1 <= len(value) <= 50 or not all(isinstance(each, str) for each in value):
            raise MessageError(f"{name}: expected a list of names, got {_shown(value)}")
        return value


def said(error: BaseException) -> str:
    """An exception in one sentence for the page."""
    return " ".join(str(error).split()) if own(error) else reason(error)


def _is_place(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_000_000


def _is_size(value: Any) -> bool:
    return _is_place(value) and value > 0


def _refused(word: str) -> Any:
    raise ValueError(word)


def _shown(value: Any) -> str:
    try:
        said = repr(value)
    except RecursionError:
        return "lists in lists in lists"
    return said if len(said) <= 80 else f"{said[:80]} ..."
