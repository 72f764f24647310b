"""Occluder: an occluder that is held in the hand."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from zfcuda.inputs import as_image
from zfcuda.memory.budget import out_of_memory
from zfcuda.network import evaluating
from zfcuda.network.graph import first_line, unwrap
from zfcuda.occlusion.brute_force import check_steady
from zfcuda.occlusion.dispatch import base_logits_of
from zfcuda.occlusion.experiment import in_own_format
from zfcuda.occlusion.fill import Fill, Filling
from zfcuda.occlusion.held_model import ModelState
from zfcuda.occlusion.incremental.held import HeldPlan
from zfcuda.occlusion.incremental.patches import Table
from zfcuda.occlusion.incremental.precision import agree
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.output import ModelWithOutput, Output
from zfcuda.occlusion.prepared import PreparedEngine, Refusal, prepare, refused
from zfcuda.occlusion.rectangles import Place, rectangles
from zfcuda.occlusion.watched_model import WatchedModel

_FILLS = 8  # sizes of which the fill is kept


class Occluder:
    """An occluder that is held in the hand: what a model answers while any rectangle of an image is covered.

    The image is run once, and the filters are laid out once; each answer then computes only what its rectangle
    changes. Kept for that are the image's maps and the convolutions' filters once more, at most twice as large as they
    are. The numbers are those of the model itself on the covered image, but for rounding, as in
    :func:`zfcuda.occlusion_map`; where they cannot be had so, or a quarter of the free memory does not hold what is
    kept, the model itself is run, and `reason` says why.

    The model may change between the calls: where a parameter or buffer is written to or replaced, or a module, a
    setting or a hook is another, the next call prepares anew and answers for the model as it then is. Writes that torch
    does not count (through `.data`, NumPy, or to a tensor of inference mode) and what changes inside of plain objects,
    lists and dicts of a module are not noticed. Several threads may call it; they take turns.

    Args:
        model: a network [N,C,H,W] -> [N,classes] (another: see output) in any mode; it is run as in eval mode, without
            gradients, and left as it was.
        image: [C,H,W] or [1,C,H,W], of a floating dtype that the model takes, on its device; or a picture, as in
            occlusion_map. It is copied.
        fill, output: as in occlusion_map; fill="blur" goes by the size of each rectangle.

    Attributes:
        base_logits: float32 [classes], the model's answer to the whole image.
        size: (rows, columns) of the image.
        method: "incremental" (only what a rectangle changes is computed again) or "batched" (the model itself is run).
        reason: why that one, in a sentence.

    Raises:
        TypeError, ValueError: naming the argument and its value; the model is random, or gives NaN.

    Example:
        occluder = zfcuda.Occluder(model, image)
        drop = occluder.base_logits - occluder(96, 96, 32, 32)
    """

    def __init__(self, model: nn.Module, image: Tensor, *, fill: Fill = 0.0, output: Output | None = None) -> None:
        image = as_image(image, model)
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
        model = unwrap(model)
        self._image = in_own_format(image, model).clone()
        self.size = (int(self._image.shape[1]), int(self._image.shape[2]))
        self._fill = fill.detach().clone() if isinstance(fill, Tensor) else fill
        self._fills: dict[tuple[int, int], Tensor] = {}
        self._fill_of(*self.size)
        self._model = model if output is None else ModelWithOutput(model, output)
        self._lock = threading.RLock()
        self._held: HeldPlan | Refusal
        with self._lock:
            self._prepare()

    def __call__(self, top: Place, left: Place, height: Place, width: Place) -> Tensor:
        """The model's answer while the rectangle is covered.

        Args:
            top, left: the first row and column that are covered, from 0.
            height, width: how many are, at least 1; the rectangle lies inside the image. Each of the four may be a
                sequence, or an integer tensor, all of one length: as many answers, each for its own rectangle alone.

        Returns:
            float32 [classes]; [n,classes] where a sequence was given.

        Raises:
            TypeError, ValueError: naming the argument and its value.
        """
        table, many = rectangles((top, left, height, width), self.size)
        with self._lock:
            self._renew()
            logits = self._answers(table)
        return logits if many else logits[0]

    @property
    def base_logits(self) -> Tensor:
        with self._lock:
            self._renew()
            return self._base.clone()

    @property
    def method(self) -> str:
        with self._lock:
            self._renew()
            return "batched" if isinstance(self._held, Refusal) else "incremental"

    @property
    def reason(self) -> str:
        with self._lock:
            self._renew()
            return self._held.reason

    def _renew(self) -> None:
        if not self._state.holds():
            self._prepare()

    @torch.no_grad()
    def _prepare(self) -> None:
        """Follows the model, runs the whole image, and holds the engine against the model itself."""
        image = self._image
        with evaluating(self._model):
            watched = WatchedModel(self._model, None, None)
            self._base = base_logits_of(watched, image)
            fill = self._fill_of(*self.size)
            whole = OccludedImage(image, fill, torch.zeros(1, 2, dtype=torch.int64, device=image.device), self.size)
            prepared = prepare(watched, whole, self._base, self.size, "held", None, None, None)
            engine = self._engine_of(prepared) if isinstance(prepared, PreparedEngine) else prepared
            if isinstance(engine, Refusal):
                check_steady(watched, image, self._base)
        self._held = engine
        self._state = ModelState(self._model, image.device)

    def _engine_of(self, prepared: PreparedEngine) -> HeldPlan | Refusal:
        """The engine, held against the model."""
        try:
            held = HeldPlan(prepared.plan, prepared.values, self._image.dtype)
            places = _telling(*self.size)
            found = torch.cat([self._by_engine(held, place[None]) for place in places])
            if agree(found, self._by_model(places), self._image.dtype):
                return held
        except Exception as error:  # whatever it may be, the model itself can be run
            if out_of_memory(error):
                raise
            return refused(first_line(error), "held")
        return refused("the engine's answer to a window is not the model's own", "held")

    @torch.no_grad()
    def _answers(self, places: Table) -> Tensor:
        if not len(places):
            return self._base.new_empty(0, len(self._base))
        if not isinstance(self._held, Refusal):
            try:
                with evaluating(self._model) if self._held.calls_modules(len(places)) else nullcontext():
                    return self._by_engine(self._held, places)
            except Exception as error:  # whatever it may be, the model itself can be run, from now on
                if out_of_memory(error):
                    raise
                self._held = refused(first_line(error), "held")
        with evaluating(self._model):
            answers = self._by_model(places)
        self._state = ModelState(self._model, self._image.device)  # what its forward counts by itself is no change
        return answers

    def _by_engine(self, held: HeldPlan, places: Table) -> Tensor:
        if not self._fill_by_size:
            return held.run(self._fill_of(*self.size), places)
        sizes = (places[:, 2:] - places[:, :2]).tolist()
        return torch.cat([held.run(self._fill_of(*size), places[i : i + 1]) for i, size in enumerate(sizes)])

    def _by_model(self, places: Table) -> Tensor:
        """Runs the model itself on the covered images, one by one."""
        watched = WatchedModel(self._model, None, None)
        answers = []
        for top, left, bottom, right in places.tolist():
            covered = self._image[None].clone()
            fill = self._fill_of(bottom - top, right - left)
            covered[0, :, top:bottom, left:right] = fill[:, top:bottom, left:right]
            answers.append(watched(covered)[0])
        return torch.stack(answers)

    @property
    def _fill_by_size(self) -> bool:
        return isinstance(self._fill, str) and self._fill == "blur"

    def _fill_of(self, height: int, width: int) -> Tensor:
        """What covers the image under a rectangle of this size, [C,H,W]."""
        key = (height, width) if self._fill_by_size else self.size
        if key not in self._fills:
            if len(self._fills) >= _FILLS:
                self._fills.clear()
            self._fills[key] = Filling(self._fill, self._image, key).of(self._image)
        return self._fills[key]


def _telling(rows: int, columns: int) -> Table:
    """Rectangles that the engine is held against the model on: one in the middle, and one at a corner."""
    height, width = -(-rows // 4), -(-columns // 4)
    top, left = (rows - height) // 2, (columns - width) // 2
    return np.array([[top, left, top + height, left + width], [0, columns - width, height, columns]], np.int64)
