"""The pictures that were answered, each with what it is, what the person said and what the network said."""

from __future__ import annotations

from collections.abc import Callable

from zfcuda.live.label.compare import KINDS, Comparison, Row
from zfcuda.live.label.task import UNKNOWN
from zfcuda.report.pieces import percent, text

_ORDER = list(KINDS)


def filters(found: Comparison) -> str:
    """Buttons that choose which pictures are seen; they work where scripts do."""
    buttons = "".join(
        f'<button type="button" data-kind="{kind}" aria-pressed="false">{KINDS[kind]} '
        f'<b class="num">{count}</b></button>'
        for kind, count in found.kinds.items()
        if count
    )
    return (
        f'<div class="filters" role="group" aria-label="which pictures"><button type="button" data-kind="" '
        f'aria-pressed="true">all <b class="num">{len(found.rows)}</b></button>{buttons}</div>'
        '<p class="chosen note" aria-live="polite"></p>'
    )


def cards(name: str, found: Comparison, address: Callable[[int], str | None]) -> str:
    """The pictures, those first over which person, network and truth part.

    Args:
        name: of the labeller.
        address: of the picture at a position; None: it is told in words alone.
    """
    ordered = sorted(found.rows, key=lambda row: (_ORDER.index(row.kind), row.position))
    return f'<ul class="cards">{"".join(_card(name, row, address(row.position)) for row in ordered)}</ul>'


def _card(name: str, row: Row, address: str | None) -> str:
    lines = []
    if row.truth is not None:
        lines.append(_line("truth", text(row.truth), ""))
    lines.append(_line(text(name), _said(row.person, row.truth) or _marked(UNKNOWN, row.truth), "person"))
    if row.network:
        share = f' <span class="soft num">{percent(row.probabilities[0])}</span>'
        lines.append(_line("network", _marked(row.network[0], row.truth) + share, "network"))
    more = _more(row)
    image = (
        ""
        if address is None
        else (
            f'<button type="button" class="open"><img loading="lazy" alt="picture {row.position + 1}" '
            f'src="{text(address)}"></button>'
        )
    )
    data = (
        f'data-kind="{row.kind}" data-truth="{text(row.truth or "")}" data-person="{text(row.said)}" '
        f'data-network="{text(row.network[0] if row.network else "")}"'
    )
    return f"<li {data}>{image}<dl>{''.join(lines)}</dl>{more}</li>"


def _line(word: str, said: str, who: str) -> str:
    return f'<div class="{who}"><dt>{word}</dt><dd>{said}</dd></div>'


def _said(names: tuple[str, ...], truth: str | None) -> str:
    return "<br>".join(_marked(name, truth) for name in names)


def _marked(name: str, truth: str | None) -> str:
    """A name, with a sign where it is known whether it is right."""
    if truth is None:
        return text(name)
    right = name == truth
    return f'<span class="{"right" if right else "wrong"}">{"✓" if right else "✗"} {text(name)}</span>'


def _more(row: Row) -> str:
    facts = [text(row.name)]
    if row.seconds is not None:
        facts.append(f"{row.seconds:.1f} s")
    if len(row.network) > 1:
        best = ", ".join(
            f"{text(name)} {percent(share)}" for name, share in zip(row.network, row.probabilities, strict=True)
        )
        facts.append(f"network: {best}")
    return f'<details><summary>more</summary><p class="soft">{"<br>".join(facts)}</p></details>'
