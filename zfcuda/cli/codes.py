"""``zfcuda codes``: what a layer gives for each picture of a folder, in one file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from zfcuda.cli.folders import add_pass, add_pictures, kept, out_folder, subject_and_pictures
from zfcuda.complaint import naming, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from zfcuda.cli.options import Verbs
    from zfcuda.features.codes import Codes


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("codes", help="write what a layer gives for each picture of a folder into a file")
    add_pictures(parser)
    parser.add_argument(
        "--layer", metavar="NAME", help="as zfcuda layers lists them (default: what the last linear layer reads)"
    )
    parser.add_argument("--signed", action="store_true", help="keep negative values, which else become zero")
    parser.add_argument("--query", metavar="PICTURE", help="also name the nine pictures whose codes are nearest to its")
    parser.add_argument(
        "--out",
        default="out/codes/codes.safetensors",
        metavar="FILE.safetensors",
        help="where the codes go (default: %(default)s)",
    )
    add_pass(parser, state="beside it, FILE.state")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.data.pictures import check_path, read_picture
    from zfcuda.features.code_layer import code_layer
    from zfcuda.features.codes import checked_path, codes
    from zfcuda.ranks import Ranks

    if arguments.query is not None:
        check_path(arguments.query)
    with out_folder(Path(arguments.out).parent):
        out = checked_path(arguments.out, "--out")
        subject, pictures = subject_and_pictures(arguments)
        with naming(subject.title):
            layer, relu = arguments.layer or code_layer(subject.model), not arguments.signed

            def work(state: Path) -> Codes:
                return codes(subject.model, pictures, layer, relu=relu, state=state, progress=True)

            found = kept(arguments, out.with_suffix(".state"), work)
            if not Ranks().first:  # under torchrun one of the processes writes, and speaks
                return 0
            found.save(out)
            print(f"{found!r}\n{out}", flush=True)
            if arguments.query is not None:
                image = subject.view(read_picture(arguments.query))[0].to(arguments.device)
                print(f"nearest to {one_line(arguments.query)}, by the distance of their codes:")
                for line in _nearest(subject.model, image, found):
                    print(line)
    return 0


def _nearest(model: nn.Module, image: Tensor, codes: Codes) -> Iterator[str]:
    """The names of the pictures whose codes are nearest to that of an image [1,C,H,W], with their distances."""
    from zfcuda.features.activations import activations
    from zfcuda.features.nearest import nearest

    code = activations(model, image, codes.layer)[codes.layer].flatten(1).float().cpu()
    indices, distances = nearest(codes, code.clamp(min=0) if codes.relu else code, min(9, len(codes)))
    for index, distance in zip(indices[0].tolist(), distances[0].tolist(), strict=True):
        yield f"{distance:10.4g}  {one_line(codes.names[index])}"
