"""Objectives in words: "conv4:12", "conv4:12@5,7", "conv4", "243" or the name of a class."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from zfcuda.autograd import module_of
from zfcuda.class_names import class_names
from zfcuda.inputs import integer
from zfcuda.network.graph import no_such_layer, own_name, submodules, wrapper_of
from zfcuda.synthesis import objectives
from zfcuda.synthesis.objectives import Objective

_DIGITS = 18  # of a number
_PLACE = re.compile(rf"@(\d{{1,{_DIGITS}}}),(\d{{1,{_DIGITS}}})")


def objective_of(value: Any, model: nn.Module) -> Objective:
    """What a caller means by an objective.

    Args:
        value: an :class:`Objective`; a class index; or a string: a layer's unit, a unit at a place, a whole layer, the
            index or the name of a class. Where a layer and a class have one name it is the layer; an index given as an
            integer is a class always.
        model: as it was given, maybe in a wrapper.

    Raises:
        TypeError, ValueError: it is none of these, with the place in the string where it stops being one, and what
            there is. Which units a layer has, and how many classes there are, is seen when the model runs.
    """
    if isinstance(value, Objective):
        return value
    if not isinstance(value, str):
        try:
            return objectives.logit(integer("objective", value))
        except TypeError:
            raise TypeError(
                "objective: expected a string, a class index or an objective of zfcuda.synthesis, got "
                f"{type(value).__name__}"
            ) from None
    inner, wrapper = module_of(model), wrapper_of(model)
    there, text = submodules(inner), value.strip()
    if not text:
        raise ValueError(f"objective: expected LAYER:UNIT, a layer or a class, got {value!r}")
    if own_name(text, there, wrapper) in there:
        return objectives.layer(own_name(text, there, wrapper))
    layer, colon, rest = text.rpartition(":")
    if colon and own_name(layer, there, wrapper) in there:
        return _unit(text, own_name(layer, there, wrapper), rest, len(layer) + 1, there)
    names = class_names(getattr(inner, "classes", None))
    if text.isdecimal() and len(text) <= _DIGITS:
        return objectives.logit(int(text))
    if re.fullmatch(r"-\d+", text):
        raise ValueError(f"objective: expected the index of a class, 0 or more, got {text}")
    no_class = f"{type(inner).__name__} has no names of its classes (.classes); give an index"
    if names:
        try:
            return objectives.logit(names.find(text))
        except ValueError as error:
            no_class = str(error)
    if colon:  # units are meant
        no_layer = str(no_such_layer(inner, layer, there)).removeprefix("layer: ")
        raise ValueError(f"objective: {text!r}: at character 1: {no_layer}")
    if "several are called so" in no_class:
        raise ValueError(f"objective: {no_class}")
    no_layer = str(no_such_layer(inner, text, there)).removeprefix("layer: ")
    raise ValueError(f"objective: {text!r} is neither a layer nor a class: {no_layer}; {no_class}")


def _unit(text: str, layer: str, rest: str, start: int, there: dict[str, nn.Module]) -> Objective:
    """The unit of a layer.

    Args:
        rest: what follows the colon: a number, and perhaps a place.
        start: how many characters of the text stand before it.
    """

    def wrong(expected: str, at: int) -> ValueError:
        got = repr(text[at:]) if at < len(text) else "its end"
        return ValueError(f"objective: {text!r}: at character {at + 1}: expected {expected}, got {got}")

    digits = re.match(rf"\d{{0,{_DIGITS}}}", rest)
    assert digits is not None
    if not digits[0]:
        raise wrong(f"the number of a unit{_of_how_many(there[layer])}", start)
    if digits.end() == len(rest):
        return objectives.unit(layer, int(rest))
    place = _PLACE.fullmatch(rest, digits.end())
    if place is None:
        raise wrong("the end, or a place @Y,X", start + digits.end())
    return objectives.unit(layer, int(digits[0]), (int(place[1]), int(place[2])))


def _of_how_many(layer: nn.Module) -> str:
    """Which units a layer has, where it says so."""
    for name in ("out_channels", "num_features", "out_features"):
        count = getattr(layer, name, None)
        if isinstance(count, int):
            return f", 0 to {count - 1}"
    return ""
