"""The units of a layer by strength: how strongly each answers the picture, and where."""

from __future__ import annotations

import torch

from zfcuda import render
from zfcuda.live.answers.drawn import src_of
from zfcuda.live.desk import Desk, Seen, Work
from zfcuda.live.messages import Answer, Message, MessageError
from zfcuda.live.visitors import Visitor
from zfcuda.report.layers import ConvLayer

_MOST = 512  # units in one answer
_AT_ONCE = 16  # pictures that are drawn in one block


def units(desk: Desk, visitor: Visitor, message: Message) -> Work[None]:
    """Answers "units"."""
    name = message.text("layer")
    count, first = message.integer("count", 1, _MOST, 64), message.integer("from", 0, 10**6, 0)
    seen = yield from desk.seen(visitor, message)
    layer = yield from layer_of(desk, seen, name)
    maps, rows, columns = layer.activity.shape
    strength = layer.activity.flatten(1).amax(1)
    order = strength.nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)[first : first + count].tolist()
    shown = []
    for number, unit in enumerate(order, 1):
        shown.append(
            {
                "unit": unit,
                "strength": float(strength[unit]),
                "place": place_of(layer, unit),
                "image": src_of(render.heatmap(layer.activity[unit], colours="inferno")),
            }
        )
        if number % _AT_ONCE == 0:
            yield None
    yield Answer({"layer": layer.name, "from": first, "of": maps, "rows": rows, "columns": columns, "units": shown})


def layer_of(desk: Desk, seen: Seen, name: str) -> Work[ConvLayer]:
    """The convolution of that name, with what it answers to the picture.

    Raises:
        MessageError: there is none.
    """
    layers = yield from desk.layers(seen)
    found = layers.get(name) or next((one for one in layers.values() if one.output == name), None)
    if found is None:
        raise MessageError(f"layer: expected one of {', '.join(layers)}, got {name!r:.100}")
    return found


def place_of(layer: ConvLayer, unit: int) -> list[int]:
    """[y, x] of the strongest place of a unit, the first of equals."""
    values = layer.activity[unit].nan_to_num(nan=-torch.inf)
    return list(divmod(int(values.flatten().argmax()), values.shape[1]))
