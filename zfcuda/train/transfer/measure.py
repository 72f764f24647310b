"""A transfer: a network's codes of a data set, what linear classifiers make of them, and what that says to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from zfcuda.data.collection import Collection
from zfcuda.data.preprocessing import AnyPreprocess, as_preprocess, preprocess_of
from zfcuda.features.embed import require_sklearn
from zfcuda.features.loading import first_image, placed
from zfcuda.features.stream import Stream
from zfcuda.inputs import checked_layer
from zfcuda.memory.budget import limit_of, spoken_bytes
from zfcuda.network.graph import unwrap
from zfcuda.ranks import Ranks
from zfcuda.train.sets import Sets
from zfcuda.train.transfer.choices import Choice
from zfcuda.train.transfer.grid import Layer, as_layer
from zfcuda.train.transfer.layers import default_layers
from zfcuda.train.transfer.parts import Parts, parts_of
from zfcuda.train.transfer.probe import Codes, Point, Row, check_counts, curve, rows
from zfcuda.train.transfer.sampling import usual_counts
from zfcuda.train.transfer.settings import Settings
from zfcuda.train.transfer.stored_codes import StoredCodes

_FEW = 5  # pictures of each class: what the notes' "few" is measured with, or with the least that a curve has


@dataclass(frozen=True)
class Prepared:
    """A transfer that has been checked and not begun.

    Attributes:
        model: unwrapped.
        parts: the pictures.
        layers: whose codes are compared, from the first to the last.
        curve_layers: whose learning curves; None: it depends on what comes out.
        counts: training pictures of each class for learning curves.
        bytes: what the codes take, in memory while the network runs and on the disk.
    """

    model: nn.Module
    preprocess: AnyPreprocess | None
    parts: Parts
    settings: Settings
    layers: list[Layer]
    counts: list[int]
    bytes: int = field(repr=False, default=0)


@dataclass(frozen=True)
class Transfer:
    """What a transfer came to.

    Attributes:
        prepared: what was asked.
        chance: the accuracy on the test pictures of always naming the most frequent class of training.
        rows: accuracy by layer and classifier, in the order of the layers.
        points: the learning curves.
        few, many: what each way to transfer gave, with few pictures of each class and with all.
        ran: the layers that the network was run for; codes of the others were there.
    """

    prepared: Prepared
    chance: float
    rows: list[Row]
    points: list[Point]
    few: list[Choice]
    many: list[Choice]
    ran: list[str]

    @property
    def best(self) -> Row:
        """The row with the most validation pictures answered rightly; of equals the last."""
        return max(reversed(self.rows), key=lambda row: row.fitted.validation.accuracy)


def prepare(model: nn.Module, sets: Sets, settings: Settings | None = None, *, preprocess: Any = None) -> Prepared:
    """Checks what can be checked before the work: one image is run.

    Args:
        model: any network, trained, on the device where it is to run; in any mode, it is left as it was.
        sets: the pictures, as zfcuda.train.sets.read_sets gives them.
        preprocess: as zfcuda.data.preprocessing.as_preprocess takes it; None: what the model carries.

    Raises:
        ImportError: scikit-learn is not installed.
        TypeError, ValueError: naming the argument: no such layer, one without a map or a vector, one class, fewer
            pictures than a learning curve asks for, codes that do not fit into memory.
    """
    settings = settings or Settings()
    require_sklearn("transfer")
    model = unwrap(model)
    parts = parts_of(sets, most=settings.most, seed=settings.seed)
    labels = torch.tensor(parts.training.labels)
    counts = [*settings.per_class] if settings.per_class is not None else _counts(labels)
    check_counts(labels, sets.classes, counts, settings.folds)
    for name in settings.layers or ():  # before anything is run
        checked_layer(name, model)
    own = preprocess_of(model) if preprocess is None else as_preprocess(preprocess)
    collection = Collection(parts.training, own)
    names = settings.layers or default_layers(model, placed(first_image(collection)[None], model))
    for name in settings.curve_layers or ():
        if name not in names:
            raise ValueError(f"curve_layers: expected some of the layers {', '.join(names)}, got {name!r}")
    stream = Stream(model, collection, names)
    layers = [as_layer(name, stream.shapes[name], settings.pool) for name in stream.layers]
    pictures = sum(len(part.labels) for _, part in parts.items())
    need = 4 * pictures * sum(layer.numbers for layer in layers)
    _check_memory(need, layers)
    return Prepared(model, own, parts, settings, layers, counts, need)


def measure(prepared: Prepared, folder: Path, *, progress: bool = False) -> Transfer | None:
    """Runs the network over the pictures whose codes are not in a folder yet, and fits all that was asked for.

    Under torchrun the processes share the pictures, and the first one fits.

    Args:
        folder: where the codes are kept, a file for each part and layer.

    Returns:
        what it came to; None in all processes but the first.

    Raises:
        ValueError: codes that are not finite; no picture could be used; the disk refuses.
    """
    settings, kept, ran = prepared.settings, {}, set()
    for name, source in prepared.parts.items():
        kept[name] = StoredCodes(prepared.model, source, prepared.preprocess, folder, name, settings.mirror)
        ran |= {*kept[name].make(prepared.layers, progress=progress)}
    if not Ranks().first:
        return None
    found: list[Row] = []
    total = len(prepared.layers) * len(settings.classifiers)
    with tqdm(total=total, desc="classifiers", unit="fit", disable=not progress) as bar:
        for layer in prepared.layers:
            codes = _codes(kept, layer)
            for row in rows(codes, settings.classifiers, seed=settings.seed):
                found.append(row)
                bar.update()
    points = _points(prepared, kept, found, progress)
    test = torch.tensor(prepared.parts.test.labels)
    frequent = torch.tensor(prepared.parts.training.labels).bincount().argmax()
    few, many = _choices(prepared, found, points)
    chance = float((test == frequent).double().mean())
    return Transfer(
        prepared, chance, found, points, few, many, [layer.name for layer in prepared.layers if layer.name in ran]
    )


def _codes(kept: dict[str, StoredCodes], layer: Layer) -> Codes:
    return Codes(layer, *(kept[name].read(layer) for name in ("training", "validation", "test")))


def _points(prepared: Prepared, kept: dict[str, StoredCodes], found: Sequence[Row], progress: bool) -> list[Point]:
    """The learning curves, each with the classifier that does best on validation with all pictures."""
    settings, points = prepared.settings, []
    if not prepared.counts:
        return []
    names = settings.curve_layers or [row.layer.name for row in _last_and_earlier(found) if row is not None]
    total = len(names) * len(prepared.counts) * settings.folds
    with tqdm(total=total, desc="learning curves", unit="fit", disable=not progress) as bar:
        for layer in prepared.layers:
            if layer.name not in names:
                continue
            classifier = _best([row for row in found if row.layer == layer]).fitted.classifier
            done = curve(_codes(kept, layer), classifier, prepared.counts, folds=settings.folds, seed=settings.seed)
            for _, _, point in done:
                bar.update()
                if point is not None:
                    points.append(point)
    return points


def _best(some: Sequence[Row]) -> Row:
    return max(some, key=lambda row: row.fitted.validation.accuracy)


def _last_and_earlier(found: Sequence[Row]) -> tuple[Row, Row | None]:
    """The best on the last codes, and the best on earlier ones: by validation, never by the test pictures."""
    last = found[-1].layer
    before = [row for row in found if row.layer != last]
    return _best([row for row in found if row.layer == last]), _best(before) if before else None


def _choices(prepared: Prepared, found: Sequence[Row], points: Sequence[Point]) -> tuple[list[Choice], list[Choice]]:
    few, many = [], []
    pictures, classes = len(prepared.parts.training.labels), len(set(prepared.parts.training.labels))
    count = max((c for c in prepared.counts if c <= _FEW), default=min(prepared.counts, default=0))
    for way, row in zip(("last", "earlier"), _last_and_earlier(found), strict=True):
        if row is None:
            continue
        what, test = f"{row.layer.name}, {row.fitted.classifier}", row.fitted.test
        many.append(Choice(way, what, test.accuracy, test.standard_error, pictures))
        point = next((p for p in points if p.layer == row.layer.name and p.per_class == count), None)
        if point is not None:
            what = f"{point.layer}, {point.classifier}"
            few.append(Choice(way, what, point.mean, point.standard_error, count * classes, count))
    return few, many


def _counts(labels: Any) -> list[int]:
    amounts = labels.bincount()
    return usual_counts(int(amounts[amounts > 0].min()))


def _check_memory(need: int, layers: Sequence[Layer]) -> None:
    free = 4 * limit_of(None, torch.device("cpu"))
    if need > free // 2:
        raise ValueError(
            f"layers: the codes take {spoken_bytes(need)}, more than half of the {spoken_bytes(free)} that are free: "
            "name fewer layers, a coarser grid (--pool 2), or fewer pictures (--most)"
        )
