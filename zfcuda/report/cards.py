"""The section about the layers: a card for each strong feature map, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence

from zfcuda.report.explanation import Explanation, Form, Layer, Unit
from zfcuda.report.panels import Drawn, DrawnUnit
from zfcuda.report.pieces import number, picture, text, times

_GUIDED = (
    " Where no max pooling lies between a layer and the pixels, the deconvnet would show the same for every picture; "
    "such a layer is marked, and shown by guided backpropagation (Springenberg et al. 2014), which also stops at every "
    "unit that was silent for this picture."
)
_FORMS = {
    Form.DECONVNET: "",
    Form.GUIDED: "Guided backpropagation in place of the deconvnet, which would show the same for every picture here.",
    Form.FILTER: "Nothing but filters lies before this layer: a projection is the filter itself, whatever the picture.",
}


def layers(e: Explanation, drawn: Drawn) -> str:
    """The section of one picture."""
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
{"".join(_layer(layer, units, not common) for layer, units in zip(e.layers, drawn.units, strict=True))}</section>"""


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


def _layer(layer: Layer, drawn: Sequence[DrawnUnit], says_why: bool) -> str:
    high, wide = layer.size
    field = "how much of the picture a unit sees is not known"
    if layer.field_size is not None:
        field = f"each unit sees {times(layer.field_size[1], layer.field_size[0])} pixels"
    said = ""
    if layer.refusal and layer.units:
        said = _refused(layer.refusal, "Not projected") if says_why else ""
    elif layer.units and _FORMS[layer.form]:
        said = f'<p class="note">{_FORMS[layer.form]}</p>'
    cards = [_card(layer, *pair) for pair in zip(layer.units, drawn, strict=True)]
    body = f'<div class="units">{"".join(cards)}</div>' if cards else "<p>Nothing in it is active for this picture.</p>"
    return (
        f'<div class="layer"><header><h4>{text(layer.name)}</h4><span>{layer.maps} maps of {times(wide, high)}; '
        f"{field}</span></header>{said}{body}</div>\n"
    )


def _card(layer: Layer, unit: Unit, drawn: DrawnUnit) -> str:
    high, wide = layer.size
    y, x = unit.position
    ring = f'<i class="ring" style="top:{100 * (y + 0.5) / high:.2f}%;left:{100 * (x + 0.5) / wide:.2f}%"></i>'
    where = f'<div class="frame" style="--ratio:{wide}/{high}">{picture(drawn.activity)}{ring}</div>'
    words = (
        f'<div><span class="name">Map {unit.number}</span><br><span class="num">{number(unit.value)}</span> '
        f"at row {y}, column {x}</div>"
    )
    if drawn.projection is None:
        return (
            f'<figure class="unit bare"><div class="two">{where}{picture(drawn.patch)}</div>'
            f"<figcaption>{words}</figcaption></figure>"
        )
    return (
        f'<figure class="unit"><div class="two">{picture(drawn.projection)}{picture(drawn.patch)}</div>'
        f"<figcaption>{where}{words}</figcaption></figure>"
    )
