"""Remembers of a model that what its layers compute was held against its own run, so that this is done once.

The walk follows a model anew at each call, and so sees whatever the model has become; its own run says what that has
missed: a hook, a method of a tensor that was replaced, a number drawn at random. What was once the same stays so while
the steps that are followed, the weights and the images' shape are the same. A model with hooks is run each time.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from zfcuda.network import Network, Node, Ref
from zfcuda.network.calls import torchs
from zfcuda.network.hooks import hooked

_MOST = 32  # answers kept of one model
_ANSWERS: WeakKeyDictionary[nn.Module, dict[Any, Any]] = WeakKeyDictionary()

Key = tuple[Any, ...]


def key_of(network: Network, output: int, images: Tensor) -> Key | None:
    """All that decides whether the model's own run gives what its layers compute; None: it has to be run each time.

    Args:
        network: of a model that was followed just now.
        output: the node up to which.
        images: [N,C,H,W].
    """
    model = network.model
    tensors = [*model.parameters(), *model.buffers()]
    if hooked(model) or any(x.is_inference() for x in tensors):
        return None
    device = images.device.type
    return (
        output,
        tuple(_step(node) for node in network.ancestors([output])),
        tuple((x.data_ptr(), x._version) for x in tensors),
        (images.shape, images.dtype, images.device),
        torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device),
    )


def recalled(model: nn.Module, key: Key | None, question: str) -> Any:
    """What was kept of a model under a key; None: nothing."""
    return None if key is None else _ANSWERS.get(model, {}).get((question, key))


def keep(model: nn.Module, key: Key | None, question: str, answer: Any) -> None:
    """Keeps an answer, with no hold on the model."""
    if key is None:
        return
    answers = _ANSWERS.setdefault(model, {})
    if len(answers) >= _MOST:
        answers.clear()
    answers[question, key] = answer


def _step(node: Node) -> Any:
    return node.index, node.kind, node.label, _plain(dict(node.arguments))


def _plain(value: Any) -> Any:
    """What can be compared later, with no hold on a module or a tensor."""
    if isinstance(value, Ref):
        return "value", value.index
    if isinstance(value, dict):
        return tuple((name, _plain(each)) for name, each in value.items())
    if isinstance(value, tuple | list):
        return type(value), *map(_plain, value)
    if isinstance(value, slice):
        return slice, _plain(value.start), _plain(value.stop), _plain(value.step)
    if isinstance(value, Tensor | nn.Module):
        return type(value), id(value)
    if callable(value):
        return torchs(value)[0], *([id(torchs(value)[1])] if isinstance(torchs(value)[1], nn.Module) else [])
    return repr(value)
