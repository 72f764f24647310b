"""What stands before everything else: for each picture the answer of the network and the finding, at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from zfcuda.report.explanation import Explanation
from zfcuda.report.figure import finding
from zfcuda.report.packed import address
from zfcuda.report.panels import Drawn, Panel
from zfcuda.report.pieces import bar, loaded, percent, text

_FEW = 6  # pictures that are shown large
_SIDES = (160, 112)  # of the thumbnails of few pictures, and of many


def overview(explanations: Sequence[Explanation], drawn: Sequence[Drawn]) -> str:
    """A card for each picture, which leads to all that is said about it."""
    several = len(explanations) > 1
    side = _SIDES[len(explanations) > _FEW]
    cards = [_card(i, e, panels, side, several) for i, (e, panels) in enumerate(zip(explanations, drawn, strict=True))]
    kind = "one" if not several else "few" if side == _SIDES[0] else "many"
    return f'<nav aria-label="Pictures"><ol class="overview {kind}">{"".join(cards)}</ol></nav>\n'


def _card(number: int, e: Explanation, drawn: Drawn, side: int, several: bool) -> str:
    first = next(iter(drawn.evidence.values())).panel
    thumbnails = "".join(_thumbnail(panel, side) for panel in (drawn.picture, first))
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
