"""Pictures kept in memory that a process shares with the workers that it forks."""

from __future__ import annotations

import mmap
import multiprocessing
from typing import Any

import numpy as np
from PIL import Image

from zfcuda.data.sources import PART

_PATIENCE = 1.0  # seconds for a lock; who died with it in hand never gives it back


class PictureCache:
    """Room for RGB pictures by number, filled by whoever has one first, until it is full.

    Pages are taken when they are written to, not before. A worker that is started in another way than by fork gets none
    of it.
    """

    def __init__(self, count: int, size: int, lock: Any) -> None:
        self._pixels = mmap.mmap(-1, size)
        # Of each picture: where it begins, counted from 1; its width and height; whether it has a part, and its box.
        self._table = np.frombuffer(mmap.mmap(-1, 64 * count), np.int64).reshape(count, 8)
        self._end = np.frombuffer(mmap.mmap(-1, 8), np.int64)
        self._size = size
        self._lock: Any = lock

    @staticmethod
    def of(count: int, size: int) -> PictureCache | None:
        """Room for `count` pictures of `size` bytes together; None where processes do not fork, or it is not given."""
        try:
            context = multiprocessing.get_context("fork")
            return PictureCache(count, size, context.Lock())
        except (ValueError, OSError):
            return None

    def __reduce__(self) -> Any:
        return _nothing, ()

    def get(self, index: int) -> Image.Image | None:
        """A picture; None where it is not kept."""
        if not self._locked():
            return None
        begin, wide, high, parted, *box = self._table[index].tolist()
        self._lock.release()
        if not begin:
            return None
        pixels = memoryview(self._pixels)[begin - 1 : begin - 1 + 3 * wide * high]
        picture = Image.frombytes("RGB", (wide, high), pixels)
        if parted:
            picture.info[PART] = tuple(box)
        return picture

    def put(self, index: int, picture: Image.Image) -> None:
        """Keeps a picture, where there is room for it."""
        pixels = picture.tobytes()
        if not self._locked():
            return
        try:
            begin = int(self._end[0])
            if self._table[index, 0] or begin + len(pixels) > self._size:
                return
            self._end[0] = begin + len(pixels)
            self._pixels[begin : begin + len(pixels)] = pixels
            box = picture.info.get(PART)
            self._table[index] = (begin + 1, *picture.size, box is not None, *(box or (0, 0, 0, 0)))
        finally:
            self._lock.release()

    def _locked(self) -> bool:
        if self._lock is not None and not self._lock.acquire(timeout=_PATIENCE):
            self._lock = None
        return self._lock is not None


def _nothing() -> None:
    """What a process that is not forked gets."""
