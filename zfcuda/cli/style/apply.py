"""``zfcuda style apply``: draws pictures of any size in a manner that a network has learnt."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.complaint import CommandError

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("apply", help="draw pictures in a manner that a network has learnt")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    raise CommandError("style apply: is not there yet")
