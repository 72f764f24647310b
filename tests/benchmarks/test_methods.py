"""docs/methods.md has a section for every method, complete, and a place for what is measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.methods.__main__ import DOCS, trials
from benchmarks.methods.document import filled, places, write_picture
from benchmarks.methods.scene import Shown
from zfcuda.methods import METHODS

TEXT = (DOCS / "methods.md").read_text("utf-8")
WORDS = ("Formula", "Source", "Run", "Time", "Tells", "Does not tell")


def sections() -> dict[str, str]:
    """The section of each method, by the name that its picture has."""
    parts = re.split(r"^### .*$", TEXT, flags=re.MULTILINE)[1:]
    return {found.group(1): part for part in parts if (found := re.search(r"<!-- picture (\w+) -->", part))}


def test_every_method_has_its_section() -> None:
    assert list(sections()) and set(sections()) == set(trials()) >= set(METHODS)


@pytest.mark.parametrize("name", trials())
def test_a_section_is_complete(name: str) -> None:
    section = sections()[name]
    assert [word for word in WORDS if f"- **{word}.**" not in section] == []
    assert {kind for kind, of in places(section) if of == name} >= {"picture", "time"}
    assert {of for _, of in places(section)} == {name}


def test_links_within_the_document_lead_somewhere() -> None:
    heads = {head.lower().replace(" ", "-") for head in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)}
    assert [link for link in re.findall(r"\]\(#([^)]*)\)", TEXT) if link not in heads] == []


def test_pictures_are_there_and_small() -> None:
    pictures = {Path(link) for link in re.findall(r"\]\((methods/[^)]*)\)", TEXT)}
    assert {DOCS / link for link in pictures} == set((DOCS / "methods").glob("*.png"))
    assert sum((DOCS / link).stat().st_size for link in pictures) < 2_000_000


def test_places_are_filled_and_keep_what_did_not_come(tmp_path: Path) -> None:
    one = Shown("mine", Image.new("RGB", (2000, 30), "red"), 0.1234, "3 of 4")
    text = "<!-- picture mine --><!-- end --> <!-- time mine -->9 s<!-- end -->, <!-- said mine -->x\ny<!-- end -->; "
    text += "<!-- time other -->7 s<!-- end --> <!-- measured -->never<!-- end -->"
    once = filled(text, {"mine": one}, "today")
    assert once == filled(once, {"mine": one}, "today") == filled(once, {}, None)
    for part in ("![mine: 3 of 4](methods/mine.png)<!-- end -->", "-->0.12 s<", "-->3 of 4<", "-->7 s<", "-->today<"):
        assert part in once
    assert write_picture(one, tmp_path) == (tmp_path / "mine.png").stat().st_size
    assert Image.open(tmp_path / "mine.png").size == (640, 10)
