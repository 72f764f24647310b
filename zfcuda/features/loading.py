"""Images out of a collection, loaded in the background while the network runs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zfcuda.complaint import one_line, out_of_memory, own, reason
from zfcuda.data.collection import Collection
from zfcuda.network.example import image_dtypes

_AHEAD = 2  # blocks that are loaded while one is run
_MOST = 32  # images of 224 x 224 that run together; of smaller ones more
_THREADS = 8


@dataclass(frozen=True)
class Skipped:
    """A picture that was left out: its number, its name, and the reason in one line."""

    index: int
    name: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Images of one size. indices: their numbers, ascending. images: [n,C,H,W]."""

    indices: list[int]
    images: Tensor


def block_size(image: Tensor) -> int:
    """How many pictures a block has, by the size of the first image [C,H,W]; a power of two."""
    room = _MOST * 224 * 224 // max(1, image.shape[-1] * image.shape[-2])
    return 1 << max(0, min(256, room).bit_length() - 1)


def placed(images: Tensor, model: nn.Module) -> Tensor:
    """Images on the device of a model, in a dtype of its weights."""
    weights = [p for p in model.parameters() if p.is_floating_point()]
    if not weights:
        return images
    device, known = weights[0].device, {weight.dtype for weight in weights}
    fits = images.dtype in known or torch.is_autocast_enabled(device.type)
    if images.device.type == "cpu" and device.type == "cuda":
        images = images.pin_memory()
    return images.to(device, images.dtype if fits else image_dtypes(model)[0], non_blocking=True)


def first_image(collection: Collection) -> Tensor:
    """The first image [C,H,W] that can be made.

    Raises:
        ValueError: there is none; the first reason follows.
    """
    why: Skipped | None = None
    for index in range(len(collection)):
        image = load(collection, index)
        if isinstance(image, Tensor):
            return image
        why = why or image
    assert why is not None  # a collection holds at least one
    raise ValueError(f"pictures: none of {len(collection)} can be read; the first, {why.name}: {why.reason}")


def loaded(collection: Collection, blocks: Sequence[range]) -> Generator[tuple[list[Batch], list[Skipped]]]:
    """Loads blocks of pictures, in order, each as batches of images of one size, with those that cannot be read."""
    whole = collection.tensor
    if whole is not None:
        for block in blocks:
            # A copy: a model may write to its image, and these are the user's own.
            yield _split(list(block), whole[block.start : block.stop].clone()), []
        return
    threads = 1 if collection.alone else threads_here()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="zfcuda-loading")
    waiting: deque[tuple[range, list[Future[Tensor | Skipped]]]] = deque()
    rest = iter(blocks)
    try:
        while True:
            while len(waiting) <= _AHEAD and (coming := next(rest, None)) is not None:
                waiting.append((coming, [pool.submit(load, collection, index) for index in coming]))
            if not waiting:
                return
            block, futures = waiting.popleft()
            found = [future.result() for future in futures]
            yield _batches(block, found), [each for each in found if isinstance(each, Skipped)]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def load(collection: Collection, index: int) -> Tensor | Skipped:
    """One image [C,H,W], or why there is none."""
    try:
        return collection.image(index)
    except Exception as error:  # a broken file, or anything that a user's own data set raises
        if out_of_memory(error):
            raise
        name = collection.names[index]
        said = one_line(" ".join((str(error) if own(error) else reason(error)).split()))
        return Skipped(index, name, said.rpartition(f"{one_line(name)}: ")[2])  # it may begin with the whole path


def threads_here() -> int:
    """How many threads load: those processors that this process may use, shared with its like under torchrun."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    beside = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, min(_THREADS, cores // max(1, int(beside) if beside.isdecimal() else 1)))


def _batches(block: range, found: Sequence[Tensor | Skipped]) -> list[Batch]:
    """The images of a block, those of one size together."""
    alike: dict[tuple[object, ...], list[tuple[int, Tensor]]] = {}
    for index, image in zip(block, found, strict=True):
        if isinstance(image, Tensor):
            alike.setdefault((image.shape, image.dtype, image.device), []).append((index, image))
    return [
        batch
        for each in alike.values()
        for batch in _split([index for index, _ in each], torch.stack([image for _, image in each]))
    ]


def _split(indices: list[int], images: Tensor) -> list[Batch]:
    """Not more images together than their size allows."""
    most = block_size(images[0])
    return [Batch(indices[i : i + most], images[i : i + most]) for i in range(0, len(indices), most)]
