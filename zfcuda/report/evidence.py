"""The figure beside the picture: where the evidence is, in log-odds, with a switch to logit and probability."""

from __future__ import annotations

from zfcuda.report.explanation import Explanation
from zfcuda.report.panels import QUANTITIES, Drawn
from zfcuda.report.pieces import picture, points, scale, signed, text

_MEANING = {
    "log_odds": "Numbers: log-odds; 0.7 less halves the odds, 2.3 less divides them by ten.",
    "score": "Numbers: the raw output of the network. It may fall while the class becomes more probable, where other "
    "classes fall further.",
    "probability": "Numbers: percentage points. Where the network is very sure, a probability hardly moves.",
}


def evidence(number: int, e: Explanation, drawn: Drawn) -> str:
    """The figure of picture `number`: radio buttons, and the map that each of them shows."""
    name = text(e.class_names[e.target])
    outlined = "" if e.truth is None else " Yellow: the outline of the one part that makes it what it is."
    group = f"evidence-{number}"
    buttons: list[str] = []
    views = []
    for of, words in QUANTITIES.items():
        one = drawn.evidence[of]
        checked = "" if buttons else " checked"
        buttons.append(
            f'<input type="radio" name="{group}" id="{group}-{of}" class="{of}"{checked}>'
            f'<label for="{group}-{of}">{words}</label>'
        )
        bar = scale("diverging", -one.limit, one.limit, points if of == "probability" else signed)
        views.append(
            f'<div class="view {of}">{picture(one.panel)}{bar}<figcaption><b>Where the evidence is.</b> Red: hiding '
            f"this lowers the {words} of {name}. Blue: hiding it raises it. {_MEANING[of]}{outlined}</figcaption></div>"
        )
    return (
        f'<figure class="switch" role="group" aria-label="Where the evidence is">'
        f"<span>Shown in</span>{''.join(buttons)}{''.join(views)}</figure>"
    )
