"""``zfcuda transfer``: what a trained network's codes are worth on other pictures, layer by layer, and what to do."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfcuda.cli.folders import out_folder
from zfcuda.cli.options import MODEL, OWN_WEIGHTS, add_device, checked_device, words
from zfcuda.cli.preprocessing import add_preprocessing, preprocessing, tell_of_assumed
from zfcuda.complaint import CommandError, naming

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs
    from zfcuda.report import Subject
    from zfcuda.train.sets import Sets
    from zfcuda.train.transfer import Prepared, Settings, Transfer
    from zfcuda.train.transfer.choices import Choice

_CODES = "codes"


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("transfer", help="what a trained network's codes are worth on other pictures, by layer")
    parser.add_argument(
        "data",
        metavar="DATA",
        help="a folder with train/, validation/ and test/ of class folders, or of class folders, which are split; "
        "`parts`; module:attribute of your own Python, torch Datasets",
    )
    parser.add_argument("--from", dest="model", metavar="NAME|FILE", required=True, help=f"the network: {MODEL}")
    parser.add_argument("--weights", metavar="FILE", help=OWN_WEIGHTS)
    parser.add_argument(
        "--out",
        default="out/transfer",
        metavar="DIR",
        help="where transfer.json, by-layer.png, curves.png and the codes go (default: %(default)s)",
    )
    parser.add_argument(
        "--layers", type=words, metavar="NAMES", help="between commas, the last codes last (default: a handful)"
    )
    parser.add_argument(
        "--pool",
        default="auto",
        metavar="N|NxM",
        help="average maps over the cells of such a grid; none: take them whole, as the paper's Table 7 does "
        "(default: whole up to 10,000 numbers, above that the finest square grid that has no more)",
    )
    parser.add_argument(
        "--classifiers", type=words, metavar="NAMES", help="softmax, svm, or both between commas (default: both)"
    )
    parser.add_argument("--mirror", action="store_true", help="average the codes of each picture and its mirror image")
    parser.add_argument(
        "--per-class",
        type=_counts,
        metavar="N,N,...",
        help="training pictures of each class in a learning curve; 0: no curve (default: 1,2,5,10, ... as far as "
        "there are)",
    )
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="draws for each of them (default: 5)")
    parser.add_argument(
        "--curve-layers", type=words, metavar="NAMES", help="whose curves (default: the last, and the best before it)"
    )
    parser.add_argument("--most", type=int, metavar="N", help="take this many pictures of each class and part at most")
    parser.add_argument(
        "--runs", nargs="+", default=[], metavar="RUN", help="finished runs of zfcuda train on DATA, to put beside"
    )
    parser.add_argument(
        "--fine-tune",
        type=int,
        metavar="EPOCHS",
        help="also fine-tune the last layers, and all, with zfcuda train, into DIR/fine-tuned-last and -all: it takes "
        "as long as that takes, and goes on where it was broken off",
    )
    parser.add_argument(
        "--freeze-below",
        metavar="LAYER",
        help="what the last layers are: below this one nothing learns (default: of those compared, two thirds up)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all draws (default: %(default)s)")
    parser.add_argument(
        "--split",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="of pictures for validation and for test, where DATA has no such parts (default: %(default)s)",
    )
    add_device(parser)
    add_preprocessing(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.features.embed import require_sklearn
    from zfcuda.ranks import Ranks
    from zfcuda.report import load_subject
    from zfcuda.train.sets import read_sets
    from zfcuda.train.transfer import measure, prepare
    from zfcuda.train.transfer.runs import choice_of_run

    try:
        require_sklearn("zfcuda transfer")
    except ImportError as error:
        raise CommandError(str(error)) from None
    settings = _settings(arguments)
    _check(arguments)
    sets = read_sets(arguments.data, seed=arguments.seed, split=arguments.split)
    runs = [choice_of_run(path, sets) for path in arguments.runs]
    device = checked_device(arguments.device)
    with naming(arguments.model):
        subject = load_subject(arguments.model, weights=arguments.weights, device=device, **preprocessing(arguments))
    first = Ranks().first
    if first:
        tell_of_assumed(subject)
    with out_folder(arguments.out) as out:
        with naming(subject.title):
            prepared = prepare(subject.model, sets, settings, preprocess=subject.preprocess)
        start = _start(arguments, subject, prepared)
        if first:
            _tell(sets, subject, prepared, out)
        (out / _CODES).mkdir(exist_ok=True)
        try:
            found = measure(prepared, out / _CODES, progress=True)
        finally:
            _remove_empty(out / _CODES)
        runs += _tuned(arguments, sets, start, out)
        if found is not None:
            found.many.extend(runs)
            _show(found, arguments, sets, subject, out)
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    from zfcuda.train.transfer import Settings, as_pool

    try:
        given: dict[str, Any] = {
            "layers": arguments.layers,
            "pool": as_pool(arguments.pool),
            "classifiers": arguments.classifiers,
            "per_class": () if arguments.per_class == (0,) else arguments.per_class,
            "curve_layers": arguments.curve_layers,
        }
        kept = {name: value for name, value in given.items() if value is not None}
        return Settings(
            **kept, mirror=arguments.mirror, folds=arguments.folds, most=arguments.most, seed=arguments.seed
        )
    except ValueError as error:
        name, _, rest = str(error).partition(": ")
        raise ValueError(f"--{name.replace('_', '-')}: {rest}") from None


def _check(arguments: argparse.Namespace) -> None:
    """What is wrong with the options for runs, before a network is loaded."""
    if arguments.most is not None:
        for option, given in (("--runs", arguments.runs), ("--fine-tune", arguments.fine_tune)):
            if given:
                raise ValueError(f"{option}: expected none with --most, as a run takes all pictures")
    if arguments.fine_tune is not None and arguments.fine_tune < 1:
        raise ValueError(f"--fine-tune: expected at least 1 epoch, got {arguments.fine_tune}")
    if arguments.freeze_below is not None and arguments.fine_tune is None:
        raise ValueError("--freeze-below: expected --fine-tune with it")


def _start(arguments: argparse.Namespace, subject: Subject, prepared: Prepared) -> dict[str, Any]:
    """What fine-tuning starts from, and below which layer it freezes first; empty where nobody asked for it."""
    if arguments.fine_tune is None:
        return {}
    from zfcuda.train.network import frozen
    from zfcuda.train.transfer.fine_tuning import start_of, usual_freeze

    below = arguments.freeze_below or usual_freeze([layer.name for layer in prepared.layers])
    try:
        [*frozen(subject.model, below)]
        return {**start_of(arguments.model, arguments.weights), "freeze_below": below}
    except ValueError as error:
        name, _, rest = str(error).partition(": ")
        raise ValueError(f"--{name.replace('_', '-')}: {rest}") from None


def _tuned(arguments: argparse.Namespace, sets: Sets, start: dict[str, Any], out: Path) -> list[Choice]:
    if not start:
        return []
    from zfcuda.train.transfer.fine_tuning import fine_tune

    with naming("fine-tuning"):
        return fine_tune(
            arguments.data,
            sets,
            {name: value for name, value in start.items() if name != "freeze_below"},
            out,
            freeze_below=start["freeze_below"],
            progress=True,
            command=shlex.join(["zfcuda", *sys.argv[1:]]),
            epochs=arguments.fine_tune,
            seed=arguments.seed,
            split=arguments.split,
            device=arguments.device,
        )


def _tell(sets: Sets, subject: Subject, prepared: Prepared, out: Path) -> None:
    from zfcuda.memory.budget import spoken_bytes

    print(sets.title)
    if prepared.parts.note:
        print(prepared.parts.note)
    numbers = sum(layer.numbers for layer in prepared.layers)
    mirror = ", each the mean of a picture's and its mirror image's" if prepared.settings.mirror else ""
    print(
        f"codes of {subject.title}: {len(prepared.layers)} layers, {numbers:,} numbers a picture{mirror}; "
        f"{spoken_bytes(prepared.bytes)} in memory, and in {out / _CODES}",
        flush=True,
    )


def _show(found: Transfer, arguments: argparse.Namespace, sets: Sets, subject: Subject, out: Path) -> None:
    """Prints what came out, and writes it."""
    import platform

    import sklearn
    import torch

    from zfcuda.data.preprocess_facts import facts
    from zfcuda.train.transfer import advice, output, tables
    from zfcuda.train.transfer.plot import can_draw
    from zfcuda.version import __version__

    if not found.ran:
        print("the codes were there: the network was not run")
    print(f"\nalways the most frequent class: {found.chance:.1%}\n\n{tables.by_layer(found.rows)}\n")
    if found.points:
        print(f"{tables.curves(found.points)}\n")
    print(f"{tables.choices([*found.few, *found.many])}\n\n{advice(found.few, found.many)}\n")
    known = {
        "command": shlex.join(["zfcuda", *sys.argv[1:]]),
        "network": subject.title,
        "preprocess": facts(subject.preprocess),
        "data": sets.title,
        "fingerprint": sets.fingerprint,
        "versions": {
            "zfcuda": __version__,
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
            "python": platform.python_version(),
        },
    }
    try:
        files = output.write(found, out, f"{subject.title} on {sets.title.partition(':')[0]}", known)
    except OSError as error:
        raise CommandError(f"--out {out}: {error.strerror or error}") from None
    if not can_draw():
        print("no pictures were drawn, which needs matplotlib: pip install zfcuda[plot]", file=sys.stderr)
    print(*files, sep="\n")


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _counts(text: str) -> tuple[int, ...]:
    """1,2,5 -> (1, 2, 5)."""
    found = words(text)
    if not found or not all(word.isdecimal() for word in found):
        raise argparse.ArgumentTypeError(f"expected numbers between commas, as in 1,2,5,10, got {text!r}")
    return tuple(sorted({int(word) for word in found}))
