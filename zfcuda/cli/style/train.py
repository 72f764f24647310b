"""``zfcuda style train``: trains a network that draws any picture in the manner of others, in one pass."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.complaint import CommandError

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("train", help="train a network that draws any picture in a manner, in one pass")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    raise CommandError("style train: is not there yet")
