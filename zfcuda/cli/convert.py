"""``zfcuda convert``: weights of any kind as safetensors that need no name to be loaded."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.complaint import naming

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("convert", help="weights of any kind as safetensors that need no name to be loaded")
    parser.add_argument("source", metavar="IN", help=".pth, safetensors, caffemodel or deploy prototxt")
    parser.add_argument("out", metavar="OUT.safetensors", help="the new file")
    parser.add_argument("--model", metavar="NAME", help="the network that they are of (default: found by the shapes)")
    parser.add_argument("--weights", metavar="FILE", help="the caffemodel of a prototxt (default: the one beside it)")
    parser.add_argument(
        "--mean", metavar="B,G,R|FILE", help="of pictures for Caffe's networks, numbers or a binaryproto (104,117,123)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite OUT")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.models.checkpoints.convert import convert

    try:
        with naming(arguments.source):
            said = convert(
                arguments.source,
                arguments.out,
                model=arguments.model,
                weights=arguments.weights,
                mean=arguments.mean,
                force=arguments.force,
            )
    except KeyboardInterrupt as stop:
        stop.args = (f"{arguments.out} is as it was, or complete",)
        raise
    print(said)
    return 0
