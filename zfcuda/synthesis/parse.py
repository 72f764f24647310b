"""Objectives in words: "conv4:12", "conv4:12@5,7", "conv4", "243" or the name of a class."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from zfcuda.inputs import integer
from zfcuda.network.graph import submodules
from zfcuda.synthesis import objectives
from zfcuda.synthesis.objectives import Objective

_UNIT = re.compile(r"(?P<layer>.+):(?P<unit>\d+)(@(?P<y>\d+),(?P<x>\d+))?")


def objective_of(value: Any, model: nn.Module) -> Objective:
    """What a caller means by an objective.

    Args:
        value: an :class:`Objective`; a class index; or a string: a layer's unit, a unit at a place, a whole layer, the
            index or the name of a class. Where a layer and a class have one name it is the layer.
        model: unwrapped.

    Raises:
        TypeError, ValueError: it is none of these, with the place in the string where it stops being one.
    """
    if isinstance(value, Objective):
        return value
    if not isinstance(value, str):
        return objectives.logit(integer("objective", value))
    text = value.strip()
    if text in submodules(model):
        return objectives.layer(text)
    found = _UNIT.fullmatch(text)
    if found:
        place = (int(found["y"]), int(found["x"])) if found["y"] else None
        return objectives.unit(found["layer"], int(found["unit"]), place)
    return objectives.logit(int(text) if text.isdecimal() else text)
