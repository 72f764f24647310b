"""A model that an image is made for: what its layers say of images, run no further than is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.autograd import differentiating, logits_of, module_of, run
from zfcuda.independence import coupling
from zfcuda.inputs import checked_layer
from zfcuda.network.graph import spoken_shape, submodules, wrapper_of
from zfcuda.network.intact import restoring
from zfcuda.network.trace import RECORDING
from zfcuda.synthesis.precision import wide


class Enough(BaseException):
    """Ends a forward behind the last layer that is asked for; a model's own `except Exception` does not see it."""


@dataclass
class Seen:
    """What a model says of a batch of images, for objectives.

    Attributes:
        images: [N,C,H,W], before any transform; what priors look at.
        layers: by name, maps [N,K,h,w] or vectors [N,K], of the images as they were transformed.
        logits: [N,classes], float32 at least; None where no objective asks for them.
        classes: the model's `.classes`, where it has some.
        step: the number of the step, from 0.
        first: the number of the first of these images in the whole batch, of which they may be a part.
        total: how many images the batch has.
    """

    images: Tensor
    layers: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None
    classes: Any = None
    step: int = 0
    first: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        self.total = self.total or len(self.images)

    def scores(self) -> Tensor:
        """The logits, of a pass that computed them."""
        assert self.logits is not None, "an objective that reads logits says so"
        return self.logits

    def of(self, image: int) -> Seen:
        """What the model says of one image of the batch."""
        one = slice(image, image + 1)
        layers = {name: value[one] for name, value in self.layers.items()}
        return replace(
            self, images=self.images[one], layers=layers, logits=None if self.logits is None else self.logits[one]
        )


class Watched:
    """Runs a model and keeps the outputs of layers; see :func:`watching`.

    Attributes:
        called: layers as they were given -> as the model itself calls them.
    """

    def __init__(self, model: nn.Module, called: Mapping[str, str], logits: bool) -> None:
        self._model, self.called, self._logits = model, called, logits
        self._kept: dict[str, Tensor] = {}
        self._calls: dict[str, int] = {}
        self._expected: dict[str, int] = {}  # how often each layer is called; known after the first run
        self._over = False  # whether a run has all that it is for; a model's bare `except:` may go on
        self.leave_alone: Callable[[nn.Module], None] = lambda module: None

    def __call__(self, images: Tensor, *, of: Tensor | None = None, step: int = 0) -> Seen:
        """Runs the model on images [N,C,H,W].

        Args:
            of: the images before they were transformed; None: the same.

        Raises:
            ValueError: a layer is never called, or is no map and no vector of floating numbers for each image; the
                images do not fit; the answer is asked for and is no scores.
        """
        logits = None
        self._kept.clear()
        self._calls.clear()
        self._over = False
        try:
            if self._logits:
                logits = logits_of(self._model, images)
            elif self.called:
                run(self._model, images)
        except Enough:
            pass
        except Exception:  # what fails behind the layers does not matter: a head may not fit images of this size
            if self._logits or not self._kept.keys() >= set(self.called.values()):
                raise
        for name in self.called.values():
            if name not in self._kept:
                raise ValueError(f"layer: {name!r} is never called by the model's forward")
            _check(name, self._kept[name], len(images))
        self._expected = dict(self._calls)
        layers = {given: self._kept[name] for given, name in self.called.items()}
        classes = getattr(self._model, "classes", None)
        return Seen(images if of is None else of, layers, logits, classes, step)

    def coupling(self, image: Tensor) -> str | None:
        """Says what couples the images of a batch in what is watched; None: each is proven to be seen by itself.

        Args:
            image: [1,C,H,W], of which shape, dtype and device are used.
        """

        def seen(stand_ins: Tensor) -> list[Tensor]:
            found = self(stand_ins)
            return [*found.layers.values(), *([] if found.logits is None else [found.logits])]

        with RECORDING, restoring(self._model):
            return coupling(seen, [image])

    def hook(self, name: str) -> Callable[..., Any]:
        """Keeps a layer's output, as of its last call, and ends the forward where nothing more is needed."""

        def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if self._over:
                return
            self._calls[name] = self._calls.get(name, 0) + 1
            if not self._logits and self._calls == self._expected:
                self._kept[name], self._over = output, True
                raise Enough
            # What follows may write to it, or to what it is a view of.
            self._kept[name] = output.clone() if isinstance(output, Tensor) else output

        return keep


@contextmanager
def watching(model: nn.Module, layers: Iterable[str], *, logits: bool = False) -> Iterator[Watched]:
    """Keeps layers of a model while it runs within the block, as in eval and with gradients; then it is as it was.

    Args:
        model: maybe in a wrapper.
        layers: their names, of the model or of the wrapper.
        logits: whether its answer is needed.

    Raises:
        TypeError, ValueError: as :func:`zfcuda.inputs.checked_layer`.
    """
    inner, wrapper = module_of(model), wrapper_of(model)
    called = {layer: checked_layer(layer, inner, wrapper) for layer in layers}
    there = submodules(inner)
    with differentiating(inner) as hooks:
        watched = Watched(inner, called, logits)
        for name in dict.fromkeys(called.values()):
            hooks.add(there[name], watched.hook(name))
        # A hook that does nothing keeps a layer from being computed together with its neighbours.
        watched.leave_alone = lambda module: hooks.add(module, lambda *_: None)
        yield watched


def code_of(model: nn.Module, image: Tensor, layer: str) -> Tensor:
    """What a layer answers to an image [1,C,H,W]: [1,K,h,w] or [1,K], float32 at least.

    Args:
        model: maybe in a wrapper.
        layer: its name.
    """
    with watching(model, [layer]) as watched, torch.no_grad():
        return wide(watched(image).layers[layer].clone())


def _check(name: str, value: Any, count: int) -> None:
    if not isinstance(value, Tensor) or value.ndim not in (2, 4) or len(value) != count:
        kind = spoken_shape(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"layer: expected a map [N,K,h,w] or a vector [N,K], got {kind} from {name!r}")
    if not value.is_floating_point():
        raise ValueError(f"layer: expected floating values, got {value.dtype} from {name!r}")
