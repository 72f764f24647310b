"""The page: one HTML file with everything in it, which asks the network for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from zfcuda.data.preprocess_facts import line
from zfcuda.report.explain import Explanation, Layer
from zfcuda.report.figure import finding, occlusion
from zfcuda.report.panels import Drawn, Panel, first_filters
from zfcuda.report.pieces import number, percent, picture, scale, signed, text, times
from zfcuda.report.style import CSS, SCRIPT

# The browser itself then refuses every request, whatever ends up in the page.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_CLASSES = 6  # most probable classes shown


def page(explanations: Sequence[Explanation], drawn: Sequence[Drawn], title: str, made: datetime) -> str:
    """The HTML of a report.

    Args:
        explanations: one per picture, all of one network.
        drawn: their panels, in the same order.
        title: what to call the network.
        made: when.
    """
    e = explanations[0]
    facts = {
        "Network": title,
        "Classes": str(len(e.probabilities)),
        "Pictures": str(len(explanations)),
        "Preprocessing": line(e.preprocess),
        "Occluder": f"{times(e.window, e.window)} pixels, moved by {e.stride}",
        "Made": made.strftime("%d %B %Y, %H:%M").lstrip("0"),
    }
    rows = "".join(f"<div><dt>{key}</dt><dd>{text(value)}</dd></div>" for key, value in facts.items())
    pictures = "".join(_picture(i, one, drawn[i]) for i, one in enumerate(explanations))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>What the network looks at</title>
<style>{CSS}</style>
</head>
<body>
<header>
<p class="brow">zfcuda</p>
<h1>What the network looks at</h1>
<p class="lead">For each picture: the answer, the parts of the picture that it rests on, and the structures that each
layer responds to.</p>
<dl>{rows}</dl>
{_navigation(explanations, drawn) if len(explanations) > 1 else ""}</header>
<main>
{pictures}{_filters(e)}</main>
{_FOOTER}
<script>{SCRIPT}</script>
</body>
</html>
"""


def _navigation(explanations: Sequence[Explanation], drawn: Sequence[Drawn]) -> str:
    links = []
    for i, (e, panels) in enumerate(zip(explanations, drawn, strict=True)):
        small = panels.picture.image.copy()
        small.thumbnail((88, 88))
        best = int(e.probabilities.argmax())
        links.append(
            f'<a href="#picture-{i}">{picture(Panel(small, ""))}<span><span class="name">{text(e.name)}</span><br>'
            f'<span class="soft">{text(e.class_names[best])}, {percent(float(e.probabilities[best]))}</span></span></a>'
        )
    return f'<nav aria-label="Pictures">{"".join(links)}</nav>\n'


def _picture(index: int, e: Explanation, drawn: Drawn) -> str:
    best = int(e.probabilities.argmax())
    name = text(e.class_names[e.target])
    share = percent(float(e.probabilities[e.target]))
    asked = "" if e.target == best else f" This page asks about <b>{name}</b> ({share})."
    outlined = "" if e.truth is None else " Yellow: the outline of the one part that makes it what it is."
    high, wide = e.pixels.shape[-2:]
    evidence = scale("diverging", -drawn.evidence_limit, drawn.evidence_limit, signed)
    return f"""<article id="picture-{index}">
<p class="brow">Picture {index + 1}</p>
<h2>{text(e.name)}</h2>
<p class="lead">The network says <b>{text(e.class_names[best])}</b> ({percent(float(e.probabilities[best]))}).{asked}
{finding(e)}</p>
<div class="answer">
<figure>{picture(drawn.picture, f"shown-{index}")}<figcaption><b>The picture</b> as the network receives it,
{times(wide, high)} pixels.</figcaption></figure>
<figure>{picture(drawn.evidence)}{evidence}<figcaption><b>Where the evidence is.</b> Red: hiding this lowers the score
of {name}, by as much as the numbers say. Blue: hiding it raises the score.{outlined}</figcaption></figure>
<div><h3>Most probable classes</h3>{_bars(e)}</div>
</div>
{occlusion(index, e, drawn)}
{_layers(e, drawn)}
</article>
"""


def _bars(e: Explanation) -> str:
    order = e.probabilities.argsort(descending=True, stable=True).tolist()
    shown = order[:_CLASSES] if e.target in order[:_CLASSES] else [*order[: _CLASSES - 1], e.target]
    rows = []
    for i in shown:
        share = float(e.probabilities[i])
        chosen = ' class="target"' if i == e.target else ""
        rows.append(
            f'<li{chosen}><div class="row"><span>{text(e.class_names[i])}</span>'
            f'<span class="num">{percent(share)}</span></div>'
            f'<div class="bar"><i style="width:{100 * share:.2f}%"></i></div></li>'
        )
    return f'<ol class="classes">{"".join(rows)}</ol>'


def _layers(e: Explanation, drawn: Drawn) -> str:
    count = len(e.layers)
    which = "each convolution layer" if count == e.all_layers else f"{count} of the {e.all_layers} convolution layers"
    return f"""<section>
<h3>What each layer responds to</h3>
<p class="note">The strongest feature maps of {which}. In each card, left: the strongest activation of the map,
projected back to the pixels by the deconvnet; right: the patch of the picture that this unit sees,
or the whole picture where that is not known; below: where the map is active, with a ring around the strongest
place.</p>
{"".join(_layer(layer, units) for layer, units in zip(e.layers, drawn.units, strict=True))}</section>"""


def _layer(layer: Layer, drawn: Sequence[tuple[Panel, Panel, Panel]]) -> str:
    high, wide = layer.size
    cards = []
    for unit, (activity, projection, patch) in zip(layer.units, drawn, strict=True):
        y, x = unit.position
        ring = f'<i class="ring" style="top:{100 * (y + 0.5) / high:.2f}%;left:{100 * (x + 0.5) / wide:.2f}%"></i>'
        cards.append(
            f'<figure class="unit"><div class="two">{picture(projection)}{picture(patch)}</div>'
            f'<figcaption><div class="frame" style="--ratio:{wide}/{high}">{picture(activity)}{ring}</div>'
            f'<div><span class="name">Map {unit.number}</span><br><span class="num">{number(unit.value)}</span> '
            f"at row {y}, column {x}</div></figcaption></figure>"
        )
    body = f'<div class="units">{"".join(cards)}</div>' if cards else "<p>Nothing in it is active for this picture.</p>"
    field = "how much of the picture a unit sees is not known"
    if layer.field_size is not None:
        field = f"each unit sees {times(layer.field_size[1], layer.field_size[0])} pixels"
    return (
        f'<div class="layer"><header><h4>{text(layer.name)}</h4><span>{layer.maps} maps of {times(wide, high)}; '
        f"{field}</span></header>{body}</div>\n"
    )


def _filters(e: Explanation) -> str:
    panel = first_filters(e)
    if panel is None:
        body = f'<p class="note">They have {e.filters.shape[1]} input channels, so they cannot be drawn in colour.</p>'
    else:
        body = (
            f'<figure class="filters">{picture(panel)}<figcaption>The weights of {text(e.layers[0].name)}, each filter '
            "scaled on its own; grey is zero. Long training turns them into edges and colour blobs; what looks like "
            "noise is left of the random start.</figcaption></figure>"
        )
    return f'<article><p class="brow">The network itself</p><h2>First-layer filters</h2>{body}</article>\n'


_FOOTER = """<footer><p>Method: M. D. Zeiler and R. Fergus, <cite>Visualizing and Understanding Convolutional
Networks</cite> (arXiv 1311.2901): deconvnet projections through the recorded pooling switches, and occlusion maps as in
its figure 7. A projection shows which structures excite a unit, not whether the answer is right. The numbers are in
numbers.json and the pictures in the folder pictures, beside this page.</p></footer>"""
