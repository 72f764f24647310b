"""The section about the occluder: the five panels of the paper's figure 7, and what they come to in a sentence."""

from __future__ import annotations

import math

import torch

from zfcuda import render
from zfcuda.report.explanation import Explanation, Form
from zfcuda.report.panels import Drawn
from zfcuda.report.pieces import chart, choice, cut, key_bar, later, percent, stage, swatch, text, times

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
    """The section of picture `number`."""
    rows, columns = e.occlusion.probability.shape
    name = text(e.class_names[e.target])
    own = {"own": "from the lowest to the highest", "shared": "from 0 to 100 %"}
    contents = [
        (
            stage(drawn.occluded),
            f"<b>The occluded picture.</b> Here the square hides what {name} depends on most.",
        ),
        *_followed(e, drawn),
        (
            chart("probability", drawn.probability) + key_bar("probability"),
            f"<b>Probability of {name}.</b> Dark: hiding this place makes the network doubt. Tick: nothing hidden.",
        ),
        (
            chart("labels", drawn.labels) + _legend(e, drawn),
            "<b>Most probable class</b> for each place of the square, and its share of the places.",
        ),
    ]
    panels = [_panel(letter, *panel) for letter, panel in zip("abcde", contents, strict=False)]
    wide = len(panels) + any("class=pair" in panel for panel in panels)
    return f"""<section data-occlusion>
<h3>What happens when a part is hidden</h3>
<p class="note">{text(e.cover.words).capitalize()} is put over the picture at {rows * columns} places in turn, and the
network is asked each time. Each cell of a map is one place of the square: its top left cell is the square in the top
left corner. Move over a map or the picture, or select it and use the arrow keys, to move the square.</p>
{choice(f"probability-{number}", "Colours of the probability", own, kind="probability-scale")}
<div class="panels columns-{wide}">
{"".join(panels)}</div>
{_unfollowed(e)}<p class="readout" aria-live="polite">{finding(e)}</p>
<p class="note method">{times(columns, rows)} places in {e.seconds:.2g} s, {text(e.occlusion.method)} method:
{text(e.occlusion.reason.rstrip("."))}.</p>
</section>"""


def _followed(e: Explanation, drawn: Drawn) -> list[tuple[str, str]]:
    """The panels about one feature map; none where none is followed."""
    unit, activity = e.followed, e.occlusion.activity
    if unit is None or activity is None or drawn.activity is None or drawn.patch is None:
        return []
    layer = text(e.followed_layer or "")
    patch = "the same patch of the picture" if unit.field else "the whole picture, as it is not known what part it sees"
    seen = cut(unit.field, e.size, drawn.patch.alt)
    if drawn.projection is None:
        responds = (
            seen,
            f"<b>What that map sees</b> where it is strongest: {patch.replace('same ', '')}. Its activation cannot be "
            f"projected down to the pixels; the reason stands beside {layer} below.",
        )
    else:
        number = next(i for i, each in enumerate(e.layers) if each.name == e.followed_layer)
        how = " by guided backpropagation" if e.layers[number].form is Form.GUIDED else ""
        responds = (
            f'<div class="two">{later(f"projection-{number}-0", drawn.projection)}{seen}</div>',
            f"<b>What that map responds to.</b> Left: its strongest activation, projected down to the pixels{how} "
            f"(grey: no part in it). Right: {patch}.",
        )
    watched = (
        chart("activity", drawn.activity) + key_bar("activity"),
        f"<b>Activity of one feature map</b> ({layer}, map {unit.number}, the strongest), summed over the map. "
        "Dark: the square hides what it responds to.",
    )
    return [watched, responds]


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


def _legend(e: Explanation, drawn: Drawn) -> str:
    places = e.occlusion.label.numel()
    entries = (
        f"<li>{swatch(render.hex_colour(entry.colour))}"
        f"<span>{text(e.label_name(entry.index)) if entry.index >= 0 else 'other classes'}</span>"
        f'<span class="num">{percent(entry.count / places)}</span></li>'
        for entry in drawn.legend
    )
    return f'<ul class="legend">{"".join(entries)}</ul>'
