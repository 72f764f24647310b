"""The page of the strongest patches: for each layer its units, projections on the left, patches on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zfcuda.data.collection import Collection
from zfcuda.data.preprocess_facts import line
from zfcuda.report.document import document, listed, made_with
from zfcuda.report.explanation import Form
from zfcuda.report.patches.joined import LayerPatches
from zfcuda.report.pieces import number, text, times
from zfcuda.web import text_of

# The browser itself refuses every request but for the pictures beside the page.
_IMAGES = "'self' file: data:"
_OWN = """
.excited { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 360px), 1fr)); gap: 28px 24px;
  margin-top: 18px; }
.excited img { width: auto; max-width: 100%; background: none; border-radius: 0; }
"""
_NAMED = 3  # pictures that are named below a unit
_FORMS = {
    Form.DECONVNET: "Left: what in each patch excited the unit, by the deconvnet (grey: no part in it). Right: the "
    "patches, in the same order.",
    Form.GUIDED: "Left: what in each patch excited the unit, by guided backpropagation (Springenberg et al. 2014; "
    "grey: no part in it), for no max pooling lies before this layer and the deconvnet would show the same for every "
    "picture. Right: the patches, in the same order.",
    Form.FILTER: "Nothing but filters lies before this layer. Left: the filter itself, whatever the picture. Right: "
    "the patches.",
}


@dataclass(frozen=True)
class Section:
    """A layer on the page. sheet: the name of its sheet. cards: row -> name of a unit's picture; sizes: of these."""

    layer: LayerPatches
    sheet: str
    cards: Mapping[int, str]
    sizes: Mapping[int, tuple[int, int]]


def page(record: Mapping[str, Any], pictures: Collection, sections: Sequence[Section], made: datetime) -> str:
    """The HTML. record: of the network, from record_of()."""
    found = sections[0].layer.found
    facts = {
        "Network": record["title"],
        "Pictures": f"{found.seen:,}" + (f" ({len(found.skipped):,} left out)" if found.skipped else ""),
        "Preprocessing": line(record["preprocess"]),
        "Device": record["device"],
        **made_with(made),
    }
    body = f"""<header>
<p class="brow">zfcuda</p>
<h1>What excites each unit most</h1>
<p class="lead">Of all pictures those {found.values.shape[1]} that excite a unit most, cut out where they do: as much as
the unit sees. What they have in common is what the unit looks for.</p>
{listed(facts)}
</header>
<main>
{"".join(_section(section, pictures) for section in sections)}{_skipped(sections[0])}</main>
{_FOOTER}
"""
    return document(
        "What excites each unit most", body, images=_IMAGES, style=text_of("theme.css") + text_of("report.css") + _OWN
    )


def _section(section: Section, pictures: Collection) -> str:
    layer, found = section.layer, section.layer.found
    silent = int((found.values[:, 0] <= 0).sum())
    count = len(found.units)
    some = f"{len(layer.rows)} of its {count} units" if len(layer.rows) < count else f"Its {count} units"
    never = f"; {silent} {'is' if silent == 1 else 'are'} not excited by any of the pictures" if silent else ""
    seen = _seen(layer)
    how = "" if layer.form is None else _FORMS[layer.form]
    if layer.refusal:
        how = f"The patches alone: this layer cannot be projected back to the pixels, because {text(layer.refusal)}."
    cards = "".join(_card(section, row, pictures) for row in layer.rows)
    return f"""<article>
<p class="brow">Layer</p>
<h2>{text(found.layer)}</h2>
<p class="note">{some}{never}.{seen} {how} All on one <a href="pictures/{text(section.sheet)}">sheet</a>.</p>
<div class="excited">{cards}</div>
</article>
"""


def _seen(layer: LayerPatches) -> str:
    """How much a unit sees, where it is the same for all."""
    boxes = layer.found.boxes[layer.found.indices >= 0]
    sizes = (boxes[:, 2:] - boxes[:, :2]).unique(dim=0).tolist() if len(boxes) else []
    if len(sizes) != 1:
        return ""
    high, wide = sizes[0]
    more = ", more than the picture has, of which all is shown" if layer.whole else ""
    return f" A unit sees {times(wide, high)} pixels{more}."


def _card(section: Section, row: int, pictures: Collection) -> str:
    found = section.layer.found
    unit = int(found.units[row])
    values = [
        value
        for value, index in zip(found.values[row].tolist(), found.indices[row].tolist(), strict=True)
        if index >= 0
    ]
    names = [found.names[index] for index in found.indices[row].tolist() if index >= 0]
    wide, high = section.sizes[row]
    span = f"activation {number(values[0])} to {number(values[-1])}" if values else "no picture counts"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    alt = f"The strongest patches of unit {unit} of layer {found.layer}"
    image = (
        f'<img loading="lazy" width="{wide}" height="{high}" alt="{text(alt)}" '
        f'src="pictures/{text(section.cards[row])}">'
    )
    return (
        f'<figure>{image}<figcaption><b>Unit {unit}</b>, <span class="num">{span}</span>.'
        f"{_classes(found.indices[row].tolist(), pictures)}<br>{text(', '.join(names[:_NAMED]))}{more}"
        "</figcaption></figure>\n"
    )


def _classes(indices: Sequence[int], pictures: Collection) -> str:
    """How many of the patches are of which class, where the pictures have classes."""
    labels = pictures.labels
    if labels is None:
        return ""
    there = [labels[index] for index in indices if index >= 0]
    counts = sorted(((there.count(label), label) for label in set(there)), key=lambda each: (-each[0], each[1]))
    named = [
        f"{count} {pictures.classes[label] if label < len(pictures.classes) else label}" for count, label in counts
    ]
    return f" {text(', '.join(named[:_NAMED]))}{' and others' if len(named) > _NAMED else ''}." if named else ""


def _skipped(section: Section) -> str:
    skipped = section.layer.found.skipped
    if not skipped:
        return ""
    rows = "".join(f"<li>{text(each.name)}: {text(each.reason)}</li>" for each in skipped[:50])
    more = f"<li>and {len(skipped) - 50:,} more, which numbers.json names</li>" if len(skipped) > 50 else ""
    return f'<article><h2>Left out</h2><ul class="note">{rows}{more}</ul></article>\n'


_FOOTER = """<footer><p>Method: M. D. Zeiler and R. Fergus, <cite>Visualizing and Understanding Convolutional
Networks</cite> (arXiv 1311.2901), section 3 and figure 2. A unit counts in a picture with its strongest place alone.
All numbers are in numbers.json, beside this page.</p></footer>"""
