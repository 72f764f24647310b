"""One unit: what of the picture excites it, where, and what of the data set excited it most."""

from __future__ import annotations

from typing import Any

from PIL import Image
from torch import Tensor

from zfcuda import render
from zfcuda.live.answers.drawn import src_of
from zfcuda.live.answers.map import little_endian
from zfcuda.live.answers.units import layer_of, place_of
from zfcuda.live.desk import Desk, Seen, Work
from zfcuda.live.messages import Answer, Message, MessageError
from zfcuda.live.stepped import stepped
from zfcuda.live.visitors import Visitor
from zfcuda.network import receptive_field, trace
from zfcuda.report.attempt import attempted
from zfcuda.report.layers import ConvLayer
from zfcuda.report.projected import projections_of

Box = tuple[int, int, int, int]


def unit(desk: Desk, visitor: Visitor, message: Message) -> Work[None]:
    """Answers "unit"."""
    name, number = message.text("layer"), message.integer("unit", 0, 10**6)
    seen = yield from desk.seen(visitor, message)
    layer = yield from layer_of(desk, seen, name)
    if number >= len(layer.activity):
        raise MessageError(f"unit: expected 0 to {len(layer.activity) - 1}, got {number}")
    key = ("unit", *seen.key, layer.name, number)
    known = desk.answered(key)
    if known is None:
        y, x = place_of(layer, number)
        header, field = yield from stepped(lambda: _projected(seen, layer, number, (y, x)))
        activity = layer.activity[number]
        patch = None
        if field is not None:
            patch = src_of(_cut(render.picture(seen.pixels), field))
        found = desk.patches(seen.network)
        header |= {
            "layer": layer.name,
            "unit": number,
            "strength": float(activity[y, x]),
            "place": [y, x],
            "activity": src_of(render.heatmap(activity, colours="inferno")),
            "rows": activity.shape[0],
            "columns": activity.shape[1],
            "field": None if field is None else list(field),
            "patch": patch,
            "strongest": None if found is None else found.of((layer.name, layer.output), number),
        }
        known = [Answer(header, little_endian(activity))]
        desk.answer(key, known)
    yield from known


def _projected(seen: Seen, layer: ConvLayer, unit: int, place: tuple[int, int]) -> tuple[dict[str, Any], Box | None]:
    """Its projection, or the reason why there is none; and the pixels that it sees, where that is known."""
    image = seen.image
    nothing = {"projection": None, "projected_patch": None, "form": None}
    network, refused = attempted(lambda: trace(seen.network.apart.model, image))
    if network is None:
        return nothing | {"refused": refused}, None
    field, _ = attempted(lambda: receptive_field(network, layer.output, tuple(image.shape[-3:])))
    box: Box | None = None if field is None else field.rectangle(*place)
    if not float(layer.activity[unit].max()) > 0:
        return nothing | {"refused": "nothing in this picture excites this unit"}, box
    found, refused = attempted(lambda: projections_of(network, image, layer, unit=unit))
    if found is None:
        return nothing | {"refused": refused}, box
    form, there = found
    signal: Tensor = seen.network.subject.in_colour(there.images.float().cpu())[0]
    drawn = render.projection(signal)
    small = None if box is None else src_of(_cut(drawn, box))
    return {"projection": src_of(drawn), "projected_patch": small, "form": form.value, "refused": ""}, box


def _cut(picture: Image.Image, box: Box) -> Image.Image:
    top, left, bottom, right = box
    return picture.crop((left, top, right, bottom))
