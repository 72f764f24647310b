"""What ``zfcuda train`` and ``python -m zfcuda.train`` share: their options, and what they do."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

# Option of zfcuda.train.Options -> its kind, and what --help says.
_OPTIONS: dict[str, tuple[type, str]] = {
    "recipe": (str, "whose values hold for what is not given: modern, paper or close_ups (default: modern)"),
    "model": (str, "a name like alexnet, or module:attribute of your own Python (default: zfnet)"),
    "width": (float, "of a ZFNet: 1 is the paper's"),
    "weights": (str, "a file to start from, or `pretrained`: those of an installed package"),
    "freeze_below": (str, "the layer below which nothing learns, as zfcuda layers lists them"),
    "teacher": (str, "a network whose soft answers are learned, a name or a file"),
    "distill": (float, "the teacher's share in the loss (default: 1)"),
    "temperature": (float, "of the teacher's soft answers (default: 1)"),
    "teacher_views": (int, "views of each picture that the teacher is asked about, which later epochs see again"),
    "epochs": (int, "how often each picture is seen"),
    "batch": (int, "pictures per step, of all processes together"),
    "rate": (float, "learning rate"),
    "optimizer": (str, "sgd or adamw"),
    "momentum": (float, "of SGD"),
    "weight_decay": (float, "of all weights but biases and norms"),
    "schedule": (str, "plateau or cosine"),
    "factor": (float, "what a plateau multiplies the rate by"),
    "patience": (int, "epochs that the validation error may stand still"),
    "warm_up": (int, "steps in which the rate rises"),
    "clip": (float, "largest norm of the gradient; 0: any"),
    "dropout": (float, "the share that dropout layers drop"),
    "label_smoothing": (float, "the share of a label that is spread over all classes"),
    "ema": (float, "decay of the moving average of the weights, which is kept; 0: none"),
    "filter_rms": (float, "filters whose root mean square passes it are scaled back; 0: none"),
    "init": (str, "first weights: normal, he or keep"),
    "initial": (float, "deviation of `normal`"),
    "short_side": (int, "what the short side of pictures is scaled to"),
    "size": (int, "the side of what the network sees"),
    "crops": (str, "how pictures are seen: ten, resized or close_ups"),
    "smallest": (float, "smallest share of the area that a resized crop has"),
    "colour": (float, "how far a resized crop's colours are changed"),
    "mean": (str, "what is subtracted: pixel, channel or model"),
    "views": (int, "10: ten views of each picture are validated; 1: the centre"),
    "close_ups": (int, "epochs on close-ups of Parts"),
    "precision": (str, "auto, float32 or bfloat16"),
    "split": (float, "share of pictures for validation and for test, where the data has no such parts (default: 0.1)"),
    "seed": (int, "of everything that is random (default: 0)"),
    "workers": (int, "processes that load pictures (default: as many as there are cores to spare)"),
    "device": (str, "where the network runs, as in cuda (default: cpu)"),
    "keep": (int, "how many checkpoints are kept (default: 3)"),
    "save_minutes": (float, "longest time between two checkpoints (default: 5)"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds DATA, --out and an option for each of :class:`zfcuda.train.Options`."""
    parser.add_argument(
        "data",
        metavar="DATA",
        help="a folder with train/, validation/ and test/ of class folders, or of class folders, which are split; "
        "`parts`; module:attribute of your own Python, torch Datasets",
    )
    parser.add_argument("--out", metavar="RUN", help="the run's folder (default: out/train)", default="out/train")
    for name, (kind, text) in _OPTIONS.items():
        parser.add_argument("--" + name.replace("_", "-"), type=kind, help=text, default=None, metavar=name.upper())


def run_training(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    """Trains, and says what came of it. Of several processes the first speaks, or the one that failed."""
    import warnings

    from zfcuda.complaint import naming
    from zfcuda.ranks import EndedElsewhereError, Ranks
    from zfcuda.train import train

    given = {name: value for name in _OPTIONS if (value := getattr(arguments, name)) is not None}
    if not Ranks(given.get("device", "cpu")).first:
        warnings.simplefilter("ignore")
    try:
        with naming("training", "take a smaller --batch or --width"):
            result = train(arguments.data, arguments.out, progress=True, command=shlex.join(words), **given)
    except EndedElsewhereError as error:
        if error.said:
            return 2
        raise
    except KeyboardInterrupt as stop:  # torchrun ends the others when one has ended
        if isinstance(stop.__context__, EndedElsewhereError):
            raise stop.__context__ from None
        raise
    if Ranks().first:
        test = "" if result.test is None else f", test {result.test:.2%}"
        print(f"validation {result.validation:.2%} (epoch {result.epoch}){test} -> {result.weights}")
    return 0
