"""What the layers of a network, and its answer, make of the changes of one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.answers import scores_of
from zfcuda.features.loading import placed
from zfcuda.independence import coupling
from zfcuda.inputs import normalization, probabilities
from zfcuda.memory.budget import ShrinkingBatches
from zfcuda.network.graph import submodules
from zfcuda.network.intact import Watching, evaluating, restoring
from zfcuda.network.trace import RECORDING
from zfcuda.paper.invariance.canvas import Canvas
from zfcuda.paper.invariance.changes import DISC, TURN, Change
from zfcuda.paper.reading import check_finite

_AT_A_TIME = 30


@dataclass(frozen=True)
class Response:
    """What came of images.

    Attributes:
        logits: [n,classes] float32.
        features: of each layer, [n,D].
    """

    logits: Tensor
    features: dict[str, Tensor]


class Responses:
    """A network whose layers are watched while it runs.

    Args:
        model: unwrapped, in any mode; it is run as in eval, and left as it was.
        layers: names as the model itself calls them.
        image: [1,C,H,W], of those that are to come.

    Raises:
        ValueError: the model gives no scores, or a layer no numbers, or NaN or infinity.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str], image: Tensor) -> None:
        self.layers, self.model = list(layers), model
        with restoring(model):
            first = self._forward(placed(image, model))  # what does not fit is told here
        for name, values in zip((*layers, "its output"), (*first[1:], first[0]), strict=True):
            check_finite(name, values)
        with RECORDING, restoring(model):
            apart = coupling(lambda batch: self._forward(batch), [placed(image, model)]) is None
        #: Whether images of a batch leave one another alone, so that many may run together.
        self._together = apart
        self._batches = ShrinkingBatches(_AT_A_TIME)

    def __call__(self, images: Tensor) -> Response:
        """Of images [n,C,H,W]."""
        some = [images] if self._together else images.split(1)
        with restoring(self.model), torch.no_grad():
            parts = [self._forward(placed(each, self.model)) for each in some]
        found = [torch.cat(column) for column in zip(*parts, strict=True)]
        return Response(
            found[0].float(), {name: value.flatten(1) for name, value in zip(self.layers, found[1:], strict=True)}
        )

    def record(self, canvas: Canvas, changes: Sequence[Change], target: int | None) -> dict[str, Any]:
        """What the changes of one picture come to, fit for JSON.

        The original runs in every batch beside the changed ones, so that what changes nothing is at a distance of 0.

        Args:
            target: the class whose probability is kept; None: the one that the network gives to the original.
        """
        originals = [Change(TURN, 0, "reflect"), Change(DISC, 0, "reflect")]
        logits: list[Tensor] = []
        distances: dict[str, list[Tensor]] = {layer: [] for layer in self.layers}
        norms: dict[str, list[float]] = {}
        first: Tensor | None = None

        def work(batch: slice) -> None:
            nonlocal first
            some = changes[batch]
            seen = self(canvas.changed([*originals, *some]))
            to = torch.tensor([int(change.disc) for change in some], device=seen.logits.device)
            apart = {}
            for layer, values in seen.features.items():
                apart[layer] = torch.linalg.vector_norm(values[2:] - values[to], dim=1, dtype=torch.float64).cpu()
                norms.setdefault(layer, torch.linalg.vector_norm(values[:2], dim=1).tolist())
            first = seen.logits[:2].cpu() if first is None else first
            logits.append(seen.logits[2:].cpu())
            for layer in self.layers:
                distances[layer].append(apart[layer])

        self._batches.run(len(changes), work)
        assert first is not None
        how = normalization(first)
        label = int(first[0].argmax()) if target is None else target
        answers = torch.cat(logits)
        return {
            "label": label,
            "known": target is not None,
            "original": probabilities(first, how)[:, label].tolist(),
            "probability": probabilities(answers, how)[:, label].tolist(),
            "answer": answers.argmax(1).tolist(),
            "distances": {layer: torch.cat(values).tolist() for layer, values in distances.items()},
            "norms": norms,
        }

    def _forward(self, images: Tensor) -> list[Tensor]:
        found: dict[str, Tensor] = {}

        def kept(layer: str) -> Any:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                if not isinstance(output, Tensor):
                    raise ValueError(
                        f"layers: expected ones that give a Tensor, got {layer!r}: {type(output).__name__}"
                    )
                found[layer] = output.detach().clone()  # what comes behind may overwrite it

            return hook

        watching = Watching(self.model)
        there = submodules(self.model)
        for layer in self.layers:
            watching.add(there[layer], kept(layer))
        with evaluating(self.model), torch.no_grad(), watching:
            logits = scores_of(self.model(images), len(images))
        missing = [layer for layer in self.layers if layer not in found]
        if missing:
            raise ValueError(f"layers: {missing[0]!r} is not called when the model runs")
        return [logits, *(found[layer] for layer in self.layers)]
