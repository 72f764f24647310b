"""A sheet of projections alone, for documents that may not show the photographs: the left halves of the paper's Fig. 2.

    python -m benchmarks.projections FOLDER --model clothing --out docs/clothing-projections.png

For some units of each layer, the projections of the nine pictures of FOLDER that excite them most, strongest first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw

from zfcuda import render
from zfcuda.data.collection import Collection
from zfcuda.features.strongest_patches import strongest_patches
from zfcuda.report.patches import LayerPatches, joined, spread
from zfcuda.report.subject import load_subject
from zfcuda.sheets.letters import letters

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")
_COLUMNS = 3  # of the nine projections of a unit
_LABEL = 24  # pixels of height


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.projections", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="clothing")
    parser.add_argument("--layers", nargs="+", default=LAYERS)
    parser.add_argument("--units", type=int, default=6)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    subject = load_subject(arguments.model)
    pictures = Collection.of(arguments.folder, model=subject.model)
    found = strongest_patches(subject.model, pictures, list(arguments.layers), top=_COLUMNS**2, progress=True)
    layers = [LayerPatches(each, spread(each, arguments.units)) for each in found.values()]
    rows = [_row(layer) for layer in joined(subject, pictures, layers, progress=True)]
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    sheet.save(arguments.out, optimize=True)
    print(arguments.out)
    return 0


def _row(layer: LayerPatches) -> Image.Image:
    """The units of a layer side by side, under its name."""
    units = []
    for row in layer.rows:
        projections = [each.projection for each in layer.drawn[row] if each.projection is not None]
        units.append(render.grid(projections, _COLUMNS, gap=2))
    drawn = render.grid(units, len(units), gap=12)
    whole = Image.new("RGB", (drawn.width, drawn.height + _LABEL), "white")
    whole.paste(drawn, (0, _LABEL))
    numbers = ", ".join(str(int(layer.found.units[row])) for row in layer.rows)
    ImageDraw.Draw(whole).text((2, 4), f"{layer.found.layer}: units {numbers}", fill="black", font=letters(14))
    return whole


if __name__ == "__main__":
    raise SystemExit(main())
