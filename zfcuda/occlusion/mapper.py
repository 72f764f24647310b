"""OcclusionMapper: one experiment on many images."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.cuda_graph import Replay
from zfcuda.inputs import ClassTarget, as_image
from zfcuda.memory.budget import budget_of
from zfcuda.network import evaluating
from zfcuda.network.structure import structure
from zfcuda.occlusion.dispatch import OcclusionOutputs
from zfcuda.occlusion.experiment import Experiment
from zfcuda.occlusion.prepared import (
    Evidence,
    PreparedEngine,
    RefusedError,
    base_values,
    check_finite,
    check_outputs,
    run_engine,
)
from zfcuda.occlusion.result import OcclusionMap
from zfcuda.occlusion.watched_model import WatchedModel, total_activity
from zfcuda.occlusion.window_outputs import WindowOutputs


class OcclusionMapper:
    """Occlusion maps of many images of one size: what depends on the network and the windows alone is done once.

    The numbers are those of :func:`zfcuda.occlusion_map`. On a GPU everything between an image and its map is
    recorded as one CUDA graph and replayed, where the network allows it; `reason` of the maps says whether it does.
    The model may learn on: its weights are read at each image. What was recorded is made anew when a parameter or
    buffer is replaced by another tensor; the model is followed anew when a module, a function or a setting in it is
    another than at the image before.

    Args:
        model, image: as in occlusion_map; the image is one of the size to come.
        arguments: as in occlusion_map. A target of None is chosen for each image anew.

    Attributes:
        first: the map of the image that it was made with.

    Raises:
        As occlusion_map.

    Example:
        mapper = zfcuda.OcclusionMapper(model, images[0], window=32, stride=8)
        drops = [mapper.first.heatmap(of="log_odds")]
        for image in images[1:]:
            drops.append(mapper(image).heatmap(of="log_odds"))
    """

    def __init__(self, model: nn.Module, image: Tensor, **arguments: Any) -> None:
        image = as_image(image, model)
        self._experiment = Experiment(model, image, **arguments)
        image = self._experiment.checked(image)
        outputs = self._experiment.run_windows(image)
        self._prepared = outputs.prepared
        self._structure = structure(self._experiment.model)
        self._replay = Replay(self._experiment.model, self._work, renewing=False)
        # Once: with another budget there would be other chunks, whose tables are not on the GPU yet.
        self._budget = budget_of(self._experiment.memory_budget, self._experiment.device)
        self.first = self._experiment.map(outputs, image)

    def __call__(self, image: Tensor, *, target: ClassTarget = None, unit: int | None = None) -> OcclusionMap:
        """The map of one image.

        Args:
            image: [C,H,W] or [1,C,H,W] like the first, or a picture.
            target, unit: as in occlusion_map, of this image; None: those that the mapper was made with.

        Raises:
            As occlusion_map; also ValueError where the image's shape, dtype or device is not the first one's.
        """
        experiment = self._experiment.asking(target, unit)
        image = experiment.checked(image)
        if structure(experiment.model) != self._structure:
            self._prepared = None
            self._replay.forget()
        outputs = self._replayed(experiment, image)
        if outputs is None:
            outputs = experiment.run_windows(image, self._prepared)
            self._prepared = outputs.prepared
        self._structure = structure(experiment.model)  # after: what the forward counts by itself is no change
        return experiment.map(outputs, image)

    def _replayed(self, e: Experiment, image: Tensor) -> OcclusionOutputs | None:
        """The outputs for one image, replayed; None where they have to be computed step by step."""
        engine = self._prepared
        tensors = self._replay(image) if isinstance(engine, PreparedEngine) else None
        if tensors is None or not isinstance(engine, PreparedEngine):
            return None
        base, logits, exact, held, own, *watched = tensors
        base_activity, activity = watched or (None, None)
        check_finite(base)
        e.check(base, base_activity)
        try:
            reason = check_outputs(
                engine, WindowOutputs(logits, activity), Evidence(exact, held, own), e.run_in, e.dtype
            )
        except RefusedError:
            self._replay.forget()  # step by step it may be refused too, with the reason
            return None
        return OcclusionOutputs(
            logits[None],
            base[None],
            None if activity is None else activity[None],
            None if base_activity is None else base_activity[None],
            "incremental",
            f"{reason}; replayed from a CUDA graph",
            engine,
        )

    def _work(self, image: Tensor) -> list[Tensor]:
        """All that depends on the image; nothing in here waits for the GPU."""
        e, prepared = self._experiment, self._prepared
        assert isinstance(prepared, PreparedEngine)
        plan = prepared.plan
        with evaluating(e.model):
            values = base_values(plan.network, image, plan.wanted, plan.held)
            base = values[plan.output].flatten().float()
            outputs, evidence = run_engine(
                PreparedEngine(plan, plan.base(values), prepared.limit, prepared.choice, recorded=True),
                WatchedModel(e.model, None, None),
                e.occluded(image),
                base,
                e.run_in,
                self._budget,
                tqdm(disable=True),
                repeated=True,
            )
        tensors = [base, outputs.logits, evidence.exact, evidence.held, evidence.own]
        if plan.watched is not None:
            assert outputs.activity is not None
            tensors += [total_activity(values[plan.watched])[0], outputs.activity]
        return tensors
