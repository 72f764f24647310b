"""``zfcuda demo``: the page of two drawn pictures and the network in the package."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.cli.options import add_work, checked_device, checked_top
from zfcuda.cli.pages import report

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs

_PICTURES = 2


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("demo", help="the same on two drawn pictures and the network in the package")
    parser.add_argument("--out", default="out/demo", metavar="DIR", help="where the page goes (default: %(default)s)")
    add_work(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from PIL import Image

    from zfcuda.data import HELD_OUT_SEED, Parts
    from zfcuda.report import Folder, load_subject, prepare

    device = checked_device(arguments.device)
    top = checked_top(arguments.top)
    with Folder(arguments.out) as folder:
        subject = load_subject("demo", device=device)
        prepared = []
        for i in range(_PICTURES):
            drawn = Parts(seed=HELD_OUT_SEED)[i]
            # The mask goes through the same cut and scaling as the picture.
            mask = Image.fromarray(drawn.part_mask).convert("RGB")
            prepared.append(
                prepare(
                    subject,
                    drawn.image,
                    f"{drawn.class_name} (drawn picture {i})",
                    target=drawn.label,
                    window=arguments.window,
                    stride=arguments.stride,
                    truth=subject.view(mask)[1][0] > 0.5,
                )
            )
        return report(folder, prepared, top)
