"""Maps of which no window reads more than what it changes: their values for the whole image need not be held."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from zfcuda.occlusion.incremental.change_analysis import Changes, Local
from zfcuda.occlusion.incremental.convolution import Convolution
from zfcuda.occlusion.incremental.steps import Moving, Positions, Step


def unread(
    head: Sequence[Step], tail: Sequence[Step], changes: Changes, kept: Collection[int], base: Mapping[int, Any]
) -> set[int]:
    """The nodes whose maps are read by nothing but 1x1 convolutions, sums and the like, that change the same rectangle.

    head: the steps that run on chunks as they were cut; those of the tail find other layouts than their own. kept: the
    nodes that are read at the end. base: the values for the whole image, or their outlines.
    """
    found = {i for step in head for i in step.reads if isinstance(changes.of[i], Local)}
    found -= {i for step in tail for i in step.reads} | set(kept)
    found -= {step.index for step in head if isinstance(step, Moving)}  # which shows of its own map what does not change
    for step in head:
        found -= {i for i in step.reads if i in found and not _within(step, i, changes, base)}
    return found


def _within(step: Step, source: int, changes: Changes, base: Mapping[int, Any]) -> bool:
    """Whether a step reads of a map only what windows change there."""
    own, other = changes.of[step.index], changes.of[source]
    if not isinstance(own, Local) or not isinstance(other, Local):
        return False
    if not np.array_equal(own.rows, other.rows) or not np.array_equal(own.columns, other.columns):
        return False
    if base[step.index].shape[2:] != base[source].shape[2:]:
        return False
    if isinstance(step, Convolution):
        if step.before:  # which runs by itself where the convolution goes another way
            return False
        sides = changes.windows[step.conv.index]
        plain = all((side.kernel, side.stride, side.padding) == (1, 1, 0) for side in sides)
        # Where values only move, or groups are taken one by one, the map is read around them.
        return plain and step.conv.index not in changes.lookups and step.conv.arguments["groups"] == 1
    return type(step) is Positions
