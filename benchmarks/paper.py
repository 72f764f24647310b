"""The paper's figures on three networks: ``python -m benchmarks.paper --clothing FOLDER [--runs FOLDER --run RUN]``.

Runs ``zfcuda paper all`` for the drawn pictures and the network of the package, for a folder of clothes and the network
that knows them, and for the same folder and the network for photographs; what is there already stays. It stores what
came of it in benchmarks/results/paper.json, and writes docs/paper.md with the pictures that hold no photograph.
``--render`` writes the document of the stored numbers alone.
"""

from __future__ import annotations

import argparse
import io
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.paper_document import SETTINGS, document, pictures_shown
from zfcuda import cli
from zfcuda.files.drafts import whole
from zfcuda.paper.page import left_out_before
from zfcuda.paper.written import read
from zfcuda.paper_names import homes

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT, PICTURES = ROOT / "docs" / "paper.md", ROOT / "docs" / "paper"
RESULTS = ROOT / "benchmarks" / "results" / "paper.json"
MOST = 200_000  # bytes of a picture
_WIDEST = 1200  # pixels of it
_ROWS = 60  # of a table that are stored


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description="The paper's figures, for docs.")
    parser.add_argument("--clothing", type=Path, help="photographs of clothes, with train/, validation/ and test/")
    parser.add_argument("--runs", type=Path, default=Path("out/paper/runs"), help="trainings (default: %(default)s)")
    parser.add_argument("--run", type=Path, help="a finished run with snapshots, for the clothes' figure 4")
    parser.add_argument("--out", type=Path, default=Path("out/paper"), help="where all of it goes, in three folders")
    parser.add_argument("--only", choices=[*SETTINGS], action="append", help="one of the three alone; may be repeated")
    parser.add_argument("--pictures", type=int, metavar="N", help="of each setting, for a trial (default: all)")
    parser.add_argument("--render", action="store_true", help="write the document of the stored numbers alone")
    arguments = parser.parse_args()
    if not arguments.render:
        stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
        for name in arguments.only or [*SETTINGS]:
            folder = arguments.out / name
            few = ["--pictures", str(arguments.pictures)] if arguments.pictures else []
            code = cli.main(["paper", "all", *_words(name, arguments), *few, "--out", str(folder)])
            if code not in (0, 2):  # 2: a figure failed, and has said so; the others are there
                sys.exit(code)
            stored[name] = found(folder, _plain_names(arguments))
            _copy_pictures(folder, name, stored[name])
        with whole(RESULTS) as [draft]:
            draft.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    render()


def render() -> None:
    """Writes docs/paper.md of the stored numbers, and removes pictures that it does not show."""
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    with whole(DOCUMENT) as [draft]:
        draft.write_text(document(stored), encoding="utf-8")
    for path in set(PICTURES.glob("*.png")) - {PICTURES / name for name in pictures_shown(stored)}:
        path.unlink()


def found(folder: Path, names: Mapping[str, str]) -> dict[str, Any]:
    """What came of a run of all figures, without the paths of the machine that it ran on.

    names: path -> what stands in its place.
    """
    figures = {}
    for name in homes():
        known = read(folder, name)
        if known is not None:
            tables = {title: rows[:_ROWS] for title, rows in known["tables"].items()}
            rows = {title: len(rows) for title, rows in known["tables"].items()}
            kept = ("title", "source", "says", "command", "claims", "notes", "pictures", "free")
            figures[name] = {
                **{key: known[key] for key in kept},
                "tables": tables,
                "rows": rows,
                "files": known["files"],
            }
            figures[name]["command"] = _without_out(known["command"])
    last = next((read(folder, name) or {} for name in figures), {})
    facts = {key: last.get(key) for key in ("network", "pictures of", "preprocess", "device", "versions", "date")}
    text = json.dumps({**facts, "figures": figures, "left out": left_out_before(folder)})
    for path in sorted(names, key=len, reverse=True):
        text = text.replace(path, names[path])
    return dict(json.loads(text))


def small(picture: Image.Image) -> bytes:
    """A PNG of at most MOST bytes: no wider than a document, of few colours, and smaller where that is not enough."""
    picture = picture.convert("RGB")
    width = min(picture.width, _WIDEST)
    while True:
        scaled = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
        exact = scaled if width < picture.width else picture
        for made in (exact, exact.quantize(256), exact.quantize(96)):
            buffer = io.BytesIO()
            made.save(buffer, "PNG", optimize=True)
            if buffer.tell() <= MOST:
                return buffer.getvalue()
        width = width * 9 // 10


def _words(name: str, arguments: argparse.Namespace) -> list[str]:
    if name == "parts":
        return ["--runs", str(arguments.runs)]
    if arguments.clothing is None:
        sys.exit(f"python -m benchmarks.paper: --clothing: expected a folder for {name}; --only parts does without")
    words = ["--data", str(arguments.clothing), "--model", SETTINGS[name].model]
    if name != "clothing":
        return words
    return [*words, "--runs", str(arguments.runs), *(["--run", str(arguments.run)] if arguments.run else [])]


def _plain_names(arguments: argparse.Namespace) -> dict[str, str]:
    paths = {arguments.out: "out/paper", arguments.runs: "runs"}
    if arguments.clothing:
        paths[arguments.clothing] = arguments.clothing.name
    if arguments.run:
        paths[arguments.run] = arguments.run.name
    return {each: plain for path, plain in paths.items() for each in (str(path), str(path.resolve()))}


def _without_out(command: str) -> str:
    """A command without where it wrote to, which is the reader's own affair."""
    words = shlex.split(command)
    if "--out" in words:
        at = words.index("--out")
        del words[at : at + 2]
    return shlex.join(words)


def _copy_pictures(folder: Path, setting: str, stored: Mapping[str, Any]) -> None:
    PICTURES.mkdir(exist_ok=True)
    for shown, file in pictures_shown({setting: stored}).items():
        with Image.open(folder / file) as picture:
            (PICTURES / shown).write_bytes(small(picture))


if __name__ == "__main__":
    main()
