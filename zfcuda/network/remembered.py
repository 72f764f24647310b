"""What was found out about a model, kept for as long as the model is what it was."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from torch import Tensor, nn

T = TypeVar("T")


class _Known(NamedTuple):
    model: weakref.ref[nn.Module]
    state: tuple[Any, ...]
    answers: dict[Hashable, Any]


_KNOWN: dict[int, _Known] = {}  # by the model's id: a user's class may not be hashable
_ATOMS = frozenset({type(None), bool, int, float, str})
_MOST = 100  # settings of one list or dict that are looked at: more are data
_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)  # "training" among them


def remembered(model: nn.Module, about: Hashable, find: Callable[[], T]) -> T:
    """What `find` says about a model, asked once for as long as nothing about the model changes.

    A change is another module, another forward, another hook, or another setting: a number, text or flag that a module
    holds, or a list, dict or plain object of its own. The values of weights do not count, nor whether the model trains:
    this is for what holds for all weights, of the model run as in eval.

    about: what is asked, with all that the answer depends on beside the model.
    """
    answers = answers_about(model)
    if about not in answers:
        answers[about] = find()
    answer: T = answers[about]
    return answer


def answers_about(model: nn.Module) -> dict[Hashable, Any]:
    """What is remembered of a model, to be added to: empty where anything about it has changed, as in remembered."""
    state = tuple(_state(model))
    known = _KNOWN.get(id(model))
    if known is None or known.model() is not model or known.state != state:
        known = _KNOWN[id(model)] = _Known(weakref.ref(model, partial(_forget, id(model))), state, {})
    return known.answers


def _forget(number: int, model: weakref.ref[nn.Module]) -> None:
    known = _KNOWN.get(number)
    if known is not None and known.model is model:
        del _KNOWN[number]


def _state(model: nn.Module) -> Iterator[Any]:
    for module in model.modules():
        yield id(module)
        yield type(module)
        yield getattr(type(module), "forward", None)
        yield from module._forward_hooks
        yield from module._forward_pre_hooks
        for name, value in module.__dict__.items():
            if name in _OF_EVERY_MODULE:
                continue
            yield name
            yield from _settings(value)


def _settings(value: Any, depth: int = 2) -> Iterator[Any]:
    """Numbers, text and flags, also those in lists, dicts and plain objects, which may change in their place."""
    if type(value) in _ATOMS:
        yield value
        return
    held = value if isinstance(value, list | tuple | dict) else None
    if held is None:
        yield id(value)
        held = None if isinstance(value, Tensor | nn.Module | type | ModuleType) else getattr(value, "__dict__", None)
    if isinstance(held, list | tuple | dict) and depth:
        yield type(held)
        yield len(held)
        if len(held) <= _MOST:
            for each in held.items() if isinstance(held, dict) else held:
                yield from _settings(each, depth if isinstance(held, dict) else depth - 1)
