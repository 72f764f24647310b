"""Every link between documents leads somewhere, down to the heading; every picture is there, and says what it shows."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.documents import DOCUMENTS, ROOT, blocks, without_blocks

LANGUAGES = {"python", "pyi", "sh", "bash", "text"}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(<?([^()\s>]+(?:\([^()\s]*\)[^()\s]*)*)>?\)")


def anchors(text: str) -> set[str]:
    """What a link within a document may name: its headings, as GitHub calls them, and what has an id."""
    plain = without_blocks(text)
    found, taken = set(re.findall(r'<a id="([^"]+)">', plain)), Counter[str]()
    for heading in re.findall(r"^#{1,6} (.+?)\s*#*$", plain, re.MULTILINE):
        shown = re.sub(r"!?\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", html.unescape(shown).lower()).replace(" ", "-")
        found.add(f"{slug}-{taken[slug]}" if taken[slug] else slug)
        taken[slug] += 1
    return found


def links(text: str) -> Iterator[tuple[bool, str, str]]:
    """(whether it is a picture, its text, where it leads) of each link; those within code are none."""
    plain = re.sub(
        r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", lambda match: "x" * len(match[0]), without_blocks(text), flags=re.DOTALL
    )
    for picture, said, place in _LINK.findall(plain):
        yield bool(picture), said, place
        if not picture:
            yield from ((True, inner, to) for mark, inner, to in _LINK.findall(said) if mark)
    for tag in re.findall(r"<img [^>]*>", plain):
        said, place = (re.search(rf'{name}="([^"]*)"', tag) for name in ("alt", "src"))
        yield True, said[1] if said else "", place[1] if place else ""


def broken(document: Path, text: str) -> list[str]:
    """The links of a document that lead nowhere, and its pictures without words."""
    found = []
    for picture, said, place in links(text):
        if picture and len(said.strip()) < 3:
            found.append(f"{place}: a picture without a text")
        if re.match(r"[a-z]+:", place):
            if not place.startswith(("https://", "http://", "mailto:")):
                found.append(f"{place}: no address")
            continue
        path, _, anchor = unquote(place).partition("#")
        target = (document.parent / path).resolve() if path else document
        if target != document and not target.exists():
            found.append(f"{place}: no such file")
        elif anchor and target.suffix == ".md":
            there = anchors(text if target == document else target.read_text("utf-8"))
            found += [] if anchor in there else [f"{place}: no such heading"]
        elif anchor:
            found.append(f"{place}: a place within a file that has no headings")
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken(ROOT / path, (ROOT / path).read_text("utf-8")) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_blocks_say_what_they_are(path: Path) -> None:
    """So that none is passed over: what is run is told by its language, and an indented block has none."""
    found = [block.line for block in blocks((ROOT / path).read_text("utf-8")) if block.language not in LANGUAGES]
    assert not found, f"{path}: blocks without a language, or with one that is not known, at lines {found}"


def led_to(page: Path) -> set[Path]:
    """The documents that a document's links lead to."""
    places = [
        place.partition("#")[0] for _, _, place in links(page.read_text("utf-8")) if not re.match(r"[a-z]+:", place)
    ]
    return {(page.parent / unquote(place)).resolve() for place in places if place.endswith(".md")}


def test_every_page_is_found_from_the_index() -> None:
    """A page that nobody leads to is not read."""
    index = ROOT / "docs" / "README.md"
    assert set((ROOT / "docs").glob("*.md")) <= led_to(index) | {index}
    reference = ROOT / "docs" / "api" / "README.md"
    assert set((ROOT / "docs" / "api").glob("*.md")) <= led_to(reference) | {reference}
    assert reference in led_to(index)


def test_what_is_broken_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text('# One, two\n\n# One two\n\n## `code` & [more](x.md)\n<a id="here"></a>\n')
    (tmp_path / "a.png").write_bytes(b"")
    text = """# First
[a](other.md) [b](other.md#one-two) [c](other.md#one-two-1) [d](other.md#code--more) [e](#first) [f](other.md#here)
![a picture](a.png) [![a picture](a.png)](https://example.org/a_(b)) `[not](a-link)` <img src="a.png" alt="a picture">

```text
[neither](this)
# no heading
```
[A](othr.md) [B](other.md#three) [C](#no-heading) ![](a.png) ![a picture](b.png) [D](file:///etc) [E](a.png#x)
[![](a.png)](other.md) <img src="a.png">
"""
    found = broken(tmp_path / "page.md", text)
    assert [place.partition(":")[0] for place in found] == [
        *("othr.md", "other.md#three", "#no-heading", "a.png", "b.png", "file", "a.png#x", "a.png", "a.png")
    ]


def test_a_block_that_is_not_closed_is_told() -> None:
    with pytest.raises(ValueError, match="line 2: the block is not closed"):
        list(blocks("text\n```python\nx = 1\n"))
    indented = list(blocks("text\n\n    zfcuda layers\n    zfcuda backend\n\n- a list\n  that goes on\n"))
    assert [(block.language, block.code, block.line) for block in indented] == [
        ("", "zfcuda layers\nzfcuda backend", 3)
    ]
