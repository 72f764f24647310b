"""The section about the occluder: the five panels of the paper's figure 7, and what they come to in a sentence."""

from __future__ import annotations

import json
import math

import torch

from zfcuda import render
from zfcuda.report.explanation import Explanation, Form
from zfcuda.report.numbers import rounded
from zfcuda.report.panels import Drawn, Panel
from zfcuda.report.pieces import data_of, percent, picture, scale, text, times

_MATTERS = 0.02  # a smaller fall of the probability, that does not halve it, is called none


def finding(e: Explanation) -> str:
    """What the occlusion map comes to, as a sentence in HTML."""
    row, column = e.occlusion.worst
    before, after = float(e.probabilities[e.target]), float(e.occlusion.probability[row, column])
    label = int(e.occlusion.label[row, column])
    name, other = text(e.class_names[e.target]), text(e.label_name(label))
    top, left, bottom, right = e.occlusion.rectangle(row, column)
    place = (
        f'the {times(bottom - top, right - left)} pixels at rows <span class="num">{top} to {bottom - 1}</span>, '
        f'columns <span class="num">{left} to {right - 1}</span>'
    )
    if math.isnan(after):
        return "Its answers under the occluder are not numbers."
    if torch.equal(e.occlusion.log_odds, e.occlusion.base_log_odds.expand_as(e.occlusion.log_odds)):
        return f"No square of this size changes anything: {name} stays at <b>{percent(after)}</b> wherever it lies."
    if before - after < _MATTERS and after > before / 2:
        return (
            f"No single square of this size matters much: hiding {place} costs the most, "
            f"and leaves {name} at <b>{percent(after)}</b>."
        )
    then = f", and the answer becomes <b>{other}</b>" if label != e.occlusion.target_label else ""
    return f"Hide {place}, and {name} falls to <b>{percent(after)}</b>{then}."


def occlusion(number: int, e: Explanation, drawn: Drawn) -> str:
    """The section of picture `number`, with the data that its script needs."""
    rows, columns = e.occlusion.probability.shape
    name = text(e.class_names[e.target])
    low, high = render.value_range(e.occlusion.probability)
    before = float(e.probabilities[e.target])
    contents = [
        (
            f'<div class="frame stage">{picture(drawn.occluded)}</div>',
            f"<b>The occluded picture.</b> Here the square hides what {name} depends on most.",
        ),
        *_followed(e, drawn),
        (
            _map(e, drawn.probability) + scale("viridis", low, high, percent, before),
            f"<b>Probability of {name}.</b> Dark: hiding this place makes the network doubt. Tick: nothing hidden.",
        ),
        (
            _map(e, drawn.labels) + _legend(e, drawn),
            "<b>Most probable class</b> for each place of the square, and its share of the places.",
        ),
    ]
    panels = [_panel(letter, *panel) for letter, panel in zip("abcde", contents, strict=False)]
    data = json.dumps(_data(number, e), separators=(",", ":")).replace("<", "\\u003c")
    return f"""<section data-occlusion style="--ratio:{e.pixels.shape[2]}/{e.pixels.shape[1]}">
<h3>What happens when a part is hidden</h3>
<p class="note">{text(e.cover.words).capitalize()} is put over the picture at {rows * columns} places in turn, and the
network is asked each time. Each cell of a map is one place of the square: its top left cell is the square in the top
left corner. Move over a map, or select it and use the arrow keys, to move the square.</p>
<div class="panels" style="--columns:{len(panels) + any("class=pair" in panel for panel in panels)}">
{"".join(panels)}</div>
{_unfollowed(e)}<p class="readout" aria-live="polite">{finding(e)}</p>
<p class="note method">{times(columns, rows)} places in {e.seconds:.2g} s, {text(e.occlusion.method)} method:
{text(e.occlusion.reason.rstrip("."))}.</p>
<script type="application/json">{data}</script>
</section>"""


def _followed(e: Explanation, drawn: Drawn) -> list[tuple[str, str]]:
    """The panels about one feature map; none where none is followed."""
    unit, activity = e.followed, e.occlusion.activity
    if unit is None or activity is None or drawn.activity is None or drawn.patch is None:
        return []
    layer = text(e.followed_layer or "")
    bar = scale("inferno", *render.value_range(activity))
    patch = "the same patch of the picture" if unit.field else "the whole picture, as it is not known what part it sees"
    if drawn.projection is None:
        seen = (
            _frame(drawn.patch),
            f"<b>What that map sees</b> where it is strongest: {patch.replace('same ', '')}. Its activation cannot be "
            f"projected down to the pixels; the reason stands beside {layer} below.",
        )
    else:
        form = next(each.form for each in e.layers if each.name == e.followed_layer)
        how = " by guided backpropagation" if form is Form.GUIDED else ""
        seen = (
            f'<div class="two">{_frame(drawn.projection)}{_frame(drawn.patch)}</div>',
            f"<b>What that map responds to.</b> Left: its strongest activation, projected down to the pixels{how} "
            f"(grey: no part in it). Right: {patch}.",
        )
    watched = (
        _map(e, drawn.activity) + bar,
        f"<b>Activity of one feature map</b> ({layer}, map {unit.number}, the strongest), summed over the map. "
        "Dark: the square hides what it responds to.",
    )
    return [watched, seen]


def _unfollowed(e: Explanation) -> str:
    """Why no feature map is followed, where none is."""
    if e.followed is not None:
        return ""
    why = (
        "The network has no two-dimensional convolution"
        if e.followed_layer is None
        else f"Nothing in {text(e.followed_layer)} is active for this picture"
    )
    return f'<p class="note">{why}, so there is no feature map to follow under the square.</p>\n'


def _panel(letter: str, content: str, caption: str) -> str:
    wide = " class=pair" if 'class="two"' in content else ""
    return f'<figure{wide}>{content}<figcaption><span class="letter">{letter}</span>{caption}</figcaption></figure>\n'


def _map(e: Explanation, panel: Panel) -> str:
    """A map with the cell of the most harmful place marked."""
    rows, columns = e.occlusion.probability.shape
    row, column = e.occlusion.worst
    where = f"top:{100 * row / rows:.3f}%;left:{100 * column / columns:.3f}%"
    size = f"height:{100 / rows:.3f}%;width:{100 / columns:.3f}%"
    return f'<div class="frame" tabindex="0">{picture(panel)}<div class="cell" style="{where};{size}"></div></div>'


def _frame(panel: Panel) -> str:
    return f'<div class="frame fit">{picture(panel)}</div>'


def _legend(e: Explanation, drawn: Drawn) -> str:
    places = e.occlusion.label.numel()
    entries = (
        f'<li><i style="background:{render.hex_colour(entry.colour)}"></i>'
        f"<span>{text(e.label_name(entry.index)) if entry.index >= 0 else 'other classes'}</span>"
        f'<span class="num">{percent(entry.count / places)}</span></li>'
        for entry in drawn.legend
    )
    return f'<ul class="legend">{"".join(entries)}</ul>'


def _data(number: int, e: Explanation) -> dict[str, object]:
    """What the script needs to tell about each place of the square."""
    o, colour = e.occlusion, e.cover.colour
    return {
        "picture": f"shown-{number}",
        "size": list(e.pixels.shape[-2:]),
        "window": e.window,
        "fill": render.hex_colour(colour) if colour else data_of(render.picture(e.cover.pixels)),
        "rows": o.origins[:, 0, 0].tolist(),
        "columns": o.origins[0, :, 1].tolist(),
        "worst": list(o.worst),
        "target": e.class_names[e.target],
        "names": {i: e.label_name(i) for i in sorted(set(o.label.flatten().tolist()))},
        "label": o.label.tolist(),
        "probability": rounded(o.probability),
        "activity": None if o.activity is None else rounded(o.activity),
    }
