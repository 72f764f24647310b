"""The page of the results: both accuracies, confusion, where they disagree; one file, or served beside the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from zfcuda.live.label.cards import cards, filters
from zfcuda.live.label.compare import KINDS, Comparison, Score, Share
from zfcuda.live.label.matrices import matrices
from zfcuda.report.document import listed, made_with
from zfcuda.report.pieces import number, percent, text

#: Gives the address of a row's picture; None: the page does without.
Address = Callable[[int], str | None]
_CHANCE = 0.05


def results(name: str, found: Comparison, *, address: Address, answers: int, network: bool) -> str:
    """What is said of one labeller, as HTML.

    Args:
        name: of the labeller.
        address: by the position of a picture.
        answers: how many might be given for each picture.
        network: whether there is one.
    """
    return f"""<article class="results" data-results>
<header class="label">
<p class="brow">{text(_brow(found, network))}</p>
<h1>{_headline(name, found)}</h1>
<p class="lead">{_lead(name, found, answers)}</p>
</header>
{"".join(_scores(name, score, answers) for score in found.scores)}
{_agreement(found)}
{matrices(name, found)}
<section class="pictures"><h2>Picture by picture</h2>
{filters(found)}
{cards(name, found, address)}
</section>
</article>
"""


def together(pairs: Sequence[tuple[str, str, Share, float | None]]) -> str:
    """How far the labellers agree with one another; "" where there are no two."""
    if not pairs:
        return ""
    body = "".join(
        f"<tr><td>{text(one)}</td><td>{text(other)}</td><td class='num'>{share.hits} of {share.count}, "
        f"{_between(share)}</td><td class='num'>{_kappa(k)}</td></tr>"
        for one, other, share, k in pairs
    )
    return f"""<section><h2>The people among themselves</h2>
<div class="scroll"><table>
<thead><tr><th>one</th><th>other</th><th>first answers that are the same</th><th>kappa</th></tr></thead>
<tbody>{body}</tbody></table></div></section>
"""


def facts(known: Mapping[str, str], made: datetime) -> str:
    """What has to be known to do it again, and what the words mean."""
    return f"""<section class="how"><h2>How it was done</h2>
{listed({**known, **made_with(made)})}
<p class="note">"Don't know" counts as wrong. In brackets behind a share: its 95 % interval (Wilson's), within which
it would probably lie if other pictures were drawn. McNemar's test asks how often a difference as large would come
by chance if neither were better; p is exact and two-sided. Cohen's kappa is the agreement beyond what chance would
give: 0 is chance, 1 is perfect. Time was taken while the picture was to be seen.</p>
</section>
"""


def _brow(found: Comparison, network: bool) -> str:
    who = "A person and a network" if network else "A person"
    return f"{who}, {_pictures(len(found.rows))}"


def _headline(name: str, found: Comparison) -> str:
    if found.scores:
        score = found.scores[0]
        own = f"{text(name)} {percent(score.person.value)}"
        return own if score.network is None else f"{own}, the network {percent(score.network.value)}"
    if found.agreement is not None:
        return f"{text(name)} and the network agree on {percent(found.agreement.value)}"
    return f"{text(name)} answered {_pictures(len(found.rows))}"


def _lead(name: str, found: Comparison, answers: int) -> str:
    said = []
    if found.scores and found.scores[0].p is not None:
        said.append(_verdict(name, found.scores[0]))
    elif not found.scores:
        said.append("What the pictures truly are is not known here: the folder has no class folders.")
    if found.seconds is not None:
        said.append(
            f"A picture took {number(found.seconds)} seconds (the median), all of them {_minutes(found.total)}."
        )
    if found.unknown:
        said.append(f"{text(name)} did not know {_pictures(found.unknown)}.")
    return " ".join(said)


def _verdict(name: str, score: Score) -> str:
    """Who is better, as far as anybody can tell."""
    p = _p(score.p or 0.0)
    alone = f"{text(name)} alone has {_pictures(score.person_alone)} right, the network alone {score.network_alone}; "
    if score.person_alone == score.network_alone:
        return f"{alone}neither is better."
    if (score.p or 0.0) >= _CHANCE:
        return f"{alone}so small a difference may well be chance (McNemar's exact test, {p})."
    better = text(name) if score.person_alone > score.network_alone else "the network"
    return f"{alone}{better} is better (McNemar's exact test, {p})."


def _scores(name: str, score: Score, answers: int) -> str:
    heading = "The first answer" if score.top == 1 else f"One of up to {score.top} answers"
    lines = _bar(name, score.person, "person") + (
        "" if score.network is None else _bar("network", score.network, "network")
    )
    alone = ""
    if score.p is not None and score.top > 1:
        alone = f"<p class='note'>{_verdict(name, score)}</p>"
    return f"<section><h2>{heading} right</h2><div class='bars'>{lines}</div>{alone}</section>"


def _bar(name: str, share: Share, who: str) -> str:
    """A share as a bar with a whisker; drawn in SVG, whose attributes no policy forbids."""
    low, high = share.interval
    at, a, b = (f"{1000 * x:.0f}" for x in (share.value, low, high))
    return f"""<div class="share {who}"><span class="who">{text(name)}</span>
<svg viewBox="0 0 1000 24" preserveAspectRatio="none" role="img" aria-label="{text(name)}: {_between(share)}">
<rect class="rest" width="1000" height="24"/><rect class="value" width="{at}" height="24"/>
<path class="whisker" d="M{a} 12H{b}M{a} 6V18M{b} 6V18" vector-effect="non-scaling-stroke"/></svg>
<span class="num">{share.hits} of {share.count}, {_between(share)}</span></div>"""


def _agreement(found: Comparison) -> str:
    if found.agreement is None:
        return ""
    body = "".join(
        f"<tr><td>{KINDS[kind]}</td><td class='num'>{count}</td>"
        f"<td class='num'>{percent(count / len(found.rows))}</td></tr>"
        for kind, count in found.kinds.items()
        if count or (found.scores and kind in ("both", "person", "network", "same", "different"))
    )
    return f"""<section><h2>Where they agree</h2>
<p>The same first answer for {found.agreement.hits} of {_pictures(found.agreement.count)}, {_between(found.agreement)};
beyond chance, Cohen's kappa: {_kappa(found.kappa)}.</p>
<div class="scroll"><table><tbody>{body}</tbody></table></div></section>"""


def _between(share: Share) -> str:
    low, high = share.interval
    return f"{percent(share.value)} ({100 * low:.1f} to {100 * high:.1f})"


def _kappa(value: float | None) -> str:
    return "no value, as both always say the same" if value is None else f"{value:.2f}".replace("-", "−")


def _p(value: float) -> str:
    return "p below 0.001" if value < 0.001 else f"p = {value:.2g}"


def _pictures(count: int) -> str:
    return f"{count:,} picture{'' if count == 1 else 's'}"


def _minutes(seconds: float) -> str:
    return f"{number(seconds)} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
