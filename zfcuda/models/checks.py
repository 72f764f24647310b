"""Checks of arguments that all networks share."""

from __future__ import annotations


def check_num_classes(num_classes: int) -> None:
    """Raises ValueError for anything but a positive integer."""
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 1:
        raise ValueError(f"num_classes: expected an integer of at least 1, got {num_classes!r}")
