"""``python -m zfcuda.train.pack RUN NAME DATA``: makes the network NAME of the package out of a run that has ended.

Its weights are halved to float16 and measured on the test pictures again: the card beside them says what they do.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from zfcuda.command import EPILOG, Parser
from zfcuda.command import run as run_command
from zfcuda.complaint import one_line
from zfcuda.files.drafts import whole
from zfcuda.models.checkpoints.load import find
from zfcuda.models.checkpoints.trained import Trained, read_trained, save_trained
from zfcuda.models.pretrained.demo import DEMOS, FOLDER
from zfcuda.train.evaluate import Score, evaluate
from zfcuda.train.options import Options
from zfcuda.train.preparation import ten_view
from zfcuda.train.sets import read_sets

LARGEST = 8_000_000  # bytes of a network in the package
_LOST = 0.01  # of the accuracy, that float16 may cost


def pack(
    run: str | os.PathLike[str],
    name: str,
    data: Any,
    *,
    source: str,
    license: str,
    folder: str | os.PathLike[str] = FOLDER,
    force: bool = False,
) -> dict[str, Any]:
    """Writes folder/NAME.safetensors, in float16, and folder/NAME.json, its card; both or neither.

    Args:
        run: the folder of a run of a ZFNet that has ended, with test pictures.
        name: of :data:`zfcuda.models.pretrained.demo.DEMOS`.
        data: the pictures of the run, as there.
        source: the public name of these pictures.
        license: theirs.
        folder: where both files go.
        force: overwrite them.

    Returns:
        The card: "accuracy", "accuracy_by_class" and "confusion" (row: the class, column: the answer) are those of the
        float16 weights on the test pictures.

    Raises:
        ValueError: the run is another, has not ended or was of other pictures; the file would be too large, or float16
            costs more than a hundredth of the accuracy. Nothing is written. OSError: the disk refuses.
    """
    run, folder = Path(run), Path(folder)
    shown = one_line(os.fspath(run))
    finals = _finals(folder, name, force)
    result, config = (_read(run / file) for file in ("result.json", "config.json"))
    trained = read_trained(run / "weights.safetensors")
    if trained is None or not trained.network.startswith("zfnet"):
        raise ValueError(f"run: {shown}: expected a ZFNet, got {trained.network if trained else 'no training'}")
    if result.get("test") is None:
        raise ValueError(f"run: {shown}: expected a run with test pictures, got one without")
    sets = read_sets(data, seed=config["seed"], split=config["split"])
    if sets.test is None or sets.fingerprint != config["data"]["fingerprint"]:
        raise ValueError(f"data: expected the pictures of the run, {config['data']['title']}, got {sets.title}")
    with whole(*finals) as [weights, beside]:
        save_trained(
            weights,
            find(run / "weights.safetensors").model,
            network=trained.network,
            options=trained.options,
            classes=trained.classes,
            preprocess=trained.preprocess,
            facts=trained.facts,
            dtype=torch.float16,
        )
        if (size := weights.stat().st_size) > LARGEST:
            raise ValueError(f"run: {shown}: expected at most {LARGEST:,} bytes in float16, got {size:,}")
        half: Any = find(weights).model
        ten = ten_view(half.preprocess) if config["views"] == 10 else None
        score = evaluate(half, sets.test, half.preprocess, len(sets.classes), ten=ten)
        if score.top1 < result["test"] - _LOST:
            raise ValueError(
                f"run: {shown}: its accuracy on test is {result['test']:.2%}, and {score.top1:.2%} in float16"
            )
        card = _card(trained, config, result, score)
        card["data"] = {"name": source, "license": license, "pictures": sets.title}
        beside.write_text(json.dumps(card, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return card


def _finals(folder: Path, name: str, force: bool) -> list[Path]:
    """The files of a network's weights and card, which may be written."""
    if name not in DEMOS:
        raise ValueError(f"name: expected one of {tuple(DEMOS)}, got {name!r}")
    if not folder.is_dir():
        raise ValueError(f"folder: {one_line(os.fspath(folder))}: no such folder")
    finals = [folder / f"{name}.safetensors", folder / f"{name}.json"]
    for final in finals:
        if final.exists() and not force:
            raise ValueError(f"name: {final} exists already; --force overwrites it")
    return finals


def _card(trained: Trained, config: dict[str, Any], result: dict[str, Any], score: Score) -> dict[str, Any]:
    """What the package says about the network."""
    seen: Any = trained.preprocess
    names = ("size", "short_side", "mean", "std", "interpolation", "order")
    by_class = zip(trained.classes, score.by_class, strict=True)
    about = ("command", "seed", "recipe", "epoch")
    return {
        "architecture": {"name": trained.network, **trained.options},
        "classes": list(trained.classes),
        "preprocess": {name: getattr(seen, name) for name in names},
        **{name: trained.facts.get(name) for name in about},
        "accuracy": score.top1,
        "accuracy_by_class": {name: None if math.isnan(share) else share for name, share in by_class},
        "confusion": score.confusion.tolist(),
        "test_pictures": score.count,
        "float32_accuracy": result["test"],
        "validation_accuracy": result["validation"],
        "views": config["views"],
        "teacher": None if config.get("teacher") is None else _teacher(config["teacher"]),
        "training": {field.name: config[field.name] for field in fields(Options) if config.get(field.name) is not None},
        "torch": torch.__version__,
        "seconds": result["seconds"],
    }


def _teacher(named: str) -> dict[str, Any]:
    """What is known about the network whose soft answers were learned: a name, or the weights in a run's folder."""
    trained = read_trained(named)
    if trained is None:
        if named.endswith(".safetensors") and not Path(named).is_file():
            raise ValueError(f"run: its teacher {one_line(named)}: no such file here, and its card has to name it")
        return {"network": named}
    about = {"network": trained.network, **{name: trained.facts.get(name) for name in ("command", "seed", "epoch")}}
    beside = Path(named).with_name("result.json")
    return about | ({"accuracy": _read(beside)["test"]} if beside.is_file() else {})


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"run: {one_line(os.fspath(path))}: no such file; expected a run that has ended") from None
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = Parser(prog="python -m zfcuda.train.pack", description=__doc__.partition("\n")[0], epilog=EPILOG)
    parser.add_argument("run", metavar="RUN", help="the folder of a training that has ended")
    parser.add_argument("name", metavar="NAME", help=f"of the package's networks: {', '.join(DEMOS)}")
    parser.add_argument("data", metavar="DATA", help="the pictures of that training")
    parser.add_argument("--source", required=True, metavar="TEXT", help="the public name of the pictures")
    parser.add_argument("--license", required=True, metavar="TEXT", help="of the pictures")
    parser.add_argument("--out", default=FOLDER, metavar="DIR", help="where both files go (default: the package)")
    parser.add_argument("--force", action="store_true", help="overwrite them")
    return run_command(parser, argv, _run)


def _run(arguments: argparse.Namespace) -> int:
    card = pack(
        arguments.run,
        arguments.name,
        arguments.data,
        source=arguments.source,
        license=arguments.license,
        folder=arguments.out,
        force=arguments.force,
    )
    print(f"{arguments.name}: {card['accuracy']:.2%} of {card['test_pictures']} test pictures (float16)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
