"""``zfcuda demo``: the page of two photographs, and of two drawn pictures whose truth is known."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from zfcuda.cli.options import add_work, checked_device, checked_top
from zfcuda.cli.pages import report
from zfcuda.cli.photos import NETWORK, photographs, tell_of_drawn_things

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs
    from zfcuda.report import Prepared

_DRAWN = 2
_METHODS = ("occlusion", "gradcam", "guided", "saliency")  # quick ones: a row of the page


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser(
        "demo", help="the same on two photographs, and on two drawn pictures whose truth is known"
    )
    parser.add_argument("--out", default="out/demo", metavar="DIR", help="where the page goes (default: %(default)s)")
    add_work(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.report import Asked, Folder

    device = checked_device(arguments.device)
    top = checked_top(arguments.top)
    with Folder(arguments.out) as folder:
        prepared = [*_photographs(arguments, device), *_drawn(arguments, device)]
        return report(folder, prepared, Asked(arguments.typed), top, _METHODS)


def _photographs(arguments: argparse.Namespace, device: str) -> Iterator[Prepared]:
    """Photographs before a network that was trained on photographs, where both are installed."""
    from zfcuda.report import load_subject, prepare

    pictures = photographs()
    if not pictures:
        return tell_of_drawn_things()
    subject = load_subject(NETWORK, device=device)
    for name, picture in pictures.items():
        yield prepare(subject, picture, f"{name} (photograph)", window=arguments.window, stride=arguments.stride)


def _drawn(arguments: argparse.Namespace, device: str) -> Iterator[Prepared]:
    """Drawn pictures before the network in the package, with the one part that makes them what they are."""
    from PIL import Image

    from zfcuda.data import HELD_OUT_SEED, Parts
    from zfcuda.report import load_subject, prepare

    subject = load_subject("demo", device=device)
    for i in range(_DRAWN):
        drawn = Parts(seed=HELD_OUT_SEED)[i]
        # The mask goes through the same cut and scaling as the picture.
        mask = Image.fromarray(drawn.part_mask).convert("RGB")
        yield prepare(
            subject,
            drawn.image,
            f"{drawn.class_name} (drawn picture {i})",
            target=drawn.label,
            window=arguments.window,
            stride=arguments.stride,
            truth=subject.view(mask)[1][0] > 0.5,
        )
