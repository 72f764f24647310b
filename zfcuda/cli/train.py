"""``zfcuda train``: trains a network on pictures, and goes on where it was broken off."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from zfcuda.train.command import add_options

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("train", help="train a network on pictures, and go on where a run was broken off")
    add_options(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.train.command import run_training

    return run_training(arguments, ["zfcuda", *sys.argv[1:]])
