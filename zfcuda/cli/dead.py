"""``zfcuda dead``: which units never fire over a folder of pictures, which hardly ever, which always."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.cli.folders import add_pictures, subject_and_pictures
from zfcuda.complaint import naming

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("dead", help="count the units that never fire over many pictures, rarely, or always")
    add_pictures(parser)
    parser.add_argument(
        "--layer", metavar="NAME", nargs="+", action="extend", help="layers to count (default: behind every ReLU)"
    )
    parser.add_argument("--out", metavar="FILE.csv", help="also write a line for every unit")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.features.dead_units import checked_table, dead_units
    from zfcuda.features.ranks import Ranks

    if arguments.out is not None:
        checked_table(arguments.out, "--out")
    subject, pictures = subject_and_pictures(arguments)
    with naming(subject.title):
        found = dead_units(
            subject.model,
            pictures,
            layers=arguments.layer,
            state=arguments.state,
            progress=True,
        )
    if not Ranks().first:  # under torchrun one of the processes writes, and speaks
        return 0
    print(found, flush=True)
    if arguments.out is not None:
        found.save(arguments.out)
        print(arguments.out)
    return 0
