"""The pictures of a training run, drawn once by several processes and kept in memory."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from zfcuda.data import Parts

_CHUNK = 100  # pictures per task: seconds of work, a few MB to send back
_Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Pool:
    """Drawn pictures and what is known of them.

    Attributes:
        pixels: uint8 [N, 224, 224, 3]: channels last, as the network reads them.
        labels: int64 [N].
        boxes: int64 [N, 4], the defining part's bounding box: top, bottom, left, right (ends excluded).
    """

    pixels: Tensor
    labels: Tensor
    boxes: Tensor


def draw_pool(count: int, seed: int, *, part: bool = True, workers: int = 2, title: str | None = None) -> Pool:
    """Draws pictures 0 .. count - 1 of a seed.

    Args:
        part: with their defining part; without it, labels are those of the pictures with it, and the boxes empty.
        workers: processes; 0 or 1 draws in this one.
        title: shows a progress bar of that name.
    """
    pixels = torch.empty((count, 224, 224, 3), dtype=torch.uint8)  # first of all: it fails where that is too many
    tasks = [(seed, part, start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    labels = torch.empty(count, dtype=torch.int64)
    boxes = torch.zeros((count, 4), dtype=torch.int64)
    with (
        _mapped(tasks, min(workers, len(tasks))) as results,
        tqdm(total=count, desc=title, unit="picture", disable=title is None) as bar,
    ):
        start = 0
        for drawn, label, box in results:
            span = slice(start, start + len(label))
            pixels[span] = torch.from_numpy(drawn)
            labels[span], boxes[span] = torch.from_numpy(label), torch.from_numpy(box)
            start = span.stop
            bar.update(len(label))
    return Pool(pixels, labels, boxes)


@contextmanager
def _mapped(tasks: list[tuple[int, bool, int, int]], workers: int) -> Iterator[Iterable[_Drawn]]:
    if workers < 2:
        yield map(_draw, tasks)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with torch's threads may hang
    with _deaf():
        pool = context.Pool(workers, signal.signal, (signal.SIGINT, signal.SIG_IGN))
    with pool:
        yield pool.imap(_draw, tasks)


@contextmanager
def _deaf() -> Iterator[None]:
    """Makes workers deaf to Ctrl-C, even while they import torch: the parent handles it, and ends them."""
    resource_tracker.ensure_running()  # its start, else a part of theirs, takes the block away
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which processes inherit
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _draw(task: tuple[int, bool, int, int]) -> _Drawn:
    seed, part, start, stop = task
    parts = Parts(seed)
    images = np.empty((stop - start, 224, 224, 3), dtype=np.uint8)
    labels = np.empty(stop - start, dtype=np.int64)
    boxes = np.zeros((stop - start, 4), dtype=np.int64)
    for k in range(stop - start):
        picture = parts.draw(start + k, part=part)
        images[k], labels[k] = np.asarray(picture.image), picture.label
        if part:
            rows, columns = (np.flatnonzero(picture.part_mask.any(axis=axis)) for axis in (1, 0))
            boxes[k] = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    return images, labels, boxes
