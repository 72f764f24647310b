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


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("texture", help="make a picture of any size that looks like a sample of a texture")
    parser.add_argument("sample", metavar="SAMPLE", help="a picture of the texture")
    parser.add_argument(
        "--size",
        dest="sides",
        type=_size,
        metavar="WxH",
        help="of the picture in pixels, as in 256x256 (default: twice the sample's)",
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
        "--layers", nargs="+", metavar="NAME", help="of gram: the network's layers, as zfcuda layers lists them"
    )
    add_making(parser, "out/texture", cut=False)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.cli import sheets
    from zfcuda.complaint import one_line
    from zfcuda.data.pictures import read_picture
    from zfcuda.synthesis.texture.texture import textured

    for name in ("model", "weights", "layers"):
        if arguments.method != "gram" and getattr(arguments, name) is not None:
            raise CommandError(f"--{name}: --method {arguments.method} uses no network; it is for gram")
    sample = read_picture(arguments.sample)
    size = arguments.sides or (2 * sample.width, 2 * sample.height)
    with _network(arguments) as (model, out):
        made = textured(
            sample,
            size,
            method=arguments.method,
            model=model,
            layers=arguments.layers,
            seed=arguments.seed,
            window=arguments.window,
            progress=True,
        )
        name = f"{one_line(Path(arguments.sample).stem)}_{arguments.method}"
        [file] = sheets.write({name: made.picture}, out)
        print(file, flush=True)
    pass_on(made.interrupted)
    return 0


@contextmanager
def _network(arguments: argparse.Namespace) -> Iterator[tuple[nn.Module | None, Path]]:
    """The network, which only "gram" has and waits for, and the folder of --out."""
    from zfcuda.cli import sheets

    if arguments.method == "gram":
        with making(arguments) as setting:
            yield setting.model, setting.out
    else:
        with sheets.folder(arguments.out) as out:
            yield None, out


def _size(text: str) -> tuple[int, int]:
    """256x192 -> (256, 192), width and height."""
    words = text.lower().split("x")
    if len(words) != 2 or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise argparse.ArgumentTypeError(f"expected WxH pixels, as in 256x192, got {text!r}")
    return int(words[0]), int(words[1])
