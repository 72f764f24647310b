"""The files of a figure, the page of all, and tables in words."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file

from tests.paper import small
from zfcuda.paper.page import PAGE, left_out_before, write_page
from zfcuda.paper.result import Claim, Result
from zfcuda.paper.words import WIDE, aligned, cell, columns, markdown
from zfcuda.paper.written import read, written

FACTS = {
    "title": "Figure 5: <moved>",
    "source": "section 4",
    "says": "It moves & turns.",
    "command": "zfcuda paper fig5",
}


def test_all_files_of_a_figure(tmp_path: Path) -> None:
    files = written(tmp_path, "fig5", small.result(), FACTS)
    names = ["fig5.png", "fig5-conv1.png", "fig5.csv", "fig5-2.csv", "fig5.safetensors", "fig5.json"]
    assert [path.name for path in files] == names and sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert Image.open(files[0]).size == (8, 6) and load_file(files[4])["values"].tolist() == [0, 1, 2]
    with files[2].open(newline="") as table:
        assert list(csv.DictReader(table)) == [{"picture": "a", "red": "0.5"}, {"picture": "b|c", "red": ""}]
    known = json.loads(files[-1].read_text())
    assert known == read(tmp_path, "fig5") and known["files"] == names[:-1] and known["pictures"] == names[:2]
    assert known["free"] == ["fig5-conv1.png"]
    assert known["claims"][1] == {"says": "It is <2>.", "found": "It is 1.", "holds": False} and known["notes"]
    assert known["title"] == FACTS["title"] and known["tables"]["How red"][1] == {"picture": "b|c", "red": None}


def test_files_that_a_new_figure_has_not_are_removed(tmp_path: Path) -> None:
    written(tmp_path, "fig5", small.result(), FACTS)
    (tmp_path / "fig5-mine.png").write_text("somebody else's")
    (tmp_path / "fig51.json").write_text("another figure's")
    written(tmp_path, "fig5", Result(notes=["Nothing."]), FACTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fig5-mine.png", "fig5.json", "fig51.json"]


def test_a_json_that_names_other_files_removes_none(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "fig5.json").write_text(json.dumps({"name": "fig5", "files": ["mine.txt", "../fig5-a.png"]}))
    (tmp_path.parent / "fig5-a.png").write_text("mine")
    written(tmp_path, "fig5", Result(), FACTS)
    assert (tmp_path / "mine.txt").exists() and (tmp_path.parent / "fig5-a.png").exists()


def test_where_a_file_cannot_be_written_all_is_as_before(tmp_path: Path) -> None:
    written(tmp_path, "fig5", small.result("Before."), FACTS)
    broken = small.result("After.")
    broken.pictures["broken"] = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        written(tmp_path, "fig5", broken, FACTS)
    known = read(tmp_path, "fig5")
    assert known and known["claims"][0]["found"] == "Before." and len(list(tmp_path.iterdir())) == 6


def test_names_of_pictures_are_plain_and_none_twice(tmp_path: Path) -> None:
    picture = Image.new("RGB", (2, 2))
    files = written(tmp_path, "fig2", Result(pictures={"a/b": picture, "a b": picture, "": picture}), FACTS)
    assert [path.name for path in files] == ["fig2-a_b.png", "fig2-a_b_2.png", "fig2.png", "fig2.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "fig6", "files": []}', '{"name": "fig5"}', "null"])
def test_what_is_no_figure_is_none(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, "fig5") is None
    (tmp_path / "fig5.json").write_text(text)
    assert read(tmp_path, "fig5") is None
    written(tmp_path, "fig5", small.result(), FACTS)
    assert read(tmp_path, "fig5") is not None
    (tmp_path / "fig5-conv1.png").unlink()
    assert read(tmp_path, "fig5") is None


def test_the_page_has_all_that_is_there(tmp_path: Path) -> None:
    titles = {"fig5": "Figure 5", "fig6": "Figure 6", "table2": "Table 2"}
    assert write_page(tmp_path, titles, {"fig6": "no runs"}) is None and not list(tmp_path.iterdir())
    written(tmp_path, "fig5", small.result(), FACTS)
    written(tmp_path, "table2", Result(tables={"Many": [{"n": n} for n in range(30)]}), FACTS | {"title": "Table 2"})
    assert write_page(tmp_path, titles, {"fig6": "no <runs>"}) == tmp_path / PAGE
    html = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert "Figure 5: &lt;moved&gt;" in html and "It moves &amp; turns." in html and "<moved>" not in html
    assert 'src="fig5.png"' in html and 'src="fig5-conv1.png"' in html and 'width="8" height="6"' in html
    assert "Of 3 claims 1 holds, 1 does not hold, 1 is undecided." in html and "It is &lt;2&gt;." in html
    assert '<a href="#table2">' in html and "(30 rows)" in html and "#fig6" not in html
    assert "<h3>Figure 6</h3><pre>no &lt;runs&gt;</pre>" in html
    assert "default-src 'none'" in html and "<script" not in html and html.count("<li>") == 3
    write_page(tmp_path, titles, {})  # of a command for another figure: the reason is still true
    assert "no &lt;runs&gt;" in (tmp_path / PAGE).read_text(encoding="utf-8")
    written(tmp_path, "fig6", Result(), FACTS)
    write_page(tmp_path, titles, {})
    assert left_out_before(tmp_path) == {} and "Left out" not in (tmp_path / PAGE).read_text(encoding="utf-8")


def test_tables_in_words() -> None:
    rows = [{"unit": 3, "share": 0.123456, "name": "a|b"}, {"unit": 14, "share": None, "name": "x" * 80}]
    text = aligned(rows)
    assert text.splitlines()[0] == "unit   share  name" and text.splitlines()[2] == "   3  0.1235  a|b"
    assert text.splitlines()[3].startswith("  14       –  xxx") and text.splitlines()[3].endswith("...")
    assert len(aligned(rows, 1).splitlines()) == 3
    wide = aligned([{"share of the filters that are dead": 0.5, "layer": "conv1"}])
    assert wide.splitlines()[:4] == ["share of the", "filters that", "    are dead  layer", "------------  -----"]
    assert aligned([]).strip() == ""
    assert markdown(rows, 1) == "| unit | share | name |\n| ---: | ---: | --- |\n| 3 | 0.1235 | a\\|b |"
    assert [cell(each) for each in (2.0, True, [1, 0.5], "a", 1e9, 12345.678)] == [
        "2",
        "yes",
        "1, 0.5",
        "a",
        "1000000000",
        "12346",
    ]


def test_an_interval_stands_with_its_figure() -> None:
    assert [cell(each) for each in ([0.51, 0.4213, 0.5872], [0.12, 0.34], [-0.0004, 0.05], [2.0, 2.0, 2.0])] == [
        "0.51 (0.42 to 0.59)",
        "0.12 to 0.34",
        "0.000 to 0.050",
        "2 (2 to 2)",
    ]
    rows = [
        {"a": 0.5, "a, 95 %": [0.4, 0.6], "b": 0.1, "b, 95 %": [0.0, 0.3], "low": 1.0, "n": 3},
        {"a": None, "a, 95 %": None, "b": 0.2, "b, 95 %": None, "low": 2.0, "n": 4},
    ]
    assert [(each.heading.replace("\u00a0", " "), each.cells) for each in columns(rows)] == [
        ("a (95 % interval)", ["0.50 (0.40 to 0.60)", "–"]),
        ("b (95 % interval)", ["0.10 (0.00 to 0.30)", "0.2"]),
        ("low", ["1", "2"]),
        ("n", ["3", "4"]),
    ]
    assert [each.cells for each in columns([{"over trainings, 95 %": [1.0, 2.0]}])] == [["1.0 to 2.0"]]  # of no figure


def test_a_wide_table_goes_on_below_with_what_tells_its_rows_apart() -> None:
    rows = [{"part": "eye", "layer": layer, **{f"measure {n}" + "x" * 20: n / 7 for n in range(9)}} for layer in "ab"]
    lines = aligned(rows).splitlines()
    assert max(map(len, lines)) <= WIDE and sum(line.startswith("eye   b") for line in lines) > 1
    assert all(f"{n / 7:.4g}" in aligned(rows) for n in range(9))
    assert aligned([{"x": "y" * 300}]).splitlines()[-1].endswith("...")


def test_csv_has_the_ends_of_intervals_in_columns_of_their_own(tmp_path: Path) -> None:
    rows = [{"mean": [0.5, 0.25, 0.75], "95 %": [0.1, 0.2], "place": [3, 4], "none": None}]
    written(tmp_path, "fig6", Result({"t": rows}), FACTS)
    assert (tmp_path / "fig6.csv").read_text().splitlines() == [
        "mean,mean low,mean high,95 % low,95 % high,place,none",
        '0.5,0.25,0.75,0.1,0.2,"3, 4",',
    ]


def test_a_result_says_what_it_has() -> None:
    result = Result({"t": [{"a": 1}]}, claims=[Claim("It moves.", "By 1.", True)])
    assert repr(result) == "Result: tables 't' (1 rows); tensors none; pictures none\n  holds: It moves. By 1."
    result.pictures[""] = Image.new("RGB", (1, 1))
    assert "; pictures ''\n" in repr(result) and result.rows == [{"a": 1}]
