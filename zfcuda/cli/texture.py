"""``zfcuda texture``: makes a picture of any size that looks like a sample of a texture."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zfcuda.cli.making import add_making, making, pass_on
from zfcuda.complaint import CommandError

if TYPE_CHECKING:
    from torch import nn

    from zfcuda.cli.options import Verbs
    from zfcuda.synthesis.pixel_range import PixelRange


_LARGEST = 512  # long side in pixels, where no size is named


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("texture", help="make a picture of any size that looks like a sample of a texture")
    parser.add_argument("sample", metavar="SAMPLE", help="a picture of the texture")
    parser.add_argument(
        "--size",
        dest="sides",
        type=_size,
        metavar="N|WxH",
        help="of the picture in pixels, as in 256 or 256x192 (default: twice the sample's, the long side at most "
        f"{_LARGEST})",
    )
    parser.add_argument(
        "--method",
        choices=("tree", "exhaustive", "gram"),
        default="tree",
        help="tree: pixels whose neighbourhoods are alike, found in a tree; exhaustive: looked for among all, slower; "
        "gram: what correlates in a network's layers (default: %(default)s)",
    )
    parser.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="of tree and exhaustive: how many pixels wide a neighbourhood is, an odd number (default: 9)",
    )
    parser.add_argument(
        "--layer",
        dest="layers",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="of gram: the network's layers, as zfcuda layers lists them (default: the first ReLUs of each size)",
    )
    add_making(parser, "out/texture", cut=False)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.cli import sheets
    from zfcuda.complaint import one_line
    from zfcuda.data.pictures import read_picture
    from zfcuda.synthesis.texture.texture import textured

    for name in ("model", "weights", "layers", "mean", "std", "preprocess"):
        if arguments.method != "gram" and getattr(arguments, name) is not None:
            option = name.removesuffix("s") if name == "layers" else name
            raise CommandError(f"--{option}: --method {arguments.method} uses no network; it is for gram")
    sample = read_picture(arguments.sample)
    size = arguments.sides or _usual(sample.width, sample.height)
    with _network(arguments) as (model, pixel_range, out):
        made = textured(
            sample,
            size,
            method=arguments.method,
            model=model,
            layers=arguments.layers,
            seed=arguments.seed,
            window=arguments.window,
            pixel_range=pixel_range,
            progress=True,
        )
        name = f"{one_line(Path(arguments.sample).stem)}_{arguments.method}"
        [file] = sheets.write({name: made.picture}, out)
        print(file, flush=True)
    pass_on(made.interrupted)
    return 0


@contextmanager
def _network(arguments: argparse.Namespace) -> Iterator[tuple[nn.Module | None, PixelRange | None, Path]]:
    """The network and its pixels, which only "gram" has and waits for, and the folder of --out."""
    from zfcuda.cli import sheets

    if arguments.method == "gram":
        with making(arguments) as setting:
            yield setting.model, setting.pixel_range, setting.out
    else:
        with sheets.folder(arguments.out) as out:
            yield None, None, out


def _size(text: str) -> tuple[int, int]:
    """256 -> (256, 256); 256x192 -> (256, 192), width and height."""
    words = text.lower().split("x")
    if len(words) > 2 or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise argparse.ArgumentTypeError(f"expected N or WxH pixels, as in 256 or 256x192, got {text!r}")
    return int(words[0]), int(words[-1])


def _usual(width: int, height: int) -> tuple[int, int]:
    """The size where none is named: a large sample would keep one waiting for long."""
    factor = min(2.0, _LARGEST / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))
