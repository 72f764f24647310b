"""Leaves a user's model as it was: its training flags, its attributes, what its lists, dicts and sets hold, its hooks.

Several threads may ask about one model at a time.
"""

from __future__ import annotations

import operator
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

# ---------------------------------------------------------------- training flags


@dataclass
class _Switched:
    """A module whose flag is held: by how many, in which mode, and what it is set to when the last one lets go."""

    mode: tuple[bool, bool]  # training, alone
    before: bool
    holders: int = 0


_SWITCHED: dict[int, _Switched] = {}  # by the module's id: a user's class may not be hashable
_FLAGS = threading.Condition()


@contextmanager
def switched(model: nn.Module, training: bool, *, alone: bool = False) -> Iterator[None]:
    """Keeps a model in training or eval mode within a with statement, whatever other threads do in such statements.

    The last of those that keep it in one mode sets it back; who wants the other mode, or the model for itself alone,
    waits. The flags are set one by one: a model may have its own idea of train().
    """
    modules, mode = list(model.modules()), (training, alone)
    holding: list[nn.Module] = []

    def free() -> bool:
        held = [_SWITCHED[i] for i in map(id, modules) if i in _SWITCHED]
        return not held or (not alone and all(each.mode == mode for each in held))

    try:
        with _FLAGS:
            _FLAGS.wait_for(free)
            for module in modules:
                if id(module) not in _SWITCHED:
                    _SWITCHED[id(module)] = _Switched(mode, getattr(module, "training", training))
                _SWITCHED[id(module)].holders += 1
                holding.append(module)
                if _SWITCHED[id(module)].before != training:
                    module.training = training
        yield
    finally:
        with _FLAGS:
            for module in holding:
                held = _SWITCHED[id(module)]
                held.holders -= 1
                if not held.holders:
                    del _SWITCHED[id(module)]
                    if held.before != training:
                        module.training = held.before
            _FLAGS.notify_all()


def evaluating(model: nn.Module) -> Any:
    """Keeps a model in eval mode within a with statement."""
    return switched(model, training=False)


# ---------------------------------------------------------------- attributes and what they hold


@contextmanager
def restoring(model: nn.Module, *, registered: bool = True) -> Iterator[None]:
    """Undoes what a forward leaves on its modules (`self.features = x`, `self.log.append(x)`) where x is a stand-in.

    Lists, dicts and sets are put back at any depth, and the attributes of plain objects that a module holds.

    registered: whether parameters, submodules and the like that a forward registers are undone too. Buffers always are.
    """
    modules = {id(module.__dict__): id(module) for module in model.modules()}
    with _FLAGS:  # Another thread may hold a flag now, or when this ends: then it is that one's to set back.
        kept = list(_holders(model, registered))
        for holder, before in kept:
            if modules.get(id(holder)) in _SWITCHED and "training" in before:
                before["training"] = _SWITCHED[modules[id(holder)]].before
    try:
        yield
    finally:
        with _FLAGS:
            for holder, before in kept:
                if modules.get(id(holder)) in _SWITCHED and "training" in before and "training" in holder:
                    before["training"] = holder["training"]
                _put_back(holder, before)


_ATOMS = frozenset({type(None), bool, int, float, str, Tensor, nn.Parameter})
_TABLES = frozenset(nn.Module().__dict__) - {"_buffers"}


def _holders(model: nn.Module, registered: bool) -> Iterator[tuple[Any, Any]]:
    """All that can hold a value of the model's, each with a copy of what it holds."""
    waiting: list[tuple[Any, bool]] = [(module.__dict__, True) for module in model.modules()]
    met: set[int] = set()
    if registered:  # Not the hooks: another thread may put its own on and take them off meanwhile.
        met = {id(value) for module, _ in waiting for name, value in module.items() if "_hooks" in name}
    while waiting:
        holder, of_module = waiting.pop()
        if isinstance(holder, list | dict | set | deque):
            if id(holder) in met:
                continue
            met.add(id(holder))
            yield holder, holder.copy() if type(holder) in (list, dict, set) else _plain(holder)
        values = list(holder.values()) if isinstance(holder, dict) else list(holder)
        if of_module and not registered and isinstance(holder, dict) and "_buffers" in holder:
            values = [value for name, value in holder.items() if name not in _TABLES]
        for value in values:
            if type(value) in _ATOMS:  # most of a vocabulary
                continue
            if isinstance(value, list | dict | set | deque | tuple):
                waiting.append((value, of_module))
            elif isinstance(value, nn.Module):  # one that is not registered too, in a list
                waiting.append((value.__dict__, True))
            elif of_module and _is_plain_object(value):
                # Not what such objects hold in turn: that may be a whole training run and its data.
                waiting.append((vars(value), False))


def _plain(holder: Any) -> Any:
    return dict(holder) if isinstance(holder, dict) else set(holder) if isinstance(holder, set) else list(holder)


def _is_plain_object(value: Any) -> bool:
    if isinstance(value, Tensor | type | ModuleType):
        return False
    return isinstance(getattr(value, "__dict__", None), dict)


def _put_back(holder: Any, before: Any) -> None:
    """Changes a list, dict or set only where it differs: another thread may be reading it."""
    if isinstance(holder, dict):
        if list(holder) == list(before):
            if all(map(operator.is_, holder.values(), before.values())):
                return
            for key, value in before.items():
                if holder[key] is not value:
                    holder[key] = value
            return
        added = [key for key in holder if key not in before]
        for key in added:
            del holder[key]
        if list(holder) != list(before):
            holder.clear()
        for key, value in before.items():
            if key not in holder or holder[key] is not value:
                holder[key] = value
    elif isinstance(holder, set):
        if {id(value) for value in holder} != {id(value) for value in before}:
            holder.clear()
            holder.update(before)
    elif len(holder) != len(before) or not all(map(operator.is_, holder, before)):
        holder.clear()
        holder.extend(before)


# ---------------------------------------------------------------- settings of the whole process


class Shared(AbstractContextManager[None]):
    """A setting of the whole process within with statements: the first of several threads makes it, the last undoes it.

    make: gives what makes and undoes it.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[Any]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._holders = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._holders:
                self._made = self._make()
                self._made.__enter__()
            self._holders += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._holders -= 1
            if not self._holders:
                self._made.__exit__(None, None, None)


_EAGER = Shared(lambda: torch.compiler.set_stance("force_eager"))


@contextmanager
def _in_one_order() -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


_DETERMINISTIC = Shared(_in_one_order)


def deterministic() -> AbstractContextManager[None]:
    """Makes cuDNN's transposed convolutions add in one order, which otherwise changes from run to run."""
    return _DETERMINISTIC


# ---------------------------------------------------------------- hooks

Hook = Callable[[nn.Module, tuple[Any, ...], Any], Any]


class Watching:
    """Forward hooks of zfcuda's own on a model, within a with statement: they see the calls of this thread alone.

    What a hook returns, if not None, takes the place of the layer's output.
    Compiled parts of the model run as they were written: with hooks they would be compiled anew, or not call them.
    """

    def __init__(self, model: nn.Module) -> None:
        self._handles: list[Any] = []
        parts = model.modules()
        compiled = any(hasattr(m, "_orig_mod") or m.__dict__.get("_compiled_call_impl") is not None for m in parts)
        self._stance: AbstractContextManager[Any] = _EAGER if compiled else nullcontext()

    def add(self, module: nn.Module, hook: Hook) -> None:
        thread = threading.get_ident()

        def mine(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            return hook(module, inputs, output) if threading.get_ident() == thread else None

        self._handles.append(module.register_forward_hook(mine))

    def __enter__(self) -> Watching:
        self._stance.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._stance.__exit__(None, None, None)
        for handle in self._handles:
            handle.remove()
