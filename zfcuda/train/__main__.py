"""``python -m zfcuda.train``: trains the demo network."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from zfcuda.command import EPILOG, Parser, run
from zfcuda.complaint import naming
from zfcuda.data import HELD_OUT_SEED, Parts, Preprocess
from zfcuda.models import ZFNet
from zfcuda.train.checkpoint import save
from zfcuda.train.config import MOST_AT_ONCE, Config
from zfcuda.train.loop import Report, train

_HELP = {
    "seed": "of the pictures, the initial weights and the order",
    "pictures": "how many are drawn to train on",
    "close_ups": "epochs on close-ups of the defining part, before whole pictures",
    "epochs": "epochs on whole pictures",
    "batch": "pictures per step",
    "rate": "peak learning rate",
    "dropout": "of fc6 and fc7",
    "width": "of the network: 1 is the paper's",
    "held_out": "pictures that the accuracy is measured on",
    "workers": "processes that draw",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 2 for an error, with one line on stderr, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run(
        _parser(), words, lambda arguments: _train(arguments, shlex.join(["python", "-m", "zfcuda.train", *words]))
    )


def _parser() -> Parser:
    parser = Parser(
        prog="python -m zfcuda.train",
        description="Trains a ZFNet on drawn pictures (zfcuda.data.Parts). The weights are written after every epoch.",
        epilog=EPILOG,
    )
    default = Path("out/train/zfnet.safetensors")
    parser.add_argument("--out", type=Path, default=default, help="where the weights go (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="overwrite the weights and the JSON beside them")
    parser.add_argument("--threads", type=int, default=0, help="of torch (default: its own choice)")
    for field in dataclasses.fields(Config):
        kind = float if isinstance(field.default, float) else int
        option, text = "--" + field.name.replace("_", "-"), _HELP[field.name] + " (default: %(default)s)"
        parser.add_argument(option, type=kind, default=field.default, help=text)
    return parser


def _train(arguments: argparse.Namespace, command: str) -> int:
    config = Config(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Config)})
    if not 0 <= arguments.threads <= MOST_AT_ONCE:
        raise ValueError(f"threads: expected 0 to {MOST_AT_ONCE}, got {arguments.threads}")
    path = _writable(arguments.out, arguments.force)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    started = time.perf_counter()
    saved = 0

    def checkpoint(network: ZFNet, report: Report) -> None:
        nonlocal saved
        try:
            save(path, network, facts(config, command, report, time.perf_counter() - started))
        except OSError as error:
            kept = f"; it holds epoch {saved}" if saved else ""
            raise ValueError(f"{path}: cannot be written ({error.strerror or error}){kept}") from error
        saved = report.epoch

    try:
        with naming("training", "take fewer --pictures, a smaller --batch or --width"):
            _, report = train(config, checkpoint=checkpoint, progress=True)
    except KeyboardInterrupt as stop:
        stop.args = (f"{path} holds epoch {saved}" if saved else "nothing was written",)
        raise
    print(f"held-out accuracy {report.accuracy:.2%}, without the defining part {report.control_accuracy:.2%} -> {path}")
    return 0


def facts(config: Config, command: str, report: Report, seconds: float) -> dict[str, Any]:
    """What is written beside the weights: enough to load them, and to make them again."""
    preprocess = Preprocess.parts()
    return {
        "architecture": {"name": "zfnet", "num_classes": len(Parts.classes), "variant": "paper", "width": config.width},
        "classes": list(Parts.classes),
        "preprocess": {"size": preprocess.size, "mean": preprocess.mean, "std": preprocess.std},
        "command": command,
        "seed": config.seed,
        "epoch": report.epoch,
        "finished": report.epoch == report.epochs,
        "accuracy": report.accuracy,
        "control_accuracy": None if math.isnan(report.control_accuracy) else report.control_accuracy,
        "chance": 1 / len(Parts.classes),
        "held_out": {"pictures": config.held_out, "seed": HELD_OUT_SEED},
        "training": dataclasses.asdict(config),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 1),
    }


def _writable(path: Path, force: bool) -> Path:
    """Makes sure, before minutes of work, that the weights can be written there and that nothing is lost by it."""
    if path.suffix != ".safetensors":
        raise ValueError(f"out: expected a name that ends in .safetensors, got {path}")
    for file in (path, path.with_suffix(".json")):
        if os.path.lexists(file) and not file.is_file():
            raise ValueError(f"out: {file} is {'a folder' if file.is_dir() else 'not a regular file'}")
        if file.exists() and not force:
            raise ValueError(f"out: {file} exists already; --force overwrites it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"out: {path.parent} cannot be made ({error.strerror or error})") from None
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"out: expected a path in a folder that can be written to, got {path}")
    return path


if __name__ == "__main__":
    raise SystemExit(main())
