"""``zfcuda label``: a person labels pictures, and the network's answers stand beside theirs afterwards."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zfcuda.cli.options import MODEL, OWN_WEIGHTS, add_device, checked_device
from zfcuda.cli.preprocessing import add_preprocessing, preprocessing, tell_of_assumed
from zfcuda.cli.serve import add_listening, check_installed
from zfcuda.complaint import CommandError, naming, one_line

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs
    from zfcuda.data.collection import Collection
    from zfcuda.live.label.examples import Examples
    from zfcuda.live.label.labelling import Labelling
    from zfcuda.report import Subject

_VIEWS = ("network", "whole")  # of zfcuda.live.label.task, which imports torch


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser(
        "label", help="a page on which a person labels pictures, to be compared with the truth and with a network"
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="a folder of pictures; the folders in it are classes, which say what the pictures truly are; or the word "
        "parts, for drawn ones",
    )
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help='what to choose from, a name on each line; or the word "imagenet" for its 1,000 (default: the class '
        "folders, else the classes of the network)",
    )
    parser.add_argument("--model", metavar="NAME|FILE", help=f"a network to be compared with: {MODEL} (default: none)")
    parser.add_argument("--weights", metavar="FILE", help=OWN_WEIGHTS)
    parser.add_argument("--count", type=int, metavar="N", help="how many pictures are drawn (default: all)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of their order (default: %(default)s)")
    parser.add_argument(
        "--answers",
        type=int,
        default=1,
        metavar="N",
        help="how many may be given for a picture, the likeliest first, as 5 in ILSVRC (default: %(default)s)",
    )
    parser.add_argument(
        "--view",
        choices=_VIEWS,
        help="what is shown of a picture: what the network sees of it, or the whole (default: as the network sees it, "
        "where there is one)",
    )
    parser.add_argument(
        "--examples",
        metavar="FOLDER",
        help="class folders of other pictures, to learn what a class is (default: train beside FOLDER, where it is)",
    )
    parser.add_argument(
        "--labeller", metavar="NAME", help="whose answers these are; each has a file (default: the page asks)"
    )
    parser.add_argument(
        "--out",
        default="out/label",
        metavar="DIR",
        help="where the answers are kept, and label.html, numbers.json and labels.csv go; the same command goes on "
        "there (default: %(default)s)",
    )
    parser.add_argument("--report", action="store_true", help="write these of the answers so far, and serve no page")
    add_listening(parser)
    add_device(parser)
    add_preprocessing(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.report:
        check_installed()
    from zfcuda.class_names import class_names
    from zfcuda.cli import sheets
    from zfcuda.live.label.labelling import Labelling
    from zfcuda.live.label.network import NetworkAnswers
    from zfcuda.live.label.task import task

    device = checked_device(arguments.device)
    pictures = _pictures(arguments.folder)
    classes = None if arguments.classes is None else _classes(arguments.classes)
    subject = _subject(arguments, device)
    if subject is None and arguments.view == "network":
        raise ValueError("--view: expected whole, as there is no --model, got network")
    if classes is None and not pictures.classes and subject is not None and subject.classes:
        classes = class_names(subject.classes)
    asked = task(
        _seen_by(pictures, subject),
        classes,
        count=arguments.count,
        seed=arguments.seed,
        answers=arguments.answers,
        view=arguments.view or ("whole" if subject is None else "network"),
    )
    examples = None if arguments.report else _examples(arguments, asked.classes)
    with ExitStack() as stack:
        out = stack.enter_context(sheets.folder(arguments.out))
        network = None if subject is None else stack.enter_context(NetworkAnswers(subject, asked, out))
        labelling = stack.enter_context(Labelling(asked, out, network, examples, arguments.labeller))
        return _report(labelling, _command()) if arguments.report else _serve(labelling, arguments)


def _classes(file: str) -> list[str]:
    """The names to choose from: ImageNet's, or those in a file."""
    from zfcuda.models.architectures import imagenet
    from zfcuda.report.subject import read_classes

    return imagenet.classes() if file == "imagenet" else read_classes(file)


def _pictures(folder: str) -> Collection:
    from zfcuda.data import HELD_OUT_SEED, Parts
    from zfcuda.data.collection import Collection
    from zfcuda.data.folders import is_folder

    if folder == "parts" and not os.path.exists("parts"):
        return Collection.of(Parts(seed=HELD_OUT_SEED))
    if os.path.lexists(folder) and not is_folder(folder):
        raise ValueError(f"FOLDER: expected a folder of pictures, got the file {one_line(folder)}")
    return Collection.of(folder)


def _subject(arguments: argparse.Namespace, device: str) -> Subject | None:
    from zfcuda.report import load_subject

    given = [name for name, value in preprocessing(arguments).items() if value is not None]
    if arguments.model is None:
        for name in [*(["weights"] if arguments.weights else []), *given]:
            raise ValueError(f"--{name.replace('_', '-')}: expected --model with it, got none")
        return None
    with naming(arguments.model):
        subject = load_subject(arguments.model, weights=arguments.weights, device=device, **preprocessing(arguments))
    tell_of_assumed(subject)
    return subject


def _seen_by(pictures: Collection, subject: Subject | None) -> Collection:
    from zfcuda.data.collection import Collection

    return pictures if subject is None else Collection.of(pictures, preprocess=subject.preprocess)


def _examples(arguments: argparse.Namespace, classes: list[str]) -> Examples | None:
    """Pictures to learn from: those that are named, else those to train on that lie beside."""
    from zfcuda.class_names import class_names
    from zfcuda.live.label.examples import Examples

    names = class_names(classes)
    assert names is not None
    folder = Path(arguments.folder).resolve()
    asked = folder if folder.is_dir() else None
    if arguments.examples is not None:
        return Examples(Path(arguments.examples), names, asked)
    beside = folder.parent / "train"
    if asked is None or beside == folder or not beside.is_dir():
        return None
    try:
        return Examples(beside, names, asked)
    except ValueError:  # of something else
        return None


def _serve(labelling: Labelling, arguments: argparse.Namespace) -> int:
    from zfcuda.live.app import application
    from zfcuda.live.label.routes import routes
    from zfcuda.live.limits import Limits
    from zfcuda.live.running import Listening, serve

    listening = Listening(arguments.port, arguments.listen == "network")
    with _kept(labelling):
        serve(
            application(None, listening.token, listening.hosts, routes(labelling, _command())),
            listening,
            browser=not arguments.no_browser,
            limits=Limits(),
            path="label/",
        )
    return 0


@contextmanager
def _kept(labelling: Labelling) -> Iterator[None]:
    """Ctrl-C, which is how a server is ended, then says where the answers are."""
    try:
        yield
    except KeyboardInterrupt as stop:
        where = one_line(str(labelling.folder))
        stop.args = (f"all answers are kept in {where}, and the same command goes on there",)
        raise


def _report(labelling: Labelling, command: str) -> int:
    from zfcuda.live.label.written import write

    if labelling.network is not None:
        labelling.network.wait()
        if labelling.network.error:
            raise CommandError(f"{labelling.network.subject.title}: {labelling.network.error}")
    found = {}
    for name in labelling.known():
        if labelling.answers(name).given:
            labelling.show(name)
            comparison = labelling.comparison(name)
            if comparison is not None:
                found[name] = comparison
    if not found:
        raise CommandError(f"--report: expected answers in {one_line(str(labelling.folder))}, got none")
    page, *beside = write(labelling, found, command)
    print(f"{page}; beside it: {', '.join(path.name for path in beside)}")
    return 0


def _command() -> str:
    return f"zfcuda {' '.join(map(shlex.quote, sys.argv[1:]))}"
