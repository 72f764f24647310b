"""``zfcuda style transfer``: draws a picture as another one is drawn."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from zfcuda.cli.making import add_making, making, pass_on
from zfcuda.cli.options import words

if TYPE_CHECKING:
    from PIL import Image

    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("transfer", help="draw a picture as another one is drawn")
    parser.add_argument("content", metavar="CONTENT", help="the file of the picture whose shapes are drawn")
    parser.add_argument("style", metavar="STYLE", help="the file of the picture whose colours and strokes they get")
    parser.add_argument(
        "--size",
        dest="long_side",
        type=int,
        default=384,
        metavar="N",
        help="the long side of what is drawn, in pixels; a smaller CONTENT keeps its size (default: %(default)s)",
    )
    parser.add_argument(
        "--style-weight",
        type=float,
        metavar="W",
        help="how much style matters beside content: 3 is a tint, 300 leaves few shapes (default: 25)",
    )
    parser.add_argument(
        "--style-size",
        type=int,
        metavar="N",
        help="the short side that STYLE is scaled to: small for fine strokes, large for coarse ones (default: that "
        "of what is drawn)",
    )
    parser.add_argument("--content-layer", metavar="LAYER", help="the layer that tells shapes (default: by the sizes)")
    parser.add_argument(
        "--style-layers",
        type=words,
        metavar="LAYER,...",
        help="the layers that tell style, with commas between them (default: by the sizes)",
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="how many steps on each of up to three scales (default: 100)"
    )
    add_making(parser, "out/style", cut=False, seed=False)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.complaint import CommandError
    from zfcuda.synthesis.transfer_style import STEPS, STYLE_WEIGHT, transferred

    if arguments.long_side < 1:
        raise CommandError(f"--size: expected at least 1, got {arguments.long_side}")
    content, style = _read(arguments.content, arguments.long_side), _read(arguments.style)
    with making(arguments) as setting:
        images = [setting.pixel_range.image(picture).to(setting.device) for picture in (content, style)]
        made = transferred(
            setting.model,
            *images,
            content_layer=arguments.content_layer,
            style_layers=arguments.style_layers,
            style_weight=STYLE_WEIGHT if arguments.style_weight is None else arguments.style_weight,
            style_size=arguments.style_size,
            limits=setting.limits,
            steps=STEPS if arguments.steps is None else arguments.steps,
            progress=True,
        )
        name = f"{Path(arguments.content).stem}-{Path(arguments.style).stem}"
        for file in setting.write({name: setting.pixel_range.picture(made.images[0])}):
            print(file, flush=True)
        pass_on(made.interrupted)
    return 0


def _read(file: str, long_side: int | None = None) -> Image.Image:
    """The picture in a file, made smaller where its long side is longer."""
    from zfcuda.data.pictures import read_picture, scaled

    picture = read_picture(file)
    longest = max(picture.size)
    return picture if long_side is None or longest <= long_side else scaled(picture, long_side / longest)
