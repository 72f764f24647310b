"""zfcuda.Occlusion: Captum's interface to occlusion, and its rules."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from tqdm import tqdm

from zfcuda.inputs import check_plain
from zfcuda.occlusion.any_function import Forward, Grid, run
from zfcuda.occlusion.captum_target import repeat_target, select_target
from zfcuda.occlusion.dispatch import run_windows
from zfcuda.occlusion.watched_model import WatchedModel

Number = int | float
Baselines = Tensor | Number | tuple[Tensor | Number, ...] | None
Target = int | tuple[Any, ...] | list[int] | list[tuple[int, ...]] | Tensor | Callable[[Any], Tensor] | None
Inputs = TypeVar("Inputs", Tensor, tuple[Tensor, ...])
P = ParamSpec("P")
R = TypeVar("R")


def _wrapped(method: Callable[P, R]) -> Callable[P, R]:
    """Gives the method the attribute __wrapped__, which Captum's NoiseTunnel asks of the method that it wraps."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return method(*args, **kwargs)

    return call


class Occlusion:
    """Occlusion as captum.attr.Occlusion does it (Zeiler & Fergus, section 4.2), for any function.

    A window is moved over the input and replaced by a baseline. The attribution of an element is the mean, over the
    windows that cover it, of f(x) - f(occluded x). A model in eval mode that turns images [N,C,H,W] into
    [N,classes] is run by the engine of zfcuda.occlusion_map where the window covers all channels; anything else window
    by window.

    forward_func: a module or function of one or more Tensors [N,..] that returns a Tensor [N,..], or one that does not
        grow with the batch: a Tensor or a number for all examples together. It runs as it is, in its training mode and
        with its hooks, without gradients. The batch that it gets is used again for the next call: clone what is kept.
        Before calls with several windows it is called once with stand-ins that have shapes and no numbers, which shows
        whether the examples of a batch influence one another.
    """

    use_weights = True

    def __init__(self, forward_func: Callable[..., Any]) -> None:
        self.forward_func = forward_func

    @_wrapped
    def attribute(
        self,
        inputs: Inputs,
        sliding_window_shapes: tuple[int, ...] | tuple[tuple[int, ...], ...],
        strides: int | tuple[int, ...] | tuple[int | tuple[int, ...], ...] | None = None,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: Any = None,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
    ) -> Inputs:
        """What each element of the inputs adds to the target's output.

        Args:
            inputs: Tensor [N,..] of any dtype, or a tuple of them, of any rank, one per argument of forward_func.
            sliding_window_shapes: the window without the batch dimension, (3, 15, 15) for images; a tuple of such
                for several inputs, and ((),) for a single input [N].
            strides: steps per dimension, a tuple; an int for all dimensions; for several inputs a tuple with an int or
                a tuple for each; None: 1. There are ceil((size - window) / stride) + 1 windows along a dimension, the
                last one cut off at the border.
            baselines: what replaces the window: a number or a Tensor broadcastable to the input, which gives the values
                at the same place; a tuple with one for each input; None: 0.
            target: the output of each example that counts, by its index: int; tuple, for outputs of more dimensions;
                list of either or Tensor [N], one per example; a callable on what forward_func returns, [n,classes] ->
                [n]; None: all outputs.
            additional_forward_args: further arguments of forward_func, a tuple or a single one. A Tensor is repeated
                along its first dimension where a call takes several windows.
            perturbations_per_eval: windows per call of forward_func, at most. It sets memory and speed alone: where
                forward_func is not proven to compute the examples of a batch independently, each call gets one window;
                and the engine chooses for itself, within a quarter of the free memory.
            show_progress: write a bar with the time left to stderr.

        Returns:
            As inputs, Tensor or tuple: float32 of the input's shape and on its device, whatever the input's dtype.
            Where forward_func gives several outputs per example, or one for the batch, the first dimension counts
            outputs.

        Raises:
            AssertionError: naming the argument: a window larger than the input; a stride that is not positive, or that
                is larger than the window where the window does not cover the dimension; a tuple of the wrong length; a
                target or baseline of the wrong type; several windows per call for outputs that do not grow with the
                batch.
            IndexError: a target outside the outputs; too few baselines; sliding_window_shapes=().
            RuntimeError: a baseline that does not broadcast to the input; a window of negative size; a forward_func
                that returns bool or complex numbers.
            TypeError: a window or stride that is not an integer; a forward_func that cannot be called.
            AttributeError: something else than a Tensor in a tuple of inputs; an index as target where forward_func
                does not return a Tensor.
        """
        tensors = _tensors(inputs)
        grids = _grids(tensors, sliding_window_shapes, strides)
        values = _baselines(baselines, tensors)
        if not isinstance(perturbations_per_eval, int) or perturbations_per_eval < 1:
            raise AssertionError(f"perturbations_per_eval: expected a positive integer, got {perturbations_per_eval!r}")
        arguments: Any = () if additional_forward_args is None else additional_forward_args
        if not isinstance(arguments, tuple):
            arguments = (arguments,)
        forward = Forward(self.forward_func, target, arguments)
        calls = 1 + math.ceil(sum(math.prod(grid.counts) for grid in grids) / perturbations_per_eval)
        bar = tqdm(total=calls, desc=f"{self.get_name()} attribution", disable=not show_progress)
        with torch.no_grad(), bar:
            fills = [_fill(value, x) for value, x in zip(values, tensors, strict=False)]
            mean = None
            if len(tensors) == 1 and not arguments:
                mean = _by_engine(self.forward_func, tensors[0], fills[0], grids[0], target, show_progress)
            if mean is None:
                means = run(forward, tensors, fills, grids, perturbations_per_eval, bar)
            else:
                means = (mean,)
                bar.update(calls)
        return means if isinstance(inputs, tuple) else means[0]

    def attribute_future(self, *args: Any, **kwargs: Any) -> None:
        """Raises, as Captum's occlusion does.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("attribute_future is not implemented for Occlusion")

    @property
    def multiplies_by_inputs(self) -> bool:
        """True, as for all methods of Captum that perturb the input."""
        return True

    def has_convergence_delta(self) -> bool:
        """False: the attributions need not add up to anything."""
        return False

    @classmethod
    def get_name(cls) -> str:
        """The class's name in words."""
        return "".join(c if c.islower() or i == 0 else f" {c}" for i, c in enumerate(cls.__name__))


def _tensors(inputs: Any) -> tuple[Tensor, ...]:
    if isinstance(inputs, Tensor):
        check_plain("inputs", inputs)
        return (inputs,)
    if not isinstance(inputs, tuple):
        kind = TypeError if inputs is None else AssertionError
        raise kind(f"inputs: expected a Tensor or a tuple of Tensors, got {type(inputs).__name__}")
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor):
            raise AttributeError(f"inputs: expected Tensors, got {type(x).__name__} at {i}")
        check_plain(f"inputs: at {i}", x)
    return inputs


def _grids(inputs: tuple[Tensor, ...], windows: Any, strides: Any) -> list[Grid]:
    if strides is None:
        strides = (1,) * len(inputs)
    if len(inputs) == 1 and not (isinstance(strides, tuple) and len(strides) == 1):
        strides = (strides,)
    if not isinstance(strides, tuple) or len(strides) != len(inputs):
        raise AssertionError(f"strides: expected one for each of {len(inputs)} inputs, got {strides!r}")
    for i, (x, stride) in enumerate(zip(inputs, strides, strict=True)):
        if not isinstance(stride, int) and not (isinstance(stride, tuple) and len(stride) == x.dim() - 1):
            raise AssertionError(
                f"strides: expected an int or {x.dim() - 1} of them for input {i} of shape {list(x.shape)}, "
                f"got {stride!r}"
            )
    if not hasattr(windows, "__getitem__"):
        raise TypeError(f"sliding_window_shapes: expected a tuple, got {windows!r}")
    if len(windows) == 0:
        raise IndexError("sliding_window_shapes: () is empty; the window of an input [N] is given as ((),)")
    if isinstance(windows[0], int):
        windows = (windows,)
    if len(windows) != len(inputs):
        raise AssertionError(f"sliding_window_shapes: expected one for each of {len(inputs)} inputs, got {windows!r}")
    for i, (x, window) in enumerate(zip(inputs, windows, strict=True)):
        if not isinstance(window, tuple) or len(window) != x.dim() - 1:
            raise AssertionError(
                f"sliding_window_shapes: expected a tuple of {x.dim() - 1} for input {i} of shape {list(x.shape)}, "
                f"got {window!r}"
            )
    return [
        _grid(tuple(x.shape[1:]), window, stride) for x, window, stride in zip(inputs, windows, strides, strict=True)
    ]


def _grid(size: tuple[int, ...], window: tuple[Any, ...], stride: Any) -> Grid:
    steps = stride if isinstance(stride, tuple) else (stride,) * len(size)
    window, steps = _integers("sliding_window_shapes", window), _integers("strides", steps)
    if any(w < 0 for w in window):
        raise RuntimeError(f"sliding_window_shapes: expected no negative size, got {window}")
    if any(w > length for w, length in zip(window, size, strict=True)):
        raise AssertionError(f"sliding_window_shapes: {window} is larger than the input, {size}")
    if any(s < 1 for s in steps):
        raise AssertionError(f"strides: expected positive steps, got {stride!r}")
    if any(s > w != length for s, w, length in zip(steps, window, size, strict=True)):
        raise AssertionError(f"strides: {stride!r} is larger than the window {window}, and would leave gaps")
    return Grid(size, window, steps)


def _integers(name: str, values: tuple[Any, ...]) -> tuple[int, ...]:
    try:
        return tuple(operator.index(v) for v in values)
    except TypeError:
        raise TypeError(f"{name}: expected integers, got {values!r}") from None


def _baselines(baselines: Any, inputs: tuple[Tensor, ...]) -> tuple[Any, ...]:
    if baselines is None:
        return tuple(False if x.dtype == torch.bool else 0 for x in inputs)
    if not isinstance(baselines, tuple):
        baselines = (baselines,)
    for value in baselines:
        if not isinstance(value, Tensor | int | float):
            raise AssertionError(f"baselines: expected a Tensor or a number, got {value!r}")
        if isinstance(value, Tensor):
            check_plain("baselines", value)
    if len(baselines) < len(inputs):
        raise IndexError(f"baselines: {len(baselines)} for {len(inputs)} inputs")
    return baselines


def _fill(value: Any, x: Tensor) -> Tensor:
    """The baseline in x's shape, and in the dtype that occluded inputs have: x's, or what both promote to."""
    # Multiplied by a one of x's dtype, not converted: 0.5 must not become 0 for an integer input.
    fill = (value[None] if isinstance(value, Tensor) else value) * torch.ones(1, dtype=x.dtype, device=x.device)
    while fill.dim() > x.dim() and len(fill) == 1:
        fill = fill[0]
    try:
        return fill.expand(x.shape)
    except RuntimeError:
        shape = list(fill.shape)
        raise RuntimeError(f"baselines: shape {shape} does not broadcast to the input's {list(x.shape)}") from None


def _by_engine(
    forward_func: Any, images: Tensor, fill: Tensor, grid: Grid, target: Any, progress: bool
) -> Tensor | None:
    """The attributions, float32 [outputs,C,H,W]; None where the engine would not do what forward_func does."""
    model = _unwrapped(forward_func)
    suits = (
        model is not None
        and images.dim() == 4
        and images.numel() > 0
        and images.dtype in (torch.float32, torch.float16, torch.bfloat16)  # the engine's outputs are float32
        and fill.dtype == images.dtype
        and grid.counts[0] == 1
        and not torch.is_autocast_enabled(images.device.type)
    )
    if model is None or not suits:
        return None
    try:
        with torch.inference_mode(False), torch.no_grad():  # an inference tensor has no version
            batch = images.detach().clone()
        whole = model(batch)
        # The engine takes images one by one, and twice: a batch that is changed or answered as a whole is not for it.
        if batch._version or not isinstance(whole, Tensor) or whole.dim() != 2 or len(whole) != len(images):
            return None
        initial = select_target(whole, target)
        if not isinstance(initial, Tensor) or initial.shape[:1] != whole.shape[:1]:
            return None
        if len(images) > 1 and WatchedModel(model, None, None).coupling(images[0]) is not None:
            return None  # the engine takes them one by one
        (_, height, width), (_, down, right) = grid.window, grid.stride
        ran = run_windows(model, batch, fill, (height, width), (down, right), method="auto", progress=progress)
        largest = float(whole.abs().max())
        if not torch.allclose(ran.base_logits, whole.float(), rtol=1e-2, atol=1e-2 * largest):
            return None
    except Exception:
        return None  # refused; an error of the user's model comes again, from forward_func itself
    windows = math.prod(grid.counts)
    every = ran.logits.transpose(0, 1).flatten(0, 1)  # [windows * N,classes]
    occluded = select_target(every, repeat_target(target, windows))
    base = select_target(ran.base_logits, target)
    if base.shape != initial.shape or occluded.shape != (windows * len(base), *base.shape[1:]):
        return None  # a callable that takes the batch together
    drop = base.reshape(1, -1) - occluded.reshape(windows, -1)
    return grid.mean(drop.T.reshape(-1, *grid.counts))


def _unwrapped(function: Any) -> nn.Module | None:
    """The model inside torch.compile's and the parallel wrappers, if it does in the engine what it does by itself."""
    model = function
    while isinstance(model, nn.Module):
        if torch_module._has_any_global_hook() or any(map(_hooked, model.modules())):
            return None
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = model.module
        if inner is None:
            break
        model = inner
    if not isinstance(model, nn.Module) or any(getattr(module, "training", False) for module in model.modules()):
        return None
    return model


def _hooked(module: nn.Module) -> bool:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, kind, None) for kind in kinds)
