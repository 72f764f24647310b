"""What ``zfcuda train`` and ``python -m zfcuda.train`` share: their options, and what they do."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zfcuda.complaint import CommandError, naming
from zfcuda.train.options import CHOICES, Options
from zfcuda.train.recipes import OF_PARTS, RECIPES, USUAL

OUT = "out/train"


def _epochs(text: str) -> tuple[int, ...]:
    """1,2,5 -> (1, 2, 5); `none` -> ()."""
    if text == "none":
        return ()
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) for word in words):
        raise argparse.ArgumentTypeError(f"expected epochs between commas, as in 1,2,5, or none; got {text!r}")
    return tuple(sorted({int(word) for word in words}))


# Group of --help -> option of zfcuda.train.Options -> its kind, and what --help says.
_OPTIONS: dict[str, dict[str, tuple[Any, str]]] = {
    "pictures": {
        "split": (float, "share of the pictures for validation, and for test, where DATA has no such parts"),
        "short_side": (
            int,
            "what the short side of pictures is scaled to, in pixels; beside another --size in proportion",
        ),
        "size": (int, "the side of what the network sees, in pixels"),
        "crops": (str, "how pictures are seen: one of ten sub-crops, a random part, close-ups of Parts"),
        "smallest": (float, "smallest share of the picture's area that a resized crop has"),
        "colour": (float, "how far a resized crop's colours are changed"),
        "mean": (str, "what is subtracted: each pixel's mean, the channels', what the model was trained with"),
        "views": (int, "views of each picture that are validated: ten, or the centre alone"),
        "close_ups": (int, "epochs on close-ups of Parts, before whole pictures"),
        "workers": (int, "processes that load pictures (default: as many as there are cores to spare)"),
        "cache": (float, "largest share of the free memory for decoded pictures, which later epochs find there"),
    },
    "network": {
        "model": (str, "a name like alexnet, or module:attribute of your own Python"),
        "width": (float, "of a ZFNet, or alexnet_one_tower: 1 is the paper's"),
        "init": (str, "first weights: normal as in the paper, he, or keep those that it is built with"),
        "initial": (float, "deviation of --init normal"),
        "weights": (str, "a file to start from; pretrained: those of an installed package"),
        "freeze_below": (str, "the layer below which nothing learns, as zfcuda layers lists them"),
        "teacher": (str, "a network whose soft answers are learned: a name or a file"),
        "distill": (float, "the teacher's share in the loss"),
        "temperature": (float, "of the teacher's soft answers"),
        "teacher_views": (int, "views of each picture that the teacher is asked about, which later epochs see again"),
    },
    "learning": {
        "epochs": (int, "how often each picture is seen"),
        "batch": (int, "pictures of a step, of all processes together"),
        "rate": (float, "learning rate"),
        "optimizer": (str, "SGD with momentum, or AdamW"),
        "momentum": (float, "of SGD"),
        "weight_decay": (float, "of all weights but biases and norms"),
        "schedule": (str, "the rate falls where validation stands still, or along a cosine"),
        "factor": (float, "what a plateau multiplies the rate by"),
        "patience": (int, "epochs that the validation error may stand still on a plateau"),
        "warm_up": (int, "steps in which the rate rises, before a cosine; half of all steps at most"),
        "clip": (float, "largest norm of the gradient; 0: any"),
        "dropout": (float, "the share that dropout layers drop"),
        "label_smoothing": (float, "the share of a label that is spread over all classes"),
        "ema": (float, "decay of the moving average of the weights, which is what is kept; 0: none"),
        "filter_rms": (float, "filters whose root mean square passes it are scaled back; 0: none"),
        "precision": (str, "auto: bfloat16 where that is fast"),
        "seed": (int, "of everything that is random"),
    },
    "run": {
        "device": (str, "where the network runs, as in cuda"),
        "keep": (int, "how many checkpoints are kept"),
        "save_minutes": (float, "longest time between two checkpoints"),
        "snapshots": (_epochs, "epochs after which the weights are kept besides, as in 1,2,5, or none"),
    },
}
_METAVARS = {float: "X", int: "N", _epochs: "N,N,...", "weights": "FILE", "freeze_below": "LAYER"}
_SAID = {"workers"}  # whose help says what the default is


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds DATA, --out, --plot and an option for each of :class:`zfcuda.train.Options`."""
    parser.usage = "%(prog)s DATA [--out RUN] [--recipe NAME] [options]\n       %(prog)s --plot RUN [--out FILE.png]"
    parser.formatter_class = _Formatter
    recipes = [f"--recipe {name}: {recipe.title}." for name, recipe in RECIPES.items()]
    parser.epilog = "\n".join([*recipes, *filter(None, [parser.epilog])])
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="a folder with train/, validation/ and test/ of class folders, or of class folders, which are split; "
        "`parts`; module:attribute of your own Python, torch Datasets",
    )
    parser.add_argument(
        "--out",
        metavar="RUN",
        help=f"the run's folder; where a run was broken off, the same command goes on (default: {OUT})",
    )
    parser.add_argument(
        "--recipe",
        choices=tuple(RECIPES),
        help=f"whose values hold for all that is not given (default: {USUAL}; {OF_PARTS} for a ZFNet on `parts`)",
    )
    parser.add_argument(
        "--plot", metavar="RUN", help="draw the curves of a run, RUN/curves.png or --out FILE.png, and do nothing else"
    )
    for title, options in _OPTIONS.items():
        group = parser.add_argument_group(title)
        for name, (kind, text) in options.items():
            choices = _choices(name)
            group.add_argument(
                "--" + name.replace("_", "-"),
                type=kind,
                choices=choices,
                metavar=None if choices and kind is str else _METAVARS.get(name, _METAVARS.get(kind, "NAME")),
                help=text if name in _SAID else text + _default(name),
            )
        if title == "run":
            group.add_argument(
                "--tensorboard",
                action="store_true",
                default=None,
                help="write TensorBoard's files to RUN/tensorboard; needs zfcuda[log]",
            )


class _Formatter(argparse.HelpFormatter):
    """Lines of 100 columns at most, where the terminal has so many; line breaks of the epilog stay."""

    def __init__(self, prog: str, **options: Any) -> None:
        options["width"] = min(100, shutil.get_terminal_size().columns) - 2
        super().__init__(prog, max_help_position=28, **options)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(super(_Formatter, self)._fill_text(line, width, indent) for line in text.splitlines())


def _choices(name: str) -> tuple[Any, ...] | None:
    return (1, 10) if name == "views" else CHOICES.get(name)


def _default(name: str) -> str:
    """What holds where an option is not given: by default, and in the recipes where that is another value."""
    values = {recipe: _shown(found.defaults[name]) for recipe, found in RECIPES.items() if name in found.defaults}
    default = next(each.default for each in dataclasses.fields(Options) if each.name == name)
    said = values.get(USUAL, _shown(default))
    others = "".join(f"; {recipe}: {value}" for recipe, value in values.items() if value != said)
    return f" (default: {said}{others})" if values or default is not None else ""


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return str(value)


def run_training(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    """Trains, and says what came of it; or draws a run. Of several processes the first speaks, or one that failed."""
    if arguments.plot is not None:
        return _plot(arguments)
    if arguments.data is None:
        raise CommandError("the following arguments are required: DATA, or --plot RUN")
    from zfcuda.ranks import EndedElsewhereError, Ranks
    from zfcuda.train import train
    from zfcuda.train.messages import ending

    given = _given(arguments)
    out = Path(arguments.out or OUT)
    if not Ranks(given.get("device", "cpu")).first:
        warnings.simplefilter("ignore")
    try:
        with naming("training", "take a smaller --batch or --width"):
            result = train(arguments.data, out, progress=True, command=shlex.join(words), **given)
    except EndedElsewhereError as error:
        if error.said:
            return 2
        raise
    except KeyboardInterrupt as stop:  # torchrun ends the others when one has ended
        if isinstance(stop.__context__, EndedElsewhereError):
            raise stop.__context__ from None
        raise
    if Ranks().first:
        print(ending(result.facts, out, arguments.model))
    return 0


def _plot(arguments: argparse.Namespace) -> int:
    from zfcuda.train.plot import plot

    extra = ["DATA"] * (arguments.data is not None) + ["--" + name.replace("_", "-") for name in _given(arguments)]
    if extra:
        raise CommandError(f"--plot: draws the run of a folder that is there, and takes no {extra[0]}")
    with naming("--plot"):
        print(plot(arguments.plot, arguments.out))
    return 0


def _given(arguments: argparse.Namespace) -> Mapping[str, Any]:
    names = [name for options in _OPTIONS.values() for name in options]
    return {
        name: value for name in ["recipe", *names, "tensorboard"] if (value := getattr(arguments, name)) is not None
    }
