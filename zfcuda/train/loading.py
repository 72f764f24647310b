"""Batches of pictures, seen by chance that depends on (seed, epoch, index) alone, loaded in workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zfcuda.complaint import one_line
from zfcuda.train.broken import Broken, broken
from zfcuda.train.chance import view_dice
from zfcuda.train.order import Order
from zfcuda.train.pictures import picture_of
from zfcuda.train.sets import Labelled
from zfcuda.train.views.view import Cropped, View

_CHECKED = 8  # pictures, before a training begins
_GRACE = 10  # seconds that a worker outlives SIGTERM


@dataclass(frozen=True)
class Batch:
    """What a process gets of a step.

    Attributes:
        pixels: uint8 [n,C,H,W], channels_last.
        crops: int64 [n], as of :class:`Cropped`.
        labels: int64 [n].
        broken: the pictures that were left out.
    """

    pixels: Tensor
    crops: Tensor
    labels: Tensor
    broken: list[Broken]


class Samples(Dataset[Any]):
    """Pictures by (epoch, index)."""

    def __init__(self, source: Labelled, view: View, seed: int) -> None:
        self.source, self.view, self.seed = source, view, seed
        self.names, self.labels = source.names, source.labels

    def __getitem__(self, key: tuple[int, int]) -> tuple[Cropped, int] | Broken:
        epoch, index = key
        try:
            picture = picture_of(self.source, index, self.seed, epoch, index)
            return self.view(picture, view_dice(self.seed, epoch, index), epoch), self.labels[index]
        except Exception as error:
            return broken(index, self.names[index], error)


def check_pictures(samples: Samples) -> None:
    """Looks at a few pictures, from the first to the last, so that nobody trains on none.

    Raises:
        ValueError: not one of them can be read, or seen in this way.
    """
    count = len(samples.names)
    tried = [samples[0, index] for index in range(0, count, -(-count // _CHECKED))]
    lost = [each for each in tried if isinstance(each, Broken)]
    if len(lost) == len(tried):
        said = f"{one_line(lost[0].name)}: {lost[0].reason}"
        raise ValueError(f"data: none of {len(tried)} training pictures can be used; {said}")


def collated(samples: Sequence[tuple[Cropped, int] | Broken]) -> Batch:
    """One batch of what could be read."""
    whole = [sample for sample in samples if not isinstance(sample, Broken)]
    # Pictures have their channels last, and so have the images of the network.
    rows = [seen.pixels.permute(1, 2, 0) for seen, _ in whole] or [torch.empty((0, 1, 1, 3), dtype=torch.uint8)]
    pixels = (torch.stack(rows) if whole else rows[0]).permute(0, 3, 1, 2)
    crops = torch.tensor([seen.crop for seen, _ in whole], dtype=torch.int64)
    labels = torch.tensor([label for _, label in whole], dtype=torch.int64)
    return Batch(pixels, crops, labels, [sample for sample in samples if isinstance(sample, Broken)])


def batches(samples: Samples, order: Order, first: int, last: int, workers: int) -> Iterator[Batch]:
    """The batches of steps first to last - 1, for this process; workers keep loading over the ends of epochs."""
    return iter(loader(samples, _Keys(order, first, last), workers, collated))


def loader(
    pictures: Dataset[Any], keys: Iterable[list[Any]], workers: int, collate: Callable[[Any], Any]
) -> DataLoader[Any]:
    """Loads batches in the background. keys: those of each batch."""
    return DataLoader(
        pictures,
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_deaf,
        pin_memory=torch.cuda.is_available(),
    )


def workers_for(asked: int | None, ranks: int) -> int:
    """How many processes load: as asked, else as many as there are processors for each of the ranks, at most 8."""
    if asked is not None:
        return asked
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    here = min(ranks, int(os.environ.get("LOCAL_WORLD_SIZE", ranks)))  # on this machine
    return min(8, cores // max(1, here))


class _Keys:
    """The keys of each step: a batch sampler."""

    def __init__(self, order: Order, first: int, last: int) -> None:
        self.order, self.first, self.last = order, first, last

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.first, self.last):
            yield self.order.keys(step)

    def __len__(self) -> int:
        return self.last - self.first


def _deaf(worker: int) -> None:
    """A signal to the group of processes is not for the workers: the one that trains handles it, and ends them.

    The terminal sends Ctrl-C to its group, timeout and the schedulers of clusters SIGTERM to all, and torchrun to each
    group that it has made. A worker that died of it would break off the step that is to be saved: it lives a little
    longer, and ends of itself only where nobody has ended it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(_GRACE) and None)
    else:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        os.setpgrp()
