"""Projector: one projection of many images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zfcuda.backward.deconvnet import Projections, deconvnet_rules, project, shown_projections, warn_of_silence
from zfcuda.backward.units import UnitSelection
from zfcuda.backward.walk import BackwardPath, check_finite, followed
from zfcuda.cuda_graph import Replay
from zfcuda.inputs import same_size
from zfcuda.network import Network
from zfcuda.network.intact import deterministic
from zfcuda.network.own import off, own_value, refuse_if_off


class Projector:
    """Projections of many images of one size: the network is followed once.

    The numbers are those of :func:`zfcuda.project`. On a GPU everything between an image and its projection is
    recorded as one CUDA graph and replayed. The model may learn on: its weights are read at each image. What was
    recorded is made anew when a parameter or buffer is replaced by another tensor.

    Args:
        model, image, layer, unit, position, top, lrn: as in project; the image is one of the size to come.
            Without a unit or position the strongest ones are selected for each image anew.

    Raises:
        As project.

    Example:
        projector = zfcuda.Projector(model, images[:1], "conv5", top=9)
        for image in images:
            strongest = projector(image)  # [9,C,H,W]
    """

    def __init__(
        self,
        model: nn.Module | Network,
        image: Tensor,
        layer: str,
        *,
        unit: int | None = None,
        position: tuple[int, int] | str | None = None,
        top: int = 1,
        lrn: str = "identity",
    ) -> None:
        self._question = UnitSelection.of(layer, unit, position, top)
        rules = deconvnet_rules(lrn)
        self._network, self._first = followed(model, image)
        self._lrn = lrn
        self._route = BackwardPath.of(self._network, layer, rules)
        self._network.check(self._first.shape)
        with torch.no_grad(), deterministic():
            self._question.chosen(self._route.forward(self._first).activation[0])  # what does not fit is refused now
        self._replay = Replay(self._network.model, self._work)

    def __call__(self, image: Tensor) -> Tensor:
        """Projects one image, [C,H,W] or [1,C,H,W], of the first one's size, or a picture as project takes it.

        Returns:
            [top,C,H,W], as project.

        Raises:
            As project; also ValueError where the image's shape, dtype or device is not the first one's.
        """
        batch = same_size(image, self._first, self._network.model)
        results = self._replay(batch)
        if results is not None:
            projections, units, values, finite, is_off = results
            check_finite(finite, self._question.layer)
            refuse_if_off(is_off, self._network, self._question.layer)
            warn_of_silence(units, values, self._question.layer)
            return shown_projections(Projections(projections, units, None, values), self._question.layer)
        question = self._question
        return project(
            self._network,
            batch,
            question.layer,
            unit=question.unit,
            position=question.position,
            top=question.top,
            lrn=self._lrn,
        )

    def _work(self, batch: Tensor) -> list[Tensor]:
        """All that depends on the image; nothing in here waits for the GPU."""
        with deterministic():
            own = own_value(self._network, batch, self._question.layer)
            there = self._route.forward(batch)
            activation = there.activation[0]
            chosen = self._question.chosen(activation)
            projections = there.projections(self._question.seeds(activation, chosen)).to(batch.dtype)
            is_off = off(activation[None], own)
            return [projections, chosen.units, chosen.values, there.finite(batch), is_off]
