"""Checks of arguments that all networks share."""

from __future__ import annotations

from collections.abc import Sequence


def check_num_classes(num_classes: int) -> None:
    """Raises ValueError for anything but a positive integer."""
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 1:
        raise ValueError(f"num_classes: expected an integer of at least 1, got {num_classes!r}")


def checked_size(input_size: Sequence[int]) -> tuple[int, int, int]:
    """Returns (C, H, W), or raises a ValueError that names input_size."""
    size = tuple(input_size)
    if len(size) != 3 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f"input_size: expected (C, H, W), got {input_size!r}")
    return size
