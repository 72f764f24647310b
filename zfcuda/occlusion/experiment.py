"""The function occlusion_map: its checks, and the map that is made of the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor, nn

from zfcuda.class_names import class_names
from zfcuda.fast_dtype import is_fast
from zfcuda.inputs import (
    PROBABILITIES,
    ClassTarget,
    as_image,
    checked_image,
    checked_layer,
    class_target,
    normalization,
    probabilities,
    target_score,
)
from zfcuda.network.graph import unwrap, wrapper_of
from zfcuda.occlusion.dispatch import OcclusionOutputs, run_windows
from zfcuda.occlusion.fill import Fill, Filling
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.output import ModelWithOutput, Output
from zfcuda.occlusion.prepared import PreparedEngine, Refusal
from zfcuda.occlusion.result import OcclusionMap
from zfcuda.occlusion.windows import grid, pair
from zfcuda.shown.pixels import Shown, way_back

METHODS = ("auto", "batched", "incremental")


def occlusion_map(
    model: nn.Module,
    image: Tensor,
    *,
    window: int | Sequence[int] = 32,
    stride: int | Sequence[int] = 8,
    fill: Fill = 0.0,
    target: ClassTarget = None,
    layer: str | None = None,
    unit: int | None = None,
    method: str = "auto",
    probability: str = "auto",
    dtype: torch.dtype | None = None,
    memory_budget: int | None = None,
    progress: bool = False,
    output: Output | None = None,
) -> OcclusionMap:
    """Maps what the network gives while an occluder moves over the image (Zeiler & Fergus, section 4.2, Fig. 7).

    Args:
        model: a network [N,C,H,W] -> [N,classes] (another: see output) in any mode; it is run as in eval, without
            gradients, and left as it was. Threads may share it, unless one trains it meanwhile.
        image: [C,H,W] or [1,C,H,W], of a floating dtype that the model takes, on its device; or a picture (PIL, a path,
            an array uint8 [H,W,C]), which the model's `.preprocess` makes one of.
        window, stride: of the occluder in pixels, int or (rows, columns). Windows start at 0, stride, 2 stride, ...;
            the last one is cut off at the border, as Captum does.
        fill: what covers the image: a number, one per channel, or a Tensor broadcastable to the image; or made of the
            image, of the values that the network gets: "mean", its mean per channel; "blur", the image blurred by a
            Gaussian whose standard deviation is half the window (rows and columns each), which at the border weighs
            what is inside alone; "noise", Gaussian noise with the mean and standard deviation of each channel, the same
            for all images of a size (a Tensor makes other noise).
        target: class index (an integer tensor of one element too); the name of a class, where the model has `.classes`
            ("tabby cat" finds ImageNet's "tabby"); callable [n,classes] -> [n]; None: the most probable class of the
            whole image.
        layer, unit: the dotted name of a submodule (zfcuda.network.layers lists them; a wrapper's names are taken too)
            and its channel, whose total activation is recorded at each position;
            unit None: the one with the largest total in the whole image.
        method: "incremental" (only what each window changes is computed again: the same numbers but for rounding),
            "batched" (every window through the whole network), or "auto": the cheaper one, as is predicted, or measured
            on a few windows where that does not tell (on a CPU). The choice holds for this model, size, windows and
            number of threads in a process, so that a repeat gives the same numbers; `.reason` has both figures.
        probability: how outputs become probabilities: "softmax", "sigmoid", "none", or "auto": one output -> sigmoid;
            outputs that already are a distribution -> as they are, and so is the one number of a callable output=
            that is between 0 and 1 for every window; else softmax.
        dtype: torch.bfloat16 or float16 to run the network in (autocast), where the device has arithmetic of its own
            for it; elsewhere that would take many times as long, and the network is run as it is, as `.reason` says.
            None: as it is.
        memory_budget: bytes that all this may take beyond one forward of the model and the outputs; one window runs in
            any case. None: a quarter of the free memory, of which windows that run together get at most 2 GiB. Where
            the engine needs more, "auto" is brute force, and "incremental" is refused with the bytes that it needs.
        progress: show a bar with the time left.
        output: what of the model's answer is mapped, where that is not [N,classes]: a callable on the answer -> [N,K]
            or [N]; a key or attribute ("logits"); an index (0). Such a model may return dicts, tuples or dense maps;
            zfcuda.occlusion.areas is the share of the image of each class of a segmentation, `foreground` that of masks
            that may overlap. The K are what `target` and all else here calls classes. The callable is followed like the
            model's own forward, and has to compute each image by itself; else the windows are run one by one.

    Returns:
        An OcclusionMap.

    Raises:
        TypeError, ValueError: naming the argument and its value, before any window is run.
        RuntimeError: method="incremental" where that cannot be done.
    """
    image = as_image(image, model)
    experiment = Experiment(
        model,
        image,
        window=window,
        stride=stride,
        fill=fill,
        target=target,
        layer=layer,
        unit=unit,
        method=method,
        probability=probability,
        dtype=dtype,
        memory_budget=memory_budget,
        progress=progress,
        output=output,
    )
    return experiment.run(image)


class Experiment:
    """An occlusion experiment on images of one size: its arguments, checked, and what the outputs become.

    Arguments and errors as in :func:`occlusion_map`; image: the first one, or one of its size.
    """

    def __init__(
        self,
        model: nn.Module,
        image: Tensor,
        *,
        window: int | Sequence[int] = 32,
        stride: int | Sequence[int] = 8,
        fill: Fill = 0.0,
        target: ClassTarget = None,
        layer: str | None = None,
        unit: int | None = None,
        method: str = "auto",
        probability: str = "auto",
        dtype: torch.dtype | None = None,
        memory_budget: int | None = None,
        progress: bool = False,
        output: Output | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
        # A model under torch.compile would compile anew for each batch size.
        wrapper, self.model = wrapper_of(model), unwrap(model)
        self.names, self.preprocess = class_names(getattr(self.model, "classes", None)), way_back(self.model)
        image = in_own_format(image, self.model)
        self.shape, self.dtype, self.device = image.shape, image.dtype, image.device
        self.window, self.stride = pair(window, "window"), pair(stride, "stride")
        self.size = (int(image.shape[1]), int(image.shape[2]))
        self.origins = grid(self.size, self.window, self.stride).to(image.device)
        self.fill = Filling(fill, image, self.window)
        _choices(method, probability, dtype, memory_budget)
        _check_unit(unit, layer)
        if layer is not None:
            layer = checked_layer(layer, self.model, wrapper)
        self.given = self.model
        if output is not None:
            self.model = ModelWithOutput(self.model, output)
        self.target, self.layer, self.unit, self.method = target, layer, unit, method
        self.probability, self.memory_budget = probability, memory_budget
        self.run_in, self.remark = _computed_in(dtype, self.dtype, self.device)
        self.progress = progress
        self.own_number = callable(output)  # more likely a share or a probability than a logit, where it can be one

    def asking(self, target: ClassTarget, unit: int | None) -> Experiment:
        """The same of another target and unit; where one is None, of its own."""
        _check_unit(unit, self.layer)
        other = copy(self)
        other.target = self.target if target is None else target
        other.unit = self.unit if unit is None else unit
        return other

    def checked(self, image: Tensor) -> Tensor:
        """The image as [C,H,W], in the memory format that the model computes in."""
        image = in_own_format(image, self.given)
        if image.shape != self.shape or image.dtype != self.dtype or image.device != self.device:
            raise ValueError(
                f"image: expected {self.dtype} {list(self.shape)} on {self.device}, as the first one, got "
                f"{image.dtype} {list(image.shape)} on {image.device}"
            )
        return image

    def occluded(self, image: Tensor) -> OccludedImage:
        """The image [C,H,W] with the experiment's windows."""
        return OccludedImage(image, self.fill.of(image), self.origins.flatten(0, 1), self.window)

    def run(self, image: Tensor) -> OcclusionMap:
        """The map of one image."""
        image = self.checked(image)
        return self.map(self.run_windows(image), image)

    def run_windows(self, image: Tensor, prepared: PreparedEngine | Refusal | None = None) -> OcclusionOutputs:
        """Runs the windows of an image [C,H,W]. prepared: of an earlier image."""
        return run_windows(
            self.model,
            image[None],
            self.fill.of(image)[None],
            self.window,
            self.stride,
            layer=self.layer,
            method=self.method,
            dtype=self.run_in,
            memory_budget=self.memory_budget,
            progress=self.progress,
            check=self.check,
            prepared=prepared,
        )

    def check(self, base: Tensor, activity: Tensor | None) -> None:
        """What can only be told once the network has run, but before the windows are."""
        target_score(class_target(self.target, base, self.names), base[None])
        _unit(self.unit, self.layer, activity)

    @torch.no_grad()
    def map(self, outputs: OcclusionOutputs, image: Tensor) -> OcclusionMap:
        """What the outputs for one image [C,H,W] say about the target."""
        logits, base = outputs.logits[0], outputs.base_logits[0]
        chosen = class_target(self.target, base, self.names)
        unit = _unit(self.unit, self.layer, None if outputs.base_activity is None else outputs.base_activity[0])
        every = torch.cat([base[None], logits])
        how = self.probability
        if how == "auto" and self.own_number and every.shape[1] == 1 and bool(((every >= 0) & (every <= 1)).all()):
            how = "none"
        how = normalization(every, how)
        probability = probabilities(every, how)
        best = int(base.argmax()) if callable(chosen) else chosen
        score, base_score = target_score(chosen, logits), target_score(chosen, base[None])[0]
        label = logits.argmax(1) if len(base) > 1 else (probability[1:, 0] > 0.5).long()
        rows, columns = self.origins.shape[:2]
        return OcclusionMap(
            logits=logits.view(rows, columns, -1),
            score=score.view(rows, columns),
            probability=probability[1:, best].view(rows, columns),
            label=label.view(rows, columns),
            activity=None if outputs.activity is None else outputs.activity[0, :, unit].reshape(rows, columns),
            unit=unit,
            target=chosen,
            base_logits=base,
            base_score=base_score,
            origins=self.origins,
            window=self.window,
            stride=self.stride,
            size=self.size,
            method=outputs.method,
            reason=outputs.reason + self.remark,
            normalization=how,
            classes=tuple(self.names) if self.names is not None and len(self.names) == len(base) else None,
            shown=Shown(image, self.preprocess),
            fill=self.fill.record,
        )


def _choices(method: str, probability: str, dtype: torch.dtype | None, memory_budget: int | None) -> None:
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, got {method!r}")
    if probability not in PROBABILITIES:
        raise ValueError(f"probability: expected one of {PROBABILITIES}, got {probability!r}")
    if dtype not in (None, torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"dtype: expected torch.bfloat16, float16 or None, got {dtype}")
    if memory_budget is not None and not (isinstance(memory_budget, int) and memory_budget > 0):
        raise ValueError(f"memory_budget: expected a positive number of bytes, got {memory_budget!r}")


def _computed_in(asked: torch.dtype | None, own: torch.dtype, device: torch.device) -> tuple[torch.dtype | None, str]:
    """The dtype that the windows are run in, None: their own; and what is to be said where it is not the one asked."""
    if asked is None or asked in (torch.float32, own) or is_fast(asked, device):
        return asked, ""
    names = [str(dtype).removeprefix("torch.") for dtype in (asked, own)]
    return None, f"; not in {names[0]}, which this device computes slowly, but in {names[1]}"


def _check_unit(unit: int | None, layer: str | None) -> None:
    if unit is not None and layer is None:
        raise ValueError(f"unit: {unit} of which layer? name it in layer=")


def _unit(unit: int | None, layer: str | None, activity: Tensor | None) -> int | None:
    if layer is None:
        return None
    if activity is None:
        raise ValueError(f"layer: {layer!r} is never called by the model's forward")
    if unit is None:
        return int(activity.argmax())
    if not 0 <= unit < len(activity):
        raise ValueError(f"unit: {layer!r} has units 0 to {len(activity) - 1}, got {unit}")
    return unit


def in_own_format(image: Tensor, model: nn.Module) -> Tensor:
    """The image as [C,H,W], in the memory format that the model computes in."""
    batch = checked_image(image, model)
    weights = [p for p in model.parameters() if p.is_floating_point() and p.dim() == 4]
    if any(w.is_contiguous(memory_format=torch.channels_last) and not w.is_contiguous() for w in weights):
        batch = batch.contiguous(memory_format=torch.channels_last)
    return batch[0]
