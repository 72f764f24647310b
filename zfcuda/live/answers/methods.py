"""The maps of several methods for the same picture and class, each told when it is done."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from zfcuda.complaint import out_of_memory
from zfcuda.live.answers.map import little_endian
from zfcuda.live.desk import Desk, Seen, Work
from zfcuda.live.messages import Answer, Message, said
from zfcuda.live.stepped import stepped
from zfcuda.live.visitors import Visitor
from zfcuda.live.warned import heard
from zfcuda.method_names import chosen
from zfcuda.methods import Method, method
from zfcuda.report.attempt import attempted
from zfcuda.report.side_by_side import remarks


def methods(desk: Desk, visitor: Visitor, message: Message) -> Work[None]:
    """Answers "methods"."""
    names, asked = chosen(message.names("names"), "names"), message.target()
    seen = yield from desk.seen(visitor, message)
    target = seen.target(asked)
    for name in names:
        one = method(name)
        key = ("method", *seen.key, name, target)
        known = desk.answered(key)
        if known is None:
            known = [(yield from _computed(seen, one, target))]
            desk.answer(key, known)
        yield from known
    yield Answer({"complete": True, "target": target})


def _computed(seen: Seen, one: Method, target: int) -> Work[Answer]:
    header = {"name": one.name, "title": one.title, "signed": one.signed, "target": target}
    begun = time.perf_counter()

    def compute() -> tuple[Tensor | None, str, tuple[str, ...]]:
        model, image = seen.network.apart.model, seen.image
        with heard() as warned:
            values, refusal = attempted(lambda: one.compute(model, image, [target])[0].float().cpu())
        return values, refusal, () if values is None else remarks(one, model, image, warned)

    try:
        values, refusal, warnings = yield from stepped(compute)
    except Exception as error:
        if not out_of_memory(error):
            raise
        values, refusal, warnings = None, said(error), ()
    if values is None:
        return Answer(header | {"refused": refusal})
    finite = values[torch.isfinite(values)]
    header |= {
        "rows": values.shape[0],
        "columns": values.shape[1],
        "largest": float(finite.abs().max()) if finite.numel() else 0.0,
        "seconds": time.perf_counter() - begun,
        "warnings": list(warnings),
    }
    return Answer(header, little_endian(values))
