"""The notebooks run, what they claim is true, and what is stored of them is what they are now."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.notebooks import NAMES, PLACE, _joined, cells, notebook, outputs, run

MOST = 600_000  # bytes of a notebook with what it shows


def stored(name: str) -> Any:
    return pytest.importorskip("nbformat").read(PLACE / f"{name}.ipynb", as_version=4)


def sources(made: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in made.cells]


def test_every_notebook_is_there() -> None:
    assert {path.stem for path in PLACE.glob("*.ipynb")} == set(NAMES)
    assert all((PLACE / f"{name}.ipynb").stat().st_size < MOST for name in NAMES)


def test_prose_and_code_become_cells() -> None:
    text = "# A\nwords\n```python\na = 1\n\nb = 2\n```\n\n```python\na\n```\n\nmore\n"
    assert cells(text) == [
        ("markdown", "# A\nwords"),
        ("code", "a = 1\n\nb = 2"),
        ("code", "a"),
        ("markdown", "more"),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_is_the_notebook_as_it_is_now(name: str) -> None:
    kept = stored(name)
    assert sources(kept) == sources(notebook(name)), "python -m benchmarks.notebooks writes them anew"
    assert [kind for cell in outputs(kept) for kind in cell].count("picture") >= 4
    text = (PLACE / f"{name}.ipynb").read_text()
    assert not re.search(r"/(home|tmp|work|root|usr)/", text), "the path of a machine"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_links_to_what_is_there(name: str) -> None:
    places = re.findall(
        r"\]\(([^)]+)\)", "\n".join(source for kind, source in sources(stored(name)) if kind == "markdown")
    )
    assert all(place.startswith("https://") or (PLACE / place).exists() for place in places) and places


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_shows_what_is_stored(name: str) -> None:
    """Its own asserts say whether what it claims is true."""
    for needed in ("nbclient", "ipykernel", "matplotlib"):
        pytest.importorskip(needed)
    made = notebook(name)
    run(made)
    assert outputs(made) == outputs(stored(name)), "python -m benchmarks.notebooks writes them anew"
    for cell in made.cells:
        for output in cell.get("outputs", []):
            for data in re.findall(r"base64,([^\"]+)", "".join(output.get("data", {}).get("text/html", ""))):
                Image.open(io.BytesIO(b64decode(data))).verify()


def test_what_is_printed_in_pieces_is_one_text() -> None:
    """Whether a kernel sends two lines at once or one after the other depends on how busy the machine is."""
    new = pytest.importorskip("nbformat").v4
    streams = [("stdout", "a\n"), ("stdout", "b\n"), ("stderr", "c\n"), ("stdout", "d\n")]
    pieces = [new.new_output("stream", name=name, text=text) for name, text in streams]
    cell = _joined(new.new_code_cell("", outputs=[*pieces[:2], new.new_output("display_data"), *pieces[2:]]))
    assert [output.get("text") for output in cell.outputs] == ["a\nb\n", None, "c\n", "d\n"]
    assert _joined(new.new_markdown_cell("words")).source == "words"


def test_a_cell_that_fails_is_found(monkeypatch: Any, tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    from nbclient.exceptions import CellExecutionError  # type: ignore[import-not-found,unused-ignore]

    monkeypatch.setattr("benchmarks.notebooks.FOLDER", tmp_path)
    (tmp_path / "x.md").write_text("```python\nassert 1 == 2\n```\n")
    with pytest.raises(CellExecutionError, match="assert 1 == 2"):
        run(notebook("x"))
