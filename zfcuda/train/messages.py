"""What a training says on the terminal before it begins, and when it has ended."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from zfcuda.complaint import one_line
from zfcuda.train.network import Subject
from zfcuda.train.options import Options

_ROWS = 20  # classes that the table shows; of more it shows the hardest
_WIDE = 40  # characters of a class's name


def opening(
    subject: Subject, options: Options, *, title: str, epoch_steps: int, precision: torch.dtype, folder: Path
) -> str:
    """Three lines: the network, its pictures, and what will be done.

    Args:
        title: of the pictures. epoch_steps: steps of an epoch.
    """
    learning = sum(each.numel() for each in subject.model.parameters() if each.requires_grad)
    every = sum(each.numel() for each in subject.model.parameters())
    width = f" of width {subject.options['width']:g}" if "width" in subject.options else ""
    learn = f", of which {_count(learning)} learn" if learning < every else ""
    start = f" from {one_line(options.weights)}" if options.weights else ""
    start += f" ({subject.begun} begun anew, for these classes)" if subject.begun else ""
    where = f"{str(precision).removeprefix('torch.')} on {options.device}"
    return "\n".join(
        [
            f"{one_line(subject.name)}{width}{start}, {_count(every)} parameters{learn}, {where}, "
            f"recipe {options.recipe}",
            one_line(title),
            f"{_several(options.epochs or 1, 'epoch')} of {_several(epoch_steps, 'step')} of "
            f"{_several(options.batch or 1, 'picture')} -> "
            f"{one_line(os.fspath(folder))}; Ctrl-C stops, the same command goes on",
        ]
    )


def ending(facts: Mapping[str, Any], folder: Path, model: str | None = None) -> str:
    """The accuracies, by class, where the weights lie and what to try next.

    Args:
        facts: as result.json has them.
        model: as the command names it; Python of somebody's own has to be named again.
    """
    weights = one_line(os.fspath(folder / "weights.safetensors"))
    own = f"{one_line(model)} --weights " if model is not None and ":" in model else ""
    lines = []
    test = ""
    if facts.get("test") is not None:
        if facts.get("confusion"):
            lines += [*by_class(list(facts["by_class"]), facts["confusion"]), ""]
        test = f"; test {facts['test']:.2%}"
        if "test_top5" in facts and len(facts.get("by_class", ())) > 5:
            test += f" (top-5 {facts['test_top5']:.2%})"
        test += f" of {facts['pictures']:,} pictures" if "pictures" in facts else ""
    lines += [
        f"validation {facts['validation']:.2%}, best in epoch {facts['epoch']}{test}",
        f"weights: {weights}",
        f"next: zfcuda explain PICTURE --model {own}{weights}",
        f"      zfcuda train --plot {one_line(os.fspath(folder))}",
    ]
    if (folder / "tensorboard").is_dir():
        lines.append(f"      tensorboard --logdir {one_line(os.fspath(folder))}/tensorboard")
    return "\n".join(lines)


def by_class(classes: list[str], confusion: list[list[int]]) -> list[str]:
    """A line for each class: how many of its pictures are classified rightly, and what the others are taken for most.

    Args:
        confusion: [K,K], how many pictures of a class (row) were taken for which (column).
    """
    known = [index for index in range(len(classes)) if sum(confusion[index])]
    known.sort(key=lambda index: confusion[index][index] / sum(confusion[index]))
    shown = sorted(known[:_ROWS])
    names = [_short(one_line(name)) for name in classes]
    wide = max([len("class"), *(len(names[index]) for index in shown)])
    lines = [f"{'class':{wide}}  pictures   right  most often taken for"]
    for index in shown:
        row = confusion[index]
        count, right = sum(row), row[index]
        other = max((each for each in range(len(row)) if each != index), key=row.__getitem__, default=index)
        mistaken = f"{names[other]} ({row[other]})" if other != index and row[other] else "-"
        lines.append(f"{names[index]:{wide}}  {count:8,}  {right / count:6.1%}  {mistaken}")
    if len(known) > len(shown):
        lines.append(f"the {len(shown)} hardest of {len(known):,} classes; result.json has all")
    return lines


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} million" if number >= 1e5 else f"{number:,}"


def _several(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _short(name: str) -> str:
    return name if len(name) <= _WIDE else f"{name[: _WIDE - 3]}..."
