"""The error that everything about files of weights raises."""

from __future__ import annotations


class WeightsError(ValueError):
    """A file that holds no weights, or those of another network; the message is one line."""
