"""``zfcuda style apply``: draws pictures of any size in a manner that a network has learnt."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfcuda.cli.options import add_device, checked_device
from zfcuda.complaint import CommandError, naming

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs
    from zfcuda.synthesis.style_network.network import StyleNetwork

_WEIGHTS = "weights.safetensors"  # in the folder of a training


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("apply", help="draw pictures in a manner that a network has learnt")
    parser.add_argument("network", metavar="NETWORK", help="the folder of a training, or its weights.safetensors")
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="files of pictures, of any size")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--style", metavar="NAME|N", help="which of its styles (default: 0, the first)")
    which.add_argument("--blend", type=_shares, metavar="X,X,...", help="how much of each of its styles, as in 0.3,0.7")
    parser.add_argument(
        "--tile",
        type=int,
        default=1024,
        metavar="N",
        help="side of the parts that a larger picture is drawn in, without seams, so that it fits into memory; "
        "0: as a whole, in two thirds of the time (default: %(default)s)",
    )
    parser.add_argument(
        "--out", default="out/style/apply", metavar="DIR", help="where the pictures go (default: %(default)s)"
    )
    add_device(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from zfcuda.cli import sheets
    from zfcuda.data.pictures import read_picture
    from zfcuda.synthesis.style_network.network import SMALLEST_TILE, StyleNetwork

    device = checked_device(arguments.device)
    if arguments.tile and arguments.tile < SMALLEST_TILE:
        raise CommandError(f"--tile: expected at least {SMALLEST_TILE}, or 0, got {arguments.tile}")
    with sheets.folder(arguments.out) as out, naming("drawing", "take a smaller --tile"):
        path = Path(arguments.network)
        network = StyleNetwork.load(path / _WEIGHTS if path.is_dir() else path)
        style, title = _chosen(network, arguments)
        network.shares(style)
        for file in arguments.pictures:  # nobody waits to hear of the last one that it is none
            read_picture(file)
        network.to(device)
        names = sheets.distinct(f"{Path(file).stem}_{title}" for file in arguments.pictures)
        done = 0
        try:
            for file, name in tqdm(list(zip(arguments.pictures, names, strict=True)), desc="drawing", unit="picture"):
                drawn = network.draw(file, style, tile=arguments.tile or None)
                [written] = sheets.write({name: drawn}, out)
                done += 1
                tqdm.write(str(written), file=sys.stdout)
        except KeyboardInterrupt as interrupted:
            if done:
                interrupted.args = (f"{done} of {len(names)} pictures are written",)
            raise
    return 0


def _chosen(network: StyleNetwork, arguments: argparse.Namespace) -> tuple[Any, str]:
    """The style, and what to call it in the name of a file."""
    if arguments.blend is not None:
        return arguments.blend, "blend-" + "-".join(f"{share:g}" for share in arguments.blend)
    style = "0" if arguments.style is None else arguments.style
    if style.isdecimal() and style not in network.names:
        index = int(style)
        return index, network.names[index] if index < len(network.names) else style
    return style, style


def _shares(text: str) -> tuple[float, ...]:
    """0.3,0.7 -> (0.3, 0.7)."""
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers between commas, as in 0.3,0.7, got {text!r}") from None
