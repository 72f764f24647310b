"""What a rectangle is covered with, for the page to show."""

from __future__ import annotations

from zfcuda import render
from zfcuda.live.desk import Desk, Work
from zfcuda.live.messages import Answer, Message
from zfcuda.live.visitors import Visitor
from zfcuda.report.pieces import data_of


def cover(desk: Desk, visitor: Visitor, message: Message) -> Work[None]:
    """Answers "cover"."""
    fill, window = message.fill(), message.pair("window", 32)
    seen = yield from desk.seen(visitor, message)
    rows, columns = seen.size
    found = yield from desk.cover(seen, fill, min(window[0], rows, window[1], columns))
    shown = data_of(render.picture(found.pixels)) if found.colour is None else render.hex_colour(found.colour)
    yield Answer({"fill": shown, "words": found.words})
