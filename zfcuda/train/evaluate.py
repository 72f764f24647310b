"""How well a network does on pictures that it does not learn from."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from zfcuda.data.preprocess import Preprocess
from zfcuda.network import evaluating
from zfcuda.ranks import Ranks
from zfcuda.train.broken import Broken, broken
from zfcuda.train.loading import Batch, collated, loader
from zfcuda.train.pictures import picture_of
from zfcuda.train.sets import Labelled
from zfcuda.train.views import Cropped, TenCrops
from zfcuda.train.views.normalised import Normalised
from zfcuda.train.views.ten_crops import COUNT

_AT_ONCE = 64  # images that run together


@dataclass(frozen=True)
class Score:
    """What a network answers for pictures whose class is known.

    Attributes:
        loss: mean cross entropy, nats.
        top1, top5: share of pictures whose class is the most probable, or among the five most probable.
        confusion: int64 [K,K]: how many pictures of a class (row) were taken for which (column).
        broken: the pictures that could not be read, which do not count.
    """

    loss: float
    top1: float
    top5: float
    confusion: Tensor
    broken: list[Broken]

    @property
    def count(self) -> int:
        return int(self.confusion.sum())

    @property
    def by_class(self) -> list[float]:
        """The share of each class's pictures that are classified rightly; NaN of a class without pictures."""
        return (self.confusion.diag().double() / self.confusion.sum(1)).tolist()


def evaluate(
    network: nn.Module,
    source: Labelled,
    preprocess: Preprocess,
    classes: int,
    *,
    ten: TenCrops | None = None,
    device: str | torch.device = "cpu",
    precision: torch.dtype = torch.float32,
    workers: int = 0,
    ranks: Ranks | None = None,
) -> Score:
    """Runs a network on all pictures of a source; processes share them.

    Args:
        network: images [N,C,H,W] -> logits [N,classes]; run as eval.
        ten: the mean of the probabilities for ten sub-crops is the answer (section 3); None: the centre alone.
        precision: bfloat16: autocast.
    """
    ranks = ranks or Ranks()
    indices = list(range(len(source.names)))[ranks.rank :: ranks.count]
    view = ten or _Centre(preprocess)
    copies = 1 if ten is None else COUNT
    most = max(1, _AT_ONCE // copies)
    chunks = [indices[i : i + most] for i in range(0, len(indices), most)]
    batches = loader(_Whole(source, ten, preprocess), chunks, workers, _joined)
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    loss, five, lost = 0.0, 0, []
    with evaluating(network), torch.no_grad():
        for batch in batches:
            lost += batch.broken
            if not len(batch.labels):
                continue
            images = view.images(batch.pixels.to(device), batch.crops.to(device))
            with autocast(device, precision):
                logits = network(images)
            logits = logits.float().cpu()
            labels = batch.labels[::copies]
            if copies > 1:
                # The log of the mean probability; where that is too small for a float its log is not.
                logits = logits.log_softmax(1).unflatten(0, (-1, copies)).logsumexp(1) - math.log(copies)
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            best = logits.topk(min(5, classes), 1).indices
            five += int((best == labels[:, None]).any(1).sum())
            confusion += torch.bincount(labels * classes + best[:, 0], minlength=classes**2).view(classes, classes)
    parts = ranks.gathered((loss, five, confusion, lost))
    confusion = torch.stack([part[2] for part in parts]).sum(0)
    count = max(1, int(confusion.sum()))
    return Score(
        sum(part[0] for part in parts) / count,
        int(confusion.diag().sum()) / count,
        sum(part[1] for part in parts) / count,
        confusion,
        [each for part in parts for each in part[3]],
    )


def autocast(device: str | torch.device, precision: torch.dtype) -> Any:
    """Autocast to a precision; float32 is no autocast."""
    if precision == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, precision)


@dataclass(frozen=True)
class _Centre:
    preprocess: Preprocess
    normalised: Normalised = field(default_factory=Normalised)

    def images(self, pixels: Tensor, crops: Tensor) -> Tensor:
        return self.normalised(self.preprocess, pixels)


class _Whole(Dataset[Any]):
    """The centre of each picture, or its ten sub-crops."""

    def __init__(self, source: Labelled, ten: TenCrops | None, preprocess: Preprocess) -> None:
        self.source, self.ten, self.preprocess = source, ten, preprocess
        self.names, self.labels = source.names, source.labels

    def __getitem__(self, index: int) -> list[tuple[Cropped, int]] | Broken:
        try:
            picture = picture_of(self.source, index, index)
            label = self.labels[index]
            if self.ten is not None:
                centre = self.ten.centre(picture)
                return [(self.ten.crop(centre, number), label) for number in range(COUNT)]
            return [(Cropped(_pixels(self.preprocess.crop(picture))), label)]
        except Exception as error:
            return broken(index, self.names[index], error)


def _pixels(picture: Image.Image) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _joined(samples: Sequence[list[tuple[Cropped, int]] | Broken]) -> Batch:
    flat: list[tuple[Cropped, int] | Broken] = []
    for sample in samples:
        flat += [sample] if isinstance(sample, Broken) else sample
    return collated(flat)
