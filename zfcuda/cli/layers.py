"""``zfcuda layers``: the names that --layer takes, with their shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zfcuda.cli import summary
from zfcuda.cli.options import MODEL, OWN_WEIGHTS, add_input

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("layers", help="list the layers of a network: names, shapes, receptive fields")
    parser.add_argument("--model", default="demo", metavar="NAME|FILE", help=f"{MODEL} (default: %(default)s)")
    parser.add_argument("--weights", metavar="FILE", help=OWN_WEIGHTS)
    add_input(parser)
    parser.set_defaults(run=summary.run, memory=None)
