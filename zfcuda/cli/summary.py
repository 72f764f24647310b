"""``zfcuda summary``: the table of a network."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.cli.options import MODEL, OWN_WEIGHTS, add_input
from zfcuda.cli.photos import default_network
from zfcuda.complaint import naming

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("summary", help="the table of a network: shapes, memory, parameters, multiply-adds")
    parser.add_argument("model", metavar="NAME|FILE", help=MODEL)
    parser.add_argument("--weights", metavar="FILE", help=OWN_WEIGHTS)
    add_input(parser)
    parser.add_argument("--memory", metavar="SIZE", help="also say how many pictures at once fit, as in 8GB or 500MiB")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the table; arguments: model, weights, input, memory."""
    from zfcuda.models import summary
    from zfcuda.models.accounts.memory import memory_need
    from zfcuda.models.checkpoints.load import find

    model = arguments.model or default_network()
    with naming(model):
        loaded = find(model, weights=arguments.weights)
    size = arguments.input or loaded.input_size or (3, 224, 224)
    with naming(f"{model} with an input of {'x'.join(map(str, size))}"):
        lines = [str(summary(loaded.model, size))]
        if arguments.memory is not None:
            counts = [
                memory_need(loaded.model, size, training=training).largest_batch(arguments.memory)
                for training in (False, True)
            ]
            lines.append(f"pictures at once in {arguments.memory}: {counts[0]:,} forward, {counts[1]:,} in training")
    print("\n".join(lines))
    return 0
