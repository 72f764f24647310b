"""A memory of what was computed, bounded in bytes: what was not asked for longest goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class Store:
    """Values by key, with their sizes. Any thread may ask.

    most: bytes of all values together; the newest is kept even where it is larger by itself.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Hashable) -> Any:
        """The value of a key; None where there is none."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keeps a value, and lets go of others until all that is kept fits."""
        with self._lock:
            self._drop(key)
            self._held[key] = value, size
            self.bytes += size
            while self.bytes > self.most and len(self._held) > 1:
                self._drop(next(iter(self._held)))

    def forget(self, unwanted: Callable[[Any], bool]) -> None:
        """Lets go of the values whose keys are not wanted."""
        with self._lock:
            for key in [key for key in self._held if unwanted(key)]:
                self._drop(key)

    def _drop(self, key: Hashable) -> None:
        if key in self._held:
            self.bytes -= self._held.pop(key)[1]
