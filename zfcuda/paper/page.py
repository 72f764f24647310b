"""The page of all figures that a folder has: pictures, tables, what each claim comes to, and the commands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from zfcuda.files.drafts import whole
from zfcuda.paper.result import Row
from zfcuda.paper.words import VERDICTS, columns, sentence
from zfcuda.paper.written import read
from zfcuda.report.document import document
from zfcuda.report.pieces import text
from zfcuda.web import text_of

PAGE, REASONS = "paper.html", "paper.json"
# The browser itself refuses every request but for the pictures beside the page.
_IMAGES = "'self' file: data:"
_OPEN = 14  # rows of a table that are seen without a click
_SHORT = 32  # letters of a cell that is not broken
_OWN = """
nav a { padding: 6px 14px; }
article h2 { margin-bottom: 12px; }
article > figure { margin: 20px 0; }
article > figure img { width: auto; max-width: 100%; background: none; border-radius: 0; margin: 0 auto; }
.says { max-width: 54em; }
.claims { list-style: none; margin: 18px 0; padding: 0; max-width: 60em; }
.claims li { display: grid; grid-template-columns: 8.5em 1fr; gap: 14px; padding: 9px 0;
  border-top: 1px solid var(--line); }
.claims p { margin: 0; }
.verdict { font-weight: 650; }
.holds { color: #1a7f4b; } .fails { color: var(--accent); } .open { color: var(--soft); }
@media (prefers-color-scheme: dark) { .holds { color: #6fce9b; } article > figure img { filter: brightness(.92); } }
.scroll { overflow-x: auto; margin: 8px 0 18px; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 4px 14px 4px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; } .right { text-align: right; }
.near { white-space: nowrap; }
pre { font-size: .84rem; white-space: pre-wrap; } details summary { cursor: pointer; } code { font-size: .84rem; }
@media (max-width: 600px) { .claims li { grid-template-columns: 1fr; gap: 2px; } }
"""


def write_page(folder: Path, titles: Mapping[str, str], left_out: Mapping[str, str]) -> Path | None:
    """Writes paper.html of those figures that a folder has; None where it has none of them.

    Args:
        folder: that of the figures.
        titles: of all that there are, by their names, in order.
        left_out: why some are not there, by their names; kept in paper.json for the next time.

    Raises:
        OSError: the disk refuses; an earlier page is as before.
    """
    found = [known for name in titles if (known := read(folder, name)) is not None]
    there = {known["name"] for known in found}
    reasons = {**left_out_before(folder), **left_out}
    missing = {name: reasons[name] for name in titles if name in reasons and name not in there}
    if not found:
        return None
    with whole(folder / PAGE, folder / REASONS) as [draft, beside]:
        draft.write_text(page(folder, found, {titles[name]: why for name, why in missing.items()}), encoding="utf-8")
        beside.write_text(json.dumps({"left out": missing}, indent=1) + "\n", encoding="utf-8")
    return folder / PAGE


def left_out_before(folder: Path) -> dict[str, str]:
    """Why some figures are not in a folder, by their names, as far as that was found out."""
    path = folder / REASONS
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return {str(name): str(why) for name, why in json.loads(path.read_text("utf-8"))["left out"].items()}
    return {}


def page(folder: Path, figures: Sequence[Mapping[str, Any]], missing: Mapping[str, str]) -> str:
    """The HTML.

    Args:
        folder: in which the pictures lie.
        figures: what the JSON of each says.
        missing: why others are not there, by their titles.
    """
    links = "".join(f'<a href="#{known["name"]}">{known["name"]}</a>' for known in figures)
    claims = [claim["holds"] for known in figures for claim in known["claims"]]
    counted = ", ".join(
        f"{count} {one if count == 1 else several}"
        for holds, one, several in (
            (True, "holds", "hold"),
            (False, "does not hold", "do not hold"),
            (None, "is undecided", "are undecided"),
        )
        if (count := claims.count(holds))
    )
    lead = f"Of {len(claims)} claims {counted}." if claims else ""
    body = f"""<header>
<p class="brow">zfcuda</p>
<h1>The figures and tables of the paper</h1>
<p class="lead">Zeiler &amp; Fergus, Visualizing and Understanding Convolutional Networks
(<a href="https://arxiv.org/abs/1311.2901">arXiv 1311.2901</a>), on the network and the pictures that are here.
{lead}</p>
<nav>{links}</nav>
</header>
<main>
{"".join(_article(folder, known) for known in figures)}{_missing(missing)}</main>
"""
    return document(
        "The figures and tables of the paper",
        body,
        images=_IMAGES,
        style=text_of("theme.css") + text_of("report.css") + _OWN,
    )


def _article(folder: Path, known: Mapping[str, Any]) -> str:
    pictures = "".join(_picture(folder, file, known["title"]) for file in known["pictures"])
    claims = "".join(_claim(claim) for claim in known["claims"])
    tables = "".join(_table(title, rows) for title, rows in known["tables"].items())
    notes = "".join(f'<p class="note">{text(note)}</p>' for note in known["notes"])
    versions = ", ".join(f"{name} {version}" for name, version in known.get("versions", {}).items())
    made = [known.get(key, "") for key in ("network", "pictures of", "preprocess", "device", "date")] + [versions]
    beside = ", ".join(known["files"] + [f"{known['name']}.json"])
    return f"""<article id="{known["name"]}">
<h2>{text(known["title"])}</h2>
<p class="says"><b>The paper</b> ({text(known["source"])}). {text(known["says"])}</p>
{pictures}
{f'<ul class="claims">{claims}</ul>' if claims else ""}
{tables}{notes}
<p class="note"><code>{text(known.get("command", ""))}</code><br>{text("; ".join(made))}<br>Files: {text(beside)}</p>
</article>
"""


def _missing(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return ""
    each = "".join(f"<h3>{text(title)}</h3><pre>{text(why)}</pre>" for title, why in reasons.items())
    return f"<article><h2>Left out</h2>{each}</article>\n"


def _picture(folder: Path, file: str, title: str) -> str:
    with Image.open(folder / file) as picture:
        width, height = picture.size
    after = file.removesuffix(".png").partition("-")[2]
    caption = f"<figcaption>{text(after)}</figcaption>" if after else ""
    alt = text(title + (f": {after}" if after else ""))
    return (
        f'<figure><a href="{text(file)}" title="the picture in its full size"><img loading="lazy" width="{width}" '
        f'height="{height}" alt="{alt}" src="{text(file)}"></a>{caption}</figure>\n'
    )


def _claim(claim: Mapping[str, Any]) -> str:
    kind = {True: "holds", False: "fails", None: "open"}[claim["holds"]]
    said = f"<p>{text(claim['says'])} <span class='soft'>{text(claim['found'])}</span></p>"
    return f'<li><span class="verdict {kind}">{VERDICTS[claim["holds"]]}</span>{said}</li>'


def _cell(said: str) -> str:
    """A cell; a short one is not broken, as numbers are hard to read in pieces: the table can be moved sideways."""
    return f'<span class="near">{text(said)}</span>' if len(said) <= _SHORT else text(said)


def _table(title: str, rows: Sequence[Row]) -> str:
    known = columns(rows)
    right = [' class="right"' if column.numeric else "" for column in known]
    head = "".join(f"<th{side}>{text(column.heading)}</th>" for side, column in zip(right, known, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{side}>{_cell(said)}</td>" for side, said in zip(right, line, strict=True)) + "</tr>"
        for line in zip(*(column.cells for column in known), strict=True)
    )
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    if len(rows) > _OPEN:
        return f"<details><summary>{text(sentence(title))} ({len(rows)} rows)</summary>{table}</details>\n"
    return f"<h3>{text(sentence(title))}</h3>{table}\n"
