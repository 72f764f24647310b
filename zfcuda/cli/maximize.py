"""``zfcuda maximize``: draws images that a unit, a layer or a class answers to most."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.cli.making import add_making, making, pass_on, tell_of_animation
from zfcuda.cli.preprocessing import sides

if TYPE_CHECKING:
    from zfcuda.cli.making import Making
    from zfcuda.cli.options import Verbs
    from zfcuda.synthesis.optimise import Optimised

_FEW = 9  # images of which each is spoken of


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("maximize", help="draw what a unit, a layer or a class answers to most")
    parser.add_argument(
        "objective",
        metavar="OBJECTIVE",
        nargs="+",
        help="the name or index of a class, LAYER:UNIT, LAYER:UNIT@Y,X, or a whole LAYER, as zfcuda layers lists "
        "them; each of several has a sheet",
    )
    parser.add_argument(
        "--count", type=int, default=9, metavar="N", help="how many images of each, in one batch (default: 9)"
    )
    parser.add_argument("--steps", type=int, default=256, metavar="N", help="how many steps (default: %(default)s)")
    parser.add_argument(
        "--parameterization",
        choices=("fourier", "pixels"),
        default="fourier",
        help="what the steps change: the images' spectra, or their pixels (default: fourier)",
    )
    parser.add_argument(
        "--size", type=sides, metavar="N|HxW", help="of the images in pixels (default: what the network was made for)"
    )
    add_making(parser, "out/maximize", cut=False, animation=True)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.cli import sheets
    from zfcuda.complaint import CommandError
    from zfcuda.synthesis.maximize import maximized, sheet
    from zfcuda.synthesis.parse import objective_of

    wanted = list(dict.fromkeys(arguments.objective))
    if arguments.animation and len(wanted) > 1:
        raise CommandError(f"--animation: shows one objective, got {len(wanted)}")
    with making(arguments) as setting:
        for each in wanted:  # all of them before the work for the first
            objective_of(each, setting.model)
        for each, name in zip(wanted, sheets.distinct(wanted), strict=True):
            made = maximized(
                setting.model,
                each,
                size=arguments.size,
                count=arguments.count,
                steps=arguments.steps,
                parameterization=arguments.parameterization,
                pixel_range=setting.pixel_range,
                seed=arguments.seed,
                progress=True,
                animation=setting.animation,
                described=each,
            )
            for file in setting.write({name: sheet(made.images, setting.pixel_range)}):
                print(file, flush=True)
            _tell(each, made, setting)
            tell_of_animation(made, setting)
            pass_on(made.interrupted)
    return 0


def _tell(objective: str, made: Optimised, setting: Making) -> None:
    """Says what was reached, and what the network calls an image that was made for a class."""
    if made.reached is None:
        return
    said = [f"{value:.4g}" for value in made.reached[:_FEW].tolist()]
    if _asks_for_a_class(objective, setting):
        names = _named(setting, made)
        said = [f"{value} ({name})" for value, name in zip(said, names, strict=True)]
    more = ", ..." if len(made.reached) > _FEW else ""
    print(f"{objective}: {', '.join(said)}{more}", flush=True)


def _asks_for_a_class(objective: str, setting: Making) -> bool:
    """Whether it is a class that is asked for."""
    from zfcuda.synthesis.parse import objective_of

    return objective_of(objective, setting.model).logits


def _named(setting: Making, made: Optimised) -> list[str]:
    """What the network calls each of the first images, and how sure it is."""
    import torch

    from zfcuda.autograd import differentiating, logits_of
    from zfcuda.inputs import probabilities
    from zfcuda.network.example import image_dtypes

    with torch.no_grad(), differentiating(setting.model, gradients=False):
        logits = logits_of(setting.model, made.images[:_FEW].to(image_dtypes(setting.model)[0]))
    best = probabilities(logits).max(1)
    pairs = zip(best.values.tolist(), best.indices.tolist(), strict=True)
    return [f"{setting.subject.class_name(index)} {share:.1%}" for share, index in pairs]
