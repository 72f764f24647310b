"""OcclusionMapper: one experiment on many pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.cuda_graph import Captured
from zfcuda.network import evaluating
from zfcuda.network.hooks import hooked
from zfcuda.occlusion.brute_force import WatchedModel, total_activity
from zfcuda.occlusion.dispatch import OcclusionOutputs
from zfcuda.occlusion.experiment import Experiment
from zfcuda.occlusion.memory import budget_of
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.prepared import (
    PreparedEngine,
    RefusedError,
    base_values,
    check_finite,
    check_outputs,
    run_engine,
)
from zfcuda.occlusion.result import OcclusionMap, WindowOutputs


class OcclusionMapper:
    """Occlusion maps of many pictures of one size: what depends on the network and the windows alone is done once.

    The numbers are those of :func:`zfcuda.occlusion_map`. On a GPU everything between a picture and its map is
    recorded as one CUDA graph and replayed, where the network allows it; `reason` of the maps says whether it does.
    The model may learn on: its weights are read at each picture. What was recorded is made anew when a parameter or
    buffer is replaced by another tensor.

    Args:
        model, image: as in occlusion_map; the image is one picture of the size to come.
        arguments: as in occlusion_map. A target of None is chosen for each picture anew.

    Raises:
        As occlusion_map.

    Example:
        mapper = zfcuda.OcclusionMapper(model, frame, window=32, stride=8)
        for frame in frames:
            show(mapper(frame).heatmap())
    """

    def __init__(self, model: nn.Module, image: Tensor, **arguments: Any) -> None:
        self._experiment = Experiment(model, image, **arguments)
        self._prepared = self._experiment.run_windows(self._experiment.picture(image)).prepared
        self._captured: Captured | None = None
        self._memory: list[int] = []  # of the weights that were captured
        self._refused = ""  # why nothing is captured
        self._budget = 0

    def __call__(self, image: Tensor) -> OcclusionMap:
        """The map of one picture, [C,H,W] or [1,C,H,W] like the first.

        Raises:
            As occlusion_map; also ValueError where the image's shape, dtype or device is not the first one's.
        """
        picture = self._experiment.picture(image)
        outputs = self._replayed(picture)
        if outputs is None:
            outputs = self._experiment.run_windows(picture, self._prepared)
            self._prepared = outputs.prepared
        return self._experiment.map(outputs)

    # ------------------------------------------------------------ the CUDA graph

    def _replayed(self, picture: Tensor) -> OcclusionOutputs | None:
        """None: it has to be computed step by step."""
        engine = self._prepared
        if not _has_graphs(picture) or not isinstance(engine, PreparedEngine) or self._refused:
            return None
        if hooked(self._experiment.model, renewing=False):
            return None
        with torch.inference_mode(), evaluating(self._experiment.model):
            try:
                self._capture(picture)
                assert self._captured is not None
                return self._checked(self._captured(picture), engine)
            except RefusedError:
                self._captured = None  # step by step it may be refused too, with the reason
            except RuntimeError as error:  # out of memory too: a graph keeps all of its own, step by step takes less
                self._captured = None
                self._refused = str(error).splitlines()[0]
        return None

    def _capture(self, picture: Tensor) -> None:
        """Records, where that was not done or no longer holds."""
        model = self._experiment.model
        memory = [t.data_ptr() for t in (*model.parameters(), *model.buffers())]
        if self._captured is None or memory != self._memory:
            # Once: with another budget there would be other chunks, whose tables are not on the GPU yet.
            self._budget = budget_of(self._experiment.memory_budget, picture.device)
            self._captured, self._memory = Captured(self._work, picture), memory

    def _work(self, picture: Tensor) -> list[Tensor]:
        """All that depends on the picture; nothing in here waits for the GPU."""
        e, prepared = self._experiment, self._prepared
        assert isinstance(prepared, PreparedEngine)
        plan = prepared.plan
        values = base_values(plan.network, picture, plan.wanted)
        model = WatchedModel(e.model, None, None)
        outputs, exact, alone = run_engine(
            PreparedEngine(plan, {i: values[i] for i in plan.needed}),
            model,
            OccludedImage(picture, e.fill.expand_as(picture), e.origins.flatten(0, 1), e.window),
            e.run_in,
            self._budget,
            tqdm(disable=True),
            repeated=True,
        )
        base = values[plan.output].flatten().float()
        tensors = [base, outputs.logits, exact, alone]
        if plan.watched is not None:
            assert outputs.activity is not None
            tensors += [total_activity(values[plan.watched])[0], outputs.activity]
        return tensors

    def _checked(self, tensors: list[Tensor], engine: PreparedEngine) -> OcclusionOutputs:
        e = self._experiment
        base, logits, exact, alone, *watched = tensors
        before, activity = watched or (None, None)
        check_finite(base)
        e.check(base, before)
        outputs = WindowOutputs(logits, activity)
        reason = check_outputs(engine.plan, outputs, exact, alone, e.run_in, e.dtype)
        return OcclusionOutputs(
            logits[None].clone(),
            base[None].clone(),
            None if activity is None else activity[None].clone(),
            None if before is None else before[None].clone(),
            "incremental",
            f"{reason}; replayed from a CUDA graph",
            engine,
        )


def _has_graphs(picture: Tensor) -> bool:
    return picture.is_cuda
