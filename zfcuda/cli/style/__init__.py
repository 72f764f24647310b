"""``zfcuda style``: pictures in the manner of another picture, a module for each of its verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zfcuda.cli.style import apply, train, transfer

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs

_VERBS = (transfer, train, apply)


def add(verbs: Verbs) -> None:
    """Adds the verb and those below it."""
    parser = verbs.add_parser("style", help="draw pictures in the manner of another picture")
    below = parser.add_subparsers(required=True, metavar="VERB", dest="verb")
    for verb in _VERBS:
        verb.add(below)
