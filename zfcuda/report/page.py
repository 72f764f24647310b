"""The page: one HTML file with everything in it, which asks the network for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from zfcuda.data.preprocess_facts import line
from zfcuda.occlusion.output import named
from zfcuda.report.document import around, listed, made_with
from zfcuda.report.filters import Filters
from zfcuda.report.maps import common_limits, with_limits
from zfcuda.report.networks import Network
from zfcuda.report.overview import overview
from zfcuda.report.packed import address
from zfcuda.report.part import Part
from zfcuda.report.pieces import loaded, text, times
from zfcuda.report.reproduce import Asked, section
from zfcuda.web import colours_block, data_block, ramps, text_of

_SCRIPTS = ("colours.js", "numbers.js", "evidence.js", "map.js", "occluder.js", "picture.js", "report.js")


def page(networks: Sequence[Network], made: datetime, asked: Asked) -> Iterator[str]:
    """The HTML of a report, piece by piece, so that no more than a picture's is in memory.

    Args:
        networks: each with its parts, one per picture.
        made: when.
        asked: what somebody asked for.
    """
    parts = [part for network in networks for part in network.parts]
    one = networks[0] if len(networks) == 1 else None
    first = parts[0]
    window, stride = first.arguments["window"], first.arguments["stride"]
    shared = {
        "Pictures": str(len(parts)),
        **({} if first.output is None else {"Scores": f"{named(first.output)} of what it returns"}),
        "Occluder": f"{first.cover}, {times(window, window)} pixels, moved by {stride}",
        **made_with(made),
    }
    facts = shared if one is None else {"Network": one.record["title"]} | _facts(one) | shared
    limits = common_limits([part.limits for part in parts])
    style = text_of("theme.css") + text_of("report.css") + ramps()
    script = "\n".join(text_of(name) for name in _SCRIPTS)
    before, after = around("What the network looks at", images="data: blob:", style=style, script=script)
    yield f"""{before}<header>
<p class="brow">zfcuda</p>
<h1>What the network looks at</h1>
"""
    yield from overview(len(parts), (part.read()["cards"] for part in parts))
    yield f"{_WITHOUT}{listed(facts)}\n</header>\n<main>\n"
    start = 0
    for network in networks:
        if one is None:
            yield _network(network)
        for index, part in enumerate(network.parts, start):
            yield _picture(index, part, limits, several=len(parts) > 1)
        yield _filters(network.filters)
        start += len(network.parts)
    yield f"{section(networks, asked)}</main>\n{_FOOTER}\n{colours_block()}\n{after}"


def _facts(network: Network) -> dict[str, str]:
    record = network.record
    return {
        "Classes": str(network.parts[0].classes),
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


def _picture(index: int, part: Part, limits: Mapping[str, float], *, several: bool) -> str:
    texts = part.read()
    said, data = texts["article"], with_limits(texts["data"], limits)
    figure = said["among" if several else "alone"]
    return f"{said['before']}{figure}{said['after']}{data_block(f'data-{index}', data)}\n</article>\n"


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
