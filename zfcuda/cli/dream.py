"""``zfcuda dream``: draws a picture in which a layer of a network sees more of what it sees in it already."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.cli.making import add_making, making, pass_on, tell_of_animation, with_long_side
from zfcuda.cli.photos import default_network

if TYPE_CHECKING:
    from PIL import Image

    from zfcuda.cli.making import Making
    from zfcuda.cli.options import Verbs

# Of networks whose layers were looked at, the one that shows most; of others, the output of the convolution that comes
# after two thirds of them.
_LAYERS = {"efficientnet_lite0": "_blocks.9"}


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("dream", help="draw a picture with more of what a layer sees in it (DeepDream)")
    parser.add_argument("picture", metavar="PICTURE", help="a picture file of any kind that Pillow reads, of any size")
    parser.add_argument(
        "--layer",
        metavar="NAME",
        help="what sees more: a layer, as zfcuda layers lists them, LAYER:UNIT or the name of a class (default: "
        "_blocks.9 of EfficientNet-Lite0, where fur, eyes and feathers come; the convolution at two thirds of others)",
    )
    parser.add_argument("--octaves", type=int, default=4, metavar="N", help="how many sizes (default: %(default)s)")
    parser.add_argument(
        "--octave-scale", type=float, default=1.4, metavar="X", help="from one size to the next (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="steps in each size (default: %(default)s)")
    parser.add_argument(
        "--jitter", type=int, default=32, metavar="N", help="largest shift in a step, in pixels (default: %(default)s)"
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=1.5,
        metavar="X",
        help="mean change of a pixel in a step, of 255 (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        dest="long_side",
        type=int,
        metavar="N",
        help="the long side of what is drawn, in pixels (default: that of PICTURE)",
    )
    parser.add_argument(
        "--tile",
        type=int,
        default=512,
        metavar="N",
        help="longest side that the network is shown at once, which is what memory depends on (default: %(default)s)",
    )
    add_making(parser, "out/dream", cut=False, animation=True)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from zfcuda.data.pictures import read_picture
    from zfcuda.synthesis.dream.deep_dream import dreamed

    picture = with_long_side(read_picture(arguments.picture), arguments.long_side)
    with making(arguments) as setting:
        layer = arguments.layer or _layer(setting, arguments.model or default_network(), picture)
        made = dreamed(
            setting.model,
            setting.pixel_range.image(picture).to(setting.device),
            layer,
            octaves=arguments.octaves,
            octave_scale=arguments.octave_scale,
            steps=arguments.steps,
            jitter=arguments.jitter,
            seed=arguments.seed,
            rate=arguments.rate,
            tile=arguments.tile,
            limits=setting.limits,
            animation=setting.animation,
            progress=True,
        )
        name = f"{Path(arguments.picture).stem}_{layer}"
        for file in setting.write({name: setting.pixel_range.picture(made.images[0])}):
            print(f"{layer}, {picture.width} x {picture.height}", file, sep="\n", flush=True)
        tell_of_animation(made, setting)
        pass_on(made.interrupted)
    return 0


def _layer(setting: Making, name: str, picture: Image.Image) -> str:
    """The layer where none is named."""
    from zfcuda.report.layers import conv_layers

    known = _LAYERS.get(name)
    if known is not None:
        return known
    there = conv_layers(setting.model, setting.subject.view(picture)[0].to(setting.device))[0]
    if not there:
        raise ValueError(f"--layer: expected a name, since {setting.subject.title} has no convolution")
    return there[round((len(there) - 1) * 2 / 3)].output
