"""``zfcuda layers``: the names that --layer takes, with their shapes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.cli import summary
from zfcuda.cli.options import add_input, add_model

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("layers", help="list the layers of a network: names, shapes, receptive fields")
    parser.add_argument("named", nargs="?", metavar="NAME|FILE", help="the network, as after --model")
    add_model(parser)
    add_input(parser)
    parser.set_defaults(run=_run, memory=None)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.named and arguments.model:
        raise ValueError(f"--model: expected one network, got {arguments.named} and {arguments.model}")
    arguments.model = arguments.named or arguments.model
    return summary.run(arguments)
