"""What the network says of the picture, and the picture as it sees it."""

from __future__ import annotations

from zfcuda import render
from zfcuda.live.answers.classes import top_classes
from zfcuda.live.answers.drawn import src_of
from zfcuda.live.desk import Desk, Work
from zfcuda.live.messages import Answer, Message
from zfcuda.live.visitors import Visitor

_SHOWN = 10


def look(desk: Desk, visitor: Visitor, message: Message) -> Work[None]:
    """Answers "look"."""
    kept = desk.picture(visitor, message.text("picture"))
    seen = yield from desk.seen(visitor, message)
    facts = seen.network.facts()
    yield Answer(
        {
            "picture": kept.identity,
            "name": kept.name,
            "network": seen.network.name,
            "title": facts["title"],
            "size": list(seen.size),
            "image": src_of(render.picture(seen.pixels)),
            "classes": top_classes(seen, seen.logits, _SHOWN),
            "layers": facts["layers"],
            "preprocess": facts["preprocess"],
            "normalization": seen.normalization,
        }
    )
