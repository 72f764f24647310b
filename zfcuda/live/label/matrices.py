"""Confusion of person and network side by side: tables where few classes occur, else the most frequent mistakes."""

from __future__ import annotations

from zfcuda.live.label.compare import Comparison, Confusion
from zfcuda.live.label.task import UNKNOWN
from zfcuda.report.pieces import text

_MOST = 26  # classes of a table that people can read
_LEVELS = 10  # of colour


def matrices(name: str, found: Comparison) -> str:
    """The section; "" where no truth is known.

    name: of the labeller.
    """
    both = [
        (who, title, each)
        for who, title, each in (("person", name, found.person), ("network", "network", found.network))
        if each
    ]
    if not both:
        return ""
    if len(both[0][2].classes) > _MOST:
        body = "".join(f"<div><h3>{text(title)}</h3>{_mistakes(who, title, each)}</div>" for who, title, each in both)
        said = "The most frequent mistakes. Choose one to see its pictures below."
    else:
        body = "".join(f"<div><h3>{text(title)}</h3>{_table(who, title, each)}</div>" for who, title, each in both)
        said = (
            "A row is what pictures are, a column what they were taken for. Choose a number to see its pictures below."
        )
    head = f'<h2>What is taken for what</h2><p class="note">{said}</p>'
    return f'<section>{head}<div class="matrices">{body}</div></section>'


def _table(who: str, title: str, found: Confusion) -> str:
    unknown = any(row[-1] for row in found.counts)
    columns = [*found.classes, *([UNKNOWN] if unknown else [])]
    head = "".join(f'<th scope="col"><span>{text(name)}</span></th>' for name in columns)
    body = ""
    for truth, row in zip(found.classes, found.counts, strict=True):
        if not any(row):  # no picture is this: others were taken for it
            continue
        cells = "".join(_cell(who, title, truth, answer, row[i], sum(row)) for i, answer in enumerate(columns))
        body += f'<tr><th scope="row">{text(truth)}</th>{cells}</tr>'
    return (
        f'<div class="scroll"><table class="matrix"><caption>What {text(title)} took pictures for</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(who: str, title: str, truth: str, answer: str, count: int, of: int) -> str:
    if not count:
        return '<td class="none">·</td>'
    level = max(1, round(_LEVELS * count / of))
    kind = "hit" if truth == answer else "miss"
    return f'<td class="{kind} level-{level}">{_button(who, title, truth, answer, count)}</td>'


def _mistakes(who: str, title: str, found: Confusion) -> str:
    items = "".join(
        f"<li>{text(truth)} → {text(answer)} {_button(who, title, truth, answer, count)}</li>"
        for truth, answer, count in found.worst()
    )
    return f'<ol class="mistakes">{items}</ol>' if items else "<p>None.</p>"


def _button(who: str, title: str, truth: str, answer: str, count: int) -> str:
    said = f"Truth {truth}, {title}: {answer} ({count} picture{'' if count == 1 else 's'})"
    return (
        f'<button type="button" data-who="{who}" data-truth="{text(truth)}" data-answer="{text(answer)}" '
        f'aria-label="{text(said)}">{count}</button>'
    )
