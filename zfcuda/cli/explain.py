"""``zfcuda explain``: what a network says about pictures, and why, on one HTML page."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from zfcuda.cli.options import add_model, add_work, checked_device, checked_top, method_names
from zfcuda.cli.pages import LESS, report
from zfcuda.cli.photos import default_network, tell_of_drawn_things
from zfcuda.cli.preprocessing import add_preprocessing, preprocessing
from zfcuda.complaint import naming
from zfcuda.method_names import homes

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs
    from zfcuda.report import Asked, Prepared


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("explain", help="explain what a network says about pictures, on one HTML page")
    parser.add_argument(
        "pictures",
        nargs="+",
        metavar="PICTURE",
        help="picture files of any kind that Pillow reads; or one folder of them, with all folders in it (the page "
        "takes half a MB of memory a picture until it is written)",
    )
    add_model(parser)
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help='class names, one per line, in the order of the outputs; or the word "imagenet" for its 1,000',
    )
    parser.add_argument(
        "--target", metavar="CLASS", help="class name or number to ask about (default: the most probable)"
    )
    parser.add_argument(
        "--layer", metavar="NAME", help="convolution followed under the occluder (default: the last one)"
    )
    parser.add_argument(
        "--fill",
        default="grey",
        metavar="WORD|R,G,B",
        help="what covers the picture: grey, mean (its mean colour), blur (the picture blurred), noise; or a colour, "
        "red, green and blue from 0 to 255, as in 255,0,0 (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        metavar="KEY|module:attribute",
        help="what to ask about where the network returns no [1,classes]: a key or an index of what it returns, or a "
        "function that makes scores of it; for a segmentation zfcuda.occlusion:areas, the share of each class, or "
        "zfcuda.occlusion:foreground, of masks that may overlap",
    )
    parser.add_argument(
        "--methods",
        type=method_names,
        default=(),
        metavar="NAMES",
        help="maps of several methods side by side, as in occlusion,gradcam; all, or some of: " + ", ".join(homes()),
    )
    parser.add_argument(
        "--out", default="out/explain", metavar="DIR", help="where the page goes (default: %(default)s)"
    )
    add_work(parser)
    add_preprocessing(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.data.pictures import check_path, read_picture
    from zfcuda.report import Checked, Folder, load_subject, named_pictures, prepare, source_of

    words = arguments.pictures
    pictures = [(name, str(path)) for name, path in named_pictures(words[0] if len(words) == 1 else words)]
    for _, path in pictures:  # before a network is loaded
        check_path(path)
    device = checked_device(arguments.device)
    top = checked_top(arguments.top)
    output = _output(arguments.output)
    model = arguments.model or default_network()
    if arguments.model is None and model == "demo":
        tell_of_drawn_things()
    with Folder(arguments.out) as folder:
        with naming(model, LESS):
            subject = load_subject(
                model,
                weights=arguments.weights,
                classes=arguments.classes,
                device=device,
                **preprocessing(arguments),
            )

        def prepared(picture: tuple[str, str]) -> Prepared:
            name, path = picture
            with naming(model, LESS):
                return prepare(
                    subject,
                    read_picture(path),
                    name,
                    target=arguments.target,
                    window=arguments.window,
                    stride=arguments.stride,
                    layer=arguments.layer,
                    fill=_fill(arguments.fill),
                    output=output,
                    source=source_of(path),
                )

        return report(folder, Checked(pictures, prepared), _asked(arguments, model), top, arguments.methods)


def _asked(arguments: argparse.Namespace, model: str) -> Asked:
    """What was asked for, as a command and as Python."""
    from zfcuda.report import Asked

    weights = "" if arguments.weights is None else f", weights={str(arguments.weights)!r}"
    to = "" if arguments.device == "cpu" else f".to({arguments.device!r})"
    more = {} if arguments.classes is None else {"classes": repr(str(arguments.classes))}
    if changed := {key: value for key, value in preprocessing(arguments).items() if value is not None}:
        given = changed.get("preprocess")
        settings = ", ".join(f"{key}={value!r}" for key, value in changed.items())
        more["preprocess"] = f"...  # {given or f'that of the network with {settings}'}"
    return Asked(arguments.typed, f"zfcuda.models.load({model!r}{weights}){to}", str(arguments.out), more)


def _fill(text: str) -> str | int | list[int]:
    """What --fill says: a word, a grey, or a colour."""
    numbers = text.replace(" ", "").split(",")
    if not all(map(str.isdecimal, numbers)):
        return text
    return int(numbers[0]) if len(numbers) == 1 else [int(number) for number in numbers]


def _output(text: str | None) -> Any:
    """What --output says: a key, an index, or what an attribute of a module is."""
    from zfcuda.models.checkpoints.external import attribute

    if text is None:
        return None
    if ":" in text:
        with naming("--output"):
            return attribute(text)
    return int(text) if text.removeprefix("-").isdecimal() else text
