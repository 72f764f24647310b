"""Freed memory that stays in the process, and what glibc is told."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from zfcuda.memory import reused
from zfcuda.memory.reused import reused_memory


class Library:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def mallopt(self, what: int, value: int) -> int:
        self.said.append((what, value))
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.said.append(("trim", pad))
        return 1


def test_the_first_begins_and_the_last_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(reused, "_glibc", lambda: library)
    with pytest.raises(ValueError, match="inside"), reused_memory():
        with reused_memory():
            assert library.said == [(-3, 2**25), (-1, 2**31 - 1)]
        assert len(library.said) == 2
        raise ValueError("inside")
    assert library.said[2:] == [(-1, 2**26), ("trim", 0)]


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reused, "_glibc", lambda: None)
    with reused_memory():
        assert reused._holders == 0


# In an interpreter of its own, whose heap has no holes.
PAGES = """
import resource
import torch
from zfcuda.memory.reused import reused_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [torch.ones(20 * 2**18) for _ in range(8)]  # 160 MiB
    del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with reused_memory():
    first = pages()
    print(first, pages())
"""


@pytest.mark.skipif(sys.platform != "linux" or reused._glibc() is None, reason="glibc alone is told")
def test_pages_are_not_taken_anew() -> None:
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    first, again = map(int, done.stdout.split())
    assert again < first / 4
