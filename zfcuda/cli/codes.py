"""``zfcuda codes``: what a layer gives for each picture of a folder, in one file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcuda.cli.folders import add_folder, subject_and_pictures
from zfcuda.complaint import naming

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("codes", help="write what a layer gives for each picture of a folder into a file")
    add_folder(parser)
    parser.add_argument("--layer", metavar="NAME", required=True, help="as zfcuda layers lists them")
    parser.add_argument(
        "--out",
        default="codes.safetensors",
        metavar="FILE.safetensors",
        help="where the codes go (default: %(default)s)",
    )
    parser.add_argument("--signed", action="store_true", help="keep negative values, which else become zero")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.features.codes import checked_path, codes

    checked_path(arguments.out, "--out")
    subject, pictures = subject_and_pictures(arguments)
    with naming(subject.title):
        found = codes(
            subject.model,
            pictures,
            arguments.layer,
            relu=not arguments.signed,
            state=arguments.state,
            progress=True,
        )
        found.save(arguments.out)
    print(f"{found!r}\n{arguments.out}")
    return 0
