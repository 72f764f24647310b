"""``zfcuda dead``: which units never fire over a folder of pictures, which hardly ever, which always."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from zfcuda.cli.folders import add_pass, add_pictures, kept, out_folder, subject_and_pictures
from zfcuda.complaint import naming

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs
    from zfcuda.features.dead_units import DeadUnits


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("dead", help="count the units that never fire over many pictures, rarely, or always")
    add_pictures(parser)
    parser.add_argument(
        "--layer", metavar="NAME", nargs="+", action="extend", help="layers to count (default: behind every ReLU)"
    )
    parser.add_argument(
        "--out",
        default="out/dead/units.csv",
        metavar="FILE.csv",
        help="where a line for every unit goes (default: %(default)s)",
    )
    add_pass(parser, state="beside it, FILE.state")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.features.dead_units import checked_table, dead_units
    from zfcuda.ranks import Ranks

    with out_folder(Path(arguments.out).parent):
        out = checked_table(arguments.out, "--out")
        subject, pictures = subject_and_pictures(arguments)
        with naming(subject.title):

            def work(state: Path) -> DeadUnits:
                return dead_units(subject.model, pictures, layers=arguments.layer, state=state, progress=True)

            found = kept(arguments, out.with_suffix(".state"), work)
        if not Ranks().first:  # under torchrun one of the processes writes, and speaks
            return 0
        print(found, flush=True)
        found.save(out)
        print(out)
    return 0
