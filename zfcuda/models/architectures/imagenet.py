"""The 1,000 classes of ImageNet's challenge (ILSVRC 2012), in the order of the outputs of published networks."""

from __future__ import annotations

from functools import cache
from pathlib import Path


def classes() -> list[str]:
    """The 1,000 names by index, each once: 0 is "tench", 281 "tabby", 999 "toilet tissue"."""
    return list(_classes())


@cache
def _classes() -> tuple[str, ...]:
    text = (Path(__file__).parent / "imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
