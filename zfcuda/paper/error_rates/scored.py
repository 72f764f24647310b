"""What the network of a finished run answers for pictures to train and to test on."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zfcuda.complaint import one_line
from zfcuda.data.collection import Collection
from zfcuda.data.preprocessing import preprocess_of
from zfcuda.models import load, summary
from zfcuda.network import layers
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import NotApplicableError, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.train.run_folder import RunFolder
from zfcuda.train.sets import Labelled, Sets, read_sets
from zfcuda.train.sets.subset import Subset

#: What a run may differ in from others that it is compared with, beside what describes its own network.
_OWN = ("model", "seed", "network", "changing", "version")


@dataclass(frozen=True)
class Answers:
    """What a network answers for pictures. probabilities: float32 [N,K]; labels: int64 [N]."""

    probabilities: Tensor
    labels: Tensor

    def wrong(self, top: int = 1) -> Tensor:
        """Whether the class of a picture is not among so many that are the most probable, bool [N]."""
        best = self.probabilities.topk(min(top, self.probabilities.shape[1]), 1).indices
        return (best != self.labels[:, None]).all(1)


@dataclass(frozen=True)
class Scored:
    """A finished run.

    Attributes:
        network: the name of its network.
        seed: of the run.
        training, test: what it answers for the pictures that it learned from, and for those that it never saw.
        validation: (top-1, top-5) shares of errors, as the run logged them for the weights that it kept.
        epoch: after which these weights were kept.
        minutes: that it took.
        parameters, multiply_adds: of its network, for one image.
    """

    network: str
    seed: int
    training: Answers
    test: Answers
    validation: tuple[float, float]
    epoch: int
    minutes: float
    parameters: int
    multiply_adds: int | None


@dataclass(frozen=True)
class Runs:
    """Finished runs of one recipe on the same pictures.

    Attributes:
        scored: each of them.
        sets: the pictures.
        recipe: what they have in common, in words.
    """

    scored: list[Scored]
    sets: Sets
    recipe: str

    def of(self, network: str) -> list[Scored]:
        """Those of one network, in the order of the seeds."""
        return sorted((each for each in self.scored if each.network == network), key=lambda each: each.seed)


def score(data: str, folders: Iterable[RunFolder], *, most: int, cache: Cache, progress: bool = False) -> Runs:
    """Reads runs, and computes what is not in the cache yet.

    Args:
        data: what they were trained on, as ``zfcuda train`` takes it.
        folders: of finished runs.
        most: pictures to train and to test on that are taken at most, drawn at random, the same for all runs.

    Raises:
        ValueError: a run is of other pictures, or of another recipe than the first.
        NotApplicableError: there are no pictures to test on.
    """
    sets = read_sets(data)
    if sets.test is None:
        raise NotApplicableError(f"{one_line(data)}: expected pictures to test on, got none")
    training, test = (_some(part, most) for part in (sets.train, sets.test))
    folders = list(folders)
    configs = [json.loads(folder.config.read_text(encoding="utf-8")) for folder in folders]
    for folder, config in zip(folders, configs, strict=True):
        _check(folder.path, config, configs[0], sets)
    found = [
        _scored(folder, config, training, test, cache, progress)
        for folder, config in zip(folders, configs, strict=True)
    ]
    return Runs(found, sets, recipe(configs[0]))


def recipe(config: dict[str, Any]) -> str:
    """What a run's config.json says of how it was trained, in words."""
    width = "" if config.get("width") in (None, 1, 1.0) else f", width {config['width']:g}"
    return f"recipe {config['recipe']}{width}, {config['epochs']} epochs in batches of {config['batch']}"


def _some(part: Labelled, most: int) -> Subset:
    count = len(part.labels)
    indices = sorted(random.Random(0).sample(range(count), min(most, count)))
    return Subset(part, indices, [part.labels[index] for index in indices], list(part.classes))


def _check(path: Path, config: dict[str, Any], first: dict[str, Any], sets: Sets) -> None:
    shown = one_line(str(path))
    if config["data"]["fingerprint"] != sets.fingerprint:
        raise ValueError(f"runs: {shown} is of other pictures: {config['data'].get('title')}, not {sets.title}")
    for name, value in config.items():
        if name not in _OWN and value != first.get(name):
            raise ValueError(
                f"runs: {shown}: expected one recipe for all, got {name} {value!r}, where another has "
                f"{first.get(name)!r}"
            )


def _scored(
    folder: RunFolder, config: dict[str, Any], training: Subset, test: Subset, cache: Cache, progress: bool
) -> Scored:
    epoch, validation, minutes = _logged(folder)
    model = load(folder.path)
    cost = summary(model, (3, config["size"], config["size"]))
    return Scored(
        config["model"],
        config["seed"],
        _answers(model, training, cache, progress),
        _answers(model, test, cache, progress),
        validation,
        epoch,
        minutes,
        cost.parameters,
        cost.multiply_adds,
    )


def _logged(folder: RunFolder) -> tuple[int, tuple[float, float], float]:
    """The epoch whose weights were kept, its validation errors, and the minutes that the training took.

    Raises:
        ValueError: the files of the run do not say it.
    """
    result, rows = folder.result(), folder.rows()
    assert result is not None  # what finished() gives has ended
    try:
        [logged] = [row for row in rows if row["epoch"] == result["epoch"]]
        errors = (1 - logged["validation_top1"], 1 - logged["validation_top5"])
        return result["epoch"], errors, rows[-1]["seconds"] / 60
    except (KeyError, TypeError, ValueError):
        shown = one_line(str(folder.path))
        raise ValueError(
            f"runs: {shown}: expected a log.jsonl that has the epoch of result.json with its errors, got another: a "
            "file of the run is missing or damaged"
        ) from None


def _answers(model: nn.Module, pictures: Subset, cache: Cache, progress: bool) -> Answers:
    gallery = Gallery(model, Collection(pictures, preprocess_of(model)))
    found = cache.codes(gallery, layers(model)[-1], relu=False, progress=progress)
    assert found.labels is not None
    return Answers(found.values.softmax(1), found.labels)


def averaged(answers: Sequence[Answers]) -> Answers:
    """The mean of the probabilities that several networks give the same pictures."""
    total = answers[0].probabilities.clone()
    for each in answers[1:]:
        total += each.probabilities
    return Answers(total / len(answers), answers[0].labels)


def seeds_of(setting: Setting) -> list[int]:
    """The seeds that the command line names: "0,1,2".

    Raises:
        ValueError: it names none, or something else.
    """
    words = str(setting.options["seeds"]).split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise ValueError(f"--seeds: expected numbers between commas, as in 0,1,2, got {setting.options['seeds']!r}")
    return sorted({int(word) for word in words})
