"""One run of a network, watched: what each call of a module computes, reads and returns itself."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized
from torch.overrides import BaseTorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zfcuda.models.accounts.products import multiply_adds
from zfcuda.network.intact import Watching

_Memory = weakref.ref[torch.UntypedStorage]


@dataclass
class ModuleCall:
    """One call of a module.

    Attributes:
        module: which one. number: which of its calls this is, from 0.
        multiply_adds: of the operators that ran while it was the innermost module; None: not known.
        read: the parameters that those operators read.
        shapes: of the tensors that it returned.
        output_bytes: of their memory, each piece once. own_bytes: of what is neither its inputs' nor that of outputs of
            calls within it.
        holds: whether a call within it has a row.
    """

    module: nn.Module
    number: int
    multiply_adds: int | None = 0
    read: set[Tensor] = field(default_factory=set)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    output_bytes: int = 0
    own_bytes: int = 0
    holds: bool = False
    making_weights: int = 1  # how deep it is in what makes its weights: hooks before its forward, parametrizations
    borrowed: list[_Memory] = field(default_factory=list)

    @property
    def has_row(self) -> bool:
        """Whether it multiplies itself, or is the innermost call on its way and returns a tensor."""
        return self.multiply_adds != 0 or (not self.holds and bool(self.shapes))

    def take(self, number: int | None) -> None:
        self.multiply_adds = None if self.multiply_adds is None or number is None else self.multiply_adds + number


class _Watch(TorchDispatchMode):
    """Tells every operator's multiply-adds to the innermost call that is running.

    A parametrization is no call of its own: it belongs to the module whose weight it makes.
    """

    supports_higher_order_operators = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.finished: list[ModuleCall] = []
        self.running = [ModuleCall(model, -1)]  # beneath all calls
        self.times: dict[int, int] = {}  # by the module's id: a user's class may not be hashable
        self.parameters = {id(p.untyped_storage()): p for p in model.parameters() if _is_dense(p)}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        call = self.running[-1]
        found = (self.parameters.get(id(x.untyped_storage())) for x in _dense((args, kwargs)))
        call.read.update(p for p in found if p is not None)
        result = func(*args, **kwargs)
        call.take(multiply_adds(func, args, result, vectors=not call.making_weights))
        return result

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.times[id(module)] = self.times.get(id(module), -1) + 1
        self.running.append(ModuleCall(module, self.times[id(module)], borrowed=_memory((args, kwargs))))

    def start(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.running[-1].making_weights -= 1

    def leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        while self.running[-1].module is not module:  # it was left by an exception, which somebody caught
            self.running[-2].take(self.running.pop().multiply_adds)
        call, outer = self.running.pop(), self.running[-1]
        memory = _memory(output)
        borrowed = {id(storage()) for storage in call.borrowed}
        call.shapes = [tuple(x.shape) for x in tree_leaves(output) if isinstance(x, Tensor)]
        sizes = {id(x.untyped_storage()): x.nbytes for x in _dense(output)}
        call.output_bytes = sum(sizes.values())
        call.own_bytes = sum(size for storage, size in sizes.items() if storage not in borrowed)
        outer.borrowed += memory
        outer.holds = outer.holds or call.holds or call.has_row
        self.finished.append(call)

    def make(self, *_: Any) -> None:
        self.running[-1].making_weights += 1

    def made(self, *_: Any) -> None:
        self.running[-1].making_weights -= 1


def _is_dense(x: Any) -> bool:
    return isinstance(x, Tensor) and not is_lazy(x) and x.layout == torch.strided and not x.is_nested


def _dense(values: Any) -> Iterator[Tensor]:
    return (x for x in tree_leaves(values) if _is_dense(x))


def _memory(values: Any) -> list[_Memory]:
    return [weakref.ref(x.untyped_storage()) for x in _dense(values)]


def watched(model: nn.Module, image: Tensor) -> list[ModuleCall]:
    """Runs a model, and returns the calls of its modules, in the order in which they returned.

    Operators that torch fuses for a whole layer of attention run one by one, so that each is seen where it belongs.
    Modules of torch.jit are not seen: what they compute belongs to their caller.
    """
    watch = _Watch(model)
    made = [module for module in model.modules() if isinstance(module, ParametrizationList)]
    within = {id(module) for each in made for module in each.modules()}
    with ExitStack() as stack, Watching(model):
        for module in model.modules():
            if id(module) not in within and module is not model and not isinstance(module, torch.jit.ScriptModule):
                _hook(stack, module, watch.enter, watch.start, watch.leave)
        for each in made:
            stack.callback(each.register_forward_pre_hook(_mine(watch.make)).remove)
            stack.callback(each.register_forward_hook(_mine(watch.made)).remove)
        with BaseTorchFunctionMode(), watch:
            watch.enter(model, (image,), {})
            watch.start(model, (image,), {})
            watch.leave(model, (image,), {}, model(image))
    return watch.finished


def _hook(stack: ExitStack, module: nn.Module, enter: Any, start: Any, leave: Any) -> None:
    """enter comes before all hooks of the user's, start and leave come after them."""
    handles = [
        module.register_forward_pre_hook(_mine(enter), prepend=True, with_kwargs=True),
        module.register_forward_pre_hook(_mine(start), with_kwargs=True),
        module.register_forward_hook(_mine(leave), with_kwargs=True),
    ]
    for handle in handles:
        stack.callback(handle.remove)


def _mine(hook: Callable[..., None]) -> Callable[..., None]:
    """A hook that sees the calls of this thread alone."""
    thread = threading.get_ident()

    def run(*args: Any) -> None:
        if threading.get_ident() == thread:
            hook(*args)

    return run


def own_parameters(module: nn.Module) -> Iterable[Tensor]:
    """Those that a module holds itself, or that its parametrizations make its weights of."""
    yield from module.parameters(recurse=False)
    if is_parametrized(module):
        yield from cast(nn.Module, module.parametrizations).parameters()
