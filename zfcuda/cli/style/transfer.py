"""``zfcuda style transfer``: draws a picture as another one is drawn."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from zfcuda.cli.making import add_making, making, pass_on, with_long_side
from zfcuda.cli.options import words

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


_LARGEST = 384  # long side in pixels, where no size is named


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("transfer", help="draw a picture as another one is drawn")
    parser.add_argument("content", metavar="CONTENT", help="the file of the picture whose shapes are drawn")
    parser.add_argument("style", metavar="STYLE", help="the file of the picture whose colours and strokes they get")
    parser.add_argument(
        "--size",
        dest="long_side",
        type=int,
        metavar="N",
        help=f"the long side of what is drawn, in pixels (default: that of CONTENT, at most {_LARGEST})",
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
    parser.add_argument(
        "--content-layer",
        metavar="LAYER",
        help="the layer that tells shapes (default: the last ReLU at an eighth of the sides)",
    )
    parser.add_argument(
        "--style-layers",
        type=words,
        metavar="LAYER,...",
        help="the layers that tell style, with commas between them (default: the first ReLUs of each size, down to a "
        "sixteenth of the sides)",
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="how many steps on each of up to three scales (default: 100)"
    )
    add_making(parser, "out/style/transfer", cut=False, seed=False)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.data.pictures import read_picture
    from zfcuda.synthesis.transfer_style import STEPS, STYLE_WEIGHT, transferred

    content, style = read_picture(arguments.content), read_picture(arguments.style)
    if arguments.long_side is not None or max(content.size) > _LARGEST:
        content = with_long_side(content, _LARGEST if arguments.long_side is None else arguments.long_side)
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
        name = f"{Path(arguments.content).stem}_{Path(arguments.style).stem}"
        for file in setting.write({name: setting.pixel_range.picture(made.images[0])}):
            print(file, flush=True)
        pass_on(made.interrupted)
    return 0
