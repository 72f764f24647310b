"""``zfcuda invert``: draws what is left of a picture in each layer of a network: images that it answers to alike."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from zfcuda.cli.default_layers import default_layers
from zfcuda.cli.making import add_making, making, pass_on

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image
    from torch import Tensor

    from zfcuda.cli.options import Verbs
    from zfcuda.synthesis.inversion.inversions import FromLayer
    from zfcuda.synthesis.pixel_range import PixelRange

_SMALLEST = 160  # side of a picture on the sheet, at least


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("invert", help="draw what is left of a picture in each layer of a network")
    parser.add_argument("picture", metavar="PICTURE", help="a picture file of any kind that Pillow reads")
    parser.add_argument(
        "--layer",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="layers to invert, as zfcuda layers lists them (default: six behind the ReLUs, evenly spaced; "
        "EfficientNet-Lite0's last is not reached, its code stays about 70 %% off)",
    )
    parser.add_argument(
        "--steps", type=int, default=200, metavar="N", help="how many for each layer (default: %(default)s)"
    )
    parser.add_argument(
        "--tv", type=float, default=3.0, metavar="X", help="weight of total variation (default: %(default)s)"
    )
    parser.add_argument(
        "--grid",
        type=int,
        default=4,
        metavar="N",
        help="regions along each side that are compared (default: %(default)s)",
    )
    add_making(parser, "out/invert")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from zfcuda.data.pictures import check_path, read_picture
    from zfcuda.synthesis.inversion.inversions import inversions

    check_path(arguments.picture)
    with making(arguments) as setting:
        image = setting.subject.view(read_picture(arguments.picture))[0].to(setting.device)
        layers = list(dict.fromkeys(arguments.layer or default_layers(setting.model, image, 6)))
        found = inversions(
            setting.model,
            image,
            layers,
            steps=arguments.steps,
            tv=arguments.tv,
            seed=arguments.seed,
            grid=arguments.grid,
            limits=setting.limits,
            progress=True,
        )
        stem = f"{Path(arguments.picture).stem}_inverted"
        _write_numbers(setting.out / f"{stem}.json", [_numbers(each) for each in found])
        (sheet,) = setting.write({stem: _sheet(image, found, setting.pixel_range)})
        for each in found:
            print(": ".join(_said(each)), flush=True)
        print(sheet, setting.out / f"{stem}.json", sep="\n", flush=True)
        pass_on(found[-1].inversion.interrupted)
    return 0


def _said(each: FromLayer) -> list[str]:
    """A layer and what became of the picture there, in words."""
    from zfcuda.synthesis.inversion.survival import median_shift

    survival = each.survival
    return [
        each.inversion.layer,
        f"code {each.inversion.error:.1%} off, image {survival.error:.0%} off",
        f"its parts are {median_shift(survival):.0f} pixels away and {float(survival.likeness.mean()):.2f} alike",
    ]


def _sheet(image: Tensor, found: list[FromLayer], pixel_range: PixelRange) -> Image.Image:
    """The original, and below it each layer's image, with where it differs."""
    from PIL import Image

    from zfcuda import render
    from zfcuda.sheets.numbered import Bar, numbered

    def large(picture: Image.Image) -> Image.Image:
        return render.enlarged(picture, max(1, -(-_SMALLEST // min(picture.size))))

    def regions(errors: Tensor | None) -> Image.Image:
        if errors is None:
            return Image.new("RGB", size, "white")
        return render.heatmap(errors, 0.0, 1.0, colours="inferno").resize(size, Image.Resampling.NEAREST)

    original = large(pixel_range.picture(image[0]))
    size = original.size
    tiles, rows = [original, regions(None), regions(None)], ["original"]
    for each in found:
        survival = each.survival
        picture = large(pixel_range.picture(each.inversion.image[0]))
        tiles += [picture, regions(survival.errors), regions(survival.code_errors)]
        layer, errors, place = _said(each)
        rows.append("\n".join([layer, *errors.split(", "), *place.replace(" and ", "\nand ").split("\n")]))
    return numbered(
        render.grid(tiles, 3),
        size,
        rows=rows,
        heads=["image", "error of its pixels", "error of the code"],
        title=[
            "Images that a layer answers to as it does to the original, as far as its code is not off; how else they "
            "differ, the layer does not see."
        ],
        bar=Bar("inferno", "the same", "as far off as a plain colour, or no code, and further"),
    )


def _numbers(each: FromLayer) -> dict[str, Any]:
    survival = each.survival
    return {
        "layer": each.inversion.layer,
        "code_error": each.inversion.error,
        "image_error": survival.error,
        "image_error_by_region": survival.errors.tolist(),
        "code_error_by_region": None if survival.code_errors is None else survival.code_errors.tolist(),
        "shift_by_region": survival.shifts.tolist(),
        "likeness_by_region": survival.likeness.tolist(),
        "shift": list(survival.shift),
        "stopped": each.inversion.stopped,
    }


def _write_numbers(file: Path, numbers: list[dict[str, Any]]) -> None:
    import json

    from zfcuda.complaint import CommandError, one_line
    from zfcuda.files.drafts import whole

    try:
        with whole(file) as (draft,):
            draft.write_text(json.dumps({"layers": numbers}, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--out {one_line(str(file.parent))}: {error.strerror or error}") from None
