"""The sanity check: does a map change when the network forgets what it has learned?"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zfcuda.complaint import one_line
from zfcuda.faithfulness.scored import Scored
from zfcuda.faithfulness.similarity import magnitudes, rank_correlation, ssim
from zfcuda.inputs import integer
from zfcuda.methods import Compute
from zfcuda.methods import method as method_named
from zfcuda.network.graph import unwrap
from zfcuda.network.intact import evaluating
from zfcuda.shown import Display, Displayed, Table
from zfcuda.shown.plot import bars


class Similarity(NamedTuple):
    """How alike a map is to the one of the network as it was.

    Attributes:
        rank: Spearman's rank correlation of the two, sign and all: 1 where the order of the pixels is the same.
        rank_of_magnitudes: the same of their magnitudes; of maps without a sign the same number.
        ssim: the structural similarity of their magnitudes, each scaled so that its largest is 1.
    """

    rank: float
    rank_of_magnitudes: float
    ssim: float


class Randomization(Displayed, list[tuple[str, Similarity]]):
    """How alike the maps stayed, layer by layer in the order in which these were shuffled."""

    def display(self) -> Display:
        """A row for each layer."""
        rows = [[layer, *each] for layer, each in self]
        said = "how alike the map stays while the layers are shuffled, one after the other"
        return Display("Randomization", [("similarity", said)], tables=[Table(["layer", *Similarity._fields], rows)])

    def plot(self, ax: Any = None) -> Any:
        """Draws the rank correlation after each layer with matplotlib, and returns the Axes.

        ax: matplotlib's Axes; None: those of a new figure.

        Raises:
            ImportError: matplotlib is not installed.
        """
        return bars([layer for layer, _ in self], [each.rank for _, each in self], "rank correlation with the map", ax)


def randomization(
    model: nn.Module, image: Any, method: str | Compute, *, target: int | str | Tensor | None = None, seed: int = 0
) -> Randomization:
    """How much of a map stays while the weights are shuffled layer by layer, from the top down (Adebayo et al. 2018).

    In each layer in turn, the last one first, the values of each parameter trade places at random; those above it stay
    shuffled. So every layer keeps the values that it has, and loses what they were learned for. A method that shows
    what the network has learned draws another map then; one whose map stays shows the image.

    All of it happens to a copy of the model.

    Args:
        model: images [N,C,H,W] -> [N,classes], in any mode.
        image: [C,H,W] or [1,C,H,W]; or a picture, where the model carries its preprocess.
        method: the name of one of zfcuda.methods, or a callable: a model, images [N,C,H,W] and a class index for each
            -> maps [N,H,W].
        target: the class, index or name; None: the most probable class of the image, as the model is given.
        seed: of the shuffling.

    Returns:
        For each layer that has parameters of its own, in the order in which they are shuffled, its name and the
        similarity of the map from there on.

    Raises:
        TypeError, ValueError: naming the argument, before anything is shuffled: there is no such method, the model has
            no parameters or cannot be copied, the method gives something else than a map or values that are not finite.
    """
    compute = method if callable(method) else method_named(method).compute
    if callable(target):
        raise TypeError(f"target: expected a class index or name or None, got {target!r}")
    scored = Scored(model, image, target)
    assert isinstance(scored.target, int)
    shuffles = shuffled_from_the_top(scored.model, seed)  # before the first map
    first = _map(compute, scored.model, scored.image, scored.target)
    return Randomization(
        (layer, similarity(_map(compute, changed, scored.image, scored.target), first)) for layer, changed in shuffles
    )


def similarity(map: Tensor, first: Tensor) -> Similarity:
    """How alike two maps [H,W] are.

    Raises:
        TypeError, ValueError: they are not maps of one size, or not finite.
    """
    sizes, sizes_first = magnitudes(map), magnitudes(first)
    return Similarity(rank_correlation(map, first), rank_correlation(sizes, sizes_first), ssim(sizes, sizes_first))


def shuffled_from_the_top(model: nn.Module, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """A copy of a model whose layers are shuffled one after the other, the last one first.

    Yields:
        The name of the layer that has just been shuffled, and the copy, which is the same each time.

    Raises:
        TypeError, ValueError: (at once) naming the argument.
    """
    seed = integer("seed", seed)
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed: expected 0 to {2**63 - 1}, got {seed}")
    changed = _copied(unwrap(model))
    layers = _with_parameters(changed)
    if not layers:
        raise ValueError(f"model: expected parameters to shuffle, got {type(model).__name__} without any")

    def shuffles() -> Iterator[tuple[str, nn.Module]]:
        random = torch.Generator().manual_seed(seed)
        done: set[int] = set()
        for name, parameters in reversed(layers):
            with torch.inference_mode(False), torch.no_grad():
                for parameter in parameters:
                    if id(parameter) not in done:  # two layers may share one
                        done.add(id(parameter))
                        order = torch.randperm(parameter.numel(), generator=random).to(parameter.device)
                        parameter.copy_(parameter.flatten()[order].view_as(parameter))
            yield name, changed

    return shuffles()


def _with_parameters(model: nn.Module) -> list[tuple[str, list[nn.Parameter]]]:
    """The layers that have parameters of their own, in the order in which the model registers them."""
    found = [(name, list(module.parameters(recurse=False))) for name, module in model.named_modules()]
    return [(name or "the model itself", parameters) for name, parameters in found if parameters]


def _copied(model: nn.Module) -> nn.Module:
    """A copy that shares nothing with the model.

    What a forward left on a module, like the weight that weight_norm computes, has a history, and torch copies no such
    tensor: the copy gets its numbers.
    """
    known: dict[int, Any] = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        with torch.inference_mode(False):
            return copy.deepcopy(model, known)
    except Exception as error:
        raise TypeError(
            f"model: expected one that can be copied, got {type(model).__name__}: {one_line(str(error))}"
        ) from error


def _map(compute: Compute, model: nn.Module, image: Tensor, target: int) -> Tensor:
    with evaluating(model):
        maps = compute(model, image.clone(), [target])  # who is given it may write to it
    size = [1, *image.shape[2:]]
    if not isinstance(maps, Tensor) or list(maps.shape) != size:
        got = f"shape {list(maps.shape)}" if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(f"method: expected it to give maps {size}, got {got}")
    if not maps.isfinite().all():
        raise ValueError("method: expected it to give finite values, got NaN or infinity")
    return maps[0].detach()
