"""What the page says of one picture, from the answer to the layers."""

from __future__ import annotations

from zfcuda.report.cards import layers
from zfcuda.report.evidence import evidence
from zfcuda.report.explanation import Explanation
from zfcuda.report.figure import finding, occlusion
from zfcuda.report.method_figures import methods
from zfcuda.report.overview import asked as asked_for
from zfcuda.report.packed import address
from zfcuda.report.panels import Drawn
from zfcuda.report.pieces import bar, loaded, percent, text, times

_CLASSES = 6  # most probable classes shown


def article(index: int, e: Explanation, drawn: Drawn) -> dict[str, str]:
    """What is said of picture `index`, in pieces: "before", then "alone", or "among" several pictures, and "after".

    What takes long to show waits in templates until somebody comes near.
    """
    best = e.order[0]
    said = f"says <b>{text(e.class_names[best])}</b> ({percent(float(e.probabilities[best]))})"
    if len(e.class_names) == 1:  # which it may well deny
        said = f"gives <b>{text(e.class_names[0])}</b> a probability of {percent(float(e.probabilities[0]))}"
    high, wide = e.size
    picture = loaded(drawn.picture, address(drawn.picture.image))
    before = f"""<article class="picture" id="picture-{index}">
<p class="brow">Picture {index + 1}</p>
<h2>{text(e.name)}</h2>
<p class="lead">The network {said}. {asked_for(e)}
{finding(e)}</p>
<div class="answer">
<figure data-picture>{picture}<figcaption><b>The picture</b> as the network receives it,
{times(wide, high)} pixels.</figcaption></figure>
<template>"""
    after = f"""</template>
<div><h3>Most probable classes</h3>{_bars(e)}</div>
</div>
<template>
{occlusion(index, e, drawn)}
{methods(index, e, drawn)}
{layers(index, e, drawn)}
</template>
"""
    figures = {name: evidence(index, e, drawn, several=name == "among") for name in ("alone", "among")}
    return {"before": before, **figures, "after": after}


def _bars(e: Explanation) -> str:
    order = e.order
    shown = order[:_CLASSES] if e.target in order[:_CLASSES] else [*order[: _CLASSES - 1], e.target]
    rows = []
    for i in shown:
        share = float(e.probabilities[i])
        chosen = ' class="target"' if i == e.target else ""
        rows.append(
            f'<li{chosen}><div class="row"><span>{text(e.class_names[i])}</span>'
            f'<span class="num">{percent(share)}</span></div>'
            f"{bar(share)}</li>"
        )
    return f'<ol class="classes">{"".join(rows)}</ol>'
