"""``zfcuda maximize``: draws images that a unit, a layer or a class answers to most."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.cli.making import add_making, making, passed_on

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("maximize", help="draw what a unit, a layer or a class answers to most")
    parser.add_argument(
        "objective",
        metavar="OBJECTIVE",
        help="LAYER:UNIT, LAYER:UNIT@Y,X, a whole LAYER, the index or the name of a class",
    )
    parser.add_argument("--count", type=int, default=9, metavar="N", help="how many, in one batch (default: 9)")
    parser.add_argument("--steps", type=int, default=256, metavar="N", help="how many steps (default: %(default)s)")
    add_making(parser, "out/maximize")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda import render
    from zfcuda.synthesis.maximize import maximized

    with making(arguments) as setting:
        made = maximized(
            setting.model,
            arguments.objective,
            count=arguments.count,
            steps=arguments.steps,
            limits=setting.limits,
            seed=arguments.seed,
            progress=True,
        )
        pictures = [setting.pixel_range.picture(image) for image in made.images]
        for file in setting.write({arguments.objective: render.grid(pictures, round(len(pictures) ** 0.5))}):
            print(file, flush=True)
        passed_on(made)
    return 0
