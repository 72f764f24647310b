"""A user's model, differentiated by autograd: run as in eval, with gradients to what is asked alone, left as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from zfcuda.answers import scores_of
from zfcuda.misfit import misfit
from zfcuda.network import evaluating
from zfcuda.network.graph import first_line, submodules, unwrap
from zfcuda.network.intact import Watching, deterministic, restoring

_ADVICE = "; a module around the model that returns scores of its answer can be explained"


def module_of(model: Any) -> nn.Module:
    """The model itself, without what torch.compile or DataParallel wraps around it.

    Raises:
        TypeError: it is no module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    return unwrap(model)


@contextmanager
def differentiating(model: nn.Module, gradients: bool = True) -> Iterator[Watching]:
    """Within it the model may be run and differentiated, whatever mode the caller is in. What it gives takes hooks.

    gradients: whether autograd records from the beginning on.
    """
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(gradients),
        deterministic(),
        restoring(model, registered=False),
        evaluating(model),
        Watching(model) as watching,
    ):
        yield watching


def leaf_of(images: Tensor) -> Tensor:
    """The images as what gradients are asked of; a tensor made in inference mode takes part in no gradient."""
    return (images.clone() if images.is_inference() else images.detach()).requires_grad_()


def run(model: nn.Module, images: Tensor, *, copy: bool = True) -> Any:
    """What the model answers. It gets a copy of the images, which it may overwrite; copy: unless that is one already.

    Raises:
        ValueError: the images do not fit a layer, or a part of the model allows no gradients.
    """
    try:
        return _with_gradients(model)(images.clone() if copy else images)
    except RuntimeError as error:
        if "Inference tensors cannot be saved for backward" in str(error):
            raise ValueError(
                "model: a part of it runs in torch.inference_mode, where there are no gradients"
            ) from error
        known = misfit(error, model, images)
        if known is None:
            raise
        raise known from error


def logits_of(model: nn.Module, images: Tensor, *, copy: bool = True) -> Tensor:
    """What the model answers as scores [N,K], of 32 bits at least: a class is picked, and a target called, with these.

    copy: as run takes it.

    Raises:
        ValueError: the images do not fit a layer, or the answer is no scores.
    """
    logits = scores_of(run(model, images, copy=copy), len(images), advice=lambda answer: _ADVICE)
    return logits.float() if logits.dtype.itemsize < 4 else logits


def derivative(values: Tensor, seeds: Tensor, of: Tensor | GradientEdge) -> Tensor | None:
    """The derivative of the sum of values, weighted by seeds; None where autograd knows of no dependence.

    of: a tensor, or an edge of the graph that led to the values.

    Raises:
        ValueError: autograd cannot differentiate this.
    """
    return derivatives([values], [seeds], [of])[0]


def derivatives(
    values: Sequence[Tensor], seeds: Sequence[Tensor], of: Sequence[Tensor | GradientEdge]
) -> list[Tensor | None]:
    """The same of several values, whose weighted sums add up, by each of several tensors."""
    pairs = [(value, seed) for value, seed in zip(values, seeds, strict=True) if value.requires_grad]
    asked: Any = [each for each in of if not isinstance(each, Tensor) or each.requires_grad]
    if not pairs or not asked:
        return [None] * len(of)
    try:
        found = iter(torch.autograd.grad([v for v, _ in pairs], asked, [s for _, s in pairs], allow_unused=True))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if "can't allocate memory" in str(error):
            raise
        raise ValueError(f"model: autograd cannot differentiate it: {first_line(error)}") from error
    return [next(found) if not isinstance(each, Tensor) or each.requires_grad else None for each in of]


def check_finite(values: Tensor, what: str) -> None:
    """Refuses a model whose score or layer holds NaN or infinity. what: which of them, "model: the score"."""
    if not values.isfinite().all():
        raise ValueError(f"{what} is expected to be finite, got NaN or infinity")


def no_gradient(model: nn.Module, image: Tensor, what: str) -> ValueError:
    """The error for what does not depend on the image by gradients, with the layers that end them.

    Args:
        image: [1,C,H,W].
        what: "model: the score", or a layer.
    """
    ends: list[str] = []

    def look(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            outputs = output if isinstance(output, tuple | list) else [output]
            outputs = [x for x in outputs if isinstance(x, Tensor)]
            of_image = any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
            if of_image and outputs and not any(x.requires_grad for x in outputs):
                ends.append(f"layer {name!r} ({type(module).__name__})")

        return hook

    with differentiating(model) as watching:
        for name, module in submodules(model).items():
            if not isinstance(module, torch.jit.ScriptModule):
                watching.add(module, look(name))
        with suppress(Exception):  # of what fails behind the layer that is asked about
            run(model, leaf_of(image))
    where = f"they end in {', '.join(ends[:3])}" if ends else f"they end in the forward of {type(model).__name__}"
    return ValueError(
        f"{what} does not depend on the image by gradients; {where}, which detaches values, gives whole numbers, or "
        "runs under torch.no_grad"
    )


def _with_gradients(model: nn.Module) -> Callable[[Tensor], Any]:
    """The model with weights that autograd takes: those made in inference mode are copied."""
    tensors = (chain(module._parameters.values(), module._buffers.values()) for module in model.modules())
    if not any(tensor is not None and tensor.is_inference() for tensor in chain.from_iterable(tensors)):
        return model
    named = chain(model.named_parameters(), model.named_buffers())
    copies = {name: tensor.detach().clone() for name, tensor in named if tensor.is_inference()}
    return lambda images: torch.func.functional_call(model, copies, (images,))
