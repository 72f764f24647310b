"""What stands before everything else: for each picture the answer of the network and the finding, at a glance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from PIL import Image

from zfcuda.report.explanation import Explanation
from zfcuda.report.figure import finding
from zfcuda.report.packed import address
from zfcuda.report.panels import Drawn, Panel
from zfcuda.report.pieces import bar, loaded, percent, text

_FEW = 6  # pictures that are shown large
_SIDES = {"one": 160, "few": 160, "many": 112}  # of the thumbnails, by how many pictures there are


def overview(count: int, found: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """A card for each of so many pictures, which leads to all that is said about it; found: what cards gave of each."""
    kind = "one" if count == 1 else "few" if count <= _FEW else "many"
    yield f'<nav aria-label="Pictures"><ol class="overview {kind}">'
    for each in found:
        yield each[kind]
    yield "</ol></nav>\n"


def cards(number: int, e: Explanation, drawn: Drawn) -> dict[str, str]:
    """The card of picture `number`, by how many pictures are on the page: "one", "few", "many"."""
    first = next(iter(drawn.evidence.values())).panel
    panels = (drawn.picture, first)
    shown = {side: "".join(_thumbnail(panel, side) for panel in panels) for side in set(_SIDES.values())}
    return {kind: _card(number, e, shown[side], kind != "one") for kind, side in _SIDES.items()}


def _card(number: int, e: Explanation, thumbnails: str, several: bool) -> str:
    name = f'<a href="#picture-{number}">{text(e.name)}</a>' if several else text(e.name)
    best = e.order[0]
    share = float(e.probabilities[best])
    return (
        f'<li><div class="two">{thumbnails}</div><div><p class="name">{name}</p>'
        f'<p class="says"><b>{text(e.class_names[best])}</b> <span class="num">{percent(share)}</span></p>{bar(share)}'
        f"<p>{asked(e)}{finding(e)}</p></div></li>\n"
    )


def asked(e: Explanation) -> str:
    """Which class the page asks about, where that is not the most probable one."""
    if e.target == e.order[0]:
        return ""
    share = percent(float(e.probabilities[e.target]))
    return f"This page asks about <b>{text(e.class_names[e.target])}</b> ({share}). "


def _thumbnail(panel: Panel, side: int) -> str:
    small = panel.image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return loaded(Panel(small, panel.alt), address(small))
