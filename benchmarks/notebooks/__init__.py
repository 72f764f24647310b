"""The notebooks of docs/notebooks: written as Markdown in this folder, run, and stored with what came of it.

A block of ```python is a cell of code, and what stands between two of them is one of prose.
"""

from __future__ import annotations

import base64
import io
import os
import re
from pathlib import Path
from typing import Any

from PIL import Image

FOLDER = Path(__file__).resolve().parent
PLACE = FOLDER.parent.parent / "docs" / "notebooks"
NAMES = ("first_steps", "your_own_model", "paper")
SECONDS = 300  # for a cell, on a machine that has other things to do
_BLOCK = re.compile(r"^```python\n(.*?)^```\n?", re.DOTALL | re.MULTILINE)


def cells(text: str) -> list[tuple[str, str]]:
    """("markdown" or "code", source) of each cell, in order."""
    parts = _BLOCK.split(text)  # prose and code in turn
    found = [("code" if i % 2 else "markdown", part.strip("\n")) for i, part in enumerate(parts)]
    return [(kind, source) for kind, source in found if source.strip()]


def notebook(name: str) -> Any:
    """The notebook of that name, with no output."""
    import nbformat

    made = nbformat.v4.new_notebook()
    made.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    for i, (kind, source) in enumerate(cells((FOLDER / f"{name}.md").read_text())):
        made.cells.append(make[kind](source, id=f"cell-{i}"))
    return made


def run(made: Any) -> None:
    """Runs a notebook in a kernel of its own, in the folder where it lies, and keeps what its cells show.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raises.
    """
    from nbclient import NotebookClient

    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    resources = {"metadata": {"path": str(PLACE)}}
    NotebookClient(made, timeout=SECONDS, kernel_name="python3", resources=resources, record_timing=False).execute(
        env=environment
    )
    made.cells = [_joined(cell) for cell in made.cells]
    for output in (output for cell in made.cells for output in cell.get("outputs", [])):
        if "image/png" in output.get("data", {}):
            output.data["image/png"] = _smaller(output.data["image/png"])
    made.metadata.pop("language_info", None)  # the version of Python that happened to be there


def _joined(cell: Any) -> Any:
    """The cell with what it printed in one piece: a slow kernel sends lines that follow each other in several."""
    found: list[Any] = []
    for output in cell.get("outputs", []):
        last: Any = found[-1] if found else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            found.append(output)
    if "outputs" in cell:
        cell.outputs = found
    return cell


def _smaller(png: str) -> str:
    """The same picture in 256 colours, a fraction of the bytes."""
    file = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def outputs(made: Any) -> list[list[str]]:
    """What each cell shows, in kind: "text", "picture", "table"; the same whatever the machine."""
    return [_kinds(cell) for cell in made.cells if cell.cell_type == "code"]


def _kinds(cell: Any) -> list[str]:
    found = []
    for output in cell.outputs:
        if output.output_type == "stream":
            found += ["text"] if output.name == "stdout" else []  # warnings differ from version to version
            continue
        data = output.get("data", {})
        html = "".join(data.get("text/html", ""))
        pictures = html.count("<img ") + ("image/png" in data)
        found += ["error"] if output.output_type == "error" else ["picture"] * pictures or ["table" if html else "text"]
    return found
