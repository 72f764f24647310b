"""The section about the layers: a card for each strong feature map, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence

from zfcuda.report.explanation import Explanation, Form, Layer, Unit
from zfcuda.report.panels import Drawn, DrawnUnit
from zfcuda.report.pieces import chart, choice, cut, later, text, times, told
from zfcuda.report.pieces import number as digits

_GUIDED = (
    " Where no max pooling lies between a layer and the pixels, the deconvnet would show the same for every picture; "
    "such a layer is marked, and shown by guided backpropagation (Springenberg et al. 2014), which also stops at every "
    "unit that was silent for this picture."
)
_SCALES = {"own": "each its own", "shared": "one for each layer"}
_FORMS = {
    Form.DECONVNET: "",
    Form.GUIDED: "Guided backpropagation in place of the deconvnet, which would show the same for every picture here.",
    Form.FILTER: "Nothing but filters lies before this layer: a projection is the filter itself, whatever the picture.",
}


def layers(number: int, e: Explanation, drawn: Drawn) -> str:
    """The section of picture `number`."""
    if not e.layers:
        return (
            "<section><h3>What each layer responds to</h3>"
            '<p class="note">This network has no two-dimensional convolution, so there are no feature maps to show.</p>'
            "</section>"
        )
    count = len(e.layers)
    every = "each convolution layer" if count > 1 else "its one convolution layer"
    which = every if count == e.all_layers else f"{count} of the {e.all_layers} convolution layers"
    active = [layer for layer in e.layers if layer.units]
    reasons = {layer.refusal for layer in active}
    # What holds for all layers is said once.
    common = reasons.pop().replace(" between it and ", " between each of them and ") if len(reasons) == 1 else ""
    guided = any(layer.form is Form.GUIDED and not layer.refusal for layer in active)
    return f"""<section>
<h3>What each layer responds to</h3>
<p class="note">The strongest feature maps of {which}. {_reading(active)}{_GUIDED if guided else ""}</p>
{_refused(common, "None of them can be projected back to the pixels") if common else ""}
{choice(f"units-{number}", "Scale of the maps", _SCALES, kind="units-scale") if active else ""}
{"".join(_layer(e, i, drawn.units[i], not common) for i in range(len(e.layers)))}</section>"""


def _reading(active: Sequence[Layer]) -> str:
    """How to read the cards; nothing where there are none."""
    if not active:
        return ""
    seen = "the patch of the picture that this unit sees, or the whole picture where that is not known"
    projected = (
        "In each card, left: the strongest activation of the map, projected back to the pixels by the deconvnet (grey: "
        f"no part in it); right: {seen}; below: where the map is active, with a ring around the strongest place."
    )
    alone = f"left: where the map is active, with a ring around the strongest place; right: {seen}."
    if all(layer.refusal for layer in active):
        return f"In each card, {alone}"
    return f"{projected} Where a layer cannot be projected, {alone}" if any(x.refusal for x in active) else projected


def _refused(reason: str, what: str) -> str:
    return f'<p class="refused"><b>{what}:</b> {text(reason.rstrip("."))}.</p>'


def _layer(e: Explanation, number: int, drawn: Sequence[DrawnUnit], says_why: bool) -> str:
    layer = e.layers[number]
    high, wide = layer.size
    field = "how much of the picture a unit sees is not known"
    if layer.field_size is not None:
        field = f"each unit sees {times(layer.field_size[1], layer.field_size[0])} pixels"
    said = ""
    if layer.refusal and layer.units:
        said = _refused(layer.refusal, "Not projected") if says_why else ""
    elif layer.units and _FORMS[layer.form]:
        said = f'<p class="note">{_FORMS[layer.form]}</p>'
    cards = [_card(e, layer, f"{number}-{i}", *pair) for i, pair in enumerate(zip(layer.units, drawn, strict=True))]
    body = f'<div class="units">{"".join(cards)}</div>' if cards else "<p>Nothing in it is active for this picture.</p>"
    return (
        f'<div class="layer"><header><h4>{text(layer.name)}</h4><span>{layer.maps} maps of {times(wide, high)}; '
        f"{field}</span></header>{said}{body}</div>\n"
    )


def _card(e: Explanation, layer: Layer, key: str, unit: Unit, drawn: DrawnUnit) -> str:
    y, x = unit.position
    where = f'<div data-strongest="{y} {x}">{chart(f"unit-{key}", drawn.activity)}</div>'
    words = (
        f'<div><span class="name">Map {unit.number}</span><br>'
        f"{told(f'unit-{key}', f'{digits(unit.value)} at row {y}, column {x}')}</div>"
    )
    patch = cut(unit.field, e.size, drawn.patch.alt)
    if drawn.projection is None:
        return (
            f'<figure class="unit bare"><div class="two">{where}{patch}</div><figcaption>{words}</figcaption></figure>'
        )
    return (
        f'<figure class="unit"><div class="two">{later(f"projection-{key}", drawn.projection)}{patch}</div>'
        f"<figcaption>{where}{words}</figcaption></figure>"
    )
