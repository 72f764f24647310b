"""What the network says with a rectangle of the picture covered: the pointer's question."""

from __future__ import annotations

import time

from zfcuda.live.answers.classes import of_target, top_classes
from zfcuda.live.desk import Desk, Seen, Work
from zfcuda.live.messages import Answer, Message, MessageError
from zfcuda.live.visitors import Visitor

_SHOWN = 6


def occlude(desk: Desk, visitor: Visitor, message: Message) -> Work[None]:
    """Answers "occlude"."""
    boxes, fill, asked = message.boxes(), message.fill(), message.target()
    seen = yield from desk.seen(visitor, message)
    target = seen.target(asked)
    for box in boxes:
        _check_inside(seen, box)
    occluder = yield from desk.occluder(seen, fill)
    begun = time.perf_counter()
    logits = occluder(*(list(sides) for sides in zip(*boxes, strict=True))).cpu() if boxes else ()
    milliseconds = 1000 * (time.perf_counter() - begun)
    yield Answer(
        {
            "target": target,
            "base": of_target(seen, seen.logits, target),
            "answers": [
                {"box": box, "classes": top_classes(seen, one, _SHOWN), **of_target(seen, one, target)}
                for box, one in zip(boxes, logits, strict=True)
            ],
            "milliseconds": round(milliseconds, 2),
        }
    )


def _check_inside(seen: Seen, box: tuple[int, int, int, int]) -> None:
    top, left, high, wide = box
    rows, columns = seen.size
    if not (high and wide and top + high <= rows and left + wide <= columns):
        raise MessageError(
            f"boxes: expected [top, left, height, width] within {rows} x {columns} pixels, got {list(box)}"
        )
