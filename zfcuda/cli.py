"""The ``zfcuda`` command: explain pictures, see the demo, account for a network, convert weights."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zfcuda.command import EPILOG, Parser, run
from zfcuda.complaint import naming
from zfcuda.data.pictures import one_line, read_picture

if TYPE_CHECKING:
    from zfcuda.report import Explanation, Folder, Prepared, Subject

_DEMO_PICTURES = 2
_LESS = "take a larger --stride or fewer pictures"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments without the program's name; None: those of the process.

    Returns:
        The exit code: 0; 2 for an error, with one line on stderr; 130 after Ctrl-C, 143 after SIGTERM.
    """
    return run(_parser(), argv, lambda arguments: int(arguments.run(arguments)))


def _parser() -> Parser:
    parser = Parser(prog="zfcuda", description="Shows what a convolutional network looks at.", epilog=EPILOG)
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {_version()}", help="say which version this is"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    explain = commands.add_parser("explain", help="explain what a network says about pictures, on one HTML page")
    explain.add_argument("pictures", nargs="+", metavar="PICTURE", help="picture files of any kind that Pillow reads")
    _network_options(explain)
    explain.add_argument(
        "--classes",
        metavar="FILE",
        help='class names, one per line, in the order of the outputs; or the word "imagenet" for its 1,000',
    )
    explain.add_argument(
        "--target", metavar="CLASS", help="class name or number to ask about (default: the most probable)"
    )
    explain.add_argument(
        "--layer", metavar="NAME", help="convolution followed under the occluder (default: the last one)"
    )
    explain.add_argument(
        "--out", default="out/explain", metavar="DIR", help="where the page goes (default: %(default)s)"
    )
    _work_options(explain)
    explain.set_defaults(run=_explain)

    demo = commands.add_parser("demo", help="the same on two drawn pictures and the network in the package")
    demo.add_argument("--out", default="out/demo", metavar="DIR", help="where the page goes (default: %(default)s)")
    _work_options(demo)
    demo.set_defaults(run=_demo)

    layers = commands.add_parser("layers", help="list the layers of a network: names, shapes, receptive fields")
    _network_options(layers)
    layers.add_argument("--input", metavar="CxHxW", type=_size, help=_INPUT)
    layers.set_defaults(run=_summary, memory=None)

    summary = commands.add_parser("summary", help="the table of a network: shapes, memory, parameters, multiply-adds")
    summary.add_argument("model", metavar="NAME|FILE", help=_MODEL)
    summary.add_argument("--weights", metavar="FILE", help=_OWN_WEIGHTS)
    summary.add_argument("--input", metavar="CxHxW", type=_size, help=_INPUT)
    summary.add_argument("--memory", metavar="SIZE", help="also say how many pictures at once fit, as in 8GB or 500MiB")
    summary.set_defaults(run=_summary)

    convert = commands.add_parser("convert", help="weights of any kind as safetensors that need no name to be loaded")
    convert.add_argument("source", metavar="IN", help=".pth, safetensors, caffemodel or deploy prototxt")
    convert.add_argument("out", metavar="OUT.safetensors", help="the new file")
    convert.add_argument("--model", metavar="NAME", help="the network that they are of (default: found by the shapes)")
    convert.add_argument("--weights", metavar="FILE", help="the caffemodel of a prototxt (default: the one beside it)")
    convert.add_argument(
        "--mean", metavar="B,G,R|FILE", help="of pictures for Caffe's networks, numbers or a binaryproto (104,117,123)"
    )
    convert.add_argument("--force", action="store_true", help="overwrite OUT")
    convert.set_defaults(run=_convert)

    backend = commands.add_parser("backend", help="say what was compiled in and what runs")
    backend.set_defaults(run=_backend)
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("zfcuda")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


_MODEL = (
    "a name like alexnet or vgg16; a file of weights (safetensors, .pth), a deploy prototxt or caffemodel; "
    "torchvision/NAME or timm/NAME; module:attribute of your own Python"
)
_OWN_WEIGHTS = "its weights: safetensors, a state_dict in .pth, a caffemodel"
_INPUT = "size of its pictures, as in 3x224x224 (default: what the network was made for)"


def _network_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="demo", metavar="NAME|FILE", help=f"{_MODEL} (default: %(default)s)")
    parser.add_argument("--weights", metavar="FILE", help=_OWN_WEIGHTS)


def _size(text: str) -> tuple[int, int, int]:
    """3x224x224 -> (3, 224, 224)."""
    words = text.lower().split("x")
    if len(words) != 3 or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise argparse.ArgumentTypeError(f"expected channels x height x width, as in 3x224x224, got {text!r}")
    channels, height, width = map(int, words)
    return channels, height, width


def _work_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--window", type=int, default=32, metavar="N", help="side of the occluder (default: %(default)s)"
    )
    parser.add_argument(
        "--stride", type=int, default=8, metavar="N", help="step of the occluder (default: %(default)s)"
    )
    parser.add_argument(
        "--top", type=int, default=4, metavar="N", help="maps shown of each layer (default: %(default)s)"
    )
    parser.add_argument(
        "--device", default="cpu", help="where the network runs, as in cuda or cuda:1 (default: %(default)s)"
    )


def _explain(arguments: argparse.Namespace) -> int:
    from zfcuda.report import Folder, load_subject, prepare

    device = _device(arguments.device)
    _check_top(arguments.top)
    with Folder(arguments.out) as folder:
        with naming(arguments.model, _LESS):
            subject = load_subject(arguments.model, weights=arguments.weights, classes=arguments.classes, device=device)
            prepared = [
                prepare(
                    subject,
                    read_picture(path),
                    name,
                    target=arguments.target,
                    window=arguments.window,
                    stride=arguments.stride,
                    layer=arguments.layer,
                )
                for path, name in zip(arguments.pictures, _names(arguments.pictures), strict=True)
            ]
        return _report(folder, subject, prepared, arguments.top)


def _demo(arguments: argparse.Namespace) -> int:
    from PIL import Image

    from zfcuda.data import HELD_OUT_SEED, Parts
    from zfcuda.report import Folder, load_subject, prepare

    device = _device(arguments.device)
    _check_top(arguments.top)
    with Folder(arguments.out) as folder:
        subject = load_subject("demo", device=device)
        prepared = []
        for i in range(_DEMO_PICTURES):
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
        return _report(folder, subject, prepared, arguments.top)


def _report(folder: Folder, subject: Subject, prepared: Sequence[Prepared], top: int) -> int:
    """The long work; after Ctrl-C, what was done by then goes into a folder of its own."""
    from zfcuda.report import Folder, explain

    done: list[Explanation] = []
    try:
        for one in prepared:
            with naming(f"{subject.title} with {one.name}", _LESS):
                done.append(explain(one, top=top, progress=True))
            e, o = done[-1], done[-1].occlusion
            best = int(e.probabilities.argmax())
            print(
                f"{one_line(e.name)}: {e.class_names[best]} {100 * float(e.probabilities[best]):.1f} %, "
                f"{o.label.numel()} occluder positions in {e.seconds:.2f} s ({o.method})",
                flush=True,
            )
        print(folder.write(done, subject.title))
    except KeyboardInterrupt as stop:
        if not done:
            raise
        page = folder.page
        if page is None:
            with Folder(folder.path / "interrupted") as rest:
                page = rest.write(done, subject.title)
        stop.args = (f"{len(done)} of {len(prepared)} pictures are in {page}",)
        raise
    return 0


def _summary(arguments: argparse.Namespace) -> int:
    from zfcuda.models import summary
    from zfcuda.models.accounts.memory import memory_need
    from zfcuda.models.checkpoints.load import find

    with naming(arguments.model):
        loaded = find(arguments.model, weights=arguments.weights)
    size = arguments.input or loaded.input_size or (3, 224, 224)
    with naming(f"{arguments.model} with an input of {'x'.join(map(str, size))}"):
        lines = [str(summary(loaded.model, size))]
        if arguments.memory is not None:
            counts = [
                memory_need(loaded.model, size, training=training).largest_batch(arguments.memory)
                for training in (False, True)
            ]
            lines.append(f"pictures at once in {arguments.memory}: {counts[0]:,} forward, {counts[1]:,} in training")
    print("\n".join(lines))
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    from zfcuda.models.checkpoints.convert import convert

    try:
        with naming(arguments.source):
            said = convert(
                arguments.source,
                arguments.out,
                model=arguments.model,
                weights=arguments.weights,
                mean=arguments.mean,
                force=arguments.force,
            )
    except KeyboardInterrupt as stop:
        stop.args = (f"{arguments.out} is as it was, or complete",)
        raise
    print(said)
    return 0


def _backend(arguments: argparse.Namespace) -> int:
    import zfcuda

    for key, value in zfcuda.backend().items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        print(f"{key}: {shown}")
    return 0


def _check_top(top: int) -> None:
    if top < 1:
        raise ValueError(f"--top: expected at least 1, got {top}")


def _device(name: str) -> str:
    import torch

    try:
        torch.empty(1, device=name).tolist()  # a device without storage has nothing to list
    except Exception as error:  # RuntimeError, AssertionError, NotImplementedError: it depends on the device
        reason = one_line(str(error).strip().partition("\n")[0])
        raise ValueError(f"--device {name}: not available here ({reason})") from None
    return name


def _names(paths: Sequence[str]) -> list[str]:
    """What to call each picture: its file name, or its path where several share that."""
    names = [Path(path).name for path in paths]
    return [name if names.count(name) == 1 else path for name, path in zip(names, paths, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
