"""The figure beside the picture: where the evidence is, in log-odds, with a switch to logit and probability."""

from __future__ import annotations

from zfcuda.report.explanation import Explanation
from zfcuda.report.panels import QUANTITIES, Drawn
from zfcuda.report.pieces import chart, choice, key_bar, slider, text, told

STRENGTH = 85  # per cent: how opaque the map is over the picture at first
_MEANING = {
    "log_odds": "Log-odds: 0.7 less halves the odds, 2.3 less divides them by ten.",
    "score": "The logit is the raw output of the network. It may fall while the class becomes more probable, where "
    "other classes fall further.",
    "probability": "Percentage points: where the network is very sure, a probability hardly moves.",
}


def evidence(number: int, e: Explanation, drawn: Drawn, *, several: bool) -> str:
    """The figure of picture `number`; where there are `several`, they can share a scale."""
    name = text(e.class_names[e.target])
    outlined = "" if e.truth is None else " Yellow: the outline of the one part that makes it what it is."
    own = {"own": "its own", "shared": "one for all pictures"}
    scales = choice(f"scale-{number}", "Scale", own, kind="evidence-scale") if several else ""
    first = next(iter(QUANTITIES))
    meanings = "".join(
        f'<span data-meaning="{of}"{"" if of == first else " hidden"}>{_MEANING[of]}</span>' for of in QUANTITIES
    )
    return (
        f'<figure class="evidence">{chart("evidence", drawn.evidence[first].panel)}{key_bar("evidence")}'
        f"{told('evidence', 'Move over the map to read it.')}"
        f"{choice(f'evidence-{number}', 'Shown in', QUANTITIES, kind='quantity')}{scales}"
        f"{slider(f'strength-{number}', 'Over the picture', STRENGTH, kind='evidence-strength')}"
        f"<figcaption><b>Where the evidence is.</b> Red: hiding this lowers the "
        f"<span data-quantity>{QUANTITIES[first]}</span> of {name}. Blue: hiding it raises it. {meanings}{outlined}"
        "</figcaption></figure>"
    )
