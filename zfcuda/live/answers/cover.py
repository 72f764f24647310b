"""What a rectangle is covered with, for the page to show."""

from __future__ import annotations

from zfcuda import render
from zfcuda.live.answers.drawn import src_of
from zfcuda.live.desk import Desk, Work
from zfcuda.live.messages import Answer, Message
from zfcuda.live.visitors import Visitor
from zfcuda.occlusion.fill import Filling


def cover(desk: Desk, visitor: Visitor, message: Message) -> Work[None]:
    """Answers "cover"."""
    fill, (height, width) = message.fill(), message.pair("window", 32)
    seen = yield from desk.seen(visitor, message)
    if fill == "blur":  # goes by the sides of the rectangle, which need not be equal
        image, rows, columns = seen.image[0], *seen.size
        values = Filling("blur", image, (min(height, rows), min(width, columns))).of(image)
        pixels = seen.network.subject.pixels(values.float().cpu(), seen.picture)
        yield Answer({"fill": src_of(render.picture(pixels))})
        return
    found = yield from desk.cover(seen, fill, 1)
    yield Answer(
        {"fill": src_of(render.picture(found.pixels)) if found.colour is None else render.hex_colour(found.colour)}
    )
