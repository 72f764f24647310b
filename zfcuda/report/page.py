"""The page: one HTML file with everything in it, which asks the network for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from zfcuda.data.preprocess_facts import line
from zfcuda.occlusion.output import named
from zfcuda.report.cards import layers
from zfcuda.report.document import document, listed, made_with
from zfcuda.report.evidence import evidence
from zfcuda.report.explanation import Explanation
from zfcuda.report.figure import finding, occlusion
from zfcuda.report.filters import Filters
from zfcuda.report.maps import common_limits, data_of
from zfcuda.report.method_figures import methods
from zfcuda.report.networks import Network
from zfcuda.report.overview import asked as asked_for
from zfcuda.report.overview import overview
from zfcuda.report.packed import address
from zfcuda.report.panels import Drawn
from zfcuda.report.pieces import bar, loaded, percent, text, times
from zfcuda.report.reproduce import Asked, section
from zfcuda.web import colours_block, data_block, ramps, text_of

_CLASSES = 6  # most probable classes shown
_SCRIPTS = ("colours.js", "numbers.js", "evidence.js", "map.js", "occluder.js", "picture.js", "report.js")


def page(
    networks: Sequence[Network], drawn: Sequence[Drawn], stems: Sequence[str], made: datetime, asked: Asked
) -> str:
    """The HTML of a report.

    Args:
        networks: each with its explanations, one per picture.
        drawn: the panels of all of these, in the same order.
        stems: how the names of the files begin that people save of each.
        made: when.
        asked: what somebody asked for.
    """
    explanations = [e for network in networks for e in network.explanations]
    one = networks[0] if len(networks) == 1 else None
    e = explanations[0]
    shared = {
        "Pictures": str(len(explanations)),
        **({} if e.output is None else {"Scores": f"{named(e.output)} of what it returns"}),
        "Occluder": f"{e.cover.words}, {times(e.window, e.window)} pixels, moved by {e.stride}",
        **made_with(made),
    }
    facts = shared if one is None else {"Network": one.record["title"]} | _facts(one) | shared
    limits = common_limits(drawn)
    parts, start = [], 0
    for network in networks:
        if one is None:
            parts.append(_network(network))
        for index, e in enumerate(network.explanations, start):
            data = data_of(e, drawn[index], limits, stems[index])
            parts.append(_picture(index, e, drawn[index], data, several=len(explanations) > 1))
        parts.append(_filters(network.filters))
        start += len(network.explanations)
    body = f"""<header>
<p class="brow">zfcuda</p>
<h1>What the network looks at</h1>
{overview(explanations, drawn)}{_WITHOUT}{listed(facts)}
</header>
<main>
{"".join(parts)}{section(networks, asked)}</main>
{_FOOTER}
{colours_block()}
"""
    style = text_of("theme.css") + text_of("report.css") + ramps()
    script = "\n".join(text_of(name) for name in _SCRIPTS)
    return document("What the network looks at", body, images="data: blob:", style=style, script=script)


def _facts(network: Network) -> dict[str, str]:
    record = network.record
    return {
        "Classes": str(len(network.explanations[0].probabilities)),
        "Preprocessing": line(record["preprocess"]),
        "Weights": _weights(record["weights"]),
        "Device": record["device"],
    }


def _network(network: Network) -> str:
    """What is said of one of several networks, above its pictures."""
    return (
        f'<header class="network"><p class="brow">Network {network.number + 1}</p>'
        f"<h2>{text(network.record['title'])}</h2>{listed(_facts(network))}</header>\n"
    )


def _weights(weights: dict[str, Any]) -> str:
    known = f", SHA-256 {weights['sha256'][:12]}…" if weights["sha256"] else ""
    return f"{weights['parameters']:,} parameters{known}"


def _picture(index: int, e: Explanation, drawn: Drawn, data: dict[str, Any], *, several: bool) -> str:
    """What is said of one picture. What takes long to show waits in templates until somebody comes near."""
    best = e.order[0]
    said = f"says <b>{text(e.class_names[best])}</b> ({percent(float(e.probabilities[best]))})"
    if len(e.class_names) == 1:  # which it may well deny
        said = f"gives <b>{text(e.class_names[0])}</b> a probability of {percent(float(e.probabilities[0]))}"
    high, wide = e.size
    picture = loaded(drawn.picture, address(drawn.picture.image))
    return f"""<article class="picture" id="picture-{index}">
<p class="brow">Picture {index + 1}</p>
<h2>{text(e.name)}</h2>
<p class="lead">The network {said}. {asked_for(e)}
{finding(e)}</p>
<div class="answer">
<figure data-picture>{picture}<figcaption><b>The picture</b> as the network receives it,
{times(wide, high)} pixels.</figcaption></figure>
<template>{evidence(index, e, drawn, several=several)}</template>
<div><h3>Most probable classes</h3>{_bars(e)}</div>
</div>
<template>
{occlusion(index, e, drawn)}
{methods(index, e, drawn)}
{layers(index, e, drawn)}
</template>
{data_block(f"data-{index}", data)}
</article>
"""


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


def _filters(filters: Filters | None) -> str:
    if filters is None:
        return ""
    shown = loaded(filters.panel, address(filters.panel.image, exactly=True))
    body = (
        f'<figure class="filters">{shown}<figcaption>{text(filters.caption)} Long training turns them into edges and '
        "colour blobs; what looks like noise is left of the random start.</figcaption></figure>"
    )
    return f'<article><p class="brow">The network itself</p><h2>First-layer filters</h2>{body}</article>\n'


_WITHOUT = """<noscript><p class="refused"><b>Without JavaScript</b> the maps stay closed; the same pictures are
files in the folder pictures, beside this page.</p></noscript>
"""

_FOOTER = """<footer><p>Method: M. D. Zeiler and R. Fergus, <cite>Visualizing and Understanding Convolutional
Networks</cite> (arXiv 1311.2901): deconvnet projections through the recorded pooling switches, and occlusion maps as in
its figure 7. A projection shows which structures excite a unit, not whether the answer is right. The numbers are in
numbers.json and the pictures in the folder pictures, beside this page.</p></footer>"""
