"""What the page says about one picture, before anything of it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from zfcuda.methods import Method
from zfcuda.occlusion import OcclusionMap
from zfcuda.occlusion.map_data import Rectangle
from zfcuda.occlusion.output import Output
from zfcuda.report.cover import Cover
from zfcuda.report.source import Source
from zfcuda.report.subject import Subject


class Form(str, Enum):
    """How an activation was projected back to the pixels."""

    DECONVNET = "deconvnet"
    GUIDED = "guided"  # where no pooling switches lie before it, so that the deconvnet shows the same of every picture
    FILTER = "filter"  # where nothing that rectifies lies before it either, so that all methods show the same


@dataclass(frozen=True)
class Unit:
    """The strongest place of one feature map.

    Attributes:
        number: which map of the layer.
        value: its activation there.
        position: (y, x) on the map.
        activity: [h,w] the whole map.
        projection: [3,H,W] the activation projected back to the pixels; None where its layer cannot be projected.
        field: the pixels that the unit at this position can see; None: not known.
    """

    number: int
    value: float
    position: tuple[int, int]
    activity: Tensor
    projection: Tensor | None
    field: Rectangle | None


@dataclass(frozen=True)
class Layer:
    """The strongest units of one convolution layer, strongest first; none where nothing in it is positive.

    Attributes:
        name: the dotted name of the convolution.
        maps: how many feature maps it has; `size`: their rows and columns.
        field_size: rows and columns that a unit sees; None: not known.
        units: strongest first.
        form: how its units are projected.
        refusal: why nothing of it is projected, in words; "" where it is.
    """

    name: str
    maps: int
    size: tuple[int, int]
    field_size: tuple[int, int] | None
    units: tuple[Unit, ...]
    form: Form = Form.DECONVNET
    refusal: str = ""


@dataclass(frozen=True)
class MethodMap:
    """What one method says about the picture, for the class that the page asks about.

    Attributes:
        method: which one.
        values: float32 [H,W] on the CPU; None where it cannot be had.
        seconds: how long it took.
        refusal: why it cannot be had, in words; "" where it is there.
        warnings: what it warned of.
    """

    method: Method
    values: Tensor | None
    seconds: float
    refusal: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def largest(self) -> float:
        """The largest magnitude of the map; 0 where it is zero everywhere, or holds no numbers."""
        return 0.0 if self._finite is None else float(self._finite.abs().max())

    @property
    def maximum(self) -> tuple[float, tuple[int, int]] | None:
        """(the largest value, (y, x) of the first pixel that has it); None where there is no number."""
        if self.values is None or self._finite is None:
            return None
        value = self._finite.max()
        y, x = divmod(int((self.values == value).flatten().int().argmax()), self.values.shape[1])
        return float(value), (y, x)

    @property
    def unknown(self) -> int:
        """How many pixels have no number."""
        return 0 if self.values is None else int((~self.values.isfinite()).sum())

    @property
    def _finite(self) -> Tensor | None:
        """The numbers of the map; None where there is none."""
        numbers = None if self.values is None else self.values[torch.isfinite(self.values)]
        return numbers if numbers is not None and numbers.numel() else None


@dataclass(frozen=True)
class Explanation:
    """All that the page says about one picture.

    Attributes:
        subject: the network.
        name: what to call the picture.
        source: its file; None where a program made the picture.
        pixels: [3,H,W] in 0..1, the picture as the network sees it (cropped, resized).
        class_names: the names of the classes by index.
        logits: [classes] for the whole picture; `probabilities`: what they become.
        target: the class that the occlusion panels are about; `chosen_target`: the user asked for it.
        layers: in forward order; empty for a network without two-dimensional convolutions.
        all_layers: how many convolution layers there are in all.
        followed: the unit watched under the occluder; None where its layer is silent, or there is none.
        followed_layer: the name of its layer; None where there is none.
        occlusion: the map; its activity is that of `followed`.
        window, stride: side and step of the occluder, in pixels of the picture as the network sees it.
        cover: what covers the picture.
        top: how many maps of each layer were asked for.
        truth: bool [H,W], the part that truly decides, where that is known.
        output: what made scores of the network's answer; None: they are its answer.
        seconds: how long the occlusion map took.
        methods: the maps of the methods that were asked for, in that order.
        filters: [N,C,kh,kw] the weights of the first convolution; None where they cannot be read.
    """

    subject: Subject
    name: str
    source: Source | None
    pixels: Tensor
    class_names: tuple[str, ...]
    logits: Tensor
    probabilities: Tensor
    target: int
    chosen_target: bool
    layers: tuple[Layer, ...]
    all_layers: int
    followed: Unit | None
    followed_layer: str | None
    occlusion: OcclusionMap
    window: int
    stride: int
    cover: Cover
    top: int
    truth: Tensor | None
    output: Output | None
    seconds: float
    methods: tuple[MethodMap, ...]
    filters: Tensor | None

    def label_name(self, label: int) -> str:
        """The name of an entry of the occlusion map's labels; of a network of one output, 1 is its class, 0 is not."""
        if len(self.class_names) > 1:
            return self.class_names[label]
        return self.class_names[0] if label else f"not {self.class_names[0]}"

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the picture as the network sees it."""
        return self.pixels.shape[1], self.pixels.shape[2]

    @property
    def order(self) -> list[int]:
        """The classes, the most probable first; probabilities may be too small to differ where the logits do."""
        order: list[int] = self.logits.argsort(descending=True, stable=True).tolist()
        return order
