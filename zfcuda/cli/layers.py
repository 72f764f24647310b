"""``zfcuda layers``: the names that --layer takes, with their shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zfcuda.cli import summary
from zfcuda.cli.options import add_input, add_model

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("layers", help="list the layers of a network: names, shapes, receptive fields")
    add_model(parser)
    add_input(parser)
    parser.set_defaults(run=summary.run, memory=None)
