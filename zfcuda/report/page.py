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
from zfcuda.report.method_figures import methods
from zfcuda.report.networks import Network
from zfcuda.report.panels import Drawn, Panel
from zfcuda.report.pieces import percent, picture, text, times
from zfcuda.web import text_of

# The browser itself then refuses every request.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_CLASSES = 6  # most probable classes shown


def page(networks: Sequence[Network], drawn: Sequence[Drawn], made: datetime) -> str:
    """The HTML of a report.

    Args:
        networks: each with its explanations, one per picture.
        drawn: the panels of all of these, in the same order.
        made: when.
    """
    explanations = [e for network in networks for e in network.explanations]
    one = networks[0] if len(networks) == 1 else None
    e = explanations[0]
    common = {
        "Pictures": str(len(explanations)),
        **({} if e.output is None else {"Scores": f"{named(e.output)} of what it returns"}),
        "Occluder": f"{e.cover.words}, {times(e.window, e.window)} pixels, moved by {e.stride}",
        **made_with(made),
    }
    facts = common if one is None else {"Network": one.record["title"]} | _facts(one) | common
    parts, start = [], 0
    for network in networks:
        if one is None:
            parts.append(_network(network))
        for index, e in enumerate(network.explanations, start):
            parts.append(_picture(index, e, drawn[index]))
        parts.append(_filters(network.filters))
        start += len(network.explanations)
    body = f"""<header>
<p class="brow">zfcuda</p>
<h1>What the network looks at</h1>
<p class="lead">For each picture: the answer, the parts of the picture that it rests on, and the structures that each
layer responds to.</p>
{listed(facts)}
{_navigation(explanations, drawn) if len(explanations) > 1 else ""}</header>
<main>
{"".join(parts)}</main>
{_FOOTER}
<script>{text_of("report.js")}</script>
"""
    return document(
        "What the network looks at", body, policy=_POLICY, style=text_of("theme.css") + text_of("report.css")
    )


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


def _navigation(explanations: Sequence[Explanation], drawn: Sequence[Drawn]) -> str:
    links = []
    for i, (e, panels) in enumerate(zip(explanations, drawn, strict=True)):
        small = panels.picture.image.copy()
        small.thumbnail((88, 88))
        best = e.order[0]
        links.append(
            f'<a href="#picture-{i}">{picture(Panel(small, ""))}<span><span class="name">{text(e.name)}</span><br>'
            f'<span class="soft">{text(e.class_names[best])}, {percent(float(e.probabilities[best]))}</span></span></a>'
        )
    return f'<nav aria-label="Pictures">{"".join(links)}</nav>\n'


def _picture(index: int, e: Explanation, drawn: Drawn) -> str:
    best = e.order[0]
    name = text(e.class_names[e.target])
    share = percent(float(e.probabilities[e.target]))
    asked = "" if e.target == best else f" This page asks about <b>{name}</b> ({share})."
    said = f"says <b>{text(e.class_names[best])}</b> ({percent(float(e.probabilities[best]))})"
    if len(e.class_names) == 1:  # which it may well deny
        said = f"gives <b>{name}</b> a probability of {share}"
    high, wide = e.pixels.shape[-2:]
    return f"""<article id="picture-{index}">
<p class="brow">Picture {index + 1}</p>
<h2>{text(e.name)}</h2>
<p class="lead">The network {said}.{asked}
{finding(e)}</p>
<div class="answer">
<figure>{picture(drawn.picture, f"shown-{index}")}<figcaption><b>The picture</b> as the network receives it,
{times(wide, high)} pixels.</figcaption></figure>
{evidence(index, e, drawn)}
<div><h3>Most probable classes</h3>{_bars(e)}</div>
</div>
{occlusion(index, e, drawn)}
{methods(e, drawn)}
{layers(e, drawn)}
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
            f'<div class="bar"><i style="width:{100 * share:.2f}%"></i></div></li>'
        )
    return f'<ol class="classes">{"".join(rows)}</ol>'


def _filters(filters: Filters | None) -> str:
    if filters is None:
        return ""
    body = (
        f'<figure class="filters">{picture(filters.panel)}<figcaption>{text(filters.caption)} Long training turns them '
        "into edges and colour blobs; what looks like noise is left of the random start.</figcaption></figure>"
    )
    return f'<article><p class="brow">The network itself</p><h2>First-layer filters</h2>{body}</article>\n'


_FOOTER = """<footer><p>Method: M. D. Zeiler and R. Fergus, <cite>Visualizing and Understanding Convolutional
Networks</cite> (arXiv 1311.2901): deconvnet projections through the recorded pooling switches, and occlusion maps as in
its figure 7. A projection shows which structures excite a unit, not whether the answer is right. The numbers are in
numbers.json and the pictures in the folder pictures, beside this page.</p></footer>"""
