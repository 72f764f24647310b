"""The walk back through random networks of steps that can be undone: with the gradient's rules it is autograd's."""

from __future__ import annotations

import os
import re
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tests.backward.test_rules import EXACT
from tests.harness.random_networks import UNDONE, named_maps, networks, normal
from zfcuda.backward import UnprojectableError
from zfcuda.backward.guided_backprop import RULES
from zfcuda.backward.many import walk_each
from zfcuda.backward.walk import walk_back
from zfcuda.network import trace

EXAMPLES = int(os.environ.get("ZFCUDA_EXAMPLES", "0"))  # 0: the same few at each run
RANDOM = {
    "deadline": None,
    "derandomize": EXAMPLES == 0,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


# What the harness draws besides, in heads and sums, and has no rule.
NO_RULE = re.compile(
    "(?i)maximum|abs|exp in|softmax|sigmoid|tanh|silu|gelu|elu|swish|softplus|mish|amax|dilation|AdaptiveMaxPool|"
    "more than one of its factors"
)


def drawn(data: st.DataObject, most: int) -> tuple[nn.Module, Tensor, str, Tensor]:
    """A network in float64, an image [1,C,H,W] of at most so many rows and columns, a layer, and its value."""
    size = data.draw(st.tuples(st.integers(1, 4), st.integers(9, most), st.integers(9, most)))
    image = normal(size, data.draw(st.integers(0, 1 << 16)))
    model = data.draw(networks(image, kinds=UNDONE)).double()
    image = image.double()[None]
    layer = data.draw(st.sampled_from(named_maps(model, image[0])))
    network = trace(model, image)
    with torch.no_grad():
        value: Tensor = network.run(image, [network.node(layer).index])[network.node(layer).index]
    return model, image, layer, value


def gradient(model: nn.Module, image: Tensor, layer: str, seeds: Tensor) -> Tensor:
    """Of the last value of a layer, by torch.autograd."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output.clone())  # before anything overwrites it

    handle = model.get_submodule(layer).register_forward_hook(keep)
    x = image.clone().requires_grad_()
    model(x * 1)
    handle.remove()
    parts = [torch.autograd.grad(seen[-1], x, seed[None], retain_graph=True, allow_unused=True)[0] for seed in seeds]
    return torch.cat([torch.zeros_like(image) if part is None else part for part in parts])


@settings(max_examples=EXAMPLES or 60, **RANDOM)
@given(data=st.data())
def test_the_gradient_is_that_of_autograd(data: st.DataObject) -> None:
    model, image, layer, value = drawn(data, 24)
    if value.ndim not in (2, 4) or not value.isfinite().all():
        return
    seeds = normal((2, *value.shape[1:]), 1).double()
    expected = gradient(model, image, layer, seeds)
    with torch.inference_mode(data.draw(st.booleans())):
        try:
            found = walk_back(trace(model, image), image, layer, lambda _: seeds, EXACT)
        except UnprojectableError as error:  # what those steps of the harness draw that no rule is for
            assert NO_RULE.search(str(error)), error
            return
    assert (found - expected).abs().max() <= 1e-9 * expected.abs().max() + 1e-12


@settings(max_examples=EXAMPLES or 40, **RANDOM)
@given(data=st.data())
def test_the_gradient_of_a_batch_is_that_of_each_image(data: st.DataObject) -> None:
    size = data.draw(st.tuples(st.integers(1, 4), st.integers(9, 20), st.integers(9, 20)))
    batch = torch.stack([normal(size, seed) for seed in (data.draw(st.integers(0, 1 << 16)), 1, 2)])
    model = data.draw(networks(batch[0], kinds=UNDONE)).double()
    batch = batch.double()
    layer = data.draw(st.sampled_from(named_maps(model, batch[0])))
    network = trace(model, batch[:1])
    with torch.no_grad():
        output = network.node(layer).index
        values = [network.run(image[None], [output])[output] for image in batch]
    if values[0].ndim not in (2, 4) or not all(value.isfinite().all() for value in values):
        return
    seeds = normal((3, *values[0].shape[1:]), 1).double()
    expected = torch.cat(
        [gradient(model, image[None], layer, seed[None]) for image, seed in zip(batch, seeds, strict=True)]
    )
    try:
        found = walk_each(model, batch, layer, lambda _, images: seeds[images], EXACT)
    except UnprojectableError as error:
        assert NO_RULE.search(str(error)), error
        return
    assert (found - expected).abs().max() <= 1e-9 * expected.abs().max() + 1e-12


class Guide(torch.autograd.Function):
    """min(max(x, low), high), of which nothing negative comes back where there is a lower end."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, low: float | None, high: float | None, inclusive: bool) -> Tensor:
        below, above = -torch.inf if low is None else low, torch.inf if high is None else high
        ends = (input == below) | (input == above)
        ctx.save_for_backward(((input > below) & (input < above)) | (ends if inclusive else torch.zeros_like(ends)))
        ctx.rectifies = low is not None
        return input.clamp(below, above)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        return (grad.clamp(min=0) if ctx.rectifies else grad) * ctx.saved_tensors[0], None, None, None


class Guiding(TorchFunctionMode):
    """Every rectifier of the harness, whatever it is called by, guides: an answer that follows no graph."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        clamp = lambda x, min=None, max=None: (min, max)  # noqa: E731
        writing = (torch.relu_, Tensor.relu_)
        ends = {
            **dict.fromkeys((F.relu, torch.relu, Tensor.relu, *writing), lambda x, inplace=False: (0, None)),
            F.relu6: lambda x, inplace=False: (0, 6),
            F.hardtanh: lambda x, min_val=-1, max_val=1, inplace=False: (min_val, max_val),
            Tensor.clamp: clamp,
            Tensor.clamp_: clamp,
        }
        if func not in ends:
            return func(*args, **kwargs)
        x = args[0]
        value = Guide.apply(x.clone(), *ends[func](*args, **kwargs), ends[func] is clamp)
        in_place = func in (Tensor.clamp_, *writing) or kwargs.get("inplace") or args[-1] is True
        return x.copy_(value) if in_place else value


@settings(max_examples=EXAMPLES or 60, **RANDOM)
@given(data=st.data())
def test_guided_signals_are_those_of_guided_rectifiers(data: st.DataObject) -> None:
    model, image, layer, value = drawn(data, 20)
    if value.ndim not in (2, 4) or not value.isfinite().all():
        return
    seeds = normal((1, *value.shape[1:]), 1).double()
    try:
        found = walk_each(model, image, layer, lambda *_: seeds, RULES)
    except UnprojectableError as error:
        assert NO_RULE.search(str(error)) or "negative values through" in str(error), error
        return
    with Guiding():
        expected = gradient(model, image, layer, seeds)
    assert (found - expected).abs().max() <= 1e-9 * expected.abs().max() + 1e-12
